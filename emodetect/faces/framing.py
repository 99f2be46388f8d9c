"""From a face's box to the crop that models are trained on and used with; reduced images."""

from __future__ import annotations

import cv2
import numpy as np

from emodetect.errors import ImageError
from emodetect.faces.boxes import Box, overlap


def crop_face(image: np.ndarray, box: Box, *, margin: float = 0.0) -> np.ndarray:
    """Cut out a face, with edge pixels repeated where the frame leaves the image.

    Args:
        image: (height, width, 3) uint8 BGR.
        box: the face, in pixels of `image`.
        margin: by how much of its side the box is grown, half of it on each side.

    Returns:
        (height, width, 3) uint8 BGR; a copy.

    Raises:
        ImageError: for a box of which nothing is inside the image.
    """
    x, y, width, height = box
    grow_x, grow_y = round(width * margin / 2), round(height * margin / 2)
    left, top = x - grow_x, y - grow_y
    right, bottom = x + width + grow_x, y + height + grow_y
    rows, columns = image.shape[:2]
    if not overlap(box, (0, 0, columns, rows)):  # OpenCV would crash
        raise ImageError(
            f"expected a box of pixels inside the image of {columns}x{rows}, got {box}"
        )
    inside = image[max(top, 0) : min(bottom, rows), max(left, 0) : min(right, columns)]
    return cv2.copyMakeBorder(
        inside,
        max(-top, 0),
        max(bottom - rows, 0),
        max(-left, 0),
        max(right - columns, 0),
        cv2.BORDER_REPLICATE,
    )
