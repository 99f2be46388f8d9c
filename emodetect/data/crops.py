"""Face crops of labelled images, framed as in `predict`."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np

from emodetect.config import DataConfig
from emodetect.data.listing import Sample
from emodetect.data.readers.fer2013_csv import read_pixels
from emodetect.data.readers.tfrecord import SUFFIX, read_record_image
from emodetect.errors import DataError, ImageError
from emodetect.faces.boxes import Box, overlap
from emodetect.faces.detectors.registry import DETECTORS
from emodetect.faces.detectors.shared import SharedDetector
from emodetect.faces.framing import crop_face
from emodetect.images.reading import read_image

# Smaller images show no expression; such files are thumbnails or tracking pixels.
SMALLEST_SIDE = 8


@cache
def _detector() -> SharedDetector:
    # OpenCV's detectors are not thread-safe, and loading one is slow.
    return SharedDetector(DETECTORS["haar"])


def read_crops(root: Path, sample: Sample, config: DataConfig) -> list[np.ndarray]:
    """Return the crops of a sample, largest face first; an empty list if no face is found.

    With `data.faces` "whole" the crop is the sample's box, enlarged by the margin, or the whole
    image if it has no box.

    Returns:
        (height, width, 3) uint8 BGR each.

    Raises:
        ImageError: for an image that cannot be decoded or is too small, or a box that lies mostly
            outside it.
        DataError: for pixels that do not match the sample's digest.
    """
    image = _decode(root, sample)
    if sample.digest is not None and pixel_digest(_in_box(image, sample.box)) != sample.digest:
        raise DataError(
            f"{sample.name}: its pixels differ from those in {config.manifest}; audit the data "
            f"again (emodetect data audit --faces {config.faces}) or remove data.manifest."
        )
    refuse_small(image)
    if config.faces == "whole":
        return [_in_box(image, sample.box, margin=config.margin)]
    boxes = find_faces(image, faces_per_image=config.faces_per_image)
    return [crop_face(image, box, margin=config.margin) for box in boxes]


def read_sample(root: Path, sample: Sample) -> np.ndarray:
    """Decode the image of a sample at its own size, or its box if it has one.

    Returns:
        (height, width, 3) uint8 BGR.

    Raises:
        ImageError: for an image that cannot be decoded, or a box that lies mostly outside it.
    """
    return _in_box(_decode(root, sample), sample.box)


def _decode(root: Path, sample: Sample) -> np.ndarray:
    if sample.offset is not None and sample.file.endswith(SUFFIX):
        return read_record_image(root / sample.file, sample.offset)
    if sample.offset is not None:
        return read_pixels(root / sample.file, sample.offset)
    return read_image(root / sample.file)


def _in_box(image: np.ndarray, box: Box | None, *, margin: float = 0.0) -> np.ndarray:
    if box is None:
        return image
    height, width = image.shape[:2]
    # Also because a wrong box may not fit into memory.
    if 2 * overlap(box, (0, 0, width, height)) < box[2] * box[3]:
        raise ImageError(f"its face box {box} lies outside the image of {width}x{height} pixels")
    return crop_face(image, box, margin=margin)


def pixel_digest(image: np.ndarray) -> str:
    """Return a hash of an image's size and pixels: 32 hexadecimal digits.

    Greyscale and colour files with the same pixels have the same hash.

    Args:
        image: (height, width, 3) uint8 BGR.
    """
    digest = hashlib.blake2b(f"{image.shape} ".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.hexdigest()


def read_photo(path: Path) -> np.ndarray:
    """Decode an image file to (height, width, 3) uint8 BGR.

    Raises ImageError for a file that cannot be decoded or is too small.
    """
    image = read_image(path)
    refuse_small(image)
    return image


def refuse_small(image: np.ndarray) -> None:
    """Raise ImageError for an image with fewer pixels on a side than training takes."""
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise ImageError(
            f"too small: {width}x{height} pixels; expected at least {SMALLEST_SIDE}x{SMALLEST_SIDE}"
        )


def find_faces(image: np.ndarray, *, faces_per_image: str) -> list[Box]:
    """Return the boxes of the "largest" face or of "all" faces in a BGR image, largest first."""
    boxes = _detector().detect(image)
    return boxes[:1] if faces_per_image == "largest" else boxes
