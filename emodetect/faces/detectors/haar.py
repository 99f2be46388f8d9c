"""OpenCV's frontal-face Haar cascade (Viola and Jones 2001), the default detector.

A photo is searched from coarse to fine. The cascade moves by one pixel of its window of 24, or by
two if it is enlarged less than twice, so an image of half the size takes a quarter of the work.
Each octave of sizes is therefore searched in an image in which its faces have 24 to 47 pixels.
Places with a few hits are searched again at full size, as densely as the whole photo used to be.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from emodetect.errors import EmodetectError
from emodetect.faces.boxes import Box, clip, iou, merge
from emodetect.images.resizing import reduced

# Photos are reduced to this longer side, at which faces are still found well; scanning the full
# twelve megapixels of a camera takes twenty times as long.
SCAN_SIDE = 1280
# Side of the faces that OpenCV's cascade was trained on, the smallest it can find.
WINDOW = 24
# The smallest face that is searched for, in pixels of the reduced photo; smaller in images that
# have no room for several such faces.
MIN_SIZE = 40
# Ratio between the sizes of a search at full size, as in detectMultiScale.
SCALE_FACTOR = 1.1
# A hit in a reduced image stands for this many of a search at full size, whose steps are half as
# wide in both directions.
REDUCED_HIT = 4
# Ratio between the sizes that are searched in reduced images. At 1.1, 7 of 512 faces have no hit
# there, at 1.15 already 22.
REDUCED_STEP = 1.12
# This many hits make a face without a second look: 432 of 442 such places were faces for the search
# at full size too.
SURE_HITS = 16
# Hits are grouped as in detectMultiScale, whose groupRectangles allows this difference of sides.
GROUP_EPS = 0.2
# The region of a second look, in sides beyond the place, and the sizes, relative to its own.
MARGIN, SMALLER, LARGER = 0.3, 0.75, 1.35
# Faces do not overlap more than this (IoU): the place shows a part of a face that is known.
MAX_OVERLAP = 0.3


class HaarDetector:
    """OpenCV's frontal-face Haar cascade (Viola and Jones 2001).

    Args:
        min_neighbors: number of overlapping hits that make a face.
        exhaustive: whether `detect` searches all sizes at full size, as OpenCV's detectMultiScale
            does, which takes more than twice as long.
    """

    def __init__(self, *, min_neighbors: int = 5, exhaustive: bool = False) -> None:
        self.min_neighbors, self.exhaustive = min_neighbors, exhaustive
        if not hasattr(cv2, "CascadeClassifier"):
            raise EmodetectError(
                f"OpenCV {cv2.__version__} has no Haar cascades; install a version that has: "
                'pip install "opencv-python>=4.13,<5"'
            )
        folder = Path(cv2.data.haarcascades)  # type: ignore[attr-defined]
        file = folder / "haarcascade_frontalface_default.xml"
        self.cascade = cv2.CascadeClassifier()
        with suppress(OSError, ValueError, SystemError, cv2.error):
            # Not by its path, which on Windows OpenCV cannot open in a folder named Jürgen.
            storage = cv2.FileStorage(
                file.read_text(encoding="utf-8"), cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY
            )
            self.cascade.read(storage.getFirstTopLevelNode())
        if self.cascade.empty():
            raise EmodetectError(
                f"{file}: the Haar cascade cannot be read; "
                'reinstall OpenCV: pip install --force-reinstall "opencv-python>=4.13,<5"'
            )

    def detect(self, image: np.ndarray) -> list[Box]:
        """Return the boxes of the faces of a (height, width, 3) uint8 BGR image, largest first."""
        height, width = image.shape[:2]
        gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        scale = max(1.0, max(height, width) / SCAN_SIDE)
        gray = reduced(gray, scale)
        smallest = max(WINDOW, min(MIN_SIZE, min(gray.shape) // 5))
        if self.exhaustive:
            return _boxes(self._dense(gray, smallest), width, height, scale)
        return _boxes(self._coarse_to_fine(gray, smallest), width, height, scale)

    def _dense(self, gray: np.ndarray, smallest: int, largest: int = 0) -> np.ndarray:
        """Return the faces of these sizes, (n, 4) int; 0 is no upper bound."""
        hits = self.cascade.detectMultiScale(
            gray,
            SCALE_FACTOR,
            self.min_neighbors,
            minSize=(smallest, smallest),
            maxSize=(largest, largest),
        )
        return np.asarray(hits, int).reshape(-1, 4)

    def _coarse_to_fine(self, gray: np.ndarray, smallest: int) -> list[Box]:
        """Return the faces of at least `smallest` pixels."""
        faces: list[Box] = []
        for place, hits in self._places(gray, smallest):
            found = [place] if hits >= SURE_HITS else self._look_again(gray, place, smallest)
            faces += [box for box in found if all(iou(box, face) <= MAX_OVERLAP for face in faces)]
        return faces

    def _places(self, gray: np.ndarray, smallest: int) -> list[tuple[Box, int]]:
        """Return where faces may be, with how many hits a search at full size would have there.

        Most hits first.
        """
        hits: list[list[int]] = []
        scale, small = 1, gray
        while WINDOW * scale <= min(gray.shape):
            low, high = max(WINDOW, -(-smallest // scale)), 2 * WINDOW - 1
            if low <= high:
                step = SCALE_FACTOR if scale == 1 else REDUCED_STEP
                found = self.cascade.detectMultiScale(
                    small, step, 0, minSize=(low, low), maxSize=(high, high)
                )
                rows = (np.asarray(found, int).reshape(-1, 4) * scale).tolist()
                hits += rows * (1 if scale == 1 else REDUCED_HIT)
            scale *= 2
            small = reduced(small, 2)
        if not hits:
            return []
        boxes, counts = cv2.groupRectangles(hits, REDUCED_HIT - 1, GROUP_EPS)
        places = [
            ((int(x), int(y), int(w), int(h)), int(count))
            for (x, y, w, h), count in zip(boxes, np.ravel(counts), strict=True)
        ]
        return sorted(places, key=lambda place: (-place[1], place[0]))

    def _look_again(self, gray: np.ndarray, place: Box, smallest: int) -> list[Box]:
        """Return the faces that a dense search finds around a place, of about its size."""
        x, y, side, _ = place
        margin = MARGIN * side
        left, top = max(0, int(x - margin)), max(0, int(y - margin))
        patch = gray[top : int(y + side + margin) + 1, left : int(x + side + margin) + 1]
        found = self._dense(patch, max(smallest, int(SMALLER * side)), int(LARGER * side))
        return [(left + x, top + y, w, h) for x, y, w, h in found.tolist()]

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
            gray, SCALE_FACTOR, 3, minSize=(smallest, smallest), maxSize=(largest, largest)
        )
        return _boxes(hits, gray.shape[1], gray.shape[0])


def _boxes(hits: object, width: int, height: int, scale: float = 1.0) -> list[Box]:
    rows = np.asarray(hits, np.float64).reshape(-1, 4) * scale
    return merge([clip(row, width, height) for row in rows])
