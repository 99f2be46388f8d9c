"""Confidence intervals of the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

from emodetect.evaluation.predictions import Predictions
from emodetect.machine.progress import track

SEED = 0
RESAMPLES = 1000
# If right or wrong answers are in fewer groups, these do not tell how alike the images of one are.
FEWEST_GROUPS = 3
LEAST_FREEDOM = 0.05  # Student's t has no fewer degrees; the interval is 0 to 1 then


def metric_intervals(
    predictions: Predictions, resampled: Mapping[str, np.ndarray]
) -> dict[str, list[float] | None]:
    """Return the 95% interval [low, high] of each metric.

    That of the accuracy is Wilson's; see `wilson_interval`. The others are bootstrap intervals,
    see `percentile_interval`, or None if all resamples agree, as they do at 100%: they say nothing
    about other images then.

    Args:
        resampled: the metrics of resamples; see `resampled_metrics`.
    """
    intervals = {
        name: percentile_interval(values, predictions.groups) if np.ptp(values) else None
        for name, values in resampled.items()
    }
    return {**intervals, "accuracy": wilson_interval(predictions.correct, predictions.groups)}


def percentile_interval(values: np.ndarray, groups: np.ndarray) -> list[float]:
    """Return the [low, high] that contains the middle 95% of resampled values (Efron 1979).

    A little more than the middle 95% for few groups, as resamples vary less than other images
    would (expanded percentile interval, Hesterberg 2015).

    Args:
        groups: (n,) int, at least two, that were resampled; see `Predictions.groups`.
    """
    count = _equal_groups(np.unique(groups, return_counts=True)[1])
    outside = norm.cdf(-_student_t(count) * np.sqrt(count / (count - 1)))
    return [float(limit) for limit in np.quantile(values, (outside, 1 - outside))]


def wilson_interval(correct: np.ndarray, groups: np.ndarray) -> list[float] | None:
    """Return the 95% interval [low, high] of the share that is correct (Wilson 1927).

    Images of one group count as fewer the more alike they are: as n divided by the design effect
    (Kish 1965), corrected for few groups (Korn and Graubard 1998), of which unequal ones count as
    fewer. None for a single group of several images, which says nothing about other groups.

    Args:
        correct: (n,) bool, at least one.
        groups: (n,) int, see `Predictions.groups`.

    Examples:
        >>> [round(limit, 3) for limit in wilson_interval(np.array([True, False]), np.arange(2))]
        [0.095, 0.905]
    """
    share, count = float(correct.mean()), _effective_size(correct, groups)
    if count is None:
        return None
    z = float(norm.ppf(0.975))
    center = share + z**2 / (2 * count)
    half = z * np.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    # Rounding goes below 0 and above 1.
    limits = ((center - half) / (1 + z**2 / count), (center + half) / (1 + z**2 / count))
    return [min(max(float(limit), 0.0), 1.0) for limit in limits]


def _effective_size(correct: np.ndarray, groups: np.ndarray) -> float | None:
    """Return how many independent images tell as much about the share that is correct."""
    images, share = len(correct), correct.mean()
    _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) == images:
        return images
    if len(sizes) == 1:
        return None
    equal_groups = _equal_groups(sizes)
    rarer = correct == (share < 0.5)
    if len(np.unique(groups[rarer])) < FEWEST_GROUPS:
        effect = images / equal_groups  # as if the images of a group were all alike
    else:
        sums = np.bincount(numbers, correct - share)
        variance = len(sizes) / (len(sizes) - 1) * (sums**2).sum() / images**2
        effect = max(1.0, variance / (share * (1 - share) / (images - 1)))
    return float(images / effect * (_student_t(images) / _student_t(equal_groups)) ** 2)


def _equal_groups(sizes: np.ndarray) -> float:
    """Return how many groups of the same size tell as much as groups of these (Kish 1965)."""
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def _student_t(count: float) -> float:
    """Return the 97.5% quantile of Student's t for a mean of so many values, more than one."""
    return float(t.ppf(0.975, max(count - 1, LEAST_FREEDOM)))


def resampled_metrics(predictions: Predictions, *, resamples: int) -> dict[str, np.ndarray]:
    """Return the metrics, (resamples,) float64 each, of bootstrap resamples of the groups.

    Groups of images are drawn as a whole. The seed is fixed, so two models on the same images get
    the same resamples. Balanced accuracy and macro F1 average over the emotions present in a
    resample. The calibration error is not included: repeated images make its bins noisier and bias
    it upwards.
    """
    images = _Images.of(predictions)
    _, numbers = np.unique(predictions.groups, return_inverse=True)
    count = int(numbers.max()) + 1
    generator = np.random.default_rng(SEED)
    rows = []
    for _ in track(range(resamples), description="resampling", total=resamples):
        drawn = np.bincount(generator.integers(count, size=count), minlength=count)
        rows.append(images.metrics(drawn[numbers]))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def metrics_of(predictions: Predictions) -> dict[str, float]:
    """Return the metrics that have intervals, over all images."""
    return _Images.of(predictions).metrics(np.ones(len(predictions.labels), np.int64))


@dataclass(frozen=True)
class _Images:
    """What the metrics need of each image.

    Attributes:
        emotions: how many the model knows.
        cells: (n,) int64, the image's cell in the flattened confusion matrix.
        losses: (n,) float, its log-loss, clipped as in scikit-learn so that it is finite.
    """

    emotions: int
    cells: np.ndarray
    losses: np.ndarray

    @classmethod
    def of(cls, predictions: Predictions) -> _Images:
        labels, emotions = predictions.labels, len(predictions.emotions)
        of_the_truth = predictions.probabilities[np.arange(len(labels)), labels]
        smallest = np.finfo(of_the_truth.dtype).eps
        losses = -np.log(np.clip(of_the_truth, smallest, 1 - smallest))
        return cls(emotions, labels * emotions + predictions.predicted, losses)

    def metrics(self, times: np.ndarray) -> dict[str, float]:
        """Return the metrics if each image is there so many `times`, (n,) int64.

        scikit-learn takes 30 s for 1,000 resamples.
        """
        counts = np.bincount(self.cells, times, minlength=self.emotions**2)
        matrix = counts.reshape(self.emotions, self.emotions)
        correct, true, predicted_as = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
        present = true > 0
        return {
            "accuracy": float(correct.sum() / times.sum()),
            "balanced_accuracy": float((correct[present] / true[present]).mean()),
            "macro_f1": float((2 * correct[present] / (true + predicted_as)[present]).mean()),
            "log_loss": float((times * self.losses).sum() / times.sum()),
        }
