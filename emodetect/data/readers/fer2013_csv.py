"""FER2013 as a csv (Goodfellow et al. 2013), and the FER+ votes on it (Barsoum et al. 2016)."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np

from emodetect.config import DataConfig
from emodetect.data.listing import Listing, Sample, SkippedFile
from emodetect.data.readers.folder import files_below, read_folder
from emodetect.data.readers.labels import label_order
from emodetect.data.readers.manifest import open_csv, require_columns
from emodetect.emotions import EMOTIONS
from emodetect.errors import DataError, ImageError
from emodetect.images.preprocessing import has_image_suffix

SIDE = 48
# The meaning of the numbers 0 to 6 in the column "emotion".
FER2013_EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
COLUMNS = ("emotion", "pixels", "Usage")
USAGES = ("Training", "PublicTest", "PrivateTest")
VOTE_COLUMNS = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "sad": "sadness",
    "surprise": "surprise",
    "contempt": "contempt",
}
# Votes that name no emotion.
OTHER_VOTES = {"unknown": "unknown", "NF": "no face"}
VOTES_FILE = "fer2013new.csv"
# A row of 2,304 pixels has at most 9,300 bytes.
LONGEST_ROW = 2**16


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of fer2013.csv without its pixels; `offset` is where it begins, in bytes."""

    name: str
    offset: int
    emotion: str
    usage: str


def read_fer2013_csv(config: DataConfig) -> Listing:
    """List the rows of fer2013.csv: emotion (0-6), pixels (2,304 numbers), Usage.

    The file is streamed; the pixels are read when a row's image is decoded.
    """
    path = config.path
    assert path is not None  # the schema requires it for this source
    rows: list[_Row] = []
    usages: set[str] = set()
    skipped: list[SkippedFile] = []
    left_out: Counter[str] = Counter()
    for row in _rows(path):
        if isinstance(row, SkippedFile):
            skipped.append(row)
            continue
        usages.add(row.usage)
        if config.classes and row.emotion not in config.classes:
            left_out[f"emotion outside data.classes: {row.emotion}"] += 1
        else:
            rows.append(row)
    split_of = _splits(usages, config)
    samples = tuple(
        Sample(row.name, path.name, row.emotion, split_of[row.usage], offset=row.offset)
        for row in rows
    )
    if skipped and not samples and not left_out:
        raise DataError(f"{path}: no row can be used; the first: {skipped[0]}.")
    emotions = label_order(samples, config, where=str(path))
    numbers = {str(number): emotion for number, emotion in enumerate(FER2013_EMOTIONS)}
    return Listing(
        path.parent, samples, emotions, dict(left_out), tuple(skipped), label_names=numbers
    )


def read_pixels(path: Path, offset: int) -> np.ndarray:
    """Return the image of the row of fer2013.csv that begins at `offset`.

    Returns:
        (48, 48, 3) uint8 BGR.

    Raises:
        ImageError: for a number of pixels other than 2,304, or one outside 0-255.
    """
    try:
        with path.open("rb") as file:
            position = _fields(file.readline(LONGEST_ROW)).index("pixels")
            file.seek(offset)
            text = _fields(file.readline(LONGEST_ROW))[position].split()
        pixels = np.array([int(value) for value in text])
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}") from None
    except (ValueError, IndexError):
        raise ImageError("expected pixels as whole numbers, got other text") from None
    if len(pixels) != SIDE * SIDE:
        raise ImageError(f"expected {SIDE * SIDE:,} pixels, got {len(pixels):,}")
    if pixels.min() < 0 or pixels.max() > 255:
        wrong = pixels[(pixels < 0) | (pixels > 255)][0]
        raise ImageError(f"expected pixels from 0 to 255, got {wrong}")
    return np.repeat(pixels.astype(np.uint8).reshape(SIDE, SIDE, 1), 3, axis=2)


def read_ferplus(config: DataConfig) -> Listing:
    """List images with FER+ votes; the label is the emotion strictly ahead of all columns.

    Images whose votes tie, or have "unknown" or "no face" ahead, are left out and counted.
    `data.path` is a folder of PNGs, joined to the votes by file name, or fer2013.csv, joined
    by row.
    """
    path = config.path
    assert path is not None  # the schema requires it for this source
    votes_file = _votes_file(config, path)
    votes = list(_vote_rows(votes_file))
    images = _images_by_name(path, votes) if path.is_dir() else _images_by_row(path, votes)
    pairs = list(zip(votes, images.of_row, strict=True))
    split_of = _splits(
        {
            row.usage
            for row, image in pairs
            if isinstance(row, _Votes) and isinstance(image, Sample)
        },
        config,
    )
    samples: list[Sample] = []
    skipped: list[SkippedFile] = []
    left_out: Counter[str] = Counter()
    for row, image in pairs:
        if image is None:
            left_out["votes without an image"] += 1
        elif isinstance(image, SkippedFile):
            skipped.append(image)
        elif isinstance(row, SkippedFile):
            skipped.append(row)
        elif row.winner not in EMOTIONS:
            left_out[f"votes: {row.winner}"] += 1
        elif config.classes and row.winner not in config.classes:
            left_out[f"emotion outside data.classes: {row.winner}"] += 1
        else:
            split = split_of[row.usage]
            samples.append(replace(image, emotion=row.winner, split=split, votes=row.votes))
    if images.without_votes:
        left_out["image without votes"] = images.without_votes
    if not samples:
        _refuse_all(path, votes_file, images, left_out, skipped)
    emotions = label_order(samples, config, where=f"{path} with {votes_file}")
    return Listing(
        images.root,
        tuple(samples),
        emotions,
        dict(left_out),
        tuple(skipped),
        label_names={column: emotion for emotion, column in VOTE_COLUMNS.items()},
    )


def _refuse_all(
    path: Path,
    votes_file: Path,
    images: _Images,
    left_out: Mapping[str, int],
    skipped: Sequence[SkippedFile],
) -> NoReturn:
    where = f"{path} with {votes_file}"
    if images.without_votes and all(image is None for image in images.of_row):
        raise DataError(
            f"{where}: none of the {images.without_votes:,} images has a row of votes; they are "
            "joined by the file's name, such as fer0000000.png. Images by other names are joined "
            "by row: give fer2013.csv as data.path."
        )
    reasons = [f"{reason} {count:,}" for reason, count in left_out.items()]
    if skipped:
        reasons.append(f"rows at fault {len(skipped):,}, the first: {skipped[0]}")
    raise DataError(f"{where}: no image is left ({'; '.join(reasons) or 'there are no votes'}).")


def read_unvoted(config: DataConfig) -> Listing:
    """List the images of the `ferplus` source with the labels that they have without the votes.

    Those of fer2013.csv, or of class folders; a flat folder of PNGs has none but the votes'.
    """
    path = config.path
    assert path is not None  # the schema requires it for this source
    plain = {"votes": None, "soft_labels": False}
    if not path.is_dir():
        return read_fer2013_csv(config.model_copy(update={"source": "fer2013_csv", **plain}))
    if any(folder.is_dir() for folder in path.iterdir()):
        return read_folder(config.model_copy(update={"source": "folder", **plain}))
    return read_ferplus(config)


def read_winners(config: DataConfig) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return what the voters of the `ferplus` source chose for each image, by its name.

    The first is the emotion, "unknown" or "no face" strictly ahead, or "tie"; the second the
    votes for EMOTIONS, in that order.
    """
    path = config.path
    assert path is not None  # the schema requires it for this source
    votes = list(_vote_rows(_votes_file(config, path)))
    images = _images_by_name(path, votes) if path.is_dir() else _images_by_row(path, votes)
    return {
        image.name: (row.winner, row.votes)
        for row, image in zip(votes, images.of_row, strict=True)
        if isinstance(row, _Votes) and isinstance(image, Sample)
    }


@dataclass(frozen=True, slots=True)
class _Votes:
    """A row of fer2013new.csv: `winner` is the column strictly ahead, or "tie".

    `votes` are those for EMOTIONS, in that order.
    """

    image_name: str
    usage: str
    winner: str
    votes: tuple[int, ...]


@dataclass(frozen=True)
class _Images:
    """The image of each row of votes, None where there is none; its label is not set yet."""

    root: Path
    of_row: list[Sample | SkippedFile | None]
    without_votes: int = 0


def _images_by_name(folder: Path, votes: list[_Votes | SkippedFile]) -> _Images:
    files: dict[str, str] = {}
    for file in filter(has_image_suffix, files_below(folder)):
        relative = file.relative_to(folder).as_posix()
        if file.name in files:
            raise DataError(
                f"{folder}: two images have one name, by which the votes are joined: "
                f"{files[file.name]} and {relative}. Remove one."
            )
        files[file.name] = relative
    of_row: list[Sample | SkippedFile | None] = []
    for row in votes:
        if isinstance(row, SkippedFile):  # nothing but its place is known
            of_row.append(row)
            continue
        name = files.pop(row.image_name, None)
        of_row.append(None if name is None else Sample(name, name, "", None))
    return _Images(folder, of_row, without_votes=len(files))


def _images_by_row(path: Path, votes: list[_Votes | SkippedFile]) -> _Images:
    rows = list(_rows(path))
    if len(rows) != len(votes):
        raise DataError(
            f"{path}: has {len(rows):,} rows, but the votes have {len(votes):,}; they are joined "
            "row by row, so that both must be the complete files."
        )
    of_row: list[Sample | SkippedFile | None] = []
    for row, vote in zip(rows, votes, strict=True):
        if isinstance(row, SkippedFile):
            of_row.append(row)
            continue
        if isinstance(vote, _Votes) and vote.usage != row.usage:
            raise DataError(
                f"{row.name}: has the Usage {row.usage}, but its row of votes {vote.usage}; the "
                "two files do not belong together."
            )
        of_row.append(Sample(row.name, path.name, "", None, offset=row.offset))
    return _Images(path.parent, of_row)


def _votes_file(config: DataConfig, path: Path) -> Path:
    if config.votes is not None:
        return config.votes
    if not path.exists():
        raise DataError(f"{path}: no such file or folder.")
    places = [path / VOTES_FILE, path.parent / VOTES_FILE]
    for place in places:
        if place.is_file():
            return place
    raise DataError(
        f"no {VOTES_FILE} in or beside {path}; name the file of the FER+ votes with data.votes."
    )


def _vote_rows(path: Path) -> Iterator[_Votes | SkippedFile]:
    with open_csv(path) as file:
        rows = csv.DictReader(file)
        columns = ("Usage", "Image name", *VOTE_COLUMNS.values(), *OTHER_VOTES)
        require_columns(path, rows.fieldnames, columns)
        for row in rows:
            try:
                yield _read_votes(row)
            except ValueError as error:
                yield SkippedFile(f"{path.name}:{rows.line_num}", str(error))


def _read_votes(row: Mapping[str, str]) -> _Votes:
    if None in row or None in row.values():
        raise ValueError("expected as many values as the first line has, got another number")
    counts = {emotion: _vote_count(row[column]) for emotion, column in VOTE_COLUMNS.items()}
    others = {name: _vote_count(row[column]) for column, name in OTHER_VOTES.items()}
    ranked = sorted((counts | others).items(), key=lambda item: -item[1])
    winner = ranked[0][0] if ranked[0][1] > ranked[1][1] else "tie"
    votes = tuple(counts[emotion] for emotion in EMOTIONS)
    return _Votes(row["Image name"].strip(), _usage(row["Usage"]), winner, votes)


def _vote_count(value: str) -> int:
    # Not int(): it takes "1_0" and, below 0, another message than for text.
    if not (value.strip().isascii() and value.strip().isdigit()):
        raise ValueError(f"expected whole numbers of votes, got {value!r}")
    return int(value)


def _rows(path: Path) -> Iterator[_Row | SkippedFile]:
    """Yield the rows of fer2013.csv with their labels, or what is wrong with them."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from None
    with file:
        lines = iter(partial(file.readline, LONGEST_ROW), b"")
        header = next(lines, b"")
        if b"\0" in header or "\ufffd" in _text(header):
            raise DataError(f"{path}: expected a csv file in UTF-8, got other bytes.")
        columns = _fields(header)
        require_columns(path, columns, COLUMNS)
        emotion, usage = columns.index("emotion"), columns.index("Usage")
        offset = len(header)
        for number, line in enumerate(lines, start=2):
            if len(line) == LONGEST_ROW:
                raise DataError(
                    f"{path}, line {number}: is longer than any row of {SIDE * SIDE:,} pixels."
                )
            if not line.strip():  # as csv.DictReader does, so that rows are joined to votes
                offset += len(line)
                continue
            name = f"{path.name}:{number}"
            try:
                fields = _fields(line)
                if len(fields) != len(columns):
                    raise ValueError(f"expected {len(columns)} values, got {len(fields)}")
                yield _Row(name, offset, _emotion(fields[emotion]), _usage(fields[usage]))
            except ValueError as error:
                yield SkippedFile(name, str(error))
            offset += len(line)


def _fields(line: bytes) -> list[str]:
    try:
        return [value.strip() for value in next(csv.reader([_text(line)]), [])]
    except csv.Error:  # a line of carriage returns
        return []


def _text(line: bytes) -> str:
    return line.decode("utf-8-sig", errors="replace")


def _emotion(value: str) -> str:
    if value not in map(str, range(len(FER2013_EMOTIONS))):
        raise ValueError(f"expected an emotion from 0 to 6, got {value!r}")
    return FER2013_EMOTIONS[int(value)]


def _usage(value: str) -> str:
    if value not in USAGES:
        raise ValueError(f"expected the Usage {', '.join(USAGES)}, got {value!r}")
    return value


def _splits(usages: set[str], config: DataConfig) -> dict[str, str]:
    """Return which split each Usage serves as.

    The contest (Goodfellow et al. 2013) ranked by PublicTest while it ran and by PrivateTest at
    its end, so that the first is validation; files without PrivateTest have it as their test.
    """
    public = config.public_test or ("val" if "PrivateTest" in usages else "test")
    return {"Training": "train", "PublicTest": public, "PrivateTest": "test"}
