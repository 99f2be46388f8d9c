"""Compare models on the same images: differences, their intervals and significance.

The first model is the reference for all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from emodetect.data.splits import connect
from emodetect.emotions import in_canonical_order
from emodetect.errors import DataError
from emodetect.evaluation.metrics.intervals import (
    RESAMPLES,
    metric_intervals,
    metrics_of,
    percentile_interval,
    resampled_metrics,
)
from emodetect.evaluation.metrics.significance import holm, paired_accuracy_p
from emodetect.evaluation.predictions import Predictions, image_keys


def match_images(
    names: Sequence[str], entries: Sequence[Predictions], *, common: bool = False
) -> tuple[list[Predictions], list[int]]:
    """Put the predictions of several models into the order of the first one's images.

    Images are matched by path and, for several crops of one photo, by the number of the crop and
    of all crops of that photo in the data set. Those that share a group for one model share it for
    all.

    Args:
        names: the names of the models, for errors.
        common: if the images differ, uses those that all models have.

    Returns:
        the matched predictions, and the number of images of each model that are excluded.

    Raises:
        DataError: if the models were evaluated on different images or labels.
    """
    keys = [image_keys(entry) for entry in entries]
    shared = set(keys[0]).intersection(*keys)
    sizes = ", ".join(f"{len(own):,} in {name}" for name, own in zip(names, keys, strict=True))
    if not shared:
        raise DataError(
            f"the models have no image in common: {sizes}; the first ones are "
            f"{' and '.join(f'{own[0][0]!r} (crop {own[0][1]})' for own in keys)}. Evaluate all "
            "on the same data, such as with --data."
        )
    if not common and any(len(own) != len(shared) for own in keys):
        raise DataError(
            f"expected models evaluated on the same images, got {sizes}, of which {len(shared):,} "
            "are common; add --common to compare on those. Of data that a model was trained on, "
            "only its test images count."
        )
    order = [key for key in keys[0] if key in shared]
    matched = []
    for entry, own in zip(entries, keys, strict=True):
        position = {key: place for place, key in enumerate(own)}
        matched.append(_taken(entry, np.array([position[key] for key in order])))
    truth = _named(matched[0], matched[0].labels)
    for name, entry in zip(names, matched, strict=True):
        others = np.flatnonzero(_named(entry, entry.labels) != truth)
        if len(others):
            first = int(others[0])
            raise DataError(
                f"the true emotions of {len(others):,} images differ between {names[0]} and "
                f"{name}, such as {entry.paths[first]}: {truth[first]} and "
                f"{entry.emotions[entry.labels[first]]}. Evaluate all with the same labels, "
                "such as with compare --data and --label-name."
            )
    groups = connect([entry.groups.astype(str) for entry in matched]).astype(np.int64)
    matched = [replace(entry, groups=groups) for entry in matched]
    return matched, [len(own) - len(order) for own in keys]


def compare_models(
    names: Sequence[str], entries: Sequence[Predictions], *, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """Return a comparison of models on the same images, as plain, JSON-ready values.

    Args:
        entries: predictions on the same images in the same order; see `match_images`.

    Returns:
        "images"; "groups", their number, that of the images if all are independent; "models", each
        with its "name", "figures" and their "intervals_95"; and "comparisons", one for each model
        but the first: see `_compare`. With several comparisons, "p" is corrected (Holm 1979) and
        "holm" is true.
    """
    resampled = [resampled_metrics(entry, resamples=resamples) for entry in entries]
    values = [metrics_of(entry) for entry in entries]
    groups = len(np.unique(entries[0].groups))
    comparisons = []
    for name, entry, own, drawn in zip(
        names[1:], entries[1:], values[1:], resampled[1:], strict=True
    ):
        differences = {
            key: {
                "difference": own[key] - values[0][key],
                # Both models use the same resamples: the bootstrap is paired. Those of a single
                # group are all the same.
                "interval_95": percentile_interval(
                    drawn[key] - resampled[0][key], entries[0].groups
                )
                if groups > 1
                else None,
            }
            for key in own
        }
        comparisons.append(
            {"name": name, "differences": differences, **_compare(entries[0], entry)}
        )
    for row, p in zip(comparisons, holm([row["p"] for row in comparisons]), strict=True):
        row["p"] = p
    return {
        "images": len(entries[0].labels),
        "groups": groups,
        "bootstrap": resamples,
        "models": [
            {
                "name": name,
                "figures": own,
                "intervals_95": metric_intervals(entry, drawn),
            }
            for name, entry, own, drawn in zip(names, entries, values, resampled, strict=True)
        ],
        "comparisons": comparisons,
        "holm": len(comparisons) > 1,
    }


def only_right(first: Predictions, second: Predictions) -> np.ndarray:
    """Return the positions of the images that only the first model classifies correctly.

    They are sorted by the confidence of the second, the highest first.
    """
    places = np.flatnonzero(first.correct & ~second.correct)
    return places[np.argsort(-second.confidence[places], kind="stable")]


def accuracy_p(reference: Predictions, other: Predictions) -> float:
    """Return the p-value that two models are equally accurate; see `paired_accuracy_p`."""
    return paired_accuracy_p(_gains(reference, other), reference.groups)


def _gains(reference: Predictions, other: Predictions) -> np.ndarray:
    """Return 1 for each image that only `other` classifies correctly, -1 if only `reference`."""
    gains: np.ndarray = other.correct.astype(np.int64) - reference.correct
    return gains


def _compare(reference: Predictions, other: Predictions) -> dict[str, Any]:
    """Compare two models image by image.

    Returns:
        the numbers of images that both, neither or only one classifies correctly; "p", see
        `accuracy_p`; "decisive", the number of groups that favour one of the two; "recall" of each
        emotion for both; and "disagreements", [[predicted by the reference, predicted by the
        other, images]], the most frequent first.
    """
    right, other_right = reference.correct, other.correct
    gains = _gains(reference, other)
    truth = _named(reference, reference.labels)
    recall = {}
    for emotion in in_canonical_order(truth):
        mine = truth == emotion
        recall[emotion] = {
            "images": int(mine.sum()),
            "reference": float(right[mine].mean()),
            "other": float(other_right[mine].mean()),
        }
    pairs = zip(_named(reference, reference.predicted), _named(other, other.predicted), strict=True)
    disagreements = Counter((first, second) for first, second in pairs if first != second)
    return {
        "both_right": int((right & other_right).sum()),
        "neither_right": int((~right & ~other_right).sum()),
        "only_reference_right": int((gains < 0).sum()),
        "only_other_right": int((gains > 0).sum()),
        "p": paired_accuracy_p(gains, reference.groups),
        "decisive": int(np.count_nonzero(np.bincount(reference.groups, gains))),
        "recall": recall,
        "disagreements": [[*pair, count] for pair, count in disagreements.most_common()],
    }


def _taken(entry: Predictions, places: np.ndarray) -> Predictions:
    return replace(
        entry,
        labels=entry.labels[places],
        probabilities=entry.probabilities[places],
        paths=entry.paths[places],
        crops=entry.crops[places],
        groups=entry.groups[places],
    )


def _named(entry: Predictions, positions: np.ndarray) -> np.ndarray:
    names: np.ndarray = np.array(entry.emotions)[positions]
    return names
