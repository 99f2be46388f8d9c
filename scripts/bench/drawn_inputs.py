"""Drawn faces and films to measure on, and a fake camera to play them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from emodetect.data.synthetic import draw_face, draw_film, draw_scene
from emodetect.emotions import EMOTIONS
from emodetect.faces.boxes import Box


def drawn_faces(
    count: int, *, size: int, emotions: Sequence[str] = EMOTIONS[:7]
) -> list[np.ndarray]:
    """Return (size, size, 3) uint8 BGR faces of each emotion in turn."""
    rng = np.random.default_rng(0)
    return [draw_face(emotions[n % len(emotions)], rng, size=size) for n in range(count)]


def drawn_film(frames: int, *, width: int, height: int, people: int = 1) -> list[np.ndarray]:
    """Return (height, width, 3) uint8 BGR frames of one to seven people side by side."""
    emotions = ("happy", "surprise", "neutral", "angry", "sad", "fear", "disgust")[:people]
    film = draw_film(emotions, np.random.default_rng(0), frames=frames, width=width, height=height)
    return [scene.image for scene in film]


def drawn_scene(
    rng: np.random.Generator, emotions: Sequence[str], *, width: int, height: int
) -> tuple[np.ndarray, list[Box]]:
    """Return a (height, width, 3) uint8 BGR picture and the boxes of its one to six faces.

    The faces have sides from 41 pixels, because the scene is drawn up to 1.7 times as large.
    """
    scale, people = rng.uniform(1, 1.7), int(rng.integers(1, 7))
    chosen = list(rng.choice(emotions, people))
    while True:
        try:
            scene = draw_scene(chosen, rng, width=int(width * scale), height=int(height * scale))
            break
        except ValueError:  # too many people for the picture
            chosen.pop()
    image = cv2.resize(scene.image, (width, height), interpolation=cv2.INTER_AREA)
    x, y, w, h = (np.array([face.box for face in scene.faces]) / scale).round().astype(int).T
    return image, list(zip(x.tolist(), y.tolist(), w.tolist(), h.tolist(), strict=True))


class FakeCapture:
    """The part of cv2.VideoCapture that all fake sources share."""

    def get(self, propId: int) -> float:  # noqa: N803
        """Return 0, as OpenCV does for an unknown property."""
        return 0.0

    def release(self) -> None:
        """Do nothing."""
