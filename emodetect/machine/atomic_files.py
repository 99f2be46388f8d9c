"""Atomic writes: a file appears complete or not at all; and names that are short enough."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

PARTIAL_FILES = f".*.{'[0-9a-f]' * 16}.partial"
"""Glob pattern of the files that killed processes leave behind, and hardly of any other."""

LONGEST_NAME = 255  # bytes, in most file systems
LONGEST_KEPT = 200  # bytes of a name to which something is added


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary file that replaces `path` in one step; on an error it is removed.

    An OSError of a full or read-only disk names `path`.
    """
    # Random, because processes in two containers may have the same ID, as two threads have.
    name = f".{shortened(path.name, LONGEST_KEPT)}.{secrets.token_hex(8)}.partial"
    partial = path.with_name(name)
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


def of_possible_length(path: Path) -> Path:
    """Return the path, with a name that is too long for a file shortened to end with a hash."""
    name = os.fsencode(path.name)
    if len(name) <= LONGEST_NAME:
        return path
    end = f"-{blake2b(name, digest_size=8).hexdigest()}{path.suffix}"
    return path.with_name(shortened(path.name, LONGEST_NAME - len(end)) + end)


def to_disk(path: Path) -> None:
    """Wait until what was written to a file would survive a power cut."""
    with path.open("rb+") as file:  # Windows refuses one that is only read
        os.fsync(file.fileno())


def write_text(path: Path, text: str, *, errors: str = "strict") -> None:
    """Write a UTF-8 text file in one step.

    Args:
        errors: how characters that UTF-8 cannot encode are handled, as in `str.encode`.
    """
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8", errors=errors)
