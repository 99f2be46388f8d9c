"""Manifests: a CSV file with path, label and, optionally, split and other columns."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from emodetect.config import DataConfig
from emodetect.data.labels import LabelReader, split_named, split_of
from emodetect.data.listing import Listing, Sample, known_group
from emodetect.data.readers.listing_builder import ListingBuilder
from emodetect.emotions import EMOTIONS, canonical_emotion, plain_label
from emodetect.errors import DataError
from emodetect.machine.csv_files import Table, open_table
from emodetect.number_format import quantity


def read_manifest(config: DataConfig) -> Listing:
    """List the images of a CSV file with the columns path, label and, optionally, split.

    Paths are relative to the CSV's folder and may have backslashes; `data.path_prefix` says where
    images have moved. Images with the same value in a column of `data.group` stay in one split;
    `data.slice_by` names the columns that results are broken down by. With `data.soft_labels`, a
    column named after each emotion contains its weight: votes, or the probabilities of another
    model.
    """
    path = config.data_path
    found = ListingBuilder(config)
    # Each is looked up once, because a list may have a million rows.
    labels = LabelReader(config)
    splits: dict[str, str | None] = {}
    moved = _MovedFiles(path, config.path_prefix)
    required = ("path", "label", *config.group, *config.slice_by)
    with open_table(path, required, ("split",)) as table:
        position = {name: number for number, name in enumerate(table.columns)}
        groups = [(name, position[name]) for name in config.group]
        traits = [position[name] for name in config.slice_by]
        unread = _UnreadSplits(table.columns, required)
        missing: Counter[tuple[str, str]] = Counter()
        weighed = _weight_columns(path, table.columns, config) if config.soft_labels else None
        for values in table:
            name = path_in_list(_checked_path(path, table, values, position), path.parent)
            file = moved.now(name)
            label = values[position["label"]].strip()
            if label not in labels:
                labels.add(label, where=f"{path}, line {table.line}")
            emotion = labels.names.get(label)
            split = values[position["split"]] if "split" in position else ""
            if split not in splits:
                splits[split] = split_of(split, where=f"{path}, line {table.line}")
            unread.look_at(values)
            if emotion is None or not found.wants(emotion):
                continue
            grouped = []
            for column, at in groups:
                value = values[at].strip()
                grouped.append(known_group(value))
                if value and not grouped[-1]:
                    missing[column, value] += 1
            sample = Sample(
                name,
                file,
                emotion,
                splits[split],
                groups=tuple(grouped),
                traits=tuple([normalize("NFC", values[at].strip()) for at in traits]),
                votes=None if weighed is None else _weights(path, table, values, weighed, config),
            )
            found.samples.append(sample)
    labels.refuse_unknown()
    moved.refuse_unused()
    found.settle_public_test(splits.values())
    found.notes += unread.notes(path)
    found.notes += _repeated(path, found.samples)
    found.notes += [
        f"{path}: {column} {value!r} is taken for missing in {quantity(count, 'image')}"
        for (column, value), count in missing.items()
    ]
    listing = found.listing(
        path.parent,
        where=path,
        groups=config.group,
        label_names=labels.names,
        voted=_weighed_labels(config),
    )
    if weighed is not None:
        _refuse_unweighed(path, listing, weighed)
    return listing


def _checked_path(
    path: Path, table: Table, values: Sequence[str], position: Mapping[str, int]
) -> str:
    """Return the path in a row. Raises DataError for a row with more or fewer values, or none."""
    if len(values) != len(table.columns):
        raise DataError(
            f"{path}, line {table.line}: expected {len(table.columns)} values, got {len(values)}."
        )
    text = values[position["path"]]
    if not text or "\0" in text:
        raise DataError(f"{path}, line {table.line}: expected a path, got {text!r}.")
    return text


def path_in_list(text: str, folder: Path) -> str:
    """Return a path of a list that may have been written on Windows, with slashes.

    Outside Windows a backslash may also be part of a name: it stays if the file exists. And a Mac
    may have written é as two characters where the file's name has one, or the reverse.
    """
    path = text.strip().replace("\\", "/")
    # Not folder / text, which takes longer than all else here.
    if path != text and os.name != "nt" and os.path.lexists(f"{folder}{os.sep}{text}"):
        return text
    if not path.isascii() and not os.path.lexists(os.path.join(folder, path)):  # noqa: PTH118
        for other in (normalize("NFC", path), normalize("NFD", path)):
            if os.path.lexists(os.path.join(folder, other)):  # noqa: PTH118
                return other
    return path


def missing_hint(path: Path, names: Sequence[str]) -> str:
    """Return what to do about images of a manifest that do not exist, by their names in it."""
    # What the first and the last in order share, all share.
    first, last = (PurePosixPath(name).parent.parts for name in (min(names), max(names)))
    shared = takewhile(lambda parts: parts[0] == parts[1], zip(first, last, strict=False))
    begin = PurePosixPath(*(part for part, _ in shared)).as_posix()
    begins = "have no folder in common" if begin == "." else f"all begin with {begin!r}"
    return (
        f"{len(names):,} paths in {path} lead to no file; they {begins}. If the images are "
        f"elsewhere, give the new location in a config: "
        f'data.path_prefix = {{"{begin}" = "/their/folder/now"}}.'
    )


def _repeated(path: Path, samples: Sequence[Sample]) -> list[str]:
    """Return a line if rows name images that earlier rows name, as several raters' would."""
    labels: dict[str, str] = {}
    contradicting = sum(
        labels.setdefault(sample.file, sample.emotion) != sample.emotion for sample in samples
    )
    repeated = len(samples) - len(labels)
    if not repeated:
        return []
    others = f", {contradicting:,} of them with another label" if contradicting else ""
    return [
        f"{path}: {quantity(repeated, 'row')} name an image that an earlier row names{others}; "
        "each row counts as an image of its own"
    ]


class _MovedFiles:
    """Where the images of a list are now, by `data.path_prefix`."""

    def __init__(self, path: Path, prefixes: Mapping[str, str]) -> None:
        self._path = path
        self._first: str | None = None
        self._unused = {*prefixes}
        # The longest first, so that the nearest folder decides.
        self._prefixes = [
            ("" if old == "." else old.replace("\\", "/").rstrip("/") + "/", old, prefixes[old])
            for old in sorted(prefixes, key=len, reverse=True)
        ]

    def now(self, name: str) -> str:
        """Return the path of the image that a list calls `name`."""
        if self._first is None:
            self._first = name
        for begin, old, new in self._prefixes:
            if name.startswith(begin) and (begin or not _is_absolute(name)):
                self._unused.discard(old)
                return f"{new.rstrip('/')}/{name.removeprefix(begin)}"
        return name

    def refuse_unused(self) -> None:
        """Raise DataError for a prefix that no path has."""
        if self._unused and self._first is not None:
            raise DataError(
                f"data.path_prefix: no path in {self._path} begins with {min(self._unused)!r}; "
                f"the first path is {self._first!r}."
            )


class _UnreadSplits:
    """Columns of a list without a column named split that look as if they were one."""

    def __init__(self, columns: Sequence[str], used: Sequence[str]) -> None:
        others = enumerate(columns) if "split" not in columns else ()
        self._values: dict[int, set[str]] = {
            position: set() for position, name in others if name not in used
        }
        self._names = columns

    def look_at(self, values: Sequence[str]) -> None:
        """Read a row."""
        for position, seen in [*self._values.items()]:
            value = values[position].strip()
            if not value or value in seen:
                continue
            if split_named(value) is None:
                del self._values[position]  # most columns go with the first row
            else:
                seen.add(value)

    def notes(self, path: Path) -> list[str]:
        """Return a line for each such column."""
        return [
            f"{path}: the column {self._names[position]} ({', '.join(sorted(seen))}) is not used; "
            "to use its splits, name it split"
            for position, seen in self._values.items()
            if len(seen) > 1
        ]


def _is_absolute(name: str) -> bool:
    return name.startswith("/") or name[1:2] == ":"  # of Windows


def relative_path(place: Path, folder: Path) -> Path:
    """Return a path relative to the folder of a CSV file; absolute if there is no relative one.

    Both may be behind links.
    """
    # Real paths, because ".." does not go back through a link.
    real = os.path.realpath(place)
    try:
        return Path(os.path.relpath(real, os.path.realpath(folder)))
    except ValueError:  # another drive of Windows
        return Path(real)


def _weighed_labels(config: DataConfig) -> tuple[str, ...]:
    """Return the emotions or labels that columns of weights may be named after."""
    return EMOTIONS if config.labels == "emotions" else config.classes or ()


def _weight_columns(path: Path, columns: Sequence[str], config: DataConfig) -> dict[str, int]:
    """Return the position of the column that holds the weight of each emotion."""
    found: dict[str, int] = {}
    known = _weighed_labels(config)
    for position, name in enumerate(columns):
        try:
            emotion = (canonical_emotion if known is EMOTIONS else plain_label)(name)
        except DataError:
            continue
        if emotion not in known:
            continue
        if emotion in found:
            raise DataError(
                f"{path}: expected one column for {emotion}, got {columns[found[emotion]]!r} and "
                f"{name!r}."
            )
        found[emotion] = position
    return found


def _weights(
    path: Path,
    table: Table,
    values: Sequence[str],
    columns: Mapping[str, int],
    config: DataConfig,
) -> tuple[float, ...]:
    weights = []
    for emotion in _weighed_labels(config):
        text = values[columns[emotion]] if emotion in columns else "0"
        try:
            # Where semicolons separate the values, spreadsheets write 0.5 as 0,5.
            weight = float(text if table.delimiter == "," else text.replace(",", "."))
        except ValueError:
            weight = math.nan
        if not (math.isfinite(weight) and weight >= 0):
            raise DataError(
                f"{path}, line {table.line}: expected a weight of 0 or more for {emotion}, got "
                f"{text!r}."
            )
        weights.append(weight)
    return tuple(weights)


def _refuse_unweighed(path: Path, listing: Listing, columns: Mapping[str, int]) -> None:
    if absent := [emotion for emotion in listing.emotions if emotion not in columns]:
        raise DataError(
            f"{path}: data.soft_labels needs a column of weights for each emotion; missing: "
            f"{', '.join(absent)}."
        )
    used = [listing.voted.index(emotion) for emotion in listing.emotions]
    for sample in listing.samples:
        assert sample.votes is not None  # read_manifest sets them all
        if not sum(sample.votes[position] for position in used):
            raise DataError(
                f"{path}: {sample.name} has no weight for any of {', '.join(listing.emotions)}; "
                "give it one, or remove its row."
            )
