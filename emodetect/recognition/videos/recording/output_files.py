"""Check the files that are to be written, before any work starts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from emodetect.errors import VideoError
from emodetect.machine.atomic_files import LONGEST_NAME
from emodetect.machine.output_folder import check_output_file


def check_suffix(path: Path | None, suffixes: Iterable[str]) -> None:
    """Raise VideoError if the name of a file has none of these suffixes; None is allowed."""
    if path is not None and path.suffix.lower() not in suffixes:
        *others, last = suffixes
        expected = f"{', '.join(others)} or {last}" if others else last
        raise VideoError(f"{path}: expected a file name ending in {expected}.")


def check_files(
    new: Iterable[Path | None], *, log: Path | None, source: str | None, force: bool
) -> None:
    """Raise VideoError if a file cannot be written, or would overwrite one without `force`.

    Args:
        new: files that appear in their folders, and take the place of old ones.
        log: a file that is appended to.
    """
    paths = [path for path in (*new, log) if path is not None]
    for path in paths:
        if [other.absolute() for other in paths].count(path.absolute()) > 1:
            raise VideoError(f"{path}: two results would be written to this file; use two names.")
        longest = path if path == log or not path.name else unfinished(path)
        if len(os.fsencode(longest.name)) > LONGEST_NAME:
            raise VideoError(f"{path}: the file name is too long; choose a shorter one.")
        if source is not None and _is_same_file(path, source):
            raise VideoError(f"{path}: would overwrite the source; choose another file.")
        check_output_file(path, force=force, in_place=path == log, error=VideoError)


def unfinished(path: Path) -> Path:
    """Return where a file is written before it is complete; the next run replaces a leftover."""
    return path.with_name(f".{path.stem}.unfinished{path.suffix}")


def _is_same_file(path: Path, source: str) -> bool:
    try:
        return path.samefile(source)
    except OSError:  # a URL, or not a file
        return False
