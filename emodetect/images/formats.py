"""The image formats that are read, and their file suffixes."""

from __future__ import annotations

from pathlib import Path

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
PILLOW_FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")


def has_image_suffix(path: Path) -> bool:
    """Tell whether a file is named like an image that can be read."""
    return path.suffix.lower() in IMAGE_SUFFIXES
