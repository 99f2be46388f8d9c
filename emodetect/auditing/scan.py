"""One pass over the images of an audit: each is decoded once, and a few measurements are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from emodetect.data.crops import pixel_digest, read_sample
from emodetect.data.listing import Sample
from emodetect.errors import ImageError
from emodetect.images.resizing import reduced
from emodetect.machine.computer import usable_cores
from emodetect.machine.progress import track
from emodetect.machine.threads import bounded_map

# The longer side, in pixels, to which an image is reduced before its sharpness is measured, so that
# large photos and small crops are comparable.
SHARPNESS_SIDE = 48
THUMBNAIL_SIDE = 24

# The hash is the signs of the lowest HASH_CORNER x HASH_CORNER coefficients of the discrete cosine
# transform of HASH_SIDE x HASH_SIDE pixels, without the first, which is the brightness.
HASH_SIDE = 32
HASH_CORNER = 12
BANDS, BAND_BITS = 7, 20

FACE_UNKNOWN, FACE_MISSING = -1, 0


@dataclass(frozen=True)
class Picture:
    """An image of an audit: its source and root folder, and what the source says about it."""

    source: int
    root: Path
    sample: Sample


@dataclass(frozen=True)
class Scan:
    """The measurements of n images; zero for images that cannot be read.

    Attributes:
        digests: (n,) bytes, `crops.pixel_digest`; empty if an image cannot be read.
        hashes: (n, BANDS) uint32, the perceptual hash in bands of BAND_BITS bits.
        thumbnails: (n, THUMBNAIL_SIDE, THUMBNAIL_SIDE) uint8, grey.
        sizes: (n, 2) int64, width and height in pixels.
        brightness: (n,) float32, the mean, in grey levels 0-255.
        contrast: (n,) float32, the standard deviation, in grey levels.
        sharpness: (n,) float32, the variance of the Laplacian divided by that of the image, at
            SHARPNESS_SIDE.
        faces: (n,) int8, 1 for a face, FACE_MISSING, or FACE_UNKNOWN if none was searched for.
        errors: why an image cannot be read, by position.
    """

    digests: np.ndarray
    hashes: np.ndarray
    thumbnails: np.ndarray
    sizes: np.ndarray
    brightness: np.ndarray
    contrast: np.ndarray
    sharpness: np.ndarray
    faces: np.ndarray
    errors: dict[int, str]

    @property
    def readable(self) -> np.ndarray:
        """(n,) bool."""
        known: np.ndarray = self.digests != b""
        return known


def scan_pictures(
    pictures: Sequence[Picture], has_face: Callable[[np.ndarray], bool] | None = None
) -> Scan:
    """Decode and measure all images, in threads (OpenCV releases Python's lock).

    Takes 0.7 kB of memory per image, whatever its size.

    Args:
        has_face: returns whether a (height, width, 3) uint8 BGR image has a face; called from
            several threads. None to skip the search.
    """
    count = len(pictures)
    scan = Scan(
        digests=np.zeros(count, "S32"),
        hashes=np.zeros((count, BANDS), np.uint32),
        thumbnails=np.zeros((count, THUMBNAIL_SIDE, THUMBNAIL_SIDE), np.uint8),
        sizes=np.zeros((count, 2), np.int64),
        brightness=np.zeros(count, np.float32),
        contrast=np.zeros(count, np.float32),
        sharpness=np.zeros(count, np.float32),
        faces=np.full(count, FACE_UNKNOWN, np.int8),
        errors={},
    )

    def measure(row: int) -> str | None:
        """Measure an image into its row; return why it cannot be read."""
        try:
            image = read_sample(pictures[row].root, pictures[row].sample)
        except ImageError as error:
            return str(error)
        gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
        scan.digests[row] = pixel_digest(image)
        scan.hashes[row] = perceptual_hash(gray)
        scan.thumbnails[row] = cv2.resize(gray, side, interpolation=cv2.INTER_AREA)
        scan.sizes[row] = gray.shape[::-1]
        mean, deviation = cv2.meanStdDev(gray)
        scan.brightness[row], scan.contrast[row] = mean[0, 0], deviation[0, 0]
        scan.sharpness[row] = sharpness_of(gray)
        if has_face is not None:
            scan.faces[row] = has_face(image)
        return None

    # OpenCV's own threads would compete with these.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(usable_cores()) as pool:
            measured = bounded_map(pool, measure, range(count), at_once=256)
            for row, error in enumerate(track(measured, description="scanning", total=count)):
                if error is not None:
                    scan.errors[row] = error
    finally:
        cv2.setNumThreads(threads)
    return scan


def perceptual_hash(gray: np.ndarray) -> np.ndarray:
    """Return the signs of an image's low frequencies (pHash; Zauner 2010), in bands.

    Neighbouring frequencies are in different bands. In random pairs of FER2013's training images,
    each bit agrees in 50 to 65%; between an image and its JPEG of quality 30, 97.7% of the bits do.

    Args:
        gray: (height, width) uint8.

    Returns:
        (BANDS,) uint32 of BAND_BITS bits each.
    """
    small = cv2.resize(gray, (HASH_SIDE, HASH_SIDE), interpolation=cv2.INTER_AREA)
    corner = cv2.dct(small.astype(np.float32))[:HASH_CORNER, :HASH_CORNER]
    return _in_bands(corner.ravel()[1 : 1 + BANDS * BAND_BITS] > 0)


def mirror_mask() -> np.ndarray:
    """Return the bits in which the hashes of an image and its mirror image differ.

    Mirroring changes the sign of every odd horizontal frequency.

    Returns:
        (BANDS,) uint32.
    """
    return _in_bands(np.arange(1, 1 + BANDS * BAND_BITS) % HASH_CORNER % 2 == 1)


def _in_bands(bits: np.ndarray) -> np.ndarray:
    bands: np.ndarray = (1 << np.arange(BAND_BITS)) @ bits.reshape(BAND_BITS, BANDS)
    return bands.astype(np.uint32)


def sharpness_of(gray: np.ndarray) -> float:
    """Return the variance of the Laplacian divided by the image's variance.

    The variance of the Laplacian alone (Pech-Pacheco et al. 2000) mistakes darkness and low
    contrast for blur.

    Args:
        gray: (height, width) uint8.
    """
    small = reduced(gray, max(gray.shape) / SHARPNESS_SIDE)
    variance = float(small.var())
    return float(cv2.Laplacian(small, cv2.CV_32F).var()) / max(variance, 1.0)
