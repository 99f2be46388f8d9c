"""Compare `emodetect predict` on a folder of face crops with loops over the same images.

\b
    python scripts/bench/folder.py
    python scripts/bench/folder.py --cores 2

Draws the crops; then all sides, in turn and in one process, read, classify and write a JSON line
for each. The plain loop takes one image at a time, with the recogniser; the bare loop is the least
that gives the same emotions: OpenCV and the runtime, eight images at a time, nothing checked. Both
use one thread; `predict` starts its worker processes anew each time. A short round first warms up
files and code, and the best round of each side counts. On a busy machine compare the processor time
instead: with two cores, the ratio to the plain loop can be twice that of the wall times.

Also prints the memory of `predict` and its workers early in a round and at its end.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import cv2
import numpy as np
from drawn_inputs import drawn_faces
from measuring import memory_bytes

from emodetect.emotions import EMOTIONS
from emodetect.images.model_input import channels_of
from emodetect.images.reading import read_image
from emodetect.recognition.photos.analysis import FACES_AT_ONCE, PhotoResult
from emodetect.recognition.photos.file_search import find_photos
from emodetect.recognition.photos.output_formats import as_jsonl, photo_record
from emodetect.recognition.photos.result_file import open_photo_rows
from emodetect.recognition.photos.workers import analyze_many
from emodetect.recognition.recognizer import EmotionRecognizer

CLASSES = EMOTIONS[:7]
DIFFERENT_FACES = 500
WARM_UP_PHOTOS = 500
EARLY = 0.2  # share of the photos after which memory is first measured


@click.command(help=__doc__)
@click.option("--count", default=10_000, show_default=True, type=click.IntRange(WARM_UP_PHOTOS))
@click.option(
    "--size",
    default=48,
    show_default=True,
    type=click.IntRange(8),
    help="Side of a crop, in pixels.",
)
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--model", metavar="FILE|NAME", help="[default: the shipped model]")
@click.option("--workers", type=click.IntRange(0), help="[default: as predict chooses]")
@click.option("--cores", type=click.IntRange(1), help="Cores to use. [default: all]")
def main(
    count: int, size: int, rounds: int, model: str | None, workers: int | None, cores: int | None
) -> None:
    if cores is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    with tempfile.TemporaryDirectory(prefix="emodetect-bench-") as scratch:
        folder, few = Path(scratch) / "faces", Path(scratch) / "few"
        draw(folder, count, size=size)
        draw(few, WARM_UP_PHOTOS, size=size)
        out = Path(scratch) / "rows.jsonl"
        open_recognizer = partial(EmotionRecognizer, model, detector="none")
        loop = partial(plain_loop, open_recognizer(threads=1), out=out)
        bare = partial(bare_loop, open_recognizer(threads=1), out=Path(scratch) / "bare.jsonl")
        predict = Predict(open_recognizer, out, workers)
        for way in (loop, bare, predict):
            way(few)
        durations: dict[str, list[Duration]] = {"plain loop": [], "bare loop": [], "predict": []}
        for _ in range(rounds):
            durations["plain loop"].append(timed(loop, folder))
            rows = out.read_text()
            durations["bare loop"].append(timed(bare, folder))
            durations["predict"].append(timed(predict, folder))
            if out.read_text() != rows:
                raise click.ClickException("predict and the plain loop wrote different rows")
    best, processor = {}, {}
    for name, rounds_of_it in durations.items():
        best[name] = min(duration.clock_s for duration in rounds_of_it)
        each = ", ".join(f"{count / duration.clock_s:,.0f}" for duration in rounds_of_it)
        processor[name] = min(duration.processor_s for duration in rounds_of_it)
        print(
            f"{name:<10}  {count / best[name]:>7,.0f} images/s (best of {each}), "
            f"{1000 * processor[name] / count:.2f} ms CPU per image"
        )
    print(
        f"predict is {best['plain loop'] / best['predict']:.2f} times as fast as the plain loop, "
        f"and takes {processor['predict'] / processor['bare loop']:.2f} times the processor time "
        "of the bare loop"
    )
    early, late = predict.memory
    if early and late:
        print(
            f"memory of predict and its workers: {early / 1e6:,.0f} MB after "
            f"{EARLY:.0%} of the photos, {late / 1e6:,.0f} MB at the end"
        )


def draw(folder: Path, count: int, *, size: int) -> None:
    """Fill a folder with copies of DIFFERENT_FACES drawn faces."""
    drawn = [
        cv2.imencode(".png", face)[1]
        for face in drawn_faces(min(count, DIFFERENT_FACES), size=size)
    ]
    for number in range(count):
        file = folder / CLASSES[number % len(CLASSES)] / f"{number:08d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(drawn[number % len(drawn)].tobytes())


def plain_loop(recognizer: EmotionRecognizer, folder: Path, *, out: Path) -> None:
    """Write a JSON line for each image, one by one."""
    with out.open("w") as file:
        for path in sorted(folder.rglob("*.png")):
            image = read_image(path)
            height, width = image.shape[:2]
            faces = tuple(recognizer.analyze(image))
            result = PhotoResult(str(path), width, height, faces)
            file.write(json.dumps(photo_record(result)) + "\n")


def bare_loop(recognizer: EmotionRecognizer, folder: Path, *, out: Path) -> None:
    """Write a JSON line for each image, eight at a time, with as little else as possible."""
    runtime, emotions, metadata = recognizer.runtime, recognizer.emotions, recognizer.metadata
    flag = cv2.IMREAD_GRAYSCALE if metadata.color == "gray" else cv2.IMREAD_COLOR_RGB
    side, channels = metadata.image_size, channels_of(metadata.color)
    paths = sorted(folder.rglob("*.png"))
    with out.open("w") as file:
        for start in range(0, len(paths), FACES_AT_ONCE):
            some = paths[start : start + FACES_AT_ONCE]
            images = [cv2.resize(cv2.imread(str(path), flag), (side, side)) for path in some]
            batch = np.array(images, np.float32).reshape(-1, side, side, channels)
            for path, scores in zip(some, runtime.run(batch).tolist(), strict=True):
                row = {"path": str(path), "scores": dict(zip(emotions, scores, strict=True))}
                file.write(json.dumps(row) + "\n")


class Predict:
    """Does what `emodetect predict FOLDER --output rows.jsonl` does.

    Attributes:
        memory: bytes used by this process and its workers, early in the last run and at its end.
    """

    def __init__(
        self, open_recognizer: Callable[..., EmotionRecognizer], out: Path, workers: int | None
    ) -> None:
        self.open_recognizer = open_recognizer
        self.recognizer = open_recognizer()
        self.out = out
        self.workers = workers
        self.memory: tuple[int, int] = (0, 0)

    def __call__(self, folder: Path) -> None:
        photos = list(find_photos([folder]))
        looks = {int(len(photos) * EARLY), len(photos)}
        seen = []
        emotions = self.recognizer.emotions
        with open_photo_rows(self.out, "jsonl", emotions, resume=False, force=True) as rows:
            results = analyze_many(
                find_photos([folder]),
                self.recognizer,
                open_recognizer=self.open_recognizer,
                workers=self.workers,
            )
            for number, text in enumerate(as_jsonl(results, emotions), start=1):
                rows.write(text)
                if number in looks:
                    seen.append(memory_of_all())
        self.memory = seen[0], seen[-1]


def memory_of_all() -> int:
    """Return the bytes used by this process and its children; 0 off Linux."""
    total = 0
    for children in Path("/proc/self/task").glob("*/children"):
        for process in children.read_text().split():
            total += memory_bytes(pid=process) or 0
    return total + (memory_bytes() or 0)


@dataclass(frozen=True)
class Duration:
    """Wall time and processor time, the latter over all threads and processes."""

    clock_s: float
    processor_s: float


def timed(way: Callable[[Path], None], folder: Path) -> Duration:
    """Return how long a run takes."""
    clock, processor = time.perf_counter(), processor_seconds()
    way(folder)
    return Duration(time.perf_counter() - clock, processor_seconds() - processor)


def processor_seconds() -> float:
    """Return the processor time of this process and of its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main()
