"""The face detectors by name: each goes from an image to the boxes of its faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from emodetect.errors import EmodetectError
from emodetect.faces.boxes import Box
from emodetect.faces.detectors.haar import HaarDetector
from emodetect.faces.detectors.whole_image import WholeImage
from emodetect.faces.detectors.yunet import YuNetDetector, yunet_path


class Detector(Protocol):
    """Finds faces; not safe to use from several threads at once.

    Images are (height, width, 3) uint8 BGR, boxes in their pixels, largest first, none over
    another.
    """

    def detect(self, image: np.ndarray) -> list[Box]:
        """Return the faces of a photo, however large it is."""
        ...

    def scan(self, image: np.ndarray) -> list[Box]:
        """Return what may be a face in a small image: quickly, each to be confirmed by `locate`."""
        ...

    def locate(self, patch: np.ndarray, side: float) -> list[Box]:
        """Return the faces of about `side` pixels in a patch that is not much larger."""
        ...


DETECTORS: dict[str, Callable[[], Detector]] = {
    "haar": HaarDetector,
    "yunet": YuNetDetector,
    "none": WholeImage,
}


def open_detector(name: str) -> Detector:
    """Return a detector by its name, or YuNet with the model of a path that ends in .onnx.

    Raises EmodetectError for another name, and for a model that is not there or no detector.
    """
    if name.lower().endswith(".onnx"):
        return YuNetDetector(Path(name))
    if name not in DETECTORS:
        raise EmodetectError(
            f"detector: expected {', '.join(DETECTORS)} or the path of a YuNet model (.onnx), "
            f"got {name!r}."
        )
    return DETECTORS[name]()


def installed_detectors() -> tuple[str, ...]:
    """Return the names of the detectors that find faces and have what they need."""
    return ("haar", "yunet") if yunet_path().is_file() else ("haar",)
