"""Folders that results are written to."""

from __future__ import annotations

import os
from pathlib import Path

from emodetect.errors import EmodetectError


def check_output_folder(folder: Path, *, force: bool) -> None:
    """Raise EmodetectError for a folder that cannot be used, before work is put into its files.

    It can be, where it holds no files or `force` is set, and files can be written to it, or to the
    nearest folder above it that is there.
    """
    existing = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not existing.is_dir():
        raise EmodetectError(f"{folder}: {existing} is no folder; name another folder.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise EmodetectError(
            f"{folder}: nothing can be written to {existing.absolute()}; name another folder, or "
            "change its permissions."
        )
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise EmodetectError(
            f"{folder}: holds files already; name another folder, or add --force to replace them."
        )


def make_output_folder(folder: Path) -> None:
    """Make the folder, if it is not there. Raises EmodetectError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EmodetectError(f"{folder}: cannot be written: {error.strerror}.") from None
