"""Decode with Pillow what OpenCV does not: HEIC, AVIF, GIF, JPEG 2000, PNM, and transparency.

Pillow, and pi-heif for HEIC, are imported only when such a file is read.
"""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from emodetect.errors import ImageError
from emodetect.images import formats
from emodetect.images.heic_items import names_types_in_text

if TYPE_CHECKING:
    from PIL import Image

TOO_LARGE = "too large to be decoded safely"

_PILLOW_NAMES = {
    formats.AVIF: "AVIF",
    formats.BMP: "BMP",
    formats.GIF: "GIF",
    formats.JPEG: "JPEG",
    formats.JPEG2000: "JPEG2000",
    formats.PNG: "PNG",
    formats.PNM: "PPM",
    formats.TIFF: "TIFF",
    formats.WEBP: "WEBP",
}
_FEATURES = {formats.AVIF: "avif", formats.JPEG2000: "jpg_2000"}
# What Pillow calls the formats that OpenCV decodes from files, with the colours of their own
# profiles; MPO is a JPEG with more images.
_DECODED_BY_OPENCV = ("BMP", "JPEG", "MPO", "PNG", "TIFF", "WEBP")
_ORIENTATION = 0x112  # the EXIF tag
# Colours are converted in bands of this many pixels: each step needs a copy or two.
_BAND_PIXELS = 2**22
# Pillow's limit and Python's warning filters are shared by all threads.
# Reentrant, because a signal handler may fork while its thread opens an image.
_shared = threading.RLock()
if hasattr(os, "register_at_fork"):
    # A child must find neither a lock that a thread of its parent held, nor what that had changed.
    os.register_at_fork(
        before=_shared.acquire, after_in_parent=_shared.release, after_in_child=_shared.release
    )


def pixel_size(data: bytes, form: str) -> tuple[int, int]:
    """Return the width and height in pixels of an image, from its header.

    Args:
        form: of the image, as `formats.image_format` names it.

    Raises:
        ImageError: if the image is damaged or too large, or a library for its format is missing.
    """
    with _clear_errors(form):
        width, height = _opened(data, form).size
    return width, height


def decode(data: bytes, form: str, *, reduction: int = 1) -> np.ndarray:
    """Decode an image: upright, in sRGB, 8 bits per channel, on white where it is transparent.

    Args:
        reduction: divides the width and the height, of HEIC only. It is done before anything that
            takes more memory.

    Returns:
        (height, width, 3) uint8 BGR; the first frame if it has several.

    Raises:
        ImageError: see `pixel_size`.
    """
    with _clear_errors(form):
        image = _opened(data, form)
        if form == formats.HEIC:
            # pi-heif has turned it upright, and says so in the EXIF data.
            image = image.to_pillow()
            image = image.reduce(reduction) if reduction > 1 else image
        return _pixels_of(image)


def decode_transparent(data: bytes, form: str) -> np.ndarray | None:
    """Decode an image as `decode` does, but with the colours of its own profile.

    Returns None for an image without transparency, and for a kind that Pillow does not know.
    """
    with _clear_errors(form):
        try:
            image = _opened(data, form)
        except (OSError, SyntaxError, ValueError):
            return None
        # Pillow loses the range of 16-bit grey when it converts to 8 bits.
        if not image.has_transparency_data or image.mode.startswith("I"):
            return None
        return _pixels_of(image)


def pixels_of(image: Image.Image) -> np.ndarray:
    """Return the pixels of a Pillow image, which are those of its file; raises as `decode`."""
    if 0 in image.size:
        raise ImageError("the image has no pixels")
    # As a file it has 16 bits; one made from 8 bits would be black, and have no face.
    made = image.mode.startswith("I") and image.format is None
    if made and 0 < np.asarray(image).max() <= 255:
        raise ImageError(
            f"expected pixels of 16 bits from an image of mode {image.mode}, got none above 255; "
            "convert it with .convert('L')"
        )
    with _clear_errors(image.format or "image"):
        return _pixels_of(image)


@contextmanager
def _clear_errors(form: str) -> Iterator[None]:
    """Turn whatever a decoder raises for a damaged file into an ImageError."""
    try:
        yield
    except ImageError:
        raise
    except MemoryError:
        raise ImageError(TOO_LARGE) from None
    except Exception as error:
        from PIL import UnidentifiedImageError

        said = f": {' '.join(str(error).split())}"
        if isinstance(error, UnidentifiedImageError) or said == ": ":
            said = ""
        raise ImageError(f"damaged {form} file, which cannot be decoded{said}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Pillow's warnings off stderr, and let it open an image of any size."""
    from PIL import Image

    with _shared, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _opened(data: bytes, form: str) -> Any:
    """Return an image whose header alone has been read: Pillow's, or pi-heif's for HEIC."""
    if form == formats.HEIC:
        try:
            import pi_heif
        except ImportError:
            raise ImageError("HEIC needs pi-heif; pip install pi-heif") from None
        if not names_types_in_text(data):
            raise ImageError("damaged HEIC file, which cannot be decoded")
        return pi_heif.open_heif(data, convert_hdr_to_8bit=True)
    from PIL import Image, features

    feature = _FEATURES.get(form)
    if feature is not None and not features.check(feature):
        raise ImageError(
            f"this installation of Pillow cannot read {form}; pip install --upgrade pillow"
        )
    with _quiet():  # the caller checks the size before it decodes, and damage is found in decoding
        return Image.open(io.BytesIO(data), formats=[_PILLOW_NAMES[form]])


def _pixels_of(image: Image.Image) -> np.ndarray:
    converted = image.format not in _DECODED_BY_OPENCV
    image = _upright(image)
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        band = image if rows >= height else image.crop((0, top, width, bottom))
        band = _in_eight_bits(band)
        rgb = np.asarray(_on_white(_in_srgb(band) if converted else band))
        cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR, dst=pixels[top:bottom])
    return pixels


def _on_white(image: Image.Image) -> Image.Image:
    """Return an image in RGB, blended with white where it is transparent."""
    if image.has_transparency_data:
        from PIL import Image

        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def is_on_its_side(data: bytes, form: str) -> bool:
    """Return whether an image's EXIF data says that its rows are columns when it is upright."""
    from PIL import Image

    exif = Image.Exif()  # not getexif(), which also asks XMP data, as OpenCV does not
    try:
        with _quiet():
            exif.load(_opened(data, form).info.get("exif", b""))
            return exif.get(_ORIENTATION) in (5, 6, 7, 8)
    except Exception:  # damaged EXIF data says nothing
        return False


def _upright(image: Image.Image) -> Image.Image:
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    image.load()  # raises for damaged pixels
    try:
        with _quiet():
            turn = turns.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF data says nothing about the pixels
        return image
    # Not ImageOps.exif_transpose, which writes the EXIF data anew, and fails for any damaged tag.
    return image if turn is None else image.transpose(turn)


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """Return an image of up to 8 bits per channel; Pillow itself would cut off high values."""
    if not image.mode.startswith("I"):
        if image.mode == "F":
            raise ImageError("expected whole numbers as pixels, got fractions")
        return image
    from PIL import Image

    grey = np.clip(np.asarray(image), 0, 65535) / 257
    return Image.fromarray(np.rint(grey).astype(np.uint8))


def _in_srgb(image: Image.Image) -> Image.Image:
    """Return an image without the colour profile it was stored with, such as Display P3."""
    profile = image.info.get("icc_profile")
    if not profile:
        return image
    from PIL import ImageCms

    opaque, alpha = image, None
    try:
        stored = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(stored):
            return image
        if image.has_transparency_data:
            opaque = image.convert("LA" if image.mode in ("L", "LA") else "RGBA")
            alpha = opaque.getchannel("A")
            opaque = opaque.convert(opaque.mode.removesuffix("A"))
        elif image.mode in ("P", "1"):
            opaque = image.convert("RGB")
        converted = ImageCms.profileToProfile(
            opaque, stored, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    # A damaged profile, one for other channels, or Pillow without littleCMS: the pixels are good.
    except (ImageCms.PyCMSError, ImportError, OSError, TypeError, ValueError):
        return image
    assert converted is not None
    if alpha is not None:
        converted.putalpha(alpha)
    return converted
