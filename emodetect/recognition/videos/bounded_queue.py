"""A bounded queue between two threads; for a live source it drops the oldest frame when full.

This is where frames are dropped when the machine is too slow for a camera or stream.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class BoundedQueue(Generic[Item]):
    """Passes items from one thread to another.

    Args:
        size: how many items can wait.
        drop_oldest: if the queue is full, `put` drops the oldest item instead of waiting.
    """

    def __init__(self, size: int, *, drop_oldest: bool = False) -> None:
        self.items: deque[Item] = deque()
        self.size, self.drop_oldest = size, drop_oldest
        self.changed = threading.Condition()
        self.ended = False
        self.error: BaseException | None = None

    def put(self, item: Item) -> bool:
        """Add an item; return False if the queue has ended."""
        with self.changed:
            if self.drop_oldest and len(self.items) == self.size:
                self.items.popleft()
            self.changed.wait_for(lambda: self.ended or len(self.items) < self.size)
            if self.ended:
                return False
            self.items.append(item)
            self.changed.notify_all()
            return True

    def get(self, timeout_s: float | None = None) -> Item | None:
        """Return the next item, or None if none arrived in time.

        Raises EndOfItems after the last item, or the error that the queue ended with.
        """
        with self.changed:
            self.changed.wait_for(lambda: self.ended or self.items, timeout_s)
            if self.items:
                self.changed.notify_all()
                return self.items.popleft()
            if not self.ended:
                return None
            raise self.error or EndOfItems

    def end(self, error: BaseException | None = None) -> None:
        """Accept no more items; those that wait can still be taken."""
        with self.changed:
            if not self.ended:
                self.ended, self.error = True, error
            self.changed.notify_all()


class EndOfItems(Exception):  # noqa: N818  not an error
    """All items have been taken."""
