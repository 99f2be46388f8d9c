"""Hide messages that C++ libraries print directly to stderr."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hide everything written to stderr, including by C++ code; errors must be raised."""
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
    """Hide what C++ code writes to stderr, but show what Python writes."""
    with (
        os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace") as shown,
        quiet_stderr(),
        contextlib.redirect_stderr(shown),
    ):
        yield
