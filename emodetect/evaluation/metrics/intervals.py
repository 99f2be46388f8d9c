"""How far the figures could lie from these if other images of the same kind had been taken."""

from __future__ import annotations

import math

import numpy as np

from emodetect.evaluation.predictions import Predictions
from emodetect.machine.progress import track

PERCENTILES = (2.5, 97.5)
NORMAL_975 = 1.959964  # below it lie 97.5 % of the standard normal distribution
SEED = 0
RESAMPLES = 1000


def bootstrap_intervals(answers: Predictions, *, resamples: int) -> dict[str, list[float]]:
    """Return the [low, high] of 95 % of each figure by the percentile bootstrap (Efron 1979)."""
    return {
        name: percentile_interval(values)
        for name, values in resampled_figures(answers, resamples=resamples).items()
    }


def percentile_interval(values: np.ndarray) -> list[float]:
    """Return the [low, high] between which the middle 95 % of resampled values lie."""
    return [float(limit) for limit in np.percentile(values, PERCENTILES)]


def wilson_interval(right: int, total: int) -> list[float]:
    """Return the [low, high] of 95 % of a share (Wilson 1927), also where all or none are right.

    Args:
        total: at least 1.
    """
    share, spread = right / total, NORMAL_975**2 / total
    middle = share + spread / 2
    half = NORMAL_975 * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    limits = ((middle - half) / (1 + spread), (middle + half) / (1 + spread))
    return [min(1.0, max(0.0, limit)) for limit in limits]


def resampled_figures(answers: Predictions, *, resamples: int) -> dict[str, np.ndarray]:
    """Return the figures, (resamples,) float64 each, of images drawn anew.

    As many images as there are, are drawn from them with replacement `resamples` times, always
    by the same seed: of two models on the same images, the figures of the same images stand
    beside each other. Balanced accuracy and macro F1 are averages over the emotions that a
    resample has, so an emotion of few images that is absent from one does not count in it. The
    calibration error is left out: repeated images make its bins noisier, and it too high.
    """
    labels, predicted, losses = answers.labels, answers.predicted, _losses(answers)
    emotions = len(answers.emotions)
    generator = np.random.default_rng(SEED)
    figures = []
    for _ in track(range(resamples), description="resampling", total=resamples):
        drawn = generator.integers(len(labels), size=len(labels))
        figures.append(_figures(labels[drawn], predicted[drawn], losses[drawn], emotions))
    return {name: np.array([row[name] for row in figures]) for name in figures[0]}


def figures_of(answers: Predictions) -> dict[str, float]:
    """Return the figures that have intervals, of all images."""
    return _figures(answers.labels, answers.predicted, _losses(answers), len(answers.emotions))


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
    """Return balanced accuracy and macro F1.

    Not by scikit-learn, whose functions take half a minute for a thousand resamples.
    """
    pairs = np.bincount(labels * emotions + predicted, minlength=emotions**2)
    matrix = pairs.reshape(emotions, emotions)
    right, true, answered = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    present = true > 0
    recall = right[present] / true[present]
    f1 = 2 * right[present] / (true + answered)[present]
    return float(recall.mean()), float(f1.mean())


def _losses(answers: Predictions) -> np.ndarray:
    """Return the log-loss of each image, with scikit-learn's limits against infinity."""
    of_the_truth = answers.probabilities[np.arange(len(answers.labels)), answers.labels]
    smallest = np.finfo(of_the_truth.dtype).eps
    losses: np.ndarray = -np.log(np.clip(of_the_truth, smallest, 1 - smallest))
    return losses
