"""Checking whether an image shows a face. Detectors are made for photos, but most data is crops.

YuNet misses a quarter of FER2013's crops at their 48 pixels, but hardly any when they are enlarged
to 96 and a lower score suffices. In 500 training images that no FER+ voter calls "no face", it
finds a face in 75% as they are and in 99.8% enlarged. Of all 32,147 images, 414 then remain, most
of them tilted; with rotation 103 remain: drawings, hands in front of faces, placeholders, strong
profiles. The Haar cascade finds a face in 23% of the 500 as they are and in 83% with padded edges,
so what it misses says little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from emodetect.faces.detectors.haar import HaarDetector
from emodetect.faces.detectors.registry import Detector, open_detector
from emodetect.faces.detectors.shared import SharedDetector
from emodetect.faces.detectors.yunet import YuNetDetector, has_yunet

LEAST_SIDE = 96
# Lower than for photos, where it would find faces in foliage: here an image without a face is the
# exception.
LEAST_SCORE = 0.3
LONGEST_STRIP = 20  # times its width; longer images cannot show a face
PADDING = 0.25  # fraction of the longer side, on each side
TILT_DEGREES = 40


@dataclass(frozen=True)
class FaceSearch:
    """How faces are searched for.

    Attributes:
        detector: "yunet" or "haar".
        has_face: returns whether a (height, width, 3) uint8 BGR image has a face; thread-safe.
    """

    detector: str
    has_face: Callable[[np.ndarray], bool]

    @property
    def weak(self) -> bool:
        """Whether "no face" is often wrong."""
        return self.detector == "haar"


def open_search(name: str | None) -> FaceSearch | None:
    """Return the face search with a detector, by name or path; None for "none".

    Args:
        name: see `open_detector`; None for YuNet if its model was fetched, else Haar.

    Raises EmodetectError for a missing detector.
    """
    if name == "none":
        return None
    if name is None:
        name = "yunet" if has_yunet() else "haar"
    weak = isinstance(open_detector(name), HaarDetector)  # opened here to fail early
    detector = SharedDetector(partial(_open, name))

    def has_face(image: np.ndarray) -> bool:
        views = _views(image, weak=weak)
        return not _is_strip(image) and any(map(detector.detect, views))

    return FaceSearch("haar" if weak else "yunet", has_face)


def _open(name: str) -> Detector:
    detector = open_detector(name)
    if isinstance(detector, YuNetDetector):
        detector.network.setScoreThreshold(LEAST_SCORE)
    elif isinstance(detector, HaarDetector):
        detector.min_neighbors, detector.exhaustive = 3, True
    return detector


def _views(image: np.ndarray, *, weak: bool) -> Iterator[np.ndarray]:
    """Yield the versions of an image in which a face is searched for, the quickest first."""
    large = _enlarged(image)
    if weak:
        yield _padded(image)
        yield _padded(large)
        return
    yield large
    yield _padded(large)
    for degrees in (-TILT_DEGREES, TILT_DEGREES):
        yield _turned(large, degrees)


def _is_strip(image: np.ndarray) -> bool:
    # Padded to a square, a long strip would not fit into memory.
    height, width = image.shape[:2]
    return bool(max(height, width) > LONGEST_STRIP * min(height, width))


def _enlarged(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    scale = LEAST_SIDE / max(height, width)
    if scale <= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)


def _padded(image: np.ndarray) -> np.ndarray:
    margin = round(max(image.shape[:2]) * PADDING)
    return cv2.copyMakeBorder(image, margin, margin, margin, margin, cv2.BORDER_REPLICATE)


def _turned(image: np.ndarray, degrees: float) -> np.ndarray:
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
