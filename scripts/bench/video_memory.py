"""Memory of `emodetect webcam --no-display` over a long video: it must not grow with the frames.

    python scripts/bench/video_memory.py                  # a drawn film, 20,000 frames
    python scripts/bench/video_memory.py --frames 5000 --source talk.mp4

Linux only: what the process has in memory is read from /proc every 500 frames.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from drawn_inputs import FakeCapture, drawn_film
from measuring import memory_bytes

from emodetect.faces.tracking import TrackingOptions
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.videos.capture import Source
from emodetect.recognition.videos.live import run_live

STEP = 500


class Repeated(FakeCapture):
    """Stands in for cv2.VideoCapture: the same pictures over and over, and the memory noted."""

    def __init__(self, pictures: list[np.ndarray]) -> None:
        # There and back again, so that nothing jumps.
        self.pictures: Iterator[np.ndarray] = itertools.cycle(pictures + pictures[::-1])
        self.taken = 0
        self.memory_mb: list[float] = []

    def grab(self) -> bool:
        """Go to the next picture."""
        if self.taken % STEP == 0:
            self.memory_mb.append((memory_bytes() or 0) / 1e6)
        self.taken += 1
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        """Return the picture."""
        return True, next(self.pictures).copy()


def main() -> None:
    """Print the memory after each 500 frames and how much it grew after the first 500."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--source", type=Path, help="a video; its first 100 frames are repeated")
    arguments = parser.parse_args()
    if arguments.source:
        capture = cv2.VideoCapture(str(arguments.source))
        pictures = [image for _ in range(100) if (image := capture.read()[1]) is not None]
    else:
        pictures = drawn_film(100, width=596, height=336)
    repeated = Repeated(pictures)
    source = Source("repeated", repeated, 25.0, 0, live=False)
    summary = run_live(
        source, EmotionRecognizer(), tracking=TrackingOptions(), max_frames=arguments.frames
    )
    print(summary)
    print("MB after each", STEP, "frames:", *(f"{value:.0f}" for value in repeated.memory_mb))
    grown = max(repeated.memory_mb[1:]) - repeated.memory_mb[1]
    print(f"grown after the first {STEP} frames: {grown:.1f} MB")


if __name__ == "__main__":
    main()
