"""Crop a face box, in the same way for training and for use."""

from __future__ import annotations

from numbers import Integral

import cv2
import numpy as np

from emodetect.errors import ImageError
from emodetect.faces.boxes import Box, overlap
from emodetect.images.reading import MOST_PIXELS


def crop_face(image: np.ndarray, box: Box, *, margin: float = 0.0) -> np.ndarray:
    """Crop a face; outside the image, edge pixels are repeated.

    A box of the whole image gets no margin: the image is a crop already, as every one is without
    a detector, and what it lacks could only be made up.

    Args:
        image: (height, width, 3) uint8 BGR.
        box: the face, in pixels of `image`.
        margin: share of its side by which the box grows, half of it on each side.

    Returns:
        (height, width, 3) uint8 BGR; a copy.

    Raises:
        ImageError: if the box lies outside the image, is not of four whole numbers, or is of more
            pixels than an image may have.
    """
    if len(box) != 4 or not all(isinstance(side, Integral) for side in box):
        raise ImageError(f"expected a box (x, y, width, height): four whole numbers, got {box}")
    x, y, width, height = box
    rows, columns = image.shape[:2]
    if (x, y, width, height) == (0, 0, columns, rows):
        return image.copy()
    grow_x, grow_y = round(width * margin / 2), round(height * margin / 2)
    left, top = x - grow_x, y - grow_y
    right, bottom = x + width + grow_x, y + height + grow_y
    if not overlap(box, (0, 0, columns, rows)):  # OpenCV would crash
        raise ImageError(f"expected a box that overlaps the {columns}x{rows} image, got {box}")
    if (right - left) * (bottom - top) > MOST_PIXELS:
        raise ImageError(f"expected a box of at most {MOST_PIXELS:,} pixels, got {box}")
    inside = image[max(top, 0) : min(bottom, rows), max(left, 0) : min(right, columns)]
    return cv2.copyMakeBorder(
        inside,
        max(-top, 0),
        max(bottom - rows, 0),
        max(-left, 0),
        max(right - columns, 0),
        cv2.BORDER_REPLICATE,
    )
