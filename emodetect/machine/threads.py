"""Threads and forks: parallel work in a pool, and resources that threads share."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, Generic, TypeVar

from emodetect.machine.computer import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")
Resource = TypeVar("Resource")


def bounded_map(
    pool: ThreadPoolExecutor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    at_once: int,
) -> Iterator[Result]:
    """Apply a function in parallel to `at_once` items at a time, and yield the results in order.

    The pool's own `map` would queue all items and keep every result that is not yet consumed.
    """
    remaining = iter(items)
    while batch := list(islice(remaining, at_once)):
        yield from pool.map(function, batch)


class SharedPool(Generic[Resource]):
    """Things that one thread at a time may use, such as detectors, shared by any number of threads.

    They are opened when they are needed, at most `most` of them; further threads wait. After a
    fork, the child opens its own: a library's threads and locks do not survive a fork. It never
    closes its parent's, not even when it ends, since that would wait for threads that only its
    parent has.

    Args:
        open_one: opens one. Called once right away, so that errors appear early.
        most: the number of usable cores if None.
    """

    def __init__(self, open_one: Callable[[], Resource], *, most: int | None = None) -> None:
        self.open_one = open_one
        self.most = most or usable_cores()
        self._start_empty()
        self.idle.append(open_one())
        _pools.add(self)

    @contextmanager
    def borrow(self) -> Iterator[Resource]:
        """Lend one of the resources to this thread, after waiting for one if necessary."""
        with self.free:
            one = self.idle.pop() if self.idle else self.open_one()
            try:
                yield one
            finally:
                self.idle.append(one)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        # A copy, here or in another process, opens its own.
        return partial(SharedPool, most=self.most), (self.open_one,)

    def after_fork(self) -> None:
        """Forget the resources of the parent process, without closing them."""
        for one in self.idle:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))
        self._start_empty()

    def _start_empty(self) -> None:
        self.idle: list[Resource] = []  # a list's append and pop are atomic
        self.free = threading.Semaphore(self.most)


_pools: weakref.WeakSet[SharedPool[Any]] = weakref.WeakSet()


def _after_fork() -> None:
    for pool in _pools:
        pool.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
