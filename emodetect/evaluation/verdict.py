"""State the outcome of a comparison of models in sentences."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from emodetect.evaluation.metrics.significance import SIGNIFICANT
from emodetect.evaluation.predictions import Predictions
from emodetect.number_format import (
    p_equals,
    percent,
    points,
    points_apart,
    points_between,
    quantity,
)

# With fewer images, or groups of them, that favour one of two models, the exact test stays above
# 0.05.
FEWEST_DECISIVE = 6
# Smaller differences are written as 0.0 points.
SMALLEST_SHOWN = 0.0005


def verdict(comparison: dict[str, Any]) -> list[str]:
    """Return a sentence for each model but the first: whether it is better, worse, or neither.

    Args:
        comparison: see `compare_models`. With several comparisons, a last sentence names the
            correction of the p-values.
    """
    reference = comparison["models"][0]["name"]
    unit = "image" if comparison["groups"] == comparison["images"] else "group"
    sentences = [
        _sentence(reference, row, unit, corrected=comparison["holm"])
        for row in comparison["comparisons"]
    ]
    if comparison["holm"]:
        sentences.append(
            f"The p-values are corrected for {len(sentences)} comparisons with {reference} "
            "(Holm 1979), the intervals are not; the other models were not compared with each "
            "other."
        )
    return sentences


def unequal_terms(
    names: Sequence[str], entries: Sequence[Predictions], leaked: Sequence[int | None]
) -> list[str]:
    """Return a sentence for each reason why models are not compared on equal terms.

    Args:
        entries: their predictions on the same images.
        leaked: how many of these are identical to training images of each model; None if unknown.
    """
    sentences = []
    if len({frozenset(entry.emotions) for entry in entries}) > 1:
        sentences.append(_other_emotions(names, entries))
    if any(leaked) and len({*leaked}) > 1:
        counts = ", ".join(
            f"{name} {'unknown' if count is None else f'{count:,}'}"
            for name, count in zip(names, leaked, strict=True)
        )
        sentences.append(
            f"The models were trained on copies of different numbers of these images ({counts}), "
            "which favours them. Evaluate each with --exclude-duplicates-of, and compare the "
            "reports."
        )
    return sentences


def _other_emotions(names: Sequence[str], entries: Sequence[Predictions]) -> str:
    counts = ", ".join(
        f"{name} among {len(entry.emotions)}" for name, entry in zip(names, entries, strict=True)
    )
    sentence = (
        f"The models do not choose among the same emotions ({counts}), so their tasks are not "
        "equally difficult."
    )
    common = set(entries[0].emotions).intersection(*(entry.emotions for entry in entries))
    if len(common) < 2:
        return sentence
    accuracies = ", ".join(
        f"{name} has {percent(_accuracy_among(common, entry))}"
        for name, entry in zip(names, entries, strict=True)
    )
    return f"{sentence} If each chose among the {len(common)} that all know, {accuracies}."


def _accuracy_among(emotions: Collection[str], entry: Predictions) -> float:
    """Return the share of images for which the most probable one of `emotions` is the true one."""
    known = np.array([emotion in emotions for emotion in entry.emotions])
    best = np.where(known, entry.probabilities, -1).argmax(axis=1)
    return float(np.mean(best == entry.labels))


def _sentence(reference: str, row: dict[str, Any], unit: str, *, corrected: bool) -> str:
    other, decisive = row["name"], row["decisive"]
    change = row["differences"]["accuracy"]
    difference, interval = change["difference"], change["interval_95"]
    pair = f"{reference} and {other}"
    if not row["disagreements"]:
        return f"{pair}: no difference; they predict the same for every image."
    if not row["only_reference_right"] + row["only_other_right"]:
        return f"{pair}: no difference; both are correct on the same images."
    p = p_equals(row["p"])
    if row["p"] >= SIGNIFICANT:
        few = ""
        if not decisive:
            few = f"; in each {unit}, both are correct equally often"
        elif decisive < FEWEST_DECISIVE:
            verb = "separates" if decisive == 1 else "separate"
            few = f"; only {quantity(decisive, unit)} {verb} them"
        but = ""
        if interval and excludes_zero(interval):
            why = "is not corrected for several comparisons" if corrected else "is approximate"
            but = f" The interval excludes 0, but it {why}; the test, which is exact, decides."
        return (
            f"{pair}: no difference shown, {p}{few}. Difference in accuracy: {points(difference)} "
            f"for {other}{_in_brackets(interval)}.{but}"
        )
    better, worse = other, reference
    if difference < 0:
        better, worse = reference, other
        interval = [-limit for limit in reversed(interval)] if interval else None
    but = ""
    if interval and not excludes_zero(interval):
        but = " The interval includes 0, but it is approximate."
    return (
        f"{better} is better than {worse} by {points_apart(difference)} of accuracy"
        f"{_in_brackets(interval)}, {p}.{but}"
    )


def _in_brackets(interval: Sequence[float] | None) -> str:
    return f" (95% interval {points_between(interval)})" if interval else ""


def excludes_zero(limits: Sequence[float]) -> bool:
    """Return whether an interval of differences of shares excludes 0, as it is written."""
    low, high = limits
    return low >= SMALLEST_SHOWN or high <= -SMALLEST_SHOWN
