"""Draw boxes, labels and scores over an image, and blur faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from emodetect.emotions import COLORS, EMOTIONS
from emodetect.recognition.recognizer import UNCERTAIN, Face

FONT = cv2.FONT_HERSHEY_SIMPLEX
# Pixels per side to which a face is reduced to make it unrecognisable.
BLURRED_SIDE = 6
UNCERTAIN_COLOR = (60, 60, 60)  # RGB 0-255, darker than neutral's grey


def draw_faces(image: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
    """Return a copy of a uint8 BGR image with each face's box, emotion and confidence.

    An uncertain face gets its two best guesses, each with a question mark. For a face of a video,
    the label starts with the ID that the log and the timeline use.

    Line widths and text scale with the image, so they are readable on a photo of any size.
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


def draw_text(image: np.ndarray, *lines: str) -> None:
    """Draw lines of text in the bottom left corner of a uint8 BGR image, where few faces are.

    An empty line leaves its strip of the image unchanged.
    """
    scale = max(0.45, min(image.shape[:2]) / 900)
    bottom = image.shape[0]
    for text in reversed(lines):
        thick = max(1, round(scale * 2))
        bottom -= _label(image, text, (0, bottom), scale, thick, (40, 40, 40))


def draw_panel(image: np.ndarray, face: Face) -> None:
    """Draw a bar for each emotion's score in the top left corner of a uint8 BGR image.

    Each emotion is preceded by the key that saves a correction in `webcam`.
    """
    labels = {
        emotion: f"{EMOTIONS.index(emotion) + 1} {emotion}" if emotion in EMOTIONS else emotion
        for emotion in face.scores
    }
    scale = max(0.4, min(image.shape[:2]) / 1100)
    _bars(image, face.scores, labels, widest="8 contempt ", scale=scale)


def draw_scores(face: Face, *, width: int, height: int) -> np.ndarray:
    """Return a uint8 BGR image with a bar and a percentage for each score, on white."""
    drawn = np.full((height, width, 3), 255, np.uint8)
    labels = {emotion: f"{emotion} {score:.0%}" for emotion, score in face.scores.items()}
    _bars(drawn, face.scores, labels, widest="contempt 100% ", scale=height / 380)
    return drawn


def _bars(
    image: np.ndarray,
    scores: Mapping[str, float],
    labels: Mapping[str, str],
    *,
    widest: str,
    scale: float,
) -> None:
    line, thick = round(34 * scale), max(1, round(scale * 1.5))
    label_width = cv2.getTextSize(widest, FONT, scale, thick)[0][0]
    bar_width = round(label_width * 0.9)
    height, width = len(scores) * line + line // 2, label_width + bar_width + line // 2
    corner = image[:height, :width]
    corner[:] = cv2.addWeighted(corner, 0.35, np.full_like(corner, 255), 0.65, 0)
    for row, (emotion, score) in enumerate(scores.items()):
        bottom = (row + 1) * line
        place = (line // 4, bottom)
        cv2.putText(image, labels[emotion], place, FONT, scale, (0, 0, 0), thick, cv2.LINE_AA)
        top_left = (label_width, bottom - round(line * 0.6))
        bottom_right = (label_width + max(1, round(bar_width * score)), bottom)
        color = COLORS.get(emotion, UNCERTAIN_COLOR)[::-1]
        cv2.rectangle(image, top_left, bottom_right, color, cv2.FILLED)


def blur_faces(image: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
    """Return a copy of a uint8 BGR image in which no face can be recognised.

    A region 1.5 times the size of each box is reduced to a few pixels per side and enlarged again.
    """
    blurred = image.copy()
    for face in faces:
        x, y, width, height = face.box
        left, top = max(0, x - width // 4), max(0, y - height // 4)
        part = blurred[top : y + height + height // 4, left : x + width + width // 4]
        if part.size:
            few = cv2.resize(part, (BLURRED_SIDE, BLURRED_SIDE), interpolation=cv2.INTER_AREA)
            part[:] = cv2.resize(few, part.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return blurred


def _verdict(face: Face) -> str:
    number = "" if face.id is None else f"{face.id}: "
    if face.emotion != UNCERTAIN:
        return f"{number}{face.emotion} {face.confidence:.0%}"
    return number + " ".join(f"{emotion}? {score:.0%}" for emotion, score in face.guesses)


def _label(
    image: np.ndarray,
    text: str,
    corner: tuple[int, int],
    scale: float,
    thick: int,
    color: tuple[int, ...],
) -> int:
    """Draw text on a filled strip above `corner`, inside the image; return the strip's height."""
    (width, height), base = cv2.getTextSize(text, FONT, scale, thick)
    strip = height + base + 4
    if not text:
        return strip
    left = max(0, min(corner[0], image.shape[1] - width - 4))
    bottom = max(strip, min(corner[1], image.shape[0]))
    cv2.rectangle(image, (left, bottom - strip), (left + width + 4, bottom), color, cv2.FILLED)
    place = (left + 2, bottom - base - 1)
    blue, green, red = color
    # Luma (ITU-R BT.601): white text on sky blue or orange is hard to read.
    ink = (0, 0, 0) if 0.114 * blue + 0.587 * green + 0.299 * red > 140 else (255, 255, 255)
    cv2.putText(image, text, place, FONT, scale, ink, thick, cv2.LINE_AA)
    return strip
