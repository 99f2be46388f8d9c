"""Read image files; all images, for training and for use, are decoded here.

Images are BGR, as OpenCV decodes them.
"""

from __future__ import annotations

import io
import stat
import warnings
from pathlib import Path

import cv2
import numpy as np

from emodetect.errors import ImageError
from emodetect.images.formats import PILLOW_FORMATS

EMPTY = "the file is empty"
NO_IMAGE = "not an image that can be decoded (JPEG, PNG, WebP, BMP, TIFF)"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


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
    return decode_image(data)


def decode_image(data: bytes) -> np.ndarray:
    """Decode the bytes of an image file; see `read_image`.

    16-bit images are reduced to 8 bits; transparent pixels are blended with white.
    """
    if not data:
        raise ImageError(EMPTY)
    if _is_cut_short(data):
        raise ImageError("the image is cut short (its end is missing)")
    image = _decode_on_white(data) if _may_be_transparent(data) else None
    if image is not None:
        return image
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        if "MAX_IMAGE" in str(error):
            raise ImageError("too large to be decoded safely (over 200 million pixels)") from None
        raise ImageError(f"cannot be decoded: {error.err or error}") from None
    if image is None:
        raise ImageError(NO_IMAGE)
    return image


def check_pixels(data: bytes, *, most: int) -> None:
    """Check the header of an image file without decoding the image.

    Raises ImageError if the image has more than `most` pixels or no supported format.
    """
    from PIL import Image

    if not data:
        raise ImageError(EMPTY)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is reported below
            with Image.open(io.BytesIO(data), formats=PILLOW_FORMATS) as image:
                width, height = image.size
    except Image.DecompressionBombError:
        raise ImageError(f"too large to be decoded safely (over {most:,} pixels)") from None
    except (OSError, ValueError, SyntaxError):
        raise ImageError(NO_IMAGE) from None
    if width * height > most:
        raise ImageError(f"too large: expected at most {most:,} pixels, got {width:,} x {height:,}")


def _decode_on_white(data: bytes) -> np.ndarray | None:
    """Decode an image with transparency; None if it has none or cannot be read.

    Uses Pillow, because OpenCV ignores EXIF orientation, palettes and some formats here.
    """
    from PIL import Image, ImageOps

    try:
        image = Image.open(io.BytesIO(data))
        # Pillow loses the range of 16-bit grey when it converts to 8 bits.
        if not image.has_transparency_data or image.mode.startswith("I"):
            return None
        upright = ImageOps.exif_transpose(image).convert("RGBA")
        white = Image.new("RGBA", upright.size, "white")
        rgb = np.asarray(Image.alpha_composite(white, upright).convert("RGB"))
    except Image.DecompressionBombError:
        raise ImageError("too large to be decoded safely") from None
    except (OSError, ValueError, SyntaxError):
        return None
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)


def _may_be_transparent(data: bytes) -> bool:
    # Decided by the header: the slower decoder must not read every image of a data set.
    if data[:8] == PNG_SIGNATURE:
        return data[25:26] in (b"\x04", b"\x06") or b"tRNS" in data[: data.find(b"IDAT")]
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return data[12:16] in (b"VP8X", b"VP8L")
    return data[:4] in (b"II*\0", b"MM\0*")


def _is_cut_short(data: bytes) -> bool:
    """Return whether the end of a JPEG or PNG is missing; OpenCV would silently fill it with grey.

    OpenCV would also allocate as much memory as a PNG chunk claims to need, up to 4 GB.
    """
    if data[:8] == PNG_SIGNATURE:
        position = 8
        while position + 8 <= len(data):
            if data[position + 4 : position + 8] == b"IEND":
                return False
            position += 12 + int.from_bytes(data[position : position + 4], "big")
        return True
    if data[:2] != b"\xff\xd8":
        return False
    # Search for the end marker after the header segments: an EXIF thumbnail has one too.
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
        if data[position + 1] == 0xFF:
            position += 1
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return data.find(b"\xff\xd9", position) < 0
