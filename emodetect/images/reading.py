"""Read image files; all images, for training and for use, are decoded here.

Images are BGR, as OpenCV decodes them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from emodetect.errors import ImageError
from emodetect.images.formats import (
    BMP,
    HEAD_BYTES,
    HEIC,
    JPEG,
    PNG,
    READ_FORMATS,
    TIFF,
    VIDEO,
    WEBP,
    archive_or_workbook,
    has_video_suffix,
    image_format,
    unread_kind,
)
from emodetect.images.headers import (
    MOST_SCANS,
    has_too_many_scans,
    is_cut_short,
    is_decoded_whole,
    stated_size,
)
from emodetect.images.pillow_decoding import (
    TOO_LARGE,
    decode,
    decode_transparent,
    is_on_its_side,
    pixel_size,
)

EMPTY = "the file is empty"
CUT_SHORT = "the image is cut short (its end is missing)"
NO_IMAGE = f"not an image that can be decoded ({READ_FORMATS})"
UNDECODABLE = (
    "cannot be decoded: damaged, or of a kind that is not read, such as a TIFF of more than 16 bits"
)
A_VIDEO = "a video, not a photo; use `emodetect video`"
# Larger ones take gigabytes; a small file may claim any size.
MOST_PIXELS = 200_000_000
# For each pixel, while an image is decoded: 3 of the image and as many of a copy; and with
# transparency, or if the decoder holds the whole image (measured: up to 25, JPEG 2000).
USUAL_BYTES, MOST_BYTES = 8, 26
_OPENCV_NO_MEMORY = -4  # CV_StsNoMem
OPENCV_FORMATS = (JPEG, PNG, WEBP, BMP, TIFF)
_REDUCED_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


@dataclass(frozen=True)
class BoundedImage:
    """An image that was decoded within a limit, perhaps reduced.

    Attributes:
        pixels: (height, width, 3) uint8 BGR, upright.
        width: of the whole image in pixels, upright.
        height: of the whole image in pixels, upright.
    """

    pixels: np.ndarray
    width: int
    height: int


def read_image(path: str | Path, *, max_pixels: int = MOST_PIXELS) -> np.ndarray:
    """Decode an image file, turned upright by its EXIF orientation.

    Args:
        max_pixels: an image with more of them by its header is not decoded.

    Returns (height, width, 3) uint8 BGR. Raises ImageError, whose message does not contain the
    path, if the file cannot be read, is empty, truncated or not an image.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode) and not os.access(path, os.R_OK | os.X_OK):
            raise ImageError("no permission to read this folder")
        if stat.S_ISDIR(mode):
            raise ImageError("expected an image file, got a folder")
        if not stat.S_ISREG(mode):  # reading a pipe or device might never end
            raise ImageError("not a regular file")
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError("no such file") from None
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL
        raise ImageError("no file can have this name") from None
    except MemoryError:
        raise ImageError(TOO_LARGE) from None
    try:
        return decode_image(data, max_pixels=max_pixels)
    except ImageError:
        if data and has_video_suffix(path) and image_format(data[:HEAD_BYTES]) is None:
            raise ImageError(A_VIDEO) from None
        raise


def decode_image(data: bytes, *, max_pixels: int = MOST_PIXELS) -> np.ndarray:
    """Decode the bytes of an image file; see `read_image`.

    16-bit images are reduced to 8 bits; transparent pixels are blended with white.
    """
    form, width, height = _header(data)
    if width * height > max_pixels:
        raise ImageError(
            f"too large: expected at most {max_pixels:,} pixels, got {width:,} x {height:,}"
        )
    with image_memory_errors():
        return _decoded(data, form)


@contextmanager
def image_memory_errors() -> Iterator[None]:
    """Turn a lack of memory into an ImageError; OpenCV reports it as an error of its own."""
    try:
        yield
    except MemoryError:
        raise ImageError(TOO_LARGE) from None
    except cv2.error as error:
        if error.code != _OPENCV_NO_MEMORY:
            raise
        raise ImageError(TOO_LARGE) from None


def _decoded(data: bytes, form: str) -> np.ndarray:
    if form not in OPENCV_FORMATS:
        return decode(data, form)
    # With Pillow, because OpenCV ignores EXIF orientation, palettes and some formats here.
    image = decode_transparent(data, form) if _may_be_transparent(data, form) else None
    return _decode_with_opencv(data) if image is None else image


def decode_bounded(
    data: bytes,
    *,
    most: int,
    reserve: Callable[[int], AbstractContextManager[None]] = lambda _: nullcontext(),
) -> BoundedImage:
    """Decode an image into at most `most` pixels, with memory in proportion to them.

    A larger JPEG, up to MOST_PIXELS, is decoded to a half, a quarter or an eighth of its width and
    height. A progressive JPEG and HEIC are held whole for a moment, with less than half the memory
    per pixel that other formats may take, so they may have twice as many pixels. The header decides
    before anything is decoded.

    Args:
        reserve: called with the number of bytes that decoding may take, which the header tells;
            the image is decoded within the context that it returns.

    Raises ImageError for a larger image, and as `decode_image`.
    """
    form, width, height = _header(data)
    reduction = _reduction(data, form, width, height, most)
    usual = form == JPEG and not is_decoded_whole(data)
    size = min(width * height, most) * (USUAL_BYTES if usual else MOST_BYTES)
    with reserve(size), image_memory_errors():
        if reduction == 1:
            pixels = _decoded(data, form)
            return BoundedImage(pixels, pixels.shape[1], pixels.shape[0])
        if form == HEIC:
            pixels = decode(data, form, reduction=reduction)
        else:
            pixels = _decode_with_opencv(data, reduction)
    # OpenCV turns an image upright that its header states on its side.
    stated = (-(-height // reduction), -(-width // reduction))
    either_way = stated[0] == stated[1]
    if is_on_its_side(data, form) if either_way else pixels.shape[:2] != stated:
        width, height = height, width
    return BoundedImage(pixels, width, height)


def _reduction(data: bytes, form: str, width: int, height: int, most: int) -> int:
    """Return what divides an image's width and height, so that it has at most `most` pixels."""
    bound = most
    if form == HEIC or (form == JPEG and is_decoded_whole(data)):
        bound = min(2 * most, MOST_PIXELS)
    elif form == JPEG:
        bound = MOST_PIXELS
    if width * height <= bound:
        for reduction in _REDUCED_FLAGS:
            if -(-width // reduction) * -(-height // reduction) <= most:
                return reduction
    raise ImageError(
        f"too large: expected at most {most:,} pixels (JPEG {MOST_PIXELS:,}, progressive JPEG and "
        f"HEIC {min(2 * most, MOST_PIXELS):,}), got {width:,} x {height:,}; send a smaller copy"
    )


def _header(data: bytes) -> tuple[str, int, int]:
    """Return the format, width and height that an image states, of which the end is there."""
    form = _format_of(data)
    if form in OPENCV_FORMATS and is_cut_short(data, form):
        raise ImageError(CUT_SHORT)
    if form == JPEG and has_too_many_scans(data):
        raise ImageError(f"expected a JPEG of at most {MOST_SCANS} scans, got more; save it anew")
    own = form in OPENCV_FORMATS
    width, height = (stated_size(data, form) or (0, 0)) if own else pixel_size(data, form)
    if 0 in (width, height):  # a decoder might find one of any size
        raise ImageError(f"{NO_IMAGE}; its header states no size")
    return form, width, height


def _format_of(data: bytes) -> str:
    if not data:
        raise ImageError(EMPTY)
    head = data[:HEAD_BYTES]
    form = image_format(head)
    if form is None:
        kind = unread_kind(head) or archive_or_workbook(head)
        if kind == VIDEO:
            raise ImageError(A_VIDEO)
        raise ImageError(NO_IMAGE + (f"; by its content: {kind}" if kind else ""))
    return form


def _decode_with_opencv(data: bytes, reduction: int = 1) -> np.ndarray:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _REDUCED_FLAGS[reduction])
    except cv2.error as error:
        if error.code == _OPENCV_NO_MEMORY:
            raise
        raise ImageError(f"cannot be decoded: {error.err or error}") from None
    if image is None:  # although its header was understood
        raise ImageError(UNDECODABLE)
    return image


def _may_be_transparent(data: bytes, form: str) -> bool:
    # Decided by the header: the slower decoder must not read every image of a data set.
    if form == PNG:
        return data[25:26] in (b"\x04", b"\x06") or b"tRNS" in data[: data.find(b"IDAT")]
    if form == WEBP:
        return data[12:16] in (b"VP8X", b"VP8L")
    return form == TIFF
