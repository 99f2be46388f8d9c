"""Folders that results are written to."""

from __future__ import annotations

from pathlib import Path

from emodetect.errors import EmodetectError


def check_output_folder(folder: Path, *, force: bool) -> None:
    """Raise EmodetectError where the folder holds files already and `force` is not set."""
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
