"""Measure the memory of `emodetect webcam --no-display` over a long video: it must not grow.

\b
    python scripts/bench/video_memory.py                  # a drawn film, 20,000 frames
    python scripts/bench/video_memory.py --frames 5000 --source talk.mp4

Linux only: reads the process's memory from /proc every 500 frames.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import click
import cv2
import numpy as np
from drawn_inputs import FakeCapture, drawn_film
from measuring import memory_bytes

from emodetect.faces.tracking import TrackingOptions
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.videos.reading.capture import Source
from emodetect.recognition.videos.webcam import LiveOptions, run_live

STEP = 500


class Repeated(FakeCapture):
    """Delivers the same frames over and over, and records the memory used."""

    def __init__(self, pictures: list[np.ndarray]) -> None:
        # Forwards and backwards, so that nothing jumps.
        self.pictures: Iterator[np.ndarray] = itertools.cycle(pictures + pictures[::-1])
        self.taken = 0
        self.memory_mb: list[float] = []

    def grab(self) -> bool:
        """Go to the next frame."""
        if self.taken % STEP == 0:
            self.memory_mb.append((memory_bytes() or 0) / 1e6)
        self.taken += 1
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        """Return the frame."""
        return True, next(self.pictures).copy()


@click.command(help=__doc__)
@click.option("--frames", default=20_000, show_default=True, type=click.IntRange(STEP + 1))
@click.option(
    "--source",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A video whose first 100 frames are repeated. [default: a drawn film]",
)
def main(frames: int, source: Path | None) -> None:
    if source:
        capture = cv2.VideoCapture(str(source))
        pictures = [image for _ in range(100) if (image := capture.read()[1]) is not None]
    else:
        pictures = drawn_film(100, width=596, height=336)
    repeated = Repeated(pictures)
    options = LiveOptions(tracking=TrackingOptions(), max_frames=frames)
    summary = run_live(
        Source("repeated", repeated, 25.0, 0, live=False), EmotionRecognizer(), options
    )
    print(summary)
    print("MB every", STEP, "frames:", *(f"{value:.0f}" for value in repeated.memory_mb))
    grown = max(repeated.memory_mb[1:]) - repeated.memory_mb[1]
    print(f"growth after the first {STEP} frames: {grown:.1f} MB")


if __name__ == "__main__":
    main()
