"""Measure the memory and speed of the disk cache with few images and with many.

\b
    python scripts/bench/cache.py

Draws faces, varies them by shifting and brightening, and loads 3,000 and then 300,000 of them in
new processes: first with an empty cache, then with a full one. Each process then reads the same
number of training batches, without a model, and reports its peak memory. Finally, batches are read
in turn from the cache and from an array in memory.

Needs about 7 kB of disk per image: 2.1 GB for 300,000.
"""

from __future__ import annotations

import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cv2
import numpy as np
from drawn_inputs import drawn_faces
from measuring import memory_bytes, peak_bytes

from emodetect.emotions import EMOTIONS

if TYPE_CHECKING:
    from emodetect.data.batches import Images

SMALL_COUNT = 3000
BATCH_SIZE = 64
SIZE = 48  # pixels a side
BYTES_PER_IMAGE = 7000  # a PNG in its 4 KiB block, its pixels in the cache, folder entries
DIFFERENT_FACES = 2100
CLASSES = EMOTIONS[:7]
TURNS = 5
BATCHES_IN_A_TURN = 400


@dataclass(frozen=True)
class Memory:
    """A process's memory in bytes; None where the system does not report it.

    Attributes:
        peak: the peak, from getrusage.
        high_water: the peak, from /proc.
        anonymous: current memory that is not backed by a file.
    """

    peak: int
    high_water: int | None
    anonymous: int | None


@dataclass(frozen=True)
class Reading:
    """Median images per second: batches read by position, and batches ready for training."""

    read_from_cache: float
    read_from_array: float
    batches_from_cache: float
    batches_from_array: float


@dataclass(frozen=True)
class Measurement:
    """What a new process measured; `reading` only on request."""

    load_s: float
    after_imports: Memory
    after_load: Memory
    after_batches: Memory
    reading: Reading | None


@click.command(help=__doc__)
@click.option("--count", default=300_000, show_default=True, type=click.IntRange(SMALL_COUNT))
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the drawn images here for the next run. [default: a temporary folder]",
)
def main(count: int, folder: Path | None) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="emodetect-bench-", dir=folder) as scratch:
        free = shutil.disk_usage(scratch).free
        if free < count * BYTES_PER_IMAGE:
            raise click.ClickException(
                f"{count:,} images need {count * BYTES_PER_IMAGE / 1e9:.1f} GB of disk space, but "
                f"{scratch} has {free / 1e9:.1f} GB; lower --count or choose another --folder."
            )
        images = folder or Path(scratch)
        for number in (SMALL_COUNT, count):
            draw(images / f"{number}-images", number)
        steps = count // BATCH_SIZE
        results = {
            number: [
                in_fresh_process(
                    images / f"{number}-images",
                    cache_dir=Path(scratch) / f"cache-{number}",
                    steps=steps,
                    read=cached,
                )
                for cached in (False, True)
            ]
            for number in (SMALL_COUNT, count)
        }
    print_results(results, steps)


def draw(folder: Path, count: int) -> None:
    """Fill a folder with `count` different images of drawn faces, unless it exists."""
    if folder.is_dir():
        return
    print(f"drawing {count:,} images ...", file=sys.stderr)
    faces = [
        cv2.cvtColor(face, cv2.COLOR_BGR2GRAY)
        for face in drawn_faces(min(count, DIFFERENT_FACES), size=SIZE)
    ]
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for emotion in CLASSES:
        (unfinished / emotion).mkdir(parents=True)

    def write(number: int) -> None:
        variation, face = divmod(number, len(faces))
        pixels = np.roll(faces[face], variation % SIZE, axis=1)
        pixels = cv2.add(pixels, np.full_like(pixels, 2 * (variation // SIZE)))
        name = f"{CLASSES[face % len(CLASSES)]}/face_{number:07d}.png"
        if not cv2.imwrite(str(unfinished / name), pixels):
            raise OSError(f"{unfinished / name}: cannot be written")

    with ThreadPoolExecutor() as pool:
        for start in range(0, count, 10_000):
            list(pool.map(write, range(start, min(start + 10_000, count))))
    unfinished.rename(folder)


def in_fresh_process(folder: Path, *, cache_dir: Path, steps: int, read: bool) -> Measurement:
    """Run `measure` in a new process, so that nothing else counts towards its peak memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(measure, folder, cache_dir, steps, read).result()


def measure(folder: Path, cache_dir: Path, steps: int, read: bool) -> Measurement:
    """Load the images of a folder, read `steps` training batches, and note the memory used."""
    import emodetect.training  # noqa: F401  here because only this process needs TensorFlow
    from emodetect.config import AugmentationConfig, DataConfig
    from emodetect.data.batches import training_batches
    from emodetect.data.dataset import load_dataset

    after_imports = memory()
    started = time.perf_counter()
    dataset = load_dataset(DataConfig(path=folder, cache_dir=cache_dir), seed=0)
    load_s = time.perf_counter() - started
    after_load = memory()
    batches = partial(
        training_batches,
        targets=dataset.targets,
        members=dataset.indices("train"),
        batch_size=BATCH_SIZE,
        seed=0,
        first_step=0,
        augmentation=AugmentationConfig(),
    )
    for _ in batches(dataset.images, last_step=steps):
        pass
    after_batches = memory()
    reading = None
    if read:
        array = dataset.images[:]
        order = np.random.default_rng(0).permutation(len(array))
        positions = order[: len(order) // BATCH_SIZE * BATCH_SIZE].reshape(-1, BATCH_SIZE)
        read_from_cache, read_from_array = in_turns(
            *(partial(read_batches, images, positions) for images in (dataset.images, array))
        )
        batches_from_cache, batches_from_array = in_turns(
            *(
                partial(take, iter(batches(images, last_step=2**40)))
                for images in (dataset.images, array)
            )
        )
        reading = Reading(read_from_cache, read_from_array, batches_from_cache, batches_from_array)
    return Measurement(load_s, after_imports, after_load, after_batches, reading)


def memory() -> Memory:
    """Return the memory of this process."""
    peak = peak_bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return Memory(peak, memory_bytes("VmHWM"), memory_bytes("RssAnon"))


def in_turns(first: Callable[[int], None], second: Callable[[int], None]) -> tuple[float, float]:
    """Return the median images per second of two ways to read batches, measured alternately."""
    speeds: tuple[list[float], list[float]] = ([], [])
    for turn in range(-1, TURNS):
        for way, speed in zip((first, second), speeds, strict=True):
            started = time.perf_counter()
            way(BATCHES_IN_A_TURN)
            if turn >= 0:  # turn -1 warms up
                speed.append(BATCHES_IN_A_TURN * BATCH_SIZE / (time.perf_counter() - started))
    return statistics.median(speeds[0]), statistics.median(speeds[1])


def read_batches(images: Images, positions: np.ndarray, count: int) -> None:
    """Read `count` batches by the positions of their images."""
    for number in range(count):
        images[positions[number % len(positions)]]


def take(batches: Iterator[object], count: int) -> None:
    """Take `count` batches from an iterator."""
    for _ in islice(batches, count):
        pass


def print_results(results: dict[int, list[Measurement]], steps: int) -> None:
    """Print a column for each number of images, and the ratio of the second to the first."""
    (few, few_results), (many, many_results) = results.items()
    print(f"each process loads, then reads {steps:,} batches of {BATCH_SIZE}; MB = 1e6 bytes")
    print(f"{'images':<46}{few:>12,}{many:>12,}{'ratio':>10}")

    def line(
        name: str, values: list[float] | list[int | None], scale: float, digits: int = 0
    ) -> None:
        first, second = values
        if first is None or second is None:
            print(f"{name:<46}{'-':>12}{'-':>12}{'-':>10}")
            return
        shown = "".join(f"{value / scale:>12,.{digits}f}" for value in values)
        print(f"{name:<46}{shown}{second / first:>10.1%}")

    for number, kind in enumerate(("empty cache", "full cache")):
        pair = [few_results[number], many_results[number]]
        line(f"{kind}: load, s", [one.load_s for one in pair], 1, 2)
        each = [one.load_s / count for one, count in zip(pair, (few, many), strict=True)]
        line(f"{kind}: load, us per image", each, 1e-6)
        for when in ("imports", "load", "batches"):
            then = [getattr(one, f"after_{when}") for one in pair]
            line(f"{kind}: after {when}, peak MB (ru_maxrss)", [one.peak for one in then], 1e6)
            line(f"{kind}: after {when}, peak MB (VmHWM)", [one.high_water for one in then], 1e6)
            line(f"{kind}: after {when}, anonymous MB", [one.anonymous for one in then], 1e6)
    reading = [few_results[1].reading, many_results[1].reading]
    for what, cache, array in (
        ("read by position", "read_from_cache", "read_from_array"),
        ("training batches", "batches_from_cache", "batches_from_array"),
    ):
        from_cache = [getattr(one, cache) for one in reading]
        from_array = [getattr(one, array) for one in reading]
        line(f"{what}, cache, images/s", from_cache, 1)
        line(f"{what}, array in memory, images/s", from_array, 1)
        shares = [first / second for first, second in zip(from_cache, from_array, strict=True)]
        line(f"{what}, cache / array, %", shares, 0.01, 1)


if __name__ == "__main__":
    main()
