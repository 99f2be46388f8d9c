"""Atomic writes: a file appears complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PARTIAL_FILES = ".*.[0-9]*"
"""Glob pattern of the files that killed processes leave behind: hidden, ending in a process ID."""

LONGEST_NAME = 200  # bytes, so that there is room for what is added to the name


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary file that replaces `path` in one step; on an error it is removed.

    An OSError of a full or read-only disk names `path`.
    """
    partial = path.with_name(f".{shortened(path.name, LONGEST_NAME)}.{os.getpid()}")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        if error.filename in (None, str(partial)):
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # such as a folder that is not there
            partial.unlink()


def shortened(name: str, most: int) -> str:
    """Return the beginning of a file name, at most so many bytes, that ends between characters."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= most else encoded[:most].decode("utf-8", "ignore")


def write_text(path: Path, text: str, *, errors: str = "strict") -> None:
    """Write a UTF-8 text file in one step.

    Args:
        errors: how characters that UTF-8 cannot encode are handled, as in `str.encode`.
    """
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8", errors=errors)
