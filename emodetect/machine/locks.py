"""Locks on folders and files. The system drops them with the process, however that ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

if sys.platform != "win32":
    import fcntl

Lock = Literal["held", "taken", "unknown"]
"""Ours; another process's; or the system (Windows) or file system has no such locks."""


@contextmanager
def locked(folder: Path, *, wait: bool) -> Iterator[Lock]:
    """Lock an existing folder or file, if need be after the process that has it locked.

    Without `wait` a lock that another process holds is told as "taken".
    """
    if sys.platform == "win32":
        yield "unknown"
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield _lock(descriptor, wait=wait)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, wait: bool) -> Lock:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return "taken"
    except OSError:
        return "unknown"
    return "held"
