"""Manifests: a CSV file with path, label and, optionally, split and other columns."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from emodetect.config import DataConfig
from emodetect.data.labels import emotion_of, split_of
from emodetect.data.listing import Listing, Sample
from emodetect.data.readers.listing_builder import ListingBuilder
from emodetect.emotions import EMOTIONS, canonical_emotion
from emodetect.errors import DataError
from emodetect.machine.csv_files import open_csv, require_columns


def read_manifest(config: DataConfig) -> Listing:
    """List the images of a CSV file with the columns path, label and, optionally, split.

    Paths are relative to the CSV's folder. Images with the same value in a column of `data.group`
    stay in one split; `data.slice_by` names the columns that results are broken down by. With
    `data.soft_labels`, a column named after each emotion contains its weight: votes, or the
    probabilities of another model.
    """
    path = config.data_path
    found = ListingBuilder(config)
    label_names: dict[str, str] = {}
    with open_csv(path) as file:
        rows = csv.DictReader(file)
        require_columns(path, rows.fieldnames, ("path", "label", *config.group, *config.slice_by))
        _refuse_other_case(path, rows.fieldnames or ())
        weighed = _weight_columns(path, rows.fieldnames or ()) if config.soft_labels else None
        for row in rows:
            where = f"{path}, line {rows.line_num}"
            if None in row or None in row.values():
                raise DataError(
                    f"{where}: expected {len(rows.fieldnames or ())} values, got more or fewer."
                )
            if not row["path"] or "\0" in row["path"]:
                raise DataError(f"{where}: expected a path, got {row['path']!r}.")
            label = row["label"].strip()
            emotion = emotion_of(label, config.label_names, where=where)
            label_names[label] = emotion
            split = split_of(row.get("split") or "", where=where)
            if not found.wants(emotion):
                continue
            sample = Sample(
                row["path"],
                row["path"],
                emotion,
                split,
                groups=tuple(row[column].strip() for column in config.group),
                traits=tuple(row[column].strip() for column in config.slice_by),
                votes=None if weighed is None else _weights(row, weighed, where),
            )
            found.samples.append(sample)
    listing = found.listing(path.parent, where=path, groups=config.group, label_names=label_names)
    if weighed is not None:
        _refuse_unweighed(path, listing, weighed)
    return listing


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


def _refuse_other_case(path: Path, columns: Sequence[str]) -> None:
    # A column "Split" would be ignored, and new splits drawn.
    for name in columns:
        if name != "split" and name.strip().lower() == "split":
            raise DataError(f"{path}: expected the column 'split', got {name!r}; rename it.")


def _weight_columns(path: Path, columns: Sequence[str]) -> dict[str, str]:
    """Return the column that holds the weight of each emotion."""
    found: dict[str, str] = {}
    for name in columns:
        try:
            emotion = canonical_emotion(name)
        except DataError:
            continue
        if emotion in found:
            raise DataError(
                f"{path}: expected one column for {emotion}, got {found[emotion]!r} and {name!r}."
            )
        found[emotion] = name
    return found


def _weights(row: Mapping[str, str], columns: Mapping[str, str], where: str) -> tuple[float, ...]:
    weights = []
    for emotion in EMOTIONS:
        text = row[columns[emotion]] if emotion in columns else "0"
        try:
            weight = float(text)
        except ValueError:
            weight = math.nan
        if not (math.isfinite(weight) and weight >= 0):
            raise DataError(f"{where}: expected a weight of 0 or more for {emotion}, got {text!r}.")
        weights.append(weight)
    return tuple(weights)


def _refuse_unweighed(path: Path, listing: Listing, columns: Mapping[str, str]) -> None:
    if absent := [emotion for emotion in listing.emotions if emotion not in columns]:
        raise DataError(
            f"{path}: data.soft_labels needs a column of weights for each emotion; missing: "
            f"{', '.join(absent)}."
        )
    used = [EMOTIONS.index(emotion) for emotion in listing.emotions]
    for sample in listing.samples:
        assert sample.votes is not None  # read_manifest sets them all
        if not sum(sample.votes[position] for position in used):
            raise DataError(
                f"{path}: {sample.name} has no weight for any of {', '.join(listing.emotions)}; "
                "give it one, or remove its row."
            )
