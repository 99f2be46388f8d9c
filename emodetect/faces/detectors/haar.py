"""OpenCV's frontal-face Haar cascade (Viola and Jones 2001), the default detector."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from emodetect.errors import EmodetectError
from emodetect.faces.boxes import Box, clip, merge
from emodetect.images.resizing import reduced

# Photos are reduced to this longer side, at which faces are still found well; scanning the full
# twelve megapixels of a camera takes twenty times as long.
SCAN_SIDE = 1280
# Side of the faces that OpenCV's cascade was trained on, the smallest it can find.
WINDOW = 24


class HaarDetector:
    """OpenCV's frontal-face Haar cascade (Viola and Jones 2001).

    Args:
        scale_factor: ratio between successive search sizes.
        min_neighbors: number of overlapping hits that make a face.
        min_size: smallest face in pixels of the scanned image (longer side at most SCAN_SIDE);
            smaller in images that have no room for several such faces.
    """

    def __init__(
        self, *, scale_factor: float = 1.1, min_neighbors: int = 5, min_size: int = 40
    ) -> None:
        self.scale_factor, self.min_neighbors = scale_factor, min_neighbors
        self.min_size = min_size
        if not hasattr(cv2, "CascadeClassifier"):
            raise EmodetectError(
                f"OpenCV {cv2.__version__} has no Haar cascades; install a version that has: "
                "pip install 'opencv-python>=4.13,<5'"
            )
        folder = Path(cv2.data.haarcascades)  # type: ignore[attr-defined]
        file = folder / "haarcascade_frontalface_default.xml"
        self.cascade = cv2.CascadeClassifier(str(file))
        if self.cascade.empty():
            raise EmodetectError(
                f"{file}: the Haar cascade cannot be read; "
                "reinstall OpenCV: pip install --force-reinstall 'opencv-python>=4.13,<5'"
            )

    def detect(self, image: np.ndarray) -> list[Box]:
        """Return the boxes of the faces of a (height, width, 3) uint8 BGR image, largest first."""
        height, width = image.shape[:2]
        gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        scale = max(1.0, max(height, width) / SCAN_SIDE)
        gray = reduced(gray, scale)
        smallest = max(WINDOW, min(self.min_size, min(gray.shape) // 5))
        hits = self.cascade.detectMultiScale(
            gray, self.scale_factor, self.min_neighbors, minSize=(smallest, smallest)
        )
        return _boxes(hits, width, height, scale)

    def scan(self, image: np.ndarray) -> list[Box]:
        """Return candidate faces in a small image, with larger steps and fewer hits required."""
        gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        hits = self.cascade.detectMultiScale(gray, 1.2, 3)
        return _boxes(hits, gray.shape[1], gray.shape[0])

    def locate(self, patch: np.ndarray, side: float) -> list[Box]:
        """Return the faces of about `side` pixels in a slightly larger patch."""
        gray = cv2.cvtColor(patch, cv2.COLOR_BGR2GRAY)
        smallest, largest = max(WINDOW, round(side * 0.75)), max(WINDOW, round(side * 1.35))
        # Few sizes and positions give few hits, so fewer are required.
        hits = self.cascade.detectMultiScale(
            gray, self.scale_factor, 3, minSize=(smallest, smallest), maxSize=(largest, largest)
        )
        return _boxes(hits, gray.shape[1], gray.shape[0])


def _boxes(hits: object, width: int, height: int, scale: float = 1.0) -> list[Box]:
    rows = np.asarray(hits, np.float64).reshape(-1, 4) * scale
    return merge([clip(row, width, height) for row in rows])
