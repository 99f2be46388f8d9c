"""Train, evaluate and run facial-emotion recognition on your own machine."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emodetect.api.audit import audit
    from emodetect.api.evaluate import compare, evaluate
    from emodetect.api.export import export
    from emodetect.api.train import train
    from emodetect.errors import (
        ConfigError,
        DataError,
        DivergedError,
        EmodetectError,
        ImageError,
        ModelError,
        OptionsError,
        OutOfMemoryError,
        SourceError,
        StoppedRunError,
        VideoError,
    )
    from emodetect.faces.tracking import TrackingOptions
    from emodetect.images.conversion import to_bgr as read_image
    from emodetect.recognition.face import Face
    from emodetect.recognition.recognizer import EmotionRecognizer, EmotionTracker
    from emodetect.recognition.results import FrameResult, Result
    from emodetect.recognition.videos.analyzed_video import AnalyzedVideo, analyze_video
    from emodetect.recognition.videos.summary.figures import VideoFigures

    __version__: str

__all__ = [
    "AnalyzedVideo",
    "ConfigError",
    "DataError",
    "DivergedError",
    "EmodetectError",
    "EmotionRecognizer",
    "EmotionTracker",
    "Face",
    "FrameResult",
    "ImageError",
    "ModelError",
    "OptionsError",
    "OutOfMemoryError",
    "Result",
    "SourceError",
    "StoppedRunError",
    "TrackingOptions",
    "VideoError",
    "VideoFigures",
    "__version__",
    "analyze_video",
    "audit",
    "compare",
    "evaluate",
    "export",
    "read_image",
    "train",
]

# OpenCV reads this once, when it is loaded, so it must be set before any module imports it.
os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")  # errors are raised, or are results

# Imported on first use, so that `emodetect --help` and `predict` start quickly.
_ERRORS = (
    *("ConfigError", "DataError", "DivergedError", "EmodetectError", "ImageError"),
    *("ModelError", "OptionsError", "OutOfMemoryError", "SourceError"),
    *("StoppedRunError", "VideoError"),
)
_PUBLIC = {  # name: its module, and its name there
    **{name: ("emodetect.errors", name) for name in _ERRORS},
    **{
        name: ("emodetect.recognition.recognizer", name)
        for name in ("EmotionRecognizer", "EmotionTracker")
    },
    "Face": ("emodetect.recognition.face", "Face"),
    **{name: ("emodetect.recognition.results", name) for name in ("FrameResult", "Result")},
    **{
        name: ("emodetect.recognition.videos.analyzed_video", name)
        for name in ("AnalyzedVideo", "analyze_video")
    },
    "TrackingOptions": ("emodetect.faces.tracking", "TrackingOptions"),
    "VideoFigures": ("emodetect.recognition.videos.summary.figures", "VideoFigures"),
    "read_image": ("emodetect.images.conversion", "to_bgr"),
    "audit": ("emodetect.api.audit", "audit"),
    "compare": ("emodetect.api.evaluate", "compare"),
    "evaluate": ("emodetect.api.evaluate", "evaluate"),
    "export": ("emodetect.api.export", "export"),
    "train": ("emodetect.api.train", "train"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("emodetect")
    if name in _PUBLIC:
        module, own_name = _PUBLIC[name]
        return getattr(import_module(module), own_name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
