"""How far the figures could lie from these if other images of the same kind had been taken."""

from __future__ import annotations

import numpy as np

from emodetect.evaluation.predictions import Predictions
from emodetect.progress import track

PERCENTILES = (2.5, 97.5)
SEED = 0


def bootstrap_intervals(predictions: Predictions, *, resamples: int) -> dict[str, list[float]]:
    """Return the [low, high] of 95 % of each figure by the percentile bootstrap (Efron 1979).

    As many images as there are, are drawn from them with replacement `resamples` times, always
    by the same seed. Balanced accuracy and macro F1 are averages over the emotions that a
    resample has, so an emotion of few images that is absent from one does not count in it. The
    calibration error is left out: repeated images make its bins noisier, and it too high.
    """
    labels, predicted = predictions.labels, predictions.predicted
    losses = _losses(predictions)
    generator = np.random.default_rng(SEED)
    figures = []
    for _ in track(range(resamples), description="resampling", total=resamples):
        drawn = generator.integers(len(labels), size=len(labels))
        balanced_accuracy, macro_f1 = _averages(
            labels[drawn], predicted[drawn], emotions=len(predictions.emotions)
        )
        figures.append(
            {
                "accuracy": np.mean(labels[drawn] == predicted[drawn]),
                "balanced_accuracy": balanced_accuracy,
                "macro_f1": macro_f1,
                "log_loss": losses[drawn].mean(),
            }
        )
    return {
        name: [float(limit) for limit in np.percentile([row[name] for row in figures], PERCENTILES)]
        for name in figures[0]
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


def _losses(predictions: Predictions) -> np.ndarray:
    """Return the log-loss of each image, with scikit-learn's limits against infinity."""
    of_the_truth = predictions.probabilities[np.arange(len(predictions.labels)), predictions.labels]
    smallest = np.finfo(of_the_truth.dtype).eps
    losses: np.ndarray = -np.log(np.clip(of_the_truth, smallest, 1 - smallest))
    return losses
