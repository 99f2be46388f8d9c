"""Stopping in good order: Ctrl-C and SIGTERM end a run after the frame in work."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Note the first signal that asks to stop, for the loop to see; let the second one through."""
    noted: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(number)

    previous = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            # nohup and shells ask to ignore some, which holds.
            if signal.getsignal(number) is not signal.SIG_IGN:
                previous[number] = signal.signal(number, note)
    try:
        yield noted
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def stopped_by(number: int | None) -> str:
    """Return how a summary begins: the signal that ended the run, or nothing."""
    return "" if number is None else f"stopped by {signal.Signals(number).name}: "
