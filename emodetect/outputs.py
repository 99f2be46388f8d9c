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
