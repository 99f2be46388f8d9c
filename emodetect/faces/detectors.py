"""Face detectors: from an image to the boxes of its faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from emodetect.errors import EmodetectError

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels; x and y are the top left corner."""

# Faces of a photo are found well at this length of its longer side; scanning a camera's full
# twelve megapixels takes twenty times as long.
SCAN_SIDE = 1280


class Detector(Protocol):
    """Finds faces; not safe to use from several threads at once."""

    def detect(self, image: np.ndarray) -> list[Box]:
        """Return the boxes of the faces of a (height, width, 3) uint8 BGR image, largest first."""
        ...


class HaarDetector:
    """OpenCV's frontal-face Haar cascade (Viola and Jones 2001).

    Args:
        scale_factor: step between the searched sizes.
        min_neighbors: how many overlapping hits make a face.
        min_size: smallest face in pixels of the scanned image (longer side at most SCAN_SIDE);
            less in images too small to hold several such faces.
    """

    def __init__(
        self, *, scale_factor: float = 1.1, min_neighbors: int = 5, min_size: int = 40
    ) -> None:
        self.scale_factor, self.min_neighbors = scale_factor, min_neighbors
        self.min_size = min_size
        if not hasattr(cv2, "CascadeClassifier"):
            raise EmodetectError(
                f"OpenCV {cv2.__version__} has no Haar cascades; "
                "install one that has: pip install 'opencv-python>=4.10,<5'"
            )
        folder = Path(cv2.data.haarcascades)  # type: ignore[attr-defined]
        file = folder / "haarcascade_frontalface_default.xml"
        self.cascade = cv2.CascadeClassifier(str(file))
        if self.cascade.empty():
            raise EmodetectError(
                f"{file}: the Haar cascade cannot be read; "
                "reinstall OpenCV: pip install --force-reinstall 'opencv-python>=4.10,<5'"
            )

    def detect(self, image: np.ndarray) -> list[Box]:
        """Return the boxes of the faces of a (height, width, 3) uint8 BGR image, largest first."""
        gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        height, width = gray.shape
        scale = max(1.0, max(height, width) / SCAN_SIDE)
        if scale > 1:
            small = max(1, round(width / scale)), max(1, round(height / scale))
            gray = cv2.resize(gray, small, interpolation=cv2.INTER_AREA)
        smallest = max(24, min(self.min_size, min(gray.shape) // 5))
        hits = self.cascade.detectMultiScale(
            gray, self.scale_factor, self.min_neighbors, minSize=(smallest, smallest)
        )
        boxes = []
        for x, y, w, h in np.asarray(hits, np.float64).reshape(-1, 4) * scale:
            left, top = min(round(x), width - 1), min(round(y), height - 1)
            boxes.append((left, top, min(round(w), width - left), min(round(h), height - top)))
        return sorted(boxes, key=lambda box: (-box[2] * box[3], box))


class WholeImage:
    """Takes each image as one face, for folders of crops."""

    def detect(self, image: np.ndarray) -> list[Box]:
        """Return the one box that covers the image."""
        height, width = image.shape[:2]
        return [(0, 0, width, height)]


DETECTORS: dict[str, Callable[[], Detector]] = {"haar": HaarDetector, "none": WholeImage}
