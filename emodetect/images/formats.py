"""The supported image formats and their file suffixes."""

from __future__ import annotations

from pathlib import Path

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
PILLOW_FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")


def has_image_suffix(path: Path) -> bool:
    """Return whether a file has the suffix of a supported image format."""
    return path.suffix.lower() in IMAGE_SUFFIXES
