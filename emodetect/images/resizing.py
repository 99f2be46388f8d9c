"""Reduce images."""

from __future__ import annotations

import cv2
import numpy as np


def reduced(image: np.ndarray, scale: float) -> np.ndarray:
    """Return an image reduced by a factor; the image itself if the factor is at most 1.

    Args:
        image: (height, width) or (height, width, channels) uint8.
    """
    if scale <= 1:
        return image
    size = max(1, round(image.shape[1] / scale)), max(1, round(image.shape[0] / scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
