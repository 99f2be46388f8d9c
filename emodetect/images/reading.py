"""Read image files; all images, for training and for use, are decoded here.

Images are BGR, as OpenCV decodes them.
"""

from __future__ import annotations

import stat
from pathlib import Path

import cv2
import numpy as np

from emodetect.errors import ImageError
from emodetect.images.formats import (
    BMP,
    HEAD_BYTES,
    JPEG,
    PNG,
    READ_FORMATS,
    TIFF,
    VIDEO,
    WEBP,
    has_video_suffix,
    image_format,
    unread_kind,
)
from emodetect.images.headers import is_cut_short, stated_size
from emodetect.images.pillow_decoding import TOO_LARGE, decode, decode_transparent, pixel_size

EMPTY = "the file is empty"
NO_IMAGE = f"not an image that can be decoded ({READ_FORMATS})"
A_VIDEO = "a video, not a photo; use `emodetect video`"
# Larger ones take gigabytes; a small file may claim any size.
MOST_PIXELS = 200_000_000
OPENCV_FORMATS = (JPEG, PNG, WEBP, BMP, TIFF)


def read_image(path: str | Path) -> np.ndarray:
    """Decode an image file, turned upright by its EXIF orientation.

    Returns (height, width, 3) uint8 BGR. Raises ImageError, whose message does not contain the
    path, if the file cannot be read, is empty, truncated or not an image.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe or device might never end
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
    if data and has_video_suffix(path) and image_format(data[:HEAD_BYTES]) is None:
        raise ImageError(A_VIDEO)
    return decode_image(data)


def decode_image(data: bytes) -> np.ndarray:
    """Decode the bytes of an image file; see `read_image`.

    16-bit images are reduced to 8 bits; transparent pixels are blended with white.
    """
    form = _format_of(data)
    _check_size(data, form, most=MOST_PIXELS)
    if is_cut_short(data, form):
        raise ImageError("the image is cut short (its end is missing)")
    if form not in OPENCV_FORMATS:
        return decode(data, form)
    # With Pillow, because OpenCV ignores EXIF orientation, palettes and some formats here.
    image = decode_transparent(data, form) if _may_be_transparent(data, form) else None
    return _decode_with_opencv(data) if image is None else image


def check_pixels(data: bytes, *, most: int) -> None:
    """Check the header of an image file without decoding the image.

    Raises ImageError if the image has more than `most` pixels or no supported format.
    """
    _check_size(data, _format_of(data), most=most)


def _format_of(data: bytes) -> str:
    if not data:
        raise ImageError(EMPTY)
    head = data[:HEAD_BYTES]
    form = image_format(head)
    if form is None:
        kind = unread_kind(head)
        if kind == VIDEO:
            raise ImageError(A_VIDEO)
        raise ImageError(NO_IMAGE + (f"; by its content: {kind}" if kind else ""))
    return form


def _check_size(data: bytes, form: str, *, most: int) -> None:
    if form in OPENCV_FORMATS:
        width, height = stated_size(data, form) or (0, 0)  # decoding says what is wrong
    else:
        width, height = pixel_size(data, form)
    if width * height > most:
        raise ImageError(f"too large: expected at most {most:,} pixels, got {width:,} x {height:,}")


def _decode_with_opencv(data: bytes) -> np.ndarray:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ImageError(f"cannot be decoded: {error.err or error}") from None
    if image is None:
        raise ImageError(NO_IMAGE)
    return image


def _may_be_transparent(data: bytes, form: str) -> bool:
    # Decided by the header: the slower decoder must not read every image of a data set.
    if form == PNG:
        return data[25:26] in (b"\x04", b"\x06") or b"tRNS" in data[: data.find(b"IDAT")]
    if form == WEBP:
        return data[12:16] in (b"VP8X", b"VP8L")
    return form == TIFF
