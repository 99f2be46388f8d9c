"""FER2013 as a CSV file (Goodfellow et al. 2013)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from reprlib import repr as brief

import numpy as np

from emodetect.config import DataConfig
from emodetect.data.labels import FER2013_EMOTIONS, split_named
from emodetect.data.listing import Listing, Sample, SkippedFile
from emodetect.data.readers.listing_builder import ListingBuilder
from emodetect.errors import DataError, ImageError
from emodetect.machine.csv_files import delimiter_of, require_columns, spelt_as

SIDE = 48
COLUMNS = ("emotion", "pixels", "Usage")
# 7 is in no FER2013, but in ckextended.csv: CK+ in the same form, with contempt.
NUMBERED = {str(number): name for number, name in enumerate((*FER2013_EMOTIONS, "contempt"))}
USAGES = ("Training", "PublicTest", "PrivateTest")
# Columns that say nothing about the emotion, in lower case.
_UNLABELLED = {"pixels", "usage", "id", "index", "image_id", "imageid"}
# A row of 2,304 pixels has at most 9,300 bytes.
LONGEST_ROW = 2**16


def read_fer2013_csv(config: DataConfig) -> Listing:
    """List the rows of fer2013.csv: emotion (0-7), pixels (2,304 numbers), Usage.

    Without a Usage, as in train.csv of the challenge, all rows are training images. The file is
    streamed; the pixels are read when a row's image is decoded.
    """
    path = config.data_path
    found = ListingBuilder(config)
    usages: set[str | None] = set()
    for row in labelled_rows(path):
        if isinstance(row, SkippedFile):
            found.skipped.append(row)
            continue
        usages.add(row.split)
        if found.wants(row.emotion):
            found.samples.append(row)
    found.settle_public_test(usages)
    return found.listing(path.parent, where=path, label_names=NUMBERED)


def read_pixels(path: Path, offset: int) -> np.ndarray:
    """Return the image of the row of fer2013.csv that begins at `offset`.

    Returns:
        (48, 48, 3) uint8 BGR.

    Raises:
        ImageError: for a number of pixels other than 2,304, or one outside 0-255.
    """
    try:
        with path.open("rb") as file:
            columns, delimiter = _header(file.readline(LONGEST_ROW))
            file.seek(offset)
            fields = _fields(file.readline(LONGEST_ROW), delimiter)
            text = fields[columns.index("pixels")]
        # int() also accepts "1_0", "+7" and the digits of other scripts.
        if not text.isascii() or "_" in text or "+" in text:
            raise ValueError("expected whole numbers")
        pixels = np.array([int(value) for value in text.split()])
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


def labelled_rows(path: Path) -> Iterator[Sample | SkippedFile]:
    """Yield the rows of fer2013.csv with their labels, or what is wrong with them.

    Their splits are as `usage_split` returns them.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from None
    with file:
        lines = iter(partial(file.readline, LONGEST_ROW), b"")
        header = next(lines, b"")
        if b"\0" in header or "\ufffd" in _text(header):
            raise DataError(
                f"{path}: expected a csv file in UTF-8, got other bytes; save it as UTF-8."
            )
        columns, delimiter = _header(header)
        # pandas adds a column without a name.
        named = [name for name in columns if name and not name.startswith("Unnamed: ")]
        if "pixels" in named and {name.lower() for name in named} <= _UNLABELLED:
            raise DataError(
                f"{path}: has pixels but no emotions, as test.csv of the challenge. Its labels are "
                "in icml_face_data.csv (or fer2013.csv), which has the same images with the Usage "
                "PublicTest or PrivateTest; set data.path to that file."
            )
        # Another column may say what is for testing.
        all_training = {*named} == {*COLUMNS[:2]}
        require_columns(path, columns, COLUMNS[:2])
        if not all_training:
            require_columns(path, columns, COLUMNS)
        emotion = columns.index("emotion")
        usage = columns.index("Usage") if "Usage" in columns else None
        offset = len(header)
        for number, line in enumerate(lines, start=2):
            if len(line) == LONGEST_ROW:
                raise DataError(
                    f"{path}, line {number}: is longer than any row of {SIDE * SIDE:,} pixels."
                )
            if not line.strip():  # as csv.DictReader does, so that rows match the votes
                offset += len(line)
                continue
            name = f"{path.name}:{number}"
            try:
                fields = _fields(line, delimiter)
                if len(fields) != len(columns):
                    raise ValueError(f"expected {len(columns)} values, got {len(fields)}")
                used = "train" if usage is None else usage_split(fields[usage])
                yield Sample(name, path.name, _emotion(fields[emotion]), used, offset=offset)
            except ValueError as error:
                yield SkippedFile(name, str(error))
            offset += len(line)


@lru_cache(maxsize=8)
def _header(line: bytes) -> tuple[tuple[str, ...], str]:
    """Return the columns and the delimiter of the first line."""
    try:
        delimiter = delimiter_of(_text(line), COLUMNS)
    except csv.Error:  # a line of carriage returns
        return (), ","
    return tuple(spelt_as(_fields(line, delimiter), COLUMNS)), delimiter


def _fields(line: bytes, delimiter: str) -> list[str]:
    try:
        return [value.strip() for value in next(csv.reader([_text(line)], delimiter=delimiter), [])]
    except csv.Error:  # a line of carriage returns
        return []


def _text(line: bytes) -> str:
    return line.decode("utf-8-sig", errors="replace")


def _emotion(value: str) -> str:
    if value not in NUMBERED:
        raise ValueError(f"expected an emotion from 0 to {len(NUMBERED) - 1}, got {value!r}")
    return NUMBERED[value]


def usage_split(value: str) -> str:
    """Return the split that a Usage names, as `split_named`. Raises ValueError for other text."""
    split = split_named(value)
    if split is None:
        raise ValueError(f"expected the Usage {', '.join(USAGES)}, got {brief(value)}")
    return split
