"""Atomic writes: a file or folder appears complete or not at all; and names of possible length."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

PARTIAL_FILES = f".*.{'[0-9a-f]' * 16}.partial"
"""Glob pattern of the files that killed processes leave behind, and hardly of any other."""

MOVES, SECONDS_BETWEEN_MOVES = 20, 0.1
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
        move(partial, path)
    except OSError as error:
        if error.filename in (None, str(partial)):
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # such as a folder that is not there
            partial.unlink()


def move(source: Path, target: Path) -> None:
    """Rename a file, or a folder whose target is free, in one step; a file there is replaced.

    On Windows a program that looks into a new file, such as a virus scanner, can prevent that for a
    moment, so it is tried for two seconds.
    """
    for _ in range(MOVES):
        try:
            source.replace(target)
        except PermissionError:
            if sys.platform != "win32":
                raise
            time.sleep(SECONDS_BETWEEN_MOVES)
        else:
            return
    source.replace(target)


def replace_folder(source: Path, target: Path, *, aside: Path) -> None:
    """Move a folder to where another may be, which is moved aside, and back if that fails."""
    if not target.is_dir():
        move(source, target)
        return
    move(target, aside)
    try:
        move(source, target)
    except OSError:
        move(aside, target)
        raise


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Yield a temporary folder next to a path, so that moving a file there is one step.

    It has the permissions of other folders, which what is created in it keeps on Windows.
    """
    folder = path.parent / f".{shortened(path.name, LONGEST_KEPT)}.{secrets.token_hex(8)}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            logger.warning("%s: cannot be removed, and is not needed any more", folder)


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


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file in one step, for programs and for people."""
    write_text(path, json.dumps(value, indent=1) + "\n")
