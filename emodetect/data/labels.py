"""The labels and splits of a source, translated to ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from emodetect.config import DataConfig
from emodetect.data.listing import Sample
from emodetect.emotions import canonical_emotion, in_canonical_order
from emodetect.errors import DataError

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def emotion_of(label: str, label_names: Mapping[str, str], *, where: str) -> str:
    """Return the emotion of a source's label; `label_names` takes precedence.

    Raises DataError for a label that is neither in `label_names` nor a known alias.
    """
    if label in label_names:
        return label_names[label]
    try:
        return canonical_emotion(label, where=where)
    except DataError as error:
        raise DataError(
            f"{error} To use other labels, say which emotions they are: in a config, "
            f'data.label_names = {{"{label}" = "happy"}}; with data split, audit and convert, '
            f"--label-name {label}=happy."
        ) from None


def split_of(value: str, *, where: str) -> str | None:
    """Return the split that a source names in its own words; None for empty text.

    Raises DataError for an unknown name.
    """
    name = value.strip().lower()
    if name and name not in SPLIT_NAMES:
        raise DataError(
            f"{where}: expected a split ({', '.join(SPLIT_NAMES)}, or nothing), got {value!r}."
        )
    return SPLIT_NAMES.get(name)


def folder_emotion(folder: Path, *, numbers: Mapping[str, str], layout: str) -> str:
    """Return the emotion of a class folder, named by a number of the data set or by an emotion.

    Args:
        numbers: the emotion of each number.
        layout: what the data set should contain, for the DataError raised for any other folder.
    """
    if folder.name in numbers:
        return numbers[folder.name]
    try:
        return canonical_emotion(folder.name)
    except DataError:
        raise DataError(f"{folder}: expected {layout}, got {folder.name!r}.") from None


def label_order(samples: Sequence[Sample], config: DataConfig, *, where: str) -> tuple[str, ...]:
    """Return the emotions in the order of the outputs: data.classes, or those found.

    Raises DataError if there are no images, or none of a class in data.classes.
    """
    found = in_canonical_order({sample.emotion for sample in samples})
    emotions = config.classes or found
    missing = [emotion for emotion in emotions if emotion not in found]
    if missing:
        raise DataError(
            f"{where}: no images of {', '.join(missing)}, which data.classes asks for; "
            f"found {', '.join(found) or 'none'}."
        )
    if not samples:
        raise DataError(f"{where}: no labelled images found.")
    return emotions
