"""Select the images of a data set that a model is evaluated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from emodetect.data.dataset import Dataset
from emodetect.emotions import known_labels
from emodetect.errors import DataError


@dataclass(frozen=True)
class Selection:
    """Images of a data set.

    Attributes:
        members: (n,) int64, their positions in the data set, in its order.
        left_out: the number of images excluded on purpose, by reason. Those that the data set left
            out before its splits were drawn are counted "(in all splits)".
    """

    members: np.ndarray
    left_out: dict[str, int]


def select_images(
    dataset: Dataset,
    split: str,
    *,
    emotions: Sequence[str] | None = None,
    known: Sequence[str] | None = None,
    trained_on: Mapping[str, Dataset] | None = None,
) -> Selection:
    """Select the images of a split ("train", "val", "test" or "all"), or some of them.

    Args:
        emotions: selects only images of these, by any of their names.
        known: the emotions that the model knows; images of others are excluded.
        trained_on: data sets by the names to report. Images with the same pixels, at the model's
            input size, as a training image there are excluded. Every image outside a test split
            counts as a training image.

    Raises:
        DataError: if the split has no images, the data lacks one of the emotions, a data set in
            `trained_on` has no training images, or no image is left.
    """
    members = dataset.indices(split)
    whole = len(members) == len(dataset.splits)
    left_out = {
        reason if whole else f"{reason} (in all splits)": count
        for reason, count in dataset.left_out.items()
    }
    if emotions is not None:
        kept = members[np.isin(dataset.labels[members], _labels(dataset, emotions))]
        if others := len(members) - len(kept):
            left_out["emotion outside --classes"] = others
        members = kept
    if not len(members):
        there = sorted(set(dataset.splits.tolist()) - {""})
        raise DataError(
            f"expected images in the split {split!r}; this data has "
            f"the splits {', '.join(there) or '(none)'} and the emotions "
            f"{', '.join(dataset.emotions)}. Use --split all to use every image."
        )
    if known is not None:
        members = _exclude_unknown(dataset, members, known, left_out)
    for name, other in (trained_on or {}).items():
        trained = other.digests[_training_members(other, name)]
        seen = np.isin(dataset.digests[members], trained)
        if seen.all():
            raise DataError(
                f"no image is left to evaluate: {len(members):,} are also among the training "
                f"images of {name}. Evaluate another split or other data."
            )
        left_out[f"also in {name}"] = int(seen.sum())
        members = members[~seen]
    return Selection(members, left_out)


def _exclude_unknown(
    dataset: Dataset, members: np.ndarray, known: Sequence[str], left_out: dict[str, int]
) -> np.ndarray:
    for label, emotion in enumerate(dataset.emotions):
        unknown = dataset.labels[members] == label
        if emotion not in known and unknown.any():
            left_out[f"the model was not trained on {emotion}"] = int(unknown.sum())
            members = members[~unknown]
    if not len(members):
        raise DataError(
            f"no image is left to evaluate: the model knows only {', '.join(known)}, the data has "
            f"{', '.join(dataset.emotions)}."
        )
    return members


def _labels(dataset: Dataset, emotions: Sequence[str]) -> list[int]:
    wanted = known_labels(emotions, dataset.emotions)
    if len(set(wanted)) != len(wanted):
        raise DataError(f"--classes: expected each emotion once, got {','.join(emotions)}.")
    if absent := [name for name in wanted if name not in dataset.emotions]:
        raise DataError(
            f"--classes: the data has no images of {', '.join(absent)}, only of "
            f"{', '.join(dataset.emotions)}."
        )
    return [dataset.emotions.index(name) for name in wanted]


def _training_members(dataset: Dataset, name: str) -> np.ndarray:
    members = np.flatnonzero(dataset.splits != "test")
    if not len(members):
        raise DataError(
            f"--exclude-duplicates-of {name}: expected training images, found only a test split. "
            "Give the data that the model was trained on."
        )
    return members
