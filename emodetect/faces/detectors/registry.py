"""The face detectors by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from emodetect.errors import EmodetectError
from emodetect.faces.boxes import Box
from emodetect.faces.detectors.haar import HaarDetector
from emodetect.faces.detectors.whole_image import WholeImage
from emodetect.faces.detectors.yunet import YuNetDetector, has_yunet


class Detector(Protocol):
    """Finds faces; not thread-safe.

    Images are (height, width, 3) uint8 BGR. Boxes are in pixels of the image, largest first, and
    no two are of the same face.
    """

    def detect(self, image: np.ndarray) -> list[Box]:
        """Return the faces in a photo of any size."""
        ...

    def scan(self, image: np.ndarray) -> list[Box]:
        """Return candidate faces in a small image, quickly; `locate` is to confirm each."""
        ...

    def locate(self, patch: np.ndarray, side: float) -> list[Box]:
        """Return the faces of about `side` pixels in a slightly larger patch."""
        ...


DETECTORS: dict[str, Callable[[], Detector]] = {
    "haar": HaarDetector,
    "haar_exhaustive": partial(HaarDetector, exhaustive=True),
    "yunet": YuNetDetector,
    "none": WholeImage,
}


def full_name(detector: str | Path) -> str:
    """Return a detector's name; of a model's path, one that holds in any current folder."""
    name = str(detector)
    return str(Path(name).absolute()) if _is_model(name) else name


def _is_model(name: str) -> bool:
    return name.lower().endswith(".onnx")


def open_detector(name: str) -> Detector:
    """Return a detector by its name, or YuNet with the model at a path that ends in .onnx.

    Raises EmodetectError if the name is unknown, or the model is missing or not a detector.
    """
    if _is_model(name):
        return YuNetDetector(Path(name))
    if name not in DETECTORS:
        raise EmodetectError(
            f"detector: expected {', '.join(DETECTORS)}, or the path of a YuNet model (.onnx), "
            f"got {name!r}."
        )
    return DETECTORS[name]()


def installed_detectors() -> tuple[str, ...]:
    """Return the names of the detectors that can be used here, except "none"."""
    return ("haar", "yunet") if has_yunet() else ("haar",)
