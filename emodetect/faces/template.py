"""Follow a face from one frame to the next by its appearance, which is far cheaper than a search.

Template matching by normalised cross-correlation (Lewis 1995).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from emodetect.faces.boxes import Box, clip

# Side to which a face is reduced; a step is 1/40 of the face.
SIDE = 40
# How far a face may move between two frames, in sides, in each direction.
REACH = 0.25
# Correlation, -1 to 1, below which the face is not recognised.
MIN_CORRELATION = 0.8
# Standard deviation of the grey levels, 0 to 255, below which nothing can be recognised.
MIN_CONTRAST = 4.0


class FaceTemplate:
    """The appearance of a face in one frame.

    Args:
        image: (height, width, 3) uint8 BGR.
        box: where the face is.
    """

    def __init__(self, image: np.ndarray, box: Box) -> None:
        self.box = box
        self.pixels = _cut_out(image, box, (SIDE, SIDE))

    def find(self, image: np.ndarray, near: Box) -> Box | None:
        """Return where the face is in another frame, with its size unchanged, or None.

        Args:
            image: (height, width, 3) uint8 BGR.
            near: where it was last.
        """
        height, width = image.shape[:2]
        _, _, w, h = self.box
        x, y = near[0] + (near[2] - w) / 2, near[1] + (near[3] - h) / 2
        region = clip(
            (x - REACH * w, y - REACH * h, w * (1 + 2 * REACH), h * (1 + 2 * REACH)), width, height
        )
        left, top, region_width, region_height = region
        size = round(region_width * SIDE / w), round(region_height * SIDE / h)
        if min(size) < SIDE or self.pixels.std() < MIN_CONTRAST:
            return None
        scores = cv2.matchTemplate(_cut_out(image, region, size), self.pixels, cv2.TM_CCOEFF_NORMED)
        _, best, _, (column, row) = cv2.minMaxLoc(scores)
        if best < MIN_CORRELATION:
            return None
        x, y = left + column * region_width / size[0], top + row * region_height / size[1]
        return clip((x, y, w, h), width, height)


def _cut_out(image: np.ndarray, box: Box, size: Sequence[int]) -> np.ndarray:
    """Return a box of an image in grey, (height, width) uint8, resized to `size`."""
    x, y, width, height = box
    patch = image[y : y + height, x : x + width]
    return cv2.cvtColor(
        cv2.resize(patch, tuple(size), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY
    )
