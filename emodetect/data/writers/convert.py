"""Conversion of a data set to another layout, with the same pixels, labels and splits."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Protocol, TypeVar

import cv2
import numpy as np

from emodetect.config import DataConfig
from emodetect.data.crops import read_sample, refuse_small
from emodetect.data.labels import FER2013_EMOTIONS, split_named
from emodetect.data.listing import Listing, Sample, SkippedFile, skipped_lines
from emodetect.data.readers.fer2013_csv import COLUMNS, SIDE
from emodetect.data.readers.ferplus import votes_file
from emodetect.data.readers.registry import list_samples
from emodetect.data.readers.tfrecord import SUFFIX, example, write_shard
from emodetect.errors import DataError, EmodetectError, ImageError
from emodetect.images.formats import is_junk
from emodetect.images.model_input import to_input
from emodetect.machine.atomic_files import (
    LONGEST_NAME,
    folder_beside,
    move,
    replace_folder,
    shortened,
)
from emodetect.machine.computer import usable_cores
from emodetect.machine.csv_files import printable
from emodetect.machine.output_folder import writing
from emodetect.machine.progress import track
from emodetect.machine.threads import bounded_map
from emodetect.number_format import quantity

# A folder with this file was written by a conversion, and may be replaced.
RECORD = "conversion.json"

SHARD_SIZE = 4096  # images in a shard, by default
AT_ONCE = 8  # images waiting to be written, per thread

Encoded = TypeVar("Encoded")


class _Images(Protocol):
    """The readable images, one after the other."""

    def __call__(self, encode: Callable[[np.ndarray], Encoded]) -> Iterator[tuple[Sample, Encoded]]:
        """Yield each sample with its pixels as returned by `encode`, which runs in threads."""


@dataclass(frozen=True)
class Conversion:
    """How many images were written, and which could not be read."""

    images: int
    skipped: tuple[SkippedFile, ...]

    def describe(self, out: Path) -> list[str]:
        """Return lines that say what was skipped, and how many images were written to `out`."""
        return [*skipped_lines(self.skipped), f"{out}: {quantity(self.images, 'image')}"]


@dataclass(frozen=True)
class ConversionOptions:
    """Where and how `convert` writes a data set.

    Attributes:
        output: the folder to write; the file for "fer2013_csv".
        layout: "folder" (PNGs at their own size in class folders, inside split folders if there
            are splits), "fer2013_csv" (greyscale, 48x48, seven emotions; images without a split
            become Training), or "tfrecord" (shards of `shard_size` PNGs).
        shard_size: images per shard.
        force: replace an earlier conversion, or a file.
    """

    output: Path
    layout: str
    shard_size: int = SHARD_SIZE
    force: bool = False


def convert(config: DataConfig, options: ConversionOptions) -> Conversion:
    """Write the images of a data set in another layout.

    With `data.faces` "detect" whole photos are written, not faces. `output` is written completely
    or not at all; unfinished output is kept next to it under a hidden name.

    Raises:
        DataError: for data that cannot be read, or that the layout cannot hold.
        EmodetectError: for an `output` that exists, or that overlaps with the data.
    """
    if options.layout == "fer2013_csv" and config.faces == "detect":
        raise DataError(
            "fer2013.csv holds face crops, not whole photos; crop the faces first (emodetect data "
            "crop), or convert to another layout."
        )
    out = Path(os.path.realpath(options.output))
    _check_out(out, options.layout, force=options.force)
    _refuse_overlap(out, config)
    listing = list_samples(config)
    _refuse_own_images(out, listing)
    _refuse_partly_split(listing, options.layout)
    skipped = list(listing.skipped)
    images = partial(_read, listing, skipped)
    with _whole(out) as unfinished:
        written = LAYOUTS[options.layout](images, listing, unfinished, options.shard_size)
        if not written:
            raise DataError(f"{config.path}: no image can be read; the first: {skipped[0]}.")
        if unfinished.is_dir():
            files = 1 + _file_count(unfinished)
            record = {
                "layout": options.layout,
                "images": written,
                "skipped": len(skipped),
                "files": files,
            }
            (unfinished / RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")
    return Conversion(written, tuple(skipped))


def _check_out(out: Path, layout: str, *, force: bool) -> None:
    """Raise EmodetectError if `out` must not be written or replaced."""
    is_file = layout == "fer2013_csv"
    if is_file and out.suffix.lower() != ".csv":
        raise EmodetectError(f"{out}: expected a name ending in .csv.")
    if not is_file and out.suffix.lower() in (".csv", ".tfrecord") and not out.is_dir():
        raise EmodetectError(
            f"{out}: expected a folder for the layout {layout}, got the name of a file."
        )
    if not out.exists() or (out.is_dir() and not is_file and not any(out.iterdir())):
        return
    if is_file == out.is_dir():
        raise EmodetectError(f"{out}: is a {'folder' if is_file else 'file'}; choose another path.")
    if not force:
        raise EmodetectError(
            f"{out}: already exists; choose another path, or add --force to replace it."
        )
    if out.is_dir() and not (out / RECORD).is_file():
        raise EmodetectError(
            f"{out}: contains files that are not from a conversion ({RECORD} is missing), which "
            "--force does not replace; choose another folder."
        )
    if out.is_dir() and _file_count(out) > _recorded_files(out / RECORD):
        raise EmodetectError(
            f"{out}: contains files beside those of an earlier conversion, which --force does not "
            "delete; move them away, or choose another folder."
        )


def _file_count(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))


def _recorded_files(record: Path) -> int:
    try:
        return int(json.loads(record.read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, TypeError, KeyError):
        return 0  # damaged, or not ours


def _refuse_overlap(out: Path, config: DataConfig) -> None:
    votes = votes_file(config) if config.source == "ferplus" else None
    for given in (config.path, votes):
        place = Path(os.path.realpath(given)) if given else None
        if place and (place.is_relative_to(out) or (place.is_dir() and out.is_relative_to(place))):
            raise EmodetectError(
                f"{out}: overlaps with {given}, which is to be converted; choose another path."
            )


def _refuse_own_images(out: Path, listing: Listing) -> None:
    """Raise EmodetectError if a manifest names images in the folder that would be replaced."""
    for folder in {(listing.root / sample.file).parent for sample in listing.samples}:
        if Path(os.path.realpath(folder)).is_relative_to(out):
            raise EmodetectError(
                f"{out}: contains images that are to be converted; choose another path."
            )


def _refuse_partly_split(listing: Listing, layout: str) -> None:
    """Raise DataError for images without a split beside others, in a layout that gives each one.

    In training they would join the split of their copies, and be divided otherwise.
    """
    without = sum(sample.split is None for sample in listing.samples)
    if layout != "tfrecord" and 0 < without < len(listing.samples):
        raise DataError(
            f"{without:,} of {len(listing.samples):,} images have no split, which {layout} cannot "
            "tell; assign all splits first (emodetect data split), or convert to tfrecord."
        )


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """Yield a path to write, which becomes `out` in one step at the end."""
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        # Always under a new name, so that no remains of a killed process get in.
        with folder_beside(out) as folder:
            unfinished = folder / "data"
            yield unfinished
            replace_folder(unfinished, out, aside=folder / "earlier")


def _read(
    listing: Listing, skipped: list[SkippedFile], encode: Callable[[np.ndarray], Encoded]
) -> Iterator[tuple[Sample, Encoded]]:
    def read(sample: Sample) -> Encoded | SkippedFile:
        try:
            image = read_sample(listing.root, sample)
            refuse_small(image)  # training does not use it either
            # Encoded here, so that each thread has at most one decoded photo in memory.
            return encode(image)
        except ImageError as error:
            return SkippedFile(sample.name, str(error))

    threads = usable_cores()
    with ThreadPoolExecutor(threads) as pool:
        images = bounded_map(pool, read, listing.samples, at_once=AT_ONCE * threads)
        bar = track(images, description="converting", total=len(listing.samples))
        for sample, image in zip(listing.samples, bar, strict=True):
            if isinstance(image, SkippedFile):
                skipped.append(image)
            else:
                yield sample, image


def _to_folder(images: _Images, listing: Listing, out: Path, shard_size: int) -> int:
    if splits := [name for name in listing.emotions if split_named(name)]:
        raise DataError(
            f"the label {splits[0]} is the name of a split, for which its folder would be taken; "
            "convert to another layout."
        )
    if ignored := [name for name in listing.emotions if is_junk(name)]:
        raise DataError(
            f"the label {ignored[0]} is the name of a system folder, which readers of folders "
            "ignore; convert to another layout."
        )
    taken: set[Path] = set()
    numbers: Counter[Path] = Counter()  # how many more images had the same name
    for sample, png in images(_png):
        folder = out / (sample.split or "")
        # FER+ votes are matched by file name, so that is kept, if there is one.
        stem = _stem(sample)
        first = path = folder / sample.emotion / _file_name(stem, ".png")
        while path in taken:
            numbers[first] += 1
            path = first.with_name(_file_name(stem, f"_{numbers[first] + 1}.png"))
        taken.add(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)
    return len(taken)


def _to_csv(images: _Images, listing: Listing, out: Path, shard_size: int) -> int:
    if foreign := [name for name in listing.emotions if name not in FER2013_EMOTIONS]:
        raise DataError(
            f"fer2013.csv has the emotions {', '.join(FER2013_EMOTIONS)}, but not "
            f"{', '.join(foreign)}; choose the emotions to convert with --classes."
        )
    splits = {sample.split for sample in listing.samples}
    if "val" in splits and "test" not in splits:
        raise DataError(
            "fer2013.csv has no Usage for validation images without test images; add a test "
            "split, or convert to another layout."
        )
    # As read_fer2013_csv reads them: PublicTest is validation if there is a PrivateTest.
    test = "PrivateTest" if "val" in splits else "PublicTest"
    usage = {"train": "Training", None: "Training", "val": "PublicTest", "test": test}
    written: Counter[str] = Counter()
    with out.open("x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for sample, pixels in images(_pixels):
            label = FER2013_EMOTIONS.index(sample.emotion)
            writer.writerow([label, pixels, usage[sample.split]])
            written[usage[sample.split]] += 1
    if written["PublicTest"] and test == "PrivateTest" and not written[test]:
        raise DataError(
            "none of the test images can be read, and without them the validation images in "
            "fer2013.csv would be read as test images; repair them, or convert to another layout."
        )
    return written.total()


def _to_tfrecord(images: _Images, listing: Listing, out: Path, shard_size: int) -> int:
    out.mkdir()
    records = (
        example(
            image=png,
            emotion=sample.emotion,
            label=listing.emotions.index(sample.emotion),
            split=sample.split,
            name=printable(sample.name),
        )
        for sample, png in images(_png)
    )
    written = 0
    shards: list[Path] = []
    for first in records:
        shards.append(out / f"{len(shards)}{SUFFIX}")
        written += write_shard(shards[-1], chain([first], islice(records, shard_size - 1)))
    # Their number, known only now, is part of the names, so that a missing one is noticed.
    for number, shard in enumerate(shards):
        move(shard, out / f"images-{number:05d}-of-{len(shards):05d}{SUFFIX}")
    return written


LAYOUTS: dict[str, Callable[[_Images, Listing, Path, int], int]] = {
    "folder": _to_folder,
    "fer2013_csv": _to_csv,
    "tfrecord": _to_tfrecord,
}


def _stem(sample: Sample) -> str:
    if sample.offset is None:
        # Readers ignore hidden files.
        return Path(sample.name).stem.lstrip(".") or "image"
    file, _, number = sample.name.rpartition(":")  # a row or record of a file
    return f"{Path(file).stem}_{int(number):07d}"


def _file_name(stem: str, ending: str) -> str:
    return shortened(stem, LONGEST_NAME - len(ending)) + ending


def _pixels(image: np.ndarray) -> str:
    return " ".join(map(str, to_input(image, size=SIDE, color="gray").ravel().tolist()))


def _png(image: np.ndarray) -> bytes:
    gray = image[:, :, 0]
    if (image == gray[:, :, np.newaxis]).all():
        image = gray
    return bytes(cv2.imencode(".png", image)[1])
