"""Train, evaluate and run facial-emotion recognition on your own machine."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emodetect.errors import (
        ConfigError,
        DataError,
        EmodetectError,
        ImageError,
        ModelError,
        SourceError,
        VideoError,
    )
    from emodetect.images.reading import read_image
    from emodetect.recognition.recognizer import EmotionRecognizer, Face

    __version__: str

__all__ = [
    "ConfigError",
    "DataError",
    "EmodetectError",
    "EmotionRecognizer",
    "Face",
    "ImageError",
    "ModelError",
    "SourceError",
    "VideoError",
    "__version__",
    "read_image",
]

# OpenCV reads these once, when it is loaded, so they must be set before any module imports it.
# Decoding a small file that claims to have gigapixels would take all memory.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "200000000")
os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")

# Imported on first use, so that `emodetect --help` and `predict` start quickly.
_MODULES = {
    **dict.fromkeys(
        (
            *("ConfigError", "DataError", "EmodetectError", "ImageError"),
            *("ModelError", "SourceError", "VideoError"),
        ),
        "emodetect.errors",
    ),
    "EmotionRecognizer": "emodetect.recognition.recognizer",
    "Face": "emodetect.recognition.recognizer",
    "read_image": "emodetect.images.reading",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("emodetect")
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
