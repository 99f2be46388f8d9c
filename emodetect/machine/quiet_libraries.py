"""Stderr: what C++ libraries print there is hidden or logged, and a failing one ends no work."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Stderr:
    """Stderr of this process while it is hidden: `saved`, for as long as anyone hides it."""

    lock = threading.RLock()  # because a signal handler may fork while its thread holds it
    hiding = 0
    saved: int | None = None
    forks = 0  # between the first process and this one


def _show() -> None:
    """Let stderr go where it went before it was hidden."""
    _Stderr.hiding = 0
    if _Stderr.saved is not None:
        os.dup2(_Stderr.saved, 2)
        os.close(_Stderr.saved)
        _Stderr.saved = None


def _after_fork() -> None:
    _show()  # another thread, which is not here, may have hidden it
    _Stderr.forks += 1
    _Stderr.lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_Stderr.lock.acquire,
        after_in_parent=_Stderr.lock.release,
        after_in_child=_after_fork,
    )


@contextlib.contextmanager
def quiet_stderr(log: Path | None = None) -> Iterator[int | None]:
    """Hide everything written to stderr, including by C++ code; errors must be raised.

    Any number of threads may: the first hides it, the last shows it again. Yields the descriptor
    of the real stderr; None in a process that has none.

    Args:
        log: a file to append it to, unless it is hidden already.
    """
    with _Stderr.lock:
        if not _Stderr.hiding:
            _Stderr.saved = _redirect(log or os.devnull)
        _Stderr.hiding += 1
        process = _Stderr.forks
    try:
        yield _Stderr.saved
    finally:
        with _Stderr.lock:
            if process != _Stderr.forks:
                pass  # a child that was forked in between, which has shown it already
            elif _Stderr.hiding > 1:
                _Stderr.hiding -= 1
            else:
                _show()


def _redirect(path: Path | str) -> int | None:
    """Let stderr go to a file; return a descriptor of where it went before, None for nowhere."""
    try:
        saved = os.dup(2)
    except OSError:  # a service or pythonw may have closed it
        return None
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError:
        os.close(saved)
        raise
    os.dup2(file, 2)
    os.close(file)
    return saved


@contextlib.contextmanager
def quiet_libraries(log: Path | None = None) -> Iterator[None]:
    """Hide what C++ code writes to stderr, but show what Python writes; see `quiet_stderr`."""
    with contextlib.ExitStack() as stack:
        saved = stack.enter_context(quiet_stderr(log))
        # One of a notebook or test goes elsewhere.
        if saved is not None and is_stderr(sys.stderr):
            shown = stack.enter_context(lossy_stream(os.dup(saved)))
            stack.enter_context(contextlib.redirect_stderr(shown))
        yield


def silence_opencv() -> None:
    """Keep the logs of OpenCV and of its FFmpeg off stderr; what fails must be raised."""
    import cv2

    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class _LossyFile(io.FileIO):
    """A file that loses what it cannot write."""

    def write(self, data: ReadableBuffer, /) -> int:
        written = None  # also for a pipe that is full and does not block
        with contextlib.suppress(OSError):
            written = super().write(data)
        return memoryview(data).nbytes if written is None else written


def lossy_stream(
    descriptor: int, *, encoding: str | None = None, close: bool = True
) -> io.TextIOWrapper:
    """Return a stream for messages that are not worth ending the work for.

    They are lost if the disk is full or the reader has gone, as with `2>&1 | head`.

    Args:
        descriptor: of the open file.
        encoding: None for that of the system.
        close: whether closing the stream closes the file.
    """
    file = _LossyFile(descriptor, "w", closefd=close)
    return io.TextIOWrapper(
        io.BufferedWriter(file), encoding, errors="backslashreplace", line_buffering=True
    )


def is_stderr(stream: IO[str]) -> bool:
    """Return whether a stream writes to the stderr of this process."""
    try:
        return stream.fileno() == 2
    except (AttributeError, OSError, ValueError):
        return False
