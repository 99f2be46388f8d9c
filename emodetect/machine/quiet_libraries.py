"""Hiding what C++ libraries print past Python."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hide everything written to stderr, by C++ code too; errors must come as exceptions."""
    with contextlib.ExitStack() as stack:
        saved = os.dup(2)
        stack.callback(os.close, saved)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        stack.callback(os.close, nowhere)
        os.dup2(nowhere, 2)
        stack.callback(os.dup2, saved, 2)
        yield


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Hide what C++ code writes to stderr, and show what Python does."""
    with (
        os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace") as shown,
        quiet_stderr(),
        contextlib.redirect_stderr(shown),
    ):
        yield
