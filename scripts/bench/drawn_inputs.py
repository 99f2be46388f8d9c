"""Drawn faces and films to measure on, and a fake camera to play them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emodetect.data.synthetic import draw_face, draw_film
from emodetect.emotions import EMOTIONS


def drawn_faces(
    count: int, *, size: int, emotions: Sequence[str] = EMOTIONS[:7]
) -> list[np.ndarray]:
    """Return (size, size, 3) uint8 BGR faces of each emotion in turn."""
    rng = np.random.default_rng(0)
    return [draw_face(emotions[n % len(emotions)], rng, size=size) for n in range(count)]


def drawn_film(frames: int, *, width: int, height: int) -> list[np.ndarray]:
    """Return (height, width, 3) uint8 BGR frames of one person."""
    film = draw_film(["happy"], np.random.default_rng(0), frames=frames, width=width, height=height)
    return [scene.image for scene in film]


class FakeCapture:
    """The part of cv2.VideoCapture that all fake sources share."""

    def get(self, propId: int) -> float:  # noqa: N803
        """Return 0, as OpenCV does for an unknown property."""
        return 0.0

    def release(self) -> None:
        """Do nothing."""
