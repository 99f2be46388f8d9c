"""Boxes and labels drawn over a picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from emodetect.emotions import COLORS
from emodetect.inference.recognizer import UNCERTAIN, Face

FONT = cv2.FONT_HERSHEY_SIMPLEX
UNCERTAIN_COLOR = (60, 60, 60)  # RGB 0-255, darker than neutral's grey


def draw_faces(image: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
    """Return a copy of a uint8 BGR image with each face's box, emotion and confidence.

    An uncertain face has its two best guesses, each with a question mark.

    Line widths and letters follow the size of the image, so that they are readable on a photo
    of any size.
    """
    drawn = image.copy()
    scale = max(0.45, min(image.shape[:2]) / 900)
    thick = max(1, round(scale * 2))
    for face in faces:
        x, y, width, height = face.box
        color = COLORS.get(face.emotion, UNCERTAIN_COLOR)[::-1]
        cv2.rectangle(drawn, (x, y), (x + width, y + height), color, max(2, thick))
        _label(drawn, _verdict(face), (x, y), scale, thick, color)
    return drawn


def draw_text(image: np.ndarray, text: str) -> None:
    """Write a line of text into the bottom left corner of a uint8 BGR image, off most faces."""
    scale = max(0.45, min(image.shape[:2]) / 900)
    _label(image, text, (0, image.shape[0]), scale, max(1, round(scale * 2)), (40, 40, 40))


def _verdict(face: Face) -> str:
    if face.emotion != UNCERTAIN:
        return f"{face.emotion} {face.confidence:.0%}"
    return " ".join(f"{emotion}? {score:.0%}" for emotion, score in face.guesses)


def _label(
    image: np.ndarray,
    text: str,
    corner: tuple[int, int],
    scale: float,
    thick: int,
    color: tuple[int, ...],
) -> None:
    """Draw text on a filled strip above `corner`, moved inside where it would leave."""
    (width, height), base = cv2.getTextSize(text, FONT, scale, thick)
    strip = height + base + 4
    left = max(0, min(corner[0], image.shape[1] - width - 4))
    bottom = max(strip, min(corner[1], image.shape[0]))
    cv2.rectangle(image, (left, bottom - strip), (left + width + 4, bottom), color, cv2.FILLED)
    place = (left + 2, bottom - base - 1)
    blue, green, red = color
    # Luma (ITU-R BT.601): white on sky blue or orange is hard to read.
    ink = (0, 0, 0) if 0.114 * blue + 0.587 * green + 0.299 * red > 140 else (255, 255, 255)
    cv2.putText(image, text, place, FONT, scale, ink, thick, cv2.LINE_AA)
