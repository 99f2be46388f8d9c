"""Is there a face at all? Both detectors are made to find faces in photos; most data is crops.

YuNet misses a quarter of FER2013's crops at their 48 pixels, and hardly any that are enlarged to
96 and judged by a lower score. Of 500 training images that no voter of FER+ calls "no face" it
finds a face in 75 % as they are, in 99.8 % enlarged; of all 32,147 images 414 are left then, most
of them tilted, and 103 once they are turned, too: drawings, hands before faces, placeholders,
strong profiles. Haar's cascade finds 23 % of the 500 as they are and 83 % with their edges
repeated: what it misses says little.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from emodetect.faces.detectors.haar import HaarDetector
from emodetect.faces.detectors.registry import Detector, open_detector
from emodetect.faces.detectors.yunet import YuNetDetector, yunet_path

LEAST_SIDE = 96
# Lower than for photos, where it would find faces in foliage: here something else must explain
# the image.
LEAST_SCORE = 0.3
LONGEST_STRIP = 20  # times as long as wide; longer ones have no face
PADDING = 0.25  # share of the longer side, on each side
TILT_DEGREES = 40


@dataclass(frozen=True)
class FaceSearch:
    """How faces are looked for.

    Attributes:
        detector: "yunet" or "haar".
        weak: whether "no face" is often wrong.
        has_face: tells whether a (height, width, 3) uint8 BGR image has one; any thread.
    """

    detector: str
    weak: bool
    has_face: Callable[[np.ndarray], bool]


def open_search(name: str | None) -> FaceSearch | None:
    """Return the search with a detector of this name or path; None for "none".

    Args:
        name: see `detectors.open_detector`; None takes YuNet if its model is here, else Haar.

    Raises EmodetectError for a detector that is not there.
    """
    if name == "none":
        return None
    if name is None:
        name = "yunet" if yunet_path().is_file() else "haar"
    weak = isinstance(open_detector(name), HaarDetector)  # here, so that an error comes at once
    local = threading.local()

    def detector() -> Detector:
        if not hasattr(local, "detector"):
            local.detector = _open(name)
        found: Detector = local.detector
        return found

    def has_face(image: np.ndarray) -> bool:
        return not _is_strip(image) and any(
            detector().detect(view) for view in _views(image, weak=weak)
        )

    return FaceSearch("haar" if weak else "yunet", weak, has_face)


def _open(name: str) -> Detector:
    detector = open_detector(name)
    if isinstance(detector, YuNetDetector):
        detector.network.setScoreThreshold(LEAST_SCORE)
    elif isinstance(detector, HaarDetector):
        detector.min_neighbors = 3
    return detector


def _views(image: np.ndarray, *, weak: bool) -> Iterator[np.ndarray]:
    """Yield the image in the ways in which a face is looked for, the quickest first."""
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
    # Squared by padding, a long one would not fit into memory.
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
