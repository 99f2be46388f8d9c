"""Measure the time and memory of `emodetect data audit` as the number of images grows.

\b
    python scripts/bench/audit.py
    python scripts/bench/audit.py --count 10000 --count 30000 --count 300000 --detector haar

Draws a few hundred faces and makes many copies of each with random noise and brightness, so that no
two images are alike. One image in a hundred repeats another exactly and must be found. Each audit
runs in its own process. Prints wall time, processor time and peak memory, and the time and memory
per image relative to the first count.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import click
import cv2
import numpy as np
from drawn_inputs import drawn_faces
from measuring import run_process

from emodetect.emotions import EMOTIONS

DIFFERENT_FACES = 500
SIZE = 48
COPY_EVERY = 100


@click.command(help=__doc__)
@click.option("--count", "counts", multiple=True, type=int, default=(10_000, 30_000))
@click.option("--detector", default="none", show_default=True)
def main(counts: tuple[int, ...], detector: str) -> None:
    first: tuple[float, float] | None = None
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="emodetect-bench-") as scratch:
            folder = Path(scratch) / "faces"
            draw(folder, count)
            out = Path(scratch) / "out"
            words = ("data", "audit", f"folder:{folder}", "--output", out, "--detector", detector)
            done = run_process([sys.executable, "-m", "emodetect", *words])
            figures = json.loads((out / "audit.json").read_text())
        memory = done.peak_bytes / 1e6
        first = first or (done.cpu_s / count, memory / count)
        found = figures["duplicates"]
        print(
            f"{count:>9,} images  {done.seconds:7.1f} s  {done.cpu_s:7.1f} s CPU  "
            f"{memory:7,.0f} MB  per image, relative to the first count: CPU time "
            f"{done.cpu_s / count / first[0]:.2f}, memory {memory / count / first[1]:.2f}  "
            f"copies found: {found['groups']:,} of {count // COPY_EVERY:,}, pairs not compared: "
            f"{found['pairs_not_compared']:,}",
            flush=True,
        )


def draw(folder: Path, count: int) -> None:
    """Fill class folders with faces; one in COPY_EVERY repeats the image before it."""
    generator = np.random.default_rng(0)
    pool = drawn_faces(min(count, DIFFERENT_FACES), size=SIZE, emotions=EMOTIONS)
    for emotion in EMOTIONS:
        (folder / emotion).mkdir(parents=True)
    image = pool[0]
    for number in range(count):
        if number % COPY_EVERY != 1:
            image = distorted(pool[number % len(pool)], generator)
        name = folder / EMOTIONS[number % len(EMOTIONS)] / f"{number:08d}.png"
        name.write_bytes(cv2.imencode(".png", image)[1].tobytes())


def distorted(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the face with a coarse and a fine noise pattern added, different for each call."""
    coarse = generator.normal(0, 60, (6, 6, 1)).astype(np.float32)
    pattern = cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)[:, :, np.newaxis]
    fine = generator.normal(0, 12, (SIZE, SIZE, 1))
    return np.clip(image + pattern + fine, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
