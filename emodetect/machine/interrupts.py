"""Graceful shutdown: Ctrl-C and SIGTERM end a run after the current frame."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Yield a list that receives the first SIGINT or SIGTERM; the second raises KeyboardInterrupt.

    The caller's loop checks the list and stops at a convenient point.
    """
    noted: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(number)

    previous = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            # nohup and shells start programs with some signals ignored, which must stay so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                previous[number] = signal.signal(number, note)
    try:
        yield noted
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def stopped_by(number: int | None) -> str:
    """Return the beginning of a summary: "stopped by SIGINT: ", or "" for None."""
    return "" if number is None else f"stopped by {signal.Signals(number).name}: "
