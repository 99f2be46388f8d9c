"""Locks on folders and files, which the system releases when the process ends, however it ends.

Not the filelock library: it locks a separate file, which may be left behind next to people's
results and in the cache, where an abandoned folder is recognised by its own lock.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

Lock = Literal["held", "taken", "unknown"]
"""Held by us; taken by another process; unknown if the system or file system has no such locks."""


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[Lock]:
    """Lock an existing folder or file.

    Args:
        wait: wait for a process that holds the lock, instead of yielding "taken".
    """
    if sys.platform == "win32" or (path.exists() and not (path.is_file() or path.is_dir())):
        yield "unknown"
    else:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            yield _lock(descriptor, wait=wait)
        finally:
            os.close(descriptor)


if sys.platform != "win32":
    import fcntl

    def _lock(descriptor: int, *, wait: bool) -> Lock:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return "taken"
        except OSError:
            return "unknown"
        return "held"
