"""Slices: accuracy on subsets of the images, and the gaps between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from emodetect.data.dataset import SPLITS, Dataset
from emodetect.evaluation.metrics.intervals import wilson_interval
from emodetect.evaluation.metrics.significance import equal_accuracy_p, holm
from emodetect.evaluation.predictions import ImagePredictions

# With fewer images the interval is 30 points or wider: too wide to show a gap.
FEW_IMAGES = 30
# With fewer groups, such as people, random signs of them say that too many gaps are real.
FEW_GROUPS = 5
# At most this many slices for the values of a column.
MOST_VALUES = 12
FACE_SIDES = (32, 48, 64, 96, 128, 256)
OTHERS, EMPTY = "other values", "(empty)"


def measure_slices(
    predictions: ImagePredictions, dataset: Dataset, members: np.ndarray
) -> list[dict[str, Any]]:
    """Return the accuracy on subsets of the images, as plain, JSON-ready values.

    The images are sliced by the size of the crops in the photos, by thirds of brightness, contrast
    and blur of the model's inputs, by split if there are several, and by the columns of
    data.slice_by.

    Args:
        members: the positions in `dataset` of the predictions.

    Returns:
        for each way to slice: "by"; "unit", the meaning of the values; "unformed", the reason why
        there are no slices, or ""; "slices", each with "name", "images", "accuracy" and its
        "interval_95" (see `wilson_interval`), "balanced_accuracy" over the emotions in the slice,
        and whether it is "small", of fewer than FEW_IMAGES or FEW_GROUPS; and the "gap" between
        the best and the worst slice that are not small: their names, the difference in "points",
        and "p", of the test that all slices that are not small have the same accuracy
        (`equal_accuracy_p`), corrected for the number of ways to slice that have a gap (Holm
        1979). "gap" is None with fewer than two such slices.
    """
    unit = "side of the crop before resizing, pixels"
    ways = [("face size", unit, *_by_size(dataset, members), "")]
    for name, (unit, words, measure) in PIXEL_MEASURES.items():
        values = np.array([measure(_gray(image)) for image in predictions.images])
        ways.append((name, unit, *_thirds(values, words)))
    splits = dataset.splits[members]
    present = [split for split in (*SPLITS, "") if split in splits]
    if len(present) > 1 and "split" not in dataset.traits:
        names = [split or "no split" for split in present]
        ways.append(("split", "", names, np.array([present.index(split) for split in splits]), ""))
    for column, traits in dataset.traits.items():
        ways.append((column, "column of the manifest", *_by_value(traits[members]), ""))
    measured = [
        {"by": by, "unit": unit, "unformed": unformed, **_measure(predictions, names, parts)}
        for by, unit, names, parts, unformed in ways
    ]
    gaps = [way["gap"] for way in measured if way["gap"]]
    for gap, p in zip(gaps, holm([gap["p"] for gap in gaps]), strict=True):
        gap["p"] = p
    return measured


def _measure(predictions: ImagePredictions, names: list[str], parts: np.ndarray) -> dict[str, Any]:
    """Measure the slices numbered in `parts`, (n,) int64; empty ones are omitted."""
    labels, correct = predictions.labels, predictions.correct
    groups = predictions.groups
    slices: list[dict[str, Any]] = []
    large = np.zeros(len(labels), bool)
    for number, name in enumerate(names):
        inside = parts == number
        images = int(inside.sum())
        if not images:
            continue
        small = images < FEW_IMAGES or len(np.unique(groups[inside])) < FEW_GROUPS
        if not small:
            large |= inside
        present = np.unique(labels[inside])
        recalls = [correct[inside & (labels == label)].mean() for label in present]
        slices.append(
            {
                "name": name,
                "images": images,
                "accuracy": float(correct[inside].mean()),
                "interval_95": wilson_interval(correct[inside], groups[inside]),
                "balanced_accuracy": float(np.mean(recalls)),
                "small": small,
            }
        )
    return {"slices": slices, "gap": _gap(slices, correct[large], parts[large], groups[large])}


def _gap(
    slices: list[dict[str, Any]], correct: np.ndarray, parts: np.ndarray, groups: np.ndarray
) -> dict[str, Any] | None:
    """Return the gap between the slices that are not small, given their images."""
    large = sorted((row for row in slices if not row["small"]), key=lambda row: row["accuracy"])
    if len(large) < 2:
        return None
    worst, best = large[0], large[-1]
    return {
        "best": best["name"],
        "worst": worst["name"],
        "points": 100 * (best["accuracy"] - worst["accuracy"]),
        "p": equal_accuracy_p(correct, parts, groups),
    }


def _by_size(dataset: Dataset, members: np.ndarray) -> tuple[list[str], np.ndarray]:
    lows, highs = (0, *FACE_SIDES), FACE_SIDES
    names = [f"{low} to {high - 1}" for low, high in zip(lows, highs, strict=False)]
    names[0] = f"below {FACE_SIDES[0]}"
    names.append(f"{FACE_SIDES[-1]} or more")
    return names, np.digitize(dataset.sides[members], FACE_SIDES)


def _thirds(values: np.ndarray, words: tuple[str, str, str]) -> tuple[list[str], np.ndarray, str]:
    limits = np.quantile(values, (1 / 3, 2 / 3))
    parts = np.digitize(values, limits, right=True)
    if np.bincount(parts, minlength=3).min() < FEW_IMAGES:
        few = len(values) < 3 * FEW_IMAGES
        why = f"there are only {len(values):,} in total" if few else "too many values are equal"
        return [], parts, f"each third needs at least {FEW_IMAGES} images, but {why}"
    names = list(words)
    for number in np.unique(parts):
        inside = values[parts == number]
        names[number] += f" ({inside.min():,.0f} to {inside.max():,.0f})"
    return names, parts, ""


def _by_value(values: np.ndarray) -> tuple[list[str], np.ndarray]:
    common = [value for value, _ in Counter(values.tolist()).most_common()]
    kept = sorted(common if len(common) <= MOST_VALUES else common[: MOST_VALUES - 1])
    position = {value: number for number, value in enumerate(kept)}
    parts = np.array([position.get(value, len(kept)) for value in values.tolist()])
    empty, others = _unlike(EMPTY, kept), _unlike(OTHERS, kept)
    return [*(value or empty for value in kept), others], parts


def _unlike(name: str, values: list[str]) -> str:
    """Return a name that is not one of the column's values."""
    while name in values:
        name = f"({name})"
    return name


def _gray(image: np.ndarray) -> np.ndarray:
    return image[:, :, 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


# By name: the unit, names for the thirds, and a function of (size, size) uint8 grey pixels.
PIXEL_MEASURES: dict[str, tuple[str, tuple[str, str, str], Callable[[np.ndarray], float]]] = {
    "brightness": (
        "mean grey level, 0 to 255",
        ("darkest third", "middle third", "brightest third"),
        lambda gray: float(gray.mean()),
    ),
    "contrast": (
        "standard deviation of the grey levels",
        ("low-contrast third", "middle third", "high-contrast third"),
        lambda gray: float(gray.std()),
    ),
    "blur": (
        "variance of the Laplacian at the model's input size; lower is more blurred",
        ("most blurred third", "middle third", "sharpest third"),
        lambda gray: float(cv2.Laplacian(gray, cv2.CV_64F).var()),
    ),
}
