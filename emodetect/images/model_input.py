"""Turn face crops into model inputs, in the same way for training and for use."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from emodetect.errors import ImageError

Color = Literal["gray", "rgb"]


def check_image(image: np.ndarray) -> None:
    """Raise ImageError for anything but a non-empty (height, width, 3) uint8 image.

    OpenCV would accept some other arrays, such as floats from 0 to 1, which the model would see
    as black.
    """
    if not isinstance(image, np.ndarray):
        got = type(image).__name__
    elif image.dtype == np.uint8 and image.shape[2:] == (3,) and image.size:
        return
    else:
        got = f"shape {image.shape}, {image.dtype}"
    raise ImageError(
        f"expected a BGR image (height, width, 3), uint8 from 0 to 255, got {got}; "
        "emodetect.read_image returns one"
    )


def to_input(image: np.ndarray, *, size: int, color: Color) -> np.ndarray:
    """Turn a face crop into the input of a model.

    A crop that is not square is padded to a square with its edge pixels, so faces keep their
    shape. Shrinking averages areas, so a large webcam crop becomes as smooth as the small training
    images.

    Args:
        image: (height, width, 3) uint8 BGR.
        size: side of the result, in pixels.
        color: "gray" for one channel, "rgb" for three.

    Returns:
        (size, size, 1 or 3) uint8, gray or RGB.

    Raises:
        ImageError: for any other kind of image; see `check_image`.
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
    # Only now, because padding a long thin strip at full size would use up the memory.
    square = _pad_to_square(pixels)
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
