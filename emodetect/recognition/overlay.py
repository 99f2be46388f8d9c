"""Draw boxes, labels and scores over an image, and blur faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from emodetect.emotions import EMOTIONS, UNCERTAIN, contrast, emotion_colors
from emodetect.recognition.drawn_text import put_text, text_size
from emodetect.recognition.face import Face

# Pixels per side to which a face is reduced to make it unrecognisable.
BLURRED_SIDE = 6
BOX_HEIGHT = 100  # pixels of a face whose label has text of scale 1
UNCERTAIN_COLOR = (60, 60, 60)  # RGB 0-255, darker than neutral's grey
MOST_KEYS = 9  # of a keyboard that save a correction


def draw_faces(image: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
    """Return a copy of a uint8 BGR image with each face's box, emotion and confidence.

    An uncertain face gets its two best guesses, each with a question mark. For a face of a video,
    the label starts with the ID that the log and the timeline use.

    Line widths and text scale with the image, so they are readable on a photo of any size; the text
    of a small face is smaller. A label is where it hides the least.
    """
    drawn = image.copy()
    scale = max(0.45, min(image.shape[:2]) / 900)
    thick = max(1, round(scale * 2))
    # The boxes, and then the labels as far as they are drawn; these are worse to hide.
    boxes = np.array([face.box for face in faces], np.int64).reshape(-1, 4)
    taken = np.concatenate([boxes, np.zeros_like(boxes)])
    weights = np.repeat((1, 4), len(faces))
    for number, face in enumerate(faces):
        x, y, width, height = boxes[number].tolist()
        color = emotion_colors(face.scores).get(face.emotion, UNCERTAIN_COLOR)[::-1]
        cv2.rectangle(drawn, (x, y), (x + width, y + height), color, max(2, thick))
        text = _verdict(face)
        text_scale = max(0.45, scale / 2, min(scale, height / BOX_HEIGHT))
        text_thick = max(1, round(text_scale * 2))
        (text_width, text_height), base = text_size(text, text_scale, text_thick)
        room, strip = text_width + 4, text_height + base + 4
        left = max(0, min(x, image.shape[1] - room))
        tops = [max(0, min(top, image.shape[0] - strip)) for top in (y - strip, y + height, y)]
        places = np.array([(left, top, room, strip) for top in tops])
        place = places[np.argmin(_shared_areas(places, taken) @ weights)]
        taken[len(faces) + number] = place
        _label(drawn, text, (left, int(place[1]) + strip), text_scale, text_thick, color)
    return drawn


def _shared_areas(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the (n, m) areas that (n, 4) boxes share with (m, 4) others."""
    starts = np.maximum(some[:, None, :2], others[None, :, :2])
    ends = np.minimum((some[:, :2] + some[:, 2:])[:, None], (others[:, :2] + others[:, 2:])[None])
    areas: np.ndarray = np.maximum(0, ends - starts).prod(axis=2)
    return areas


def draw_text(image: np.ndarray, *lines: str) -> None:
    """Draw lines of text in the bottom left corner of a uint8 BGR image, where few faces are.

    An empty line leaves its strip of the image unchanged.
    """
    scale = max(0.45, min(image.shape[:2]) / 900)
    bottom = image.shape[0]
    for text in reversed(lines):
        thick = max(1, round(scale * 2))
        bottom -= _label(image, text, (0, bottom), scale, thick, (40, 40, 40))


def correction_keys(emotions: Sequence[str]) -> dict[str, str]:
    """Return the label that each key saves a correction as in `webcam`.

    All EMOTIONS, whichever of them the model knows; for labels of one's own, the first of those.
    """
    labels = EMOTIONS if set(emotions) <= set(EMOTIONS) else emotions[:MOST_KEYS]
    return {str(number): label for number, label in enumerate(labels, start=1)}


def draw_panel(image: np.ndarray, face: Face) -> None:
    """Draw a bar for each emotion's score in the top left corner of a uint8 BGR image.

    Each emotion is preceded by the key that saves a correction in `webcam`.
    """
    key_of = {label: key for key, label in correction_keys(tuple(face.scores)).items()}
    labels = {emotion: f"{key_of.get(emotion, '')} {emotion}".strip() for emotion in face.scores}
    scale = max(0.4, min(image.shape[:2]) / 1100)
    _bars(image, face.scores, labels, least="8 contempt ", scale=scale)


def draw_scores(face: Face, *, width: int, height: int) -> np.ndarray:
    """Return a uint8 BGR image with a bar and a percentage for each score, on white."""
    drawn = np.full((height, width, 3), 255, np.uint8)
    labels = {emotion: f"{emotion} {score:.0%}" for emotion, score in face.scores.items()}
    scale = height / max(380, 34 * len(labels) + 20)
    _bars(drawn, face.scores, labels, least="contempt 100% ", scale=scale)
    return drawn


def _bars(
    image: np.ndarray,
    scores: Mapping[str, float],
    labels: Mapping[str, str],
    *,
    least: str,
    scale: float,
) -> None:
    """Draw bars; they begin right of the labels, and at least right of the text `least`."""
    line, thick = round(34 * scale), max(1, round(scale * 1.5))
    bar_width = round(0.9 * text_size(least, scale, thick)[0][0])
    room = max(round(0.7 * image.shape[1]), 2 * bar_width) - bar_width
    texts = {emotion: _fitting(labels[emotion], room, scale, thick) for emotion in scores}
    label_width = max(text_size(text, scale, thick)[0][0] for text in (least, *texts.values()))
    height, width = len(scores) * line + line // 2, label_width + bar_width + line // 2
    corner = image[:height, :width]
    corner[:] = cv2.addWeighted(corner, 0.35, np.full_like(corner, 255), 0.65, 0)
    colors = emotion_colors(scores)
    for row, (emotion, score) in enumerate(scores.items()):
        bottom = (row + 1) * line
        put_text(image, texts[emotion], (line // 4, bottom), scale, (0, 0, 0), thick)
        top_left = (label_width, bottom - round(line * 0.6))
        bottom_right = (label_width + max(1, round(bar_width * score)), bottom)
        cv2.rectangle(image, top_left, bottom_right, colors[emotion][::-1], cv2.FILLED)


def _fitting(text: str, room: int, scale: float, thick: int) -> str:
    """Return a text with a space after it, cut in the middle if it is wider than `room`."""
    shown, length = f"{text} ", len(text)
    while text_size(shown, scale, thick)[0][0] > room and length > 4:
        length -= 1
        shown = f"{text[: length - length // 2]}..{text[-(length // 2) :]} "
    return shown


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
    (width, height), base = text_size(text, scale, thick)
    strip = height + base + 4
    if not text:
        return strip
    left = max(0, min(corner[0], image.shape[1] - width - 4))
    bottom = max(strip, min(corner[1], image.shape[0]))
    cv2.rectangle(image, (left, bottom - strip), (left + width + 4, bottom), color, cv2.FILLED)
    place = (left + 2, bottom - base - 1)
    put_text(image, text, place, scale, _ink_on(color), thick)
    return strip


def _ink_on(color: tuple[int, ...]) -> tuple[int, int, int]:
    """Return black or white, whichever contrasts more with a BGR colour."""
    rgb = [part / 255 for part in reversed(color)]
    share = max((0, 1), key=lambda white: contrast((white,) * 3, rgb))
    return (255 * share,) * 3
