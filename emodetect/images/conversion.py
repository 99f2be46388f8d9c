"""From the kinds of images that Python programs hold to BGR pixels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import cv2
import numpy as np

from emodetect.errors import ImageError
from emodetect.images.reading import decode_image, read_image

if TYPE_CHECKING:
    from PIL import Image

AnyImage: TypeAlias = "str | Path | bytes | np.ndarray | Image.Image"
"""A file's path or content, pixels, or a Pillow image."""

Images: TypeAlias = "list[AnyImage] | tuple[AnyImage, ...]"

ChannelOrder = Literal["bgr", "rgb"]


def to_bgr(image: AnyImage, *, color: ChannelOrder = "bgr") -> np.ndarray:
    """Return the pixels of an image, as OpenCV orders them.

    Args:
        image: a path, the bytes of an image file, a Pillow image, or an array: (height, width) or
            (height, width, 1) grey, (height, width, 3), or (height, width, 4) with transparency,
            uint8 from 0 to 255. Transparent pixels are blended with white.
        color: the order of an array's channels.

    Returns:
        (height, width, 3) uint8 BGR; an array that is one already is returned itself.

    Raises:
        ImageError: if the file cannot be read, or for any other kind of object or array.

    Example:
        >>> import numpy as np
        >>> to_bgr(np.zeros((48, 64), np.uint8)).shape
        (48, 64, 3)
    """
    if color not in ("bgr", "rgb"):
        raise ImageError(f"color: expected 'bgr' or 'rgb', got {color!r}")
    if isinstance(image, np.ndarray):
        return _from_array(image, color)
    if isinstance(image, str | Path):
        try:
            return read_image(Path(image))
        except ImageError as error:
            raise ImageError(f"{image}: {error}") from None
    if isinstance(image, bytes | bytearray | memoryview):
        return decode_image(bytes(image))
    if hasattr(image, "getexif"):
        return _from_pillow(image)
    raise ImageError(
        "expected a path, the bytes of an image file, a NumPy array or a Pillow image, got "
        f"{type(image).__name__}"
    )


def _from_array(image: np.ndarray, color: ChannelOrder) -> np.ndarray:
    channels = {2: 1, 3: image.shape[-1]}.get(image.ndim) if image.size else None
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


def _from_pillow(image: Image.Image) -> np.ndarray:
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):  # whose range Pillow would cut off
        return _from_array((np.asarray(upright) // 257).astype(np.uint8), "rgb")
    mode = "RGBA" if upright.has_transparency_data else "RGB"
    return _from_array(np.asarray(upright.convert(mode)), "rgb")
