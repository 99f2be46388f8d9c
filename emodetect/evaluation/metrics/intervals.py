"""Confidence intervals of the metrics."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.stats import binomtest

from emodetect.evaluation.predictions import Predictions
from emodetect.machine.progress import track

PERCENTILES = (2.5, 97.5)
SEED = 0
RESAMPLES = 1000


def metric_intervals(
    predictions: Predictions, resampled: Mapping[str, np.ndarray]
) -> dict[str, list[float] | None]:
    """Return the 95% interval [low, high] of each metric.

    That of the accuracy is Wilson's; the others are percentile bootstrap intervals (Efron 1979),
    or None if all resamples agree, as they do at 100%: they say nothing about other images then.

    Args:
        resampled: the metrics of resamples; see `resampled_figures`.
    """
    intervals = {
        name: percentile_interval(values) if np.ptp(values) else None
        for name, values in resampled.items()
    }
    right = int((predictions.labels == predictions.predicted).sum())
    return {**intervals, "accuracy": wilson_interval(right, len(predictions.labels))}


def percentile_interval(values: np.ndarray) -> list[float]:
    """Return the [low, high] that contains the middle 95% of resampled values."""
    return [float(limit) for limit in np.percentile(values, PERCENTILES)]


def wilson_interval(right: int, total: int) -> list[float]:
    """Return the 95% interval [low, high] of a proportion (Wilson 1927).

    Args:
        right: from 0 to `total`.
        total: at least 1.
    """
    interval = binomtest(right, total).proportion_ci(method="wilson")
    return [float(interval.low), float(interval.high)]


def resampled_figures(predictions: Predictions, *, resamples: int) -> dict[str, np.ndarray]:
    """Return the metrics, (resamples,) float64 each, of bootstrap resamples of the images.

    The seed is fixed, so two models on the same images get the same resamples. Balanced accuracy
    and macro F1 average over the emotions present in a resample. The calibration error is not
    included: repeated images make its bins noisier and bias it upwards.
    """
    labels, predicted = predictions.labels, predictions.predicted
    losses, emotions = _losses(predictions), len(predictions.emotions)
    generator = np.random.default_rng(SEED)
    figures = []
    for _ in track(range(resamples), description="resampling", total=resamples):
        drawn = generator.integers(len(labels), size=len(labels))
        figures.append(_figures(labels[drawn], predicted[drawn], losses[drawn], emotions))
    return {name: np.array([row[name] for row in figures]) for name in figures[0]}


def figures_of(predictions: Predictions) -> dict[str, float]:
    """Return the metrics that have intervals, over all images."""
    labels, predicted = predictions.labels, predictions.predicted
    return _figures(labels, predicted, _losses(predictions), len(predictions.emotions))


def _figures(
    labels: np.ndarray, predicted: np.ndarray, losses: np.ndarray, emotions: int
) -> dict[str, float]:
    balanced_accuracy, macro_f1 = _averages(labels, predicted, emotions=emotions)
    return {
        "accuracy": float(np.mean(labels == predicted)),
        "balanced_accuracy": balanced_accuracy,
        "macro_f1": macro_f1,
        "log_loss": float(losses.mean()),
    }


def _averages(labels: np.ndarray, predicted: np.ndarray, *, emotions: int) -> tuple[float, float]:
    """Return balanced accuracy and macro F1; scikit-learn takes 30 s for 1,000 resamples."""
    pairs = np.bincount(labels * emotions + predicted, minlength=emotions**2)
    matrix = pairs.reshape(emotions, emotions)
    correct, true, predicted_as = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    present = true > 0
    recall = correct[present] / true[present]
    f1 = 2 * correct[present] / (true + predicted_as)[present]
    return float(recall.mean()), float(f1.mean())


def _losses(predictions: Predictions) -> np.ndarray:
    """Return the log-loss of each image, clipped as in scikit-learn so that it is finite."""
    labels = predictions.labels
    of_the_truth = predictions.probabilities[np.arange(len(labels)), labels]
    smallest = np.finfo(of_the_truth.dtype).eps
    losses: np.ndarray = -np.log(np.clip(of_the_truth, smallest, 1 - smallest))
    return losses
