"""Measure how old live frames are when they are shown, without and with load on the machine.

\b
    python scripts/bench/latency.py

A simulated camera delivers 30 frames per second of wall time, as a driver does: a frame that nobody
fetches is replaced by the next. Each frame carries its number; its age is the time from the camera
to the window.
"""

from __future__ import annotations

import multiprocessing
import time

import click
import numpy as np
from drawn_inputs import FakeCapture, drawn_film

from emodetect.faces.tracking import TrackingOptions
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.videos.reading.capture import Source
from emodetect.recognition.videos.webcam import LiveOptions, run_live

FPS = 30.0
LIMIT_S = 0.1


class SimulatedCamera(FakeCapture):
    """Delivers the newest frame that is due; its number is in the last pixel row."""

    def __init__(self, pictures: list[np.ndarray]) -> None:
        self.pictures = pictures
        self.started_s = time.perf_counter()
        self.number = 0

    def grab(self) -> bool:
        """Wait for the next frame."""
        due = max(self.number + 1, int((time.perf_counter() - self.started_s) * FPS))
        time.sleep(max(0.0, self.started_s + due / FPS - time.perf_counter()))
        self.number = due
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        """Return the frame."""
        image = self.pictures[self.number % len(self.pictures)].copy()
        image[-1, -2:] = np.frombuffer(np.int64(self.number).tobytes()[:6], np.uint8).reshape(2, 3)
        return True, image


class AgeingWindow:
    """Records the age of each frame it is asked to show, for a number of seconds."""

    def __init__(self, camera: SimulatedCamera, seconds: float) -> None:
        self.camera, self.seconds = camera, seconds
        self.ages_s: dict[int, float] = {}

    def show(self, image: np.ndarray) -> None:
        """Record the age of a frame when it is first shown."""
        number = int.from_bytes(image[-1, -2:].tobytes(), "little")
        age_s = time.perf_counter() - self.camera.started_s - number / FPS
        self.ages_s.setdefault(number, age_s)

    def key(self) -> str:
        """Return no key, after leaving other threads a millisecond as OpenCV's waitKey does."""
        time.sleep(0.001)
        return ""

    def closed(self) -> bool:
        """Return whether the time is up."""
        return time.perf_counter() - self.camera.started_s > self.seconds

    def close(self) -> None:
        """Do nothing."""


def compute() -> None:
    """Keep a core busy forever."""
    matrix = np.random.default_rng(0).random((300, 300))
    while True:
        matrix = matrix @ matrix
        matrix /= matrix.max()


@click.command(help=__doc__)
@click.option("--seconds", default=20.0, show_default=True, help="Of each measurement.")
@click.option("--load", default=1, show_default=True, help="Processes that load the machine.")
def main(seconds: float, load: int) -> None:
    pictures = drawn_film(90, width=640, height=480)
    recognizer = EmotionRecognizer()
    recognizer.analyze(pictures[0])
    for count in sorted({0, load}):
        others = [multiprocessing.Process(target=compute, daemon=True) for _ in range(count)]
        for other in others:
            other.start()
        camera = SimulatedCamera(pictures)
        window = AgeingWindow(camera, seconds)
        source = Source("simulated camera", camera, FPS, 0, live=True)
        run_live(source, recognizer, LiveOptions(tracking=TrackingOptions()), window=window)
        for other in others:
            other.kill()
        ages_s = np.array(list(window.ages_s.values()))
        print(
            f"{count} other processes: {len(ages_s)} of {seconds * FPS:.0f} frames shown; "
            f"age: median {np.median(ages_s) * 1000:.0f} ms, p99 "
            f"{np.percentile(ages_s, 99) * 1000:.0f} ms, "
            f"{np.mean(ages_s < LIMIT_S):.2%} under {LIMIT_S * 1000:.0f} ms"
        )


if __name__ == "__main__":
    main()
