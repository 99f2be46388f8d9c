"""From a labelled image to its face crops, framed as `predict` frames them."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from emodetect.config import DataConfig
from emodetect.data.fer2013 import read_pixels
from emodetect.data.listing import Sample
from emodetect.errors import ImageError
from emodetect.faces.boxes import Box, overlap
from emodetect.faces.detectors import DETECTORS, Detector
from emodetect.faces.framing import crop_face
from emodetect.preprocessing import read_image

# Smaller images show no expression; such files are thumbnails or tracking pixels.
SMALLEST_SIDE = 8

# OpenCV's detectors may not be shared by threads, and loading one takes a while.
_local = threading.local()


def read_crops(root: Path, sample: Sample, config: DataConfig) -> list[np.ndarray]:
    """Return the crops of a sample, largest face first; none where no face is found.

    With `data.faces` "whole" the crop is the sample's box, grown by the margin; the whole image
    where it has none.

    Returns:
        (height, width, 3) uint8 BGR each.

    Raises:
        ImageError: for an image that cannot be decoded or is too small, and for a box that lies
            outside it for the most part.
    """
    if sample.offset is not None:
        return [read_pixels(root / sample.file, sample.offset)]
    image = read_photo(root / sample.file)
    if config.faces == "whole":
        return [image if sample.box is None else _cut(image, sample.box, config.margin)]
    boxes = find_faces(image, faces_per_image=config.faces_per_image)
    return [crop_face(image, box, margin=config.margin) for box in boxes]


def _cut(image: np.ndarray, box: Box, margin: float) -> np.ndarray:
    height, width = image.shape[:2]
    # Also because a wrong box may be larger than the memory.
    if 2 * overlap(box, (0, 0, width, height)) < box[2] * box[3]:
        raise ImageError(f"its face box {box} lies outside the image of {width}x{height} pixels")
    return crop_face(image, box, margin=margin)


def read_photo(path: Path) -> np.ndarray:
    """Decode an image file to (height, width, 3) uint8 BGR.

    Raises ImageError for one that cannot be decoded or is too small.
    """
    image = read_image(path)
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise ImageError(f"too small: {width}x{height} pixels; at least {SMALLEST_SIDE} a side")
    return image


def find_faces(image: np.ndarray, *, faces_per_image: str) -> list[Box]:
    """Return the boxes of the largest face or of all faces of a BGR image, largest first."""
    if not hasattr(_local, "detector"):
        _local.detector = DETECTORS["haar"]()
    detector: Detector = _local.detector
    boxes = detector.detect(image)
    return boxes[:1] if faces_per_image == "largest" else boxes
