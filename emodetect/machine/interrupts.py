"""Graceful shutdown: what Ctrl-C, SIGTERM and a terminal that is closed end is cleaned up."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

HANGUPS: tuple[int, ...] = ()
if sys.platform != "win32":  # of a terminal that is closed: the kernel and a shell each send one
    HANGUPS = (signal.SIGHUP,)
TERMINATIONS = (signal.SIGTERM, *HANGUPS)
HANDLED_AGAIN_S = 0.05


@contextmanager
def interrupt_on_termination() -> Iterator[list[int]]:
    """Let SIGTERM and SIGHUP do what Ctrl-C does, which removes what is half written.

    A second SIGTERM ends the process at once. Yields a list that receives the first signal.

    Python discards an exception, and so an interrupt, in a callback such as that of a weak
    reference, of which TensorFlow has many. Then the signal is handled again a moment later, but
    not at the end of the program, whose clean-up it would cut off.
    """
    received: list[int] = []
    usual_hook, pending = sys.unraisablehook, list[threading.Timer]()

    def interrupt(number: int, _: FrameType | None) -> None:
        if received:
            return  # another SIGHUP
        received.append(number)
        if signal.getsignal(signal.SIGTERM) is interrupt:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise KeyboardInterrupt

    def handle_again(discarded: Any) -> None:
        if discarded.exc_type is not KeyboardInterrupt:
            usual_hook(discarded)
            return
        number = received.pop() if received else signal.SIGINT
        if number in TERMINATIONS:
            signal.signal(number, interrupt)
        again = threading.Timer(HANDLED_AGAIN_S, _thread.interrupt_main, [number])
        again.daemon = True
        again.start()
        pending.append(again)

    if threading.current_thread() is threading.main_thread():
        for number in TERMINATIONS:
            if signal.getsignal(number) is signal.SIG_DFL:  # not what nohup lets it ignore
                signal.signal(number, interrupt)
        sys.unraisablehook = handle_again
    try:
        yield received
    finally:
        sys.unraisablehook = usual_hook
        for again in pending:
            again.cancel()


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Yield a list that receives the first signal to stop; the second raises KeyboardInterrupt.

    But not a second SIGHUP: a terminal that is closed leads to two. The caller's loop checks the
    list and stops at a convenient point.
    """
    noted: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        if not noted:
            noted.append(number)
        elif number not in HANGUPS:
            raise KeyboardInterrupt

    with handled((signal.SIGINT, *TERMINATIONS), note):
        yield noted


@contextmanager
def handled(
    numbers: Iterable[int], handler: Callable[[int, FrameType | None], object]
) -> Iterator[None]:
    """Handle signals meanwhile, if this is the main thread, which alone may."""
    previous = {}
    if threading.current_thread() is threading.main_thread():
        for number in numbers:
            # nohup and shells start programs with some signals ignored, which must stay so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                previous[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


def how_it_ended(status: int) -> str:
    """Return how a process ended whose `returncode` is `status`, such as "Segmentation fault"."""
    return f"exit status {status}" if status >= 0 else f"{signal.strsignal(-status)}"


def stopped_by(number: int | None) -> str:
    """Return the beginning of a summary: "stopped by SIGINT: ", or "" for None."""
    return "" if number is None else f"stopped by {signal.Signals(number).name}: "
