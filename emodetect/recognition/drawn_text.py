"""Text drawn on images: OpenCV's strokes for ASCII, a font for all other letters."""

from __future__ import annotations

import importlib.util
import logging
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from PIL import ImageFont

logger = logging.getLogger(__name__)

STROKES = cv2.FONT_HERSHEY_SIMPLEX
# Pixels at scale 1; as high as OpenCV's capitals.
FONT_PIXELS = 29
# No font has it, so it is drawn as every letter is that a font lacks: as a box.
UNASSIGNED = "\U0010ffff"

_named: set[str] = set()


def text_size(text: str, scale: float, thick: int) -> tuple[tuple[int, int], int]:
    """Return the (width, height) above the baseline and the depth below it, in pixels."""
    (width, height), depth = cv2.getTextSize(text, STROKES, scale, thick)
    if text.isascii():
        return (width, height), depth
    return (round(_font(_pixels(scale)).getlength(text)), height), depth


def put_text(
    image: np.ndarray,
    text: str,
    place: tuple[int, int],
    scale: float,
    color: tuple[int, ...],
    thick: int,
) -> None:
    """Draw text on a uint8 BGR image, from the left end of its baseline.

    Args:
        color: blue, green, red; 0 to 255.
        thick: width of OpenCV's strokes in pixels.
    """
    if text.isascii():
        cv2.putText(image, text, place, STROKES, scale, color, thick, cv2.LINE_AA)
        return
    from PIL import Image, ImageDraw

    font = _font(_pixels(scale))
    left, top, right, bottom = map(round, font.getbbox(text, anchor="ls"))
    mask = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(mask).text((-left, -top), text, fill=255, font=font, anchor="ls")
    x, y = place[0] + left, place[1] + top
    # Of both the image and the text, the part where they meet.
    inside = image[max(0, y) : y + mask.height, max(0, x) : x + mask.width]
    cover = np.asarray(mask)[max(0, -y) :, max(0, -x) :][: inside.shape[0], : inside.shape[1]]
    share = cover[:, :, np.newaxis] / 255
    inside[:] = np.round(inside * (1 - share) + np.array(color) * share)


def warn_of_boxes(labels: Iterable[str]) -> None:
    """Warn, once, of the letters of labels that `put_text` draws as boxes."""
    letters = dict.fromkeys(letter for label in labels for letter in label if not letter.isascii())
    if letters:
        font = _font(FONT_PIXELS)
        box = bytes(font.getmask(UNASSIGNED))
        _warn_of_letters(letter for letter in letters if bytes(font.getmask(letter)) == box)


@contextmanager
def boxes_named() -> Iterator[None]:
    """Replace Matplotlib's warning for each letter that its font lacks by one, given once."""
    letters = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", "Glyph", UserWarning)
        yield
    for warning in caught:
        if glyph := re.match(r"Glyph (\d+) ", str(warning.message)):
            letters.append(chr(int(glyph[1])))
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    _warn_of_letters(letters)


def _warn_of_letters(letters: Iterable[str]) -> None:
    new = [letter for letter in dict.fromkeys(letters) if letter not in _named]
    if new:
        _named.update(new)
        logger.warning(
            "pictures and plots show boxes for %s, which their font lacks; web pages, tables and "
            "files have the letters",
            " ".join(new),
        )


def _pixels(scale: float) -> int:
    return max(8, round(FONT_PIXELS * scale))


@cache
def _font(pixels: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from PIL import ImageFont

    # DejaVu Sans comes with Matplotlib, whose import would take too long. It has Latin, Cyrillic,
    # Greek and Arabic letters; others are drawn as boxes.
    spec = importlib.util.find_spec("matplotlib")
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(str(path), pixels)
    return ImageFont.load_default(pixels)
