"""Train, judge and run facial-emotion recognition on your own machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emodetect.recognition.recognizer import EmotionRecognizer as EmotionRecognizer

    __version__: str

# OpenCV reads these once, when it is loaded, so they must stand before any module imports it.
# Decoding a small file that claims gigapixels would take all memory.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "200000000")
os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")


def __getattr__(name: str) -> Any:
    # Not at import time, so that `emodetect --help` and `predict` stay quick.
    if name == "__version__":
        from importlib.metadata import version

        return version("emodetect")
    if name == "EmotionRecognizer":
        from emodetect.recognition.recognizer import EmotionRecognizer as EmotionRecognizer

        return EmotionRecognizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
