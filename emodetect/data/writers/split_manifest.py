"""A manifest of the train, validation and test images of a data set."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from emodetect.config import validate_data
from emodetect.data.dataset import Dataset, load_dataset
from emodetect.data.named_data import find_data
from emodetect.data.readers.ckplus import GROUP, person_of
from emodetect.data.readers.manifest import path_in_list, relative_path
from emodetect.errors import DataError
from emodetect.machine.atomic_files import atomic_write
from emodetect.machine.csv_files import csv_line, open_table
from emodetect.machine.output_folder import writing

COLUMNS = ("path", "label", "split")
SPLIT_SOURCES = ("folder", "manifest", "ckplus")


@dataclass(frozen=True)
class SplitOptions:
    """How `write_splits` splits a data set.

    Attributes:
        validation_fraction: fraction of validation images, if the data has no such split; None for
            the one that `train` uses.
        test_fraction: fraction of test images, if the data has no such split.
        group: columns of an input manifest; images with the same value stay in one split.
        label_names: the emotions of labels by other names.
        own_labels: the labels need not be emotions, as with `data.labels` "own".
        seed: another seed draws different splits.
        force: replace the manifest if it exists.
    """

    validation_fraction: float | None = None
    test_fraction: float = 0.1
    group: Sequence[str] = ()
    label_names: Mapping[str, str] = field(default_factory=dict)
    own_labels: bool = False
    seed: int = 0
    force: bool = False


def write_splits(data: str | Path, out: Path, options: SplitOptions) -> Dataset:
    """Split a data set as training would, and write the splits to a manifest.

    The manifest has the columns path, label and split, and any others of an input manifest; of
    CK+, person. Paths are relative to its folder, but absolute ones of an input manifest stay
    absolute; labels are the emotions' canonical names. Values are separated as in an input
    manifest, whose numbers may have decimal commas. Loading it gives the same splits, whatever the
    seed. Unreadable images are left out and listed in the result.

    Args:
        data: a folder of class folders, a manifest or CK+, as PATH or as SOURCE:PATH.
        out: the CSV file to write; its folder is created if missing.

    Returns:
        The data set, with its splits.

    Raises:
        ConfigError: for fractions that leave nothing to train on, or a `group` of a folder.
        DataError: for data that cannot be read or split, or an `out` that exists (without
            `force`) or is the data itself.
    """
    named = find_data(data, option="data split", among=SPLIT_SOURCES)
    path = Path(named.path)
    config = validate_data(
        {
            "source": named.source,
            "path": named.path,
            "group": list(options.group),
            "labels": "own" if options.own_labels else "emotions",
            "label_names": dict(options.label_names),
            "validation_fraction": options.validation_fraction,
            "test_fraction": options.test_fraction,
            "max_unreadable_fraction": 0.99,
        },
        origin="data split",
    )
    if out.exists():
        if out.samefile(path):
            raise DataError(f"{out}: is the data to be split; choose another file.")
        if not options.force:
            raise _exists(out)
    dataset = load_dataset(config, seed=options.seed)
    names = dataset.paths.tolist()
    others: list[str] = []
    values: list[list[str]] = [[]] * len(names)
    delimiter = ","
    if config.source == "manifest":
        others, values, delimiter = _other_columns(path, names)
    elif config.source == "ckplus":
        others, values = [GROUP], [[person_of(Path(name))] for name in names]
    base = relative_path(dataset.root, out.parent)
    rows = [
        [_in_csv(base / name), dataset.emotions[label], split, *more]
        for name, label, split, more in zip(
            names, dataset.labels, dataset.splits, values, strict=True
        )
    ]
    lines = [csv_line(row, delimiter=delimiter) for row in ([*COLUMNS, *others], *rows)]
    _write_lines(out, lines, force=options.force)
    return dataset


def _exists(out: Path) -> DataError:
    return DataError(f"{out}: already exists; choose another file, or add --force to replace it.")


def _write_lines(out: Path, lines: Iterable[str], *, force: bool) -> None:
    """Write a file. Raises DataError if it exists (without `force`) or cannot be written."""
    with writing(out, DataError):
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(out) as partial:
            with partial.open("w", newline="", encoding="utf-8") as file:
                file.writelines(line + "\n" for line in lines)
            if not force and os.path.lexists(out):  # created in the meantime
                raise _exists(out)


def _other_columns(path: Path, names: list[str]) -> tuple[list[str], list[list[str]], str]:
    """Return the other columns of a manifest, their values for the images used, the delimiter."""
    values: list[list[str]] = []
    with open_table(path, ("path", "label"), ("split",)) as table:
        others = [name for name in dict.fromkeys(table.columns) if name not in COLUMNS]
        for row in map(table.named, table):
            # The images have the order of the rows; those left out are missing.
            if len(values) < len(names) and (
                path_in_list(row["path"], path.parent) == names[len(values)]
            ):
                values.append([row[name] for name in others])
    if len(values) < len(names):
        raise DataError(f"{path}: changed while it was being read; try again.")
    return others, values, table.delimiter


def _in_csv(path: Path) -> str:
    name = path.as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{name!a}: the file name is not Unicode, so a CSV file cannot hold it; rename the "
            "file."
        ) from None
    return name
