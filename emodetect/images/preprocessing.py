"""The one path from image bytes to the pixels that a model sees, for training and for use.

Images are BGR, as OpenCV decodes them, until `to_input` makes the stored crop.
"""

from __future__ import annotations

import io
import stat
import warnings
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from emodetect.errors import ImageError

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

PILLOW_FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")
EMPTY = "the file is empty"
NO_IMAGE = "not an image that can be decoded (JPEG, PNG, WebP, BMP, TIFF)"

Color = Literal["gray", "rgb"]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


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
    """Look at the header of an image file, and decode nothing.

    Raises ImageError for an image of more than `most` pixels, and for no image of a format in
    IMAGE_SUFFIXES.
    """
    from PIL import Image

    if not data:
        raise ImageError(EMPTY)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters of them is told below
            with Image.open(io.BytesIO(data), formats=PILLOW_FORMATS) as image:
                width, height = image.size
    except Image.DecompressionBombError:
        raise ImageError(f"too large to be decoded safely (over {most:,} pixels)") from None
    except (OSError, ValueError, SyntaxError):
        raise ImageError(NO_IMAGE) from None
    if width * height > most:
        raise ImageError(
            f"too large: {width:,} x {height:,} pixels, of which {most:,} are allowed in all"
        )


def check_image(image: np.ndarray) -> None:
    """Raise ImageError for anything but a (height, width, 3) uint8 image with pixels.

    OpenCV would take some of them, such as floats from 0 to 1, and the model would see black.
    """
    if not isinstance(image, np.ndarray):
        got = type(image).__name__
    elif image.dtype == np.uint8 and image.shape[2:] == (3,) and image.size:
        return
    else:
        got = f"shape {image.shape}, {image.dtype}"
    raise ImageError(
        f"expected a BGR image (height, width, 3), uint8 from 0 to 255, got {got}; "
        "emodetect.images.preprocessing.read_image gives one"
    )


def to_input(image: np.ndarray, *, size: int, color: Color) -> np.ndarray:
    """Turn a face crop into the pixels that a model takes.

    A crop that is not square is padded to a square with its edge pixels, so that faces keep
    their shape. Shrinking averages areas, so a large webcam crop ends as smooth as the
    small training images.

    Args:
        image: (height, width, 3) uint8 BGR.
        size: side of the result in pixels.
        color: "gray" for one channel, "rgb" for three.

    Returns:
        (size, size, 1 or 3) uint8, gray or RGB.

    Raises:
        ImageError: for anything but such an image; see `check_image`.
    """
    check_image(image)
    code = cv2.COLOR_BGR2GRAY if color == "gray" else cv2.COLOR_BGR2RGB
    pixels = cv2.cvtColor(image, code)
    height, width = pixels.shape[:2]
    longer = max(height, width)
    if longer != size:
        method = cv2.INTER_AREA if longer > size else cv2.INTER_LINEAR
        shape = max(1, round(width * size / longer)), max(1, round(height * size / longer))
        pixels = cv2.resize(pixels, shape, interpolation=method)
    # Only now, because a long thin strip padded at its full length would fill the memory.
    square = _pad_to_square(pixels)
    return square.reshape(size, size, channels_of(color))


def has_image_suffix(path: Path) -> bool:
    """Tell whether a file is named like an image that can be read."""
    return path.suffix.lower() in IMAGE_SUFFIXES


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


def _decode_on_white(data: bytes) -> np.ndarray | None:
    """Decode an image with transparency; None where it has none or cannot be read.

    By Pillow, because OpenCV ignores the EXIF orientation, palettes and some formats here.
    """
    from PIL import Image, ImageOps

    try:
        image = Image.open(io.BytesIO(data))
        # Pillow's 16-bit grey loses its range on the way to 8 bits.
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
    # Told from the header: the slower decoder must not read every image of a data set.
    if data[:8] == PNG_SIGNATURE:
        return data[25:26] in (b"\x04", b"\x06") or b"tRNS" in data[: data.find(b"IDAT")]
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return data[12:16] in (b"VP8X", b"VP8L")
    return data[:4] in (b"II*\0", b"MM\0*")


def _is_cut_short(data: bytes) -> bool:
    """Tell whether a JPEG or PNG lacks its end, which OpenCV would fill with grey in silence.

    For a chunk of a PNG it would also take as much memory as the chunk claims to need, up to 4 GB.
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
    # The end marker is looked for behind the header segments: an EXIF thumbnail has one too.
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
        if data[position + 1] == 0xFF:
            position += 1
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return data.find(b"\xff\xd9", position) < 0
