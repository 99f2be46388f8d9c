"""From the kinds of images that Python programs hold to BGR pixels."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import cv2
import numpy as np

from emodetect.errors import ImageError, first_line
from emodetect.images.pillow_decoding import pixels_of
from emodetect.images.reading import decode_image, read_image

if TYPE_CHECKING:
    from PIL import Image

AnyImage: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | np.ndarray | Image.Image"
)
"""A file's path or content, an open file, pixels, or a Pillow image."""

OneImage = TypeVar("OneImage", bound="AnyImage")
Images: TypeAlias = "list[AnyImage] | tuple[AnyImage, ...]"

ChannelOrder = Literal["bgr", "rgb"]

LONGEST_SHOWN = 500  # characters of a path in an error; base64 text may have millions


def check_color(color: ChannelOrder) -> None:
    """Raise ImageError for anything but "bgr" and "rgb"."""
    if color not in ("bgr", "rgb"):
        raise ImageError(f"color: expected 'bgr' or 'rgb', got {color!r}")


def to_bgr(image: AnyImage, *, color: ChannelOrder = "bgr") -> np.ndarray:
    """Return the pixels of an image, as OpenCV orders them.

    Args:
        image: a path, the bytes of an image file, a file opened in binary mode (such as an
            upload), a Pillow image, or an array: (height, width) or (height, width, 1) grey,
            (height, width, 3), or (height, width, 4) with transparency, uint8 from 0 to 255.
            Transparent pixels are blended with white.
        color: the order of an array's channels.

    Returns:
        (height, width, 3) uint8 BGR; an array that is one already is returned itself.

    Raises:
        ImageError: if the file cannot be read, or for any other kind of object or array.

    Examples:
        >>> import numpy as np
        >>> to_bgr(np.zeros((48, 64), np.uint8)).shape
        (48, 64, 3)
    """
    check_color(color)
    if isinstance(image, np.ndarray):
        return _from_array(image, color)
    if isinstance(image, str | os.PathLike):
        try:
            return read_image(Path(image))
        except ImageError as error:
            raise ImageError(f"{_shortened(os.fspath(image))}: {error}") from None
    if isinstance(image, bytes | bytearray | memoryview):
        return decode_image(bytes(image))
    if hasattr(image, "read"):
        return _from_file(image)
    if hasattr(image, "getexif"):
        return pixels_of(image)
    raise ImageError(
        "expected a path, the bytes of an image file, an open file, a NumPy array or a Pillow "
        f"image, or a list of them, got {type(image).__name__}"
    )


def _shortened(path: str) -> str:
    return repr(path) if not path else path if len(path) <= LONGEST_SHOWN else f"{path[:60]}..."


def _from_file(file: Any) -> np.ndarray:
    try:
        data = file.read()
    except Exception as error:  # of whatever the file comes from: an archive, a network
        raise ImageError(f"cannot be read: {first_line(error)}") from error
    if inspect.iscoroutine(data):  # as of FastAPI's UploadFile
        data.close()
        raise ImageError(
            "expected bytes or an open file, got an asynchronous one; await its read()"
        )
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ImageError(
            f"expected a file opened in binary mode, got {type(data).__name__} from its read()"
        )
    return decode_image(bytes(data))


def _from_array(image: np.ndarray, color: ChannelOrder) -> np.ndarray:
    channels = None
    if image.size and image.ndim in (2, 3):
        channels = 1 if image.ndim == 2 else image.shape[2]
    if image.dtype != np.uint8 or channels not in (1, 3, 4):
        raise ImageError(
            "expected pixels of shape (height, width) or (height, width, 1, 3 or 4), uint8 from "
            f"0 to 255, got {image.shape}, {image.dtype}"
        )
    if channels == 3:
        return image if color == "bgr" else np.ascontiguousarray(image[:, :, ::-1])
    if channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    alpha = image[:, :, 3:].astype(np.float32) / 255
    opaque = (image[:, :, :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)
    return _from_array(opaque, color)
