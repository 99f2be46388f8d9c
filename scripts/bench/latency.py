"""How old the shown frames of a live source are, while another process loads the machine.

A simulated camera gives 30 frames a second by the wall clock, as a driver does: a picture that
nobody takes is replaced by the next. Each carries its number, and when the window shows it, its
age is the time since the camera gave it.

    python scripts/bench/latency.py
"""

from __future__ import annotations

import argparse
import multiprocessing
import time

import numpy as np
from drawn_inputs import FakeCapture, drawn_film

from emodetect.faces.tracking import TrackingOptions
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.videos.capture import Source
from emodetect.recognition.videos.live import run_live

FPS = 30.0
LIMIT_S = 0.1


class SimulatedCamera(FakeCapture):
    """Gives the newest of the pictures that are due; the last pixel row holds its number."""

    def __init__(self, pictures: list[np.ndarray]) -> None:
        self.pictures = pictures
        self.started_s = time.perf_counter()
        self.number = 0

    def grab(self) -> bool:
        """Wait for the next picture."""
        due = max(self.number + 1, int((time.perf_counter() - self.started_s) * FPS))
        time.sleep(max(0.0, self.started_s + due / FPS - time.perf_counter()))
        self.number = due
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        """Return the picture."""
        image = self.pictures[self.number % len(self.pictures)].copy()
        image[-1, -2:] = np.frombuffer(np.int64(self.number).tobytes()[:6], np.uint8).reshape(2, 3)
        return True, image


class AgeingWindow:
    """Notes the age of each picture that it is to show, for some seconds."""

    def __init__(self, camera: SimulatedCamera, seconds: float) -> None:
        self.camera, self.seconds = camera, seconds
        self.ages_s: dict[int, float] = {}

    def show(self, image: np.ndarray) -> None:
        """Note the age at the first time that a picture is shown."""
        number = int.from_bytes(image[-1, -2:].tobytes(), "little")
        age_s = time.perf_counter() - self.camera.started_s - number / FPS
        self.ages_s.setdefault(number, age_s)

    def key(self) -> str:
        """Return no key; as OpenCV's waitKey does, give other threads a millisecond."""
        time.sleep(0.001)
        return ""

    def closed(self) -> bool:
        """Tell whether the time is up."""
        return time.perf_counter() - self.camera.started_s > self.seconds

    def close(self) -> None:
        """Do nothing."""


def compute() -> None:
    """Keep a core busy for ever."""
    matrix = np.random.default_rng(0).random((300, 300))
    while True:
        matrix = matrix @ matrix
        matrix /= matrix.max()


def main() -> None:
    """Print the ages of the shown frames, without and with the other load."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--load", type=int, default=1, help="processes that load the machine")
    arguments = parser.parse_args()
    pictures = drawn_film(90, width=640, height=480)
    recognizer = EmotionRecognizer()
    recognizer.analyze(pictures[0])
    for load in sorted({0, arguments.load}):
        others = [multiprocessing.Process(target=compute, daemon=True) for _ in range(load)]
        for other in others:
            other.start()
        camera = SimulatedCamera(pictures)
        window = AgeingWindow(camera, arguments.seconds)
        source = Source("simulated camera", camera, FPS, 0, live=True)
        run_live(source, recognizer, tracking=TrackingOptions(), window=window)
        for other in others:
            other.kill()
        ages_s = np.array(list(window.ages_s.values()))
        print(
            f"{load} other processes: {len(ages_s)} of {arguments.seconds * FPS:.0f} frames shown, "
            f"age median {np.median(ages_s) * 1000:.0f} ms, 99 % under "
            f"{np.percentile(ages_s, 99) * 1000:.0f} ms; "
            f"{np.mean(ages_s < LIMIT_S):.2%} younger than {LIMIT_S * 1000:.0f} ms"
        )


if __name__ == "__main__":
    main()
