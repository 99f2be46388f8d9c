"""Hide messages that C++ libraries print directly to stderr, or keep them in a log."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def quiet_stderr(log: Path | None = None) -> Iterator[None]:
    """Hide everything written to stderr, including by C++ code; errors must be raised.

    Args:
        log: a file to append it to.
    """
    with contextlib.ExitStack() as stack:
        saved = os.dup(2)
        stack.callback(os.close, saved)
        nowhere = os.open(log or os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        stack.callback(os.close, nowhere)
        os.dup2(nowhere, 2)
        stack.callback(os.dup2, saved, 2)
        yield


@contextlib.contextmanager
def quiet_libraries(log: Path | None = None) -> Iterator[None]:
    """Hide what C++ code writes to stderr, but show what Python writes; see `quiet_stderr`."""
    with contextlib.ExitStack() as stack:
        if _is_stderr(sys.stderr):  # not one of a notebook or test, which goes elsewhere
            shown = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
            stack.enter_context(shown)
            stack.enter_context(quiet_stderr(log))
            stack.enter_context(contextlib.redirect_stderr(shown))
        else:
            stack.enter_context(quiet_stderr(log))
        yield


def _is_stderr(stream: IO[str]) -> bool:
    try:
        return stream.fileno() == 2
    except (AttributeError, OSError, ValueError):
        return False
