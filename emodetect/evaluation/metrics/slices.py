"""Where a model does better or worse: its figures on parts of the images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from emodetect.data.dataset import SPLITS, Dataset
from emodetect.evaluation.metrics.intervals import wilson_interval
from emodetect.evaluation.predictions import ImagePredictions

# A part of fewer images has an interval of 30 points or more: it says nothing of a gap.
FEW_IMAGES = 30
# Of a column's values, so many have a part of their own.
MOST_VALUES = 12
FACE_SIDES = (32, 48, 64, 96, 128, 256)
OTHERS, EMPTY = "other values", "(empty)"


def measure_slices(
    predictions: ImagePredictions, dataset: Dataset, members: np.ndarray
) -> list[dict[str, Any]]:
    """Measure parts of the images, made in several ways, as plain, JSON-ready values.

    By the sides of the crops as they were in the photos, by thirds of brightness, contrast and
    blur of the pixels that the model takes, by the splits if there are several, and by the
    columns of data.slice_by.

    Args:
        members: the positions in `dataset` that the predictions are of.

    Returns:
        for each way "by"; "unit", what the values are; "unformed", why there are no slices, or "";
        "slices", each with its "name", "images", "accuracy", the "interval_95" of that (Wilson
        1927), "balanced_accuracy" over the emotions it has, and whether it is "small"; and the
        "gap" between the best and the worst that is not small: their names, "points" between their
        accuracies, and whether the intervals "overlap". None without two such.
    """
    unit = "side of the crop before resizing, pixels"
    ways = [("face size", unit, *_by_size(dataset, members), "")]
    for name, (unit, words, measure) in PIXEL_MEASURES.items():
        values = np.array([measure(_gray(image)) for image in predictions.images])
        ways.append((name, unit, *_thirds(values, words)))
    splits = dataset.splits[members]
    if len(present := [split for split in (*SPLITS, "") if split in splits]) > 1:
        names = [split or "without a split" for split in present]
        ways.append(("split", "", names, np.array([present.index(split) for split in splits]), ""))
    for column, traits in dataset.traits.items():
        ways.append((column, "column of the manifest", *_by_value(traits[members]), ""))
    return [
        {"by": by, "unit": unit, "unformed": unformed, **_measure(predictions, names, parts)}
        for by, unit, names, parts, unformed in ways
    ]


def _measure(predictions: ImagePredictions, names: list[str], parts: np.ndarray) -> dict[str, Any]:
    """Measure the parts by number, (n,) int64; those without images are left out."""
    labels, correct = predictions.labels, predictions.labels == predictions.predicted
    slices = []
    for number, name in enumerate(names):
        inside = parts == number
        images, right = int(inside.sum()), int(correct[inside].sum())
        if not images:
            continue
        present = np.unique(labels[inside])
        recalls = [correct[inside & (labels == label)].mean() for label in present]
        slices.append(
            {
                "name": name,
                "images": images,
                "accuracy": right / images,
                "interval_95": wilson_interval(right, images),
                "balanced_accuracy": float(np.mean(recalls)),
                "small": images < FEW_IMAGES,
            }
        )
    return {"slices": slices, "gap": _gap(slices)}


def _gap(slices: list[dict[str, Any]]) -> dict[str, Any] | None:
    large = sorted((row for row in slices if not row["small"]), key=lambda row: row["accuracy"])
    if len(large) < 2:
        return None
    worst, best = large[0], large[-1]
    return {
        "best": best["name"],
        "worst": worst["name"],
        "points": 100 * (best["accuracy"] - worst["accuracy"]),
        "overlap": worst["interval_95"][1] >= best["interval_95"][0],
    }


def _by_size(dataset: Dataset, members: np.ndarray) -> tuple[list[str], np.ndarray]:
    lows, highs = (0, *FACE_SIDES), FACE_SIDES
    names = [f"{low} to {high - 1}" for low, high in zip(lows, highs, strict=False)]
    names[0] = f"below {FACE_SIDES[0]}"
    names.append(f"{FACE_SIDES[-1]} and more")
    return names, np.digitize(dataset.sides[members], FACE_SIDES)


def _thirds(values: np.ndarray, words: tuple[str, str, str]) -> tuple[list[str], np.ndarray, str]:
    limits = np.quantile(values, (1 / 3, 2 / 3))
    parts = np.digitize(values, limits, right=True)
    if np.bincount(parts, minlength=3).min() < FEW_IMAGES:
        few = len(values) < 3 * FEW_IMAGES
        why = f"there are only {len(values):,} images" if few else "too many values are equal"
        return [], parts, f"no thirds of {FEW_IMAGES} images or more, as {why}"
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
    """Return a name that is none of the column's own values."""
    while name in values:
        name = f"({name})"
    return name


def _gray(image: np.ndarray) -> np.ndarray:
    return image[:, :, 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


# By name: the unit, the words for the thirds, and what measures (size, size) uint8 grey pixels.
PIXEL_MEASURES: dict[str, tuple[str, tuple[str, str, str], Callable[[np.ndarray], float]]] = {
    "brightness": (
        "mean grey level, 0 to 255",
        ("darkest third", "middle third", "brightest third"),
        lambda gray: float(gray.mean()),
    ),
    "contrast": (
        "standard deviation of the grey levels",
        ("flattest third", "middle third", "third of most contrast"),
        lambda gray: float(gray.std()),
    ),
    "blur": (
        "variance of the Laplacian at the model's input size: the lower, the more blurred",
        ("most blurred third", "middle third", "sharpest third"),
        lambda gray: float(cv2.Laplacian(gray, cv2.CV_64F).var()),
    ),
}
