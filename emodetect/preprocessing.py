"""The one path from image bytes to the pixels that a model sees, for training and for use.

Images are BGR, as OpenCV decodes them, until `to_input` makes the stored crop.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from emodetect.errors import ImageError

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

Color = Literal["gray", "rgb"]


def read_image(path: Path) -> np.ndarray:
    """Decode an image file, turned upright by its EXIF orientation.

    Returns (height, width, 3) uint8 BGR. Raises ImageError, without the path, for a file that
    cannot be read, is empty, cut short, or no image.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe or device may never end
            raise ImageError("not a regular file")
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError("no such file") from None
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}") from None
    return decode_image(data)


def decode_image(data: bytes) -> np.ndarray:
    """Decode the bytes of an image file; see `read_image`.

    16-bit images are reduced to 8 bits; transparent pixels are laid on white.
    """
    if not data:
        raise ImageError("the file is empty")
    if _is_cut_short(data):
        raise ImageError("the image is cut short (its end is missing)")
    buffer = np.frombuffer(data, np.uint8)
    try:
        if _has_alpha(data):
            image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
            if image is not None and image.ndim == 3 and image.shape[2] == 4:
                return _on_white(image)
        image = cv2.imdecode(buffer, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ImageError(f"cannot be decoded: {error.err or error}") from None
    if image is None:
        raise ImageError("not an image that can be decoded (JPEG, PNG, WebP, BMP, TIFF)")
    return image


def to_input(image: np.ndarray, *, size: int, color: Color) -> np.ndarray:
    """Turn a face crop into the pixels that a model takes.

    A crop that is not square is first padded to a square with its edge pixels, so that faces
    keep their shape. Shrinking averages areas, so a large webcam crop ends as smooth as the
    small training images.

    Args:
        image: (height, width, 3) uint8 BGR.
        size: side of the result in pixels.
        color: "gray" for one channel, "rgb" for three.

    Returns:
        (size, size, 1 or 3) uint8, gray or RGB.
    """
    code = cv2.COLOR_BGR2GRAY if color == "gray" else cv2.COLOR_BGR2RGB
    square = _pad_to_square(cv2.cvtColor(image, code))
    side = square.shape[0]
    if side != size:
        method = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
        square = cv2.resize(square, (size, size), interpolation=method)
    return square.reshape(size, size, channels_of(color))


def channels_of(color: Color) -> int:
    """Return the number of channels of a colour mode."""
    return 1 if color == "gray" else 3


def _pad_to_square(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    if height == width:
        return image
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return cv2.copyMakeBorder(
        image, top, side - height - top, left, side - width - left, cv2.BORDER_REPLICATE
    )


def _on_white(image: np.ndarray) -> np.ndarray:
    scale = np.iinfo(image.dtype).max
    pixels = image.astype(np.float32) / scale
    alpha = pixels[..., 3:]
    blended = pixels[..., :3] * alpha + (1 - alpha)
    return np.rint(blended * 255).astype(np.uint8)


def _has_alpha(data: bytes) -> bool:
    # Asked before decoding, because decoding twice would halve the speed of reading data sets.
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return len(data) > 25 and data[25] in (4, 6)
    if data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X":
        return len(data) > 20 and bool(data[20] & 0x10)
    return False


def _is_cut_short(data: bytes) -> bool:
    """Tell whether a JPEG or PNG lacks its end, which OpenCV would fill with grey in silence."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return b"IEND" not in data
    if data[:2] != b"\xff\xd8":
        return False
    # The end marker is looked for behind the header segments: an EXIF thumbnail has one too.
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
        if data[position + 1] == 0xFF:
            position += 1
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return data.find(b"\xff\xd9", position) < 0
