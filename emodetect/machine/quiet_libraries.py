"""Hide messages that C++ libraries print directly to stderr, or keep them in a log."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


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
    with (
        os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace") as shown,
        quiet_stderr(log),
        contextlib.redirect_stderr(shown),
    ):
        yield
