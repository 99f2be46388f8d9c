"""Calibration error and bootstrap intervals, against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from labelled import predictions_of

from emodetect.evaluation.metrics.calibration import expected_calibration_error, reliability_bins
from emodetect.evaluation.metrics.classification import compute_metrics
from emodetect.evaluation.metrics.intervals import metric_intervals, resampled_metrics

# --- calibration


def test_the_calibration_error_weighs_each_bin_by_its_images() -> None:
    """A tenth of the images off by 0.4 and nine tenths by 0.1 give 0.13, whatever the sign."""
    # 10 images of confidence 0.6, all right; 90 of 0.9, 72 (0.8) right.
    confidence = np.array([0.6] * 10 + [0.9] * 90, np.float32)
    correct = np.array([True] * 10 + [True] * 72 + [False] * 18)
    error = expected_calibration_error(confidence, correct)
    assert error == pytest.approx(0.1 * 0.4 + 0.9 * 0.1)


def test_errors_within_a_bin_cancel_out() -> None:
    """In one bin the mean confidence counts: 0.88 and 0.92, half of them right, are off by 0.4."""
    confidence = np.array([0.88, 0.92])
    assert expected_calibration_error(confidence, np.array([True, False])) == pytest.approx(0.4)


def test_the_bins_hold_every_image_once() -> None:
    """Fifteen equal bins cover 0 to 1 with the upper limits in; those without images say so."""
    confidence = np.array([0.0, 0.5, 0.52, 1.0])
    bins = reliability_bins(confidence, np.array([False, True, False, True]))
    assert len(bins) == 15
    assert [row["images"] for row in bins] == [1, *[0] * 6, 2, *[0] * 6, 1]
    assert (bins[7]["low"], bins[7]["high"]) == pytest.approx((7 / 15, 8 / 15))
    assert (bins[7]["mean_confidence"], bins[7]["accuracy"]) == pytest.approx((0.51, 0.5))
    assert (bins[3]["mean_confidence"], bins[3]["accuracy"]) == (None, None)
    assert (bins[14]["mean_confidence"], bins[14]["accuracy"]) == (1, 1)


def test_the_figures_hold_the_calibration() -> None:
    """metrics.json gets the error of the top probability, and the bins it comes from."""
    # Confidence 0.7 and right, 0.6 and wrong: off by 0.3 and 0.6, each half of the images.
    metrics = compute_metrics(predictions_of([0, 0], [[0.7, 0.3], [0.4, 0.6]], ("sad", "happy")))
    assert metrics["expected_calibration_error"] == pytest.approx((0.3 + 0.6) / 2)
    filled = [row for row in metrics["reliability_bins"] if row["images"]]
    assert [row["accuracy"] for row in filled] == [0, 1]
    assert [row["mean_confidence"] for row in filled] == pytest.approx([0.6, 0.7])


# --- intervals


def test_the_interval_of_the_accuracy_is_that_of_a_share() -> None:
    """Of 400 images with 280 right, the interval is 0.7 ± 1.96 standard errors of a share."""
    probabilities = [[0.9, 0.1]] * 280 + [[0.2, 0.8]] * 120
    predictions = predictions_of([0] * 400, probabilities, ("sad", "happy"))
    intervals = metric_intervals(predictions, resampled_metrics(predictions, resamples=2000))
    reach = 1.96 * math.sqrt(0.7 * 0.3 / 400)
    assert intervals["accuracy"] == pytest.approx([0.7 - reach, 0.7 + reach], abs=0.005)
    # Two losses only, so that the log-loss is a line of the accuracy.
    of_share = [-share * math.log(0.9) - (1 - share) * math.log(0.2) for share in (1, 0)]
    expected = [
        of_share[1] + (of_share[0] - of_share[1]) * share for share in (0.7 + reach, 0.7 - reach)
    ]
    assert intervals["log_loss"] == pytest.approx(expected, abs=0.01)


def test_the_intervals_are_of_the_reported_figures() -> None:
    """With many images each interval is narrow and holds the figure that metrics.json has."""
    predictions = predictions_of(
        [0, 0, 0, 1, 1, 2] * 1000,
        [
            [0.7, 0.2, 0.1],
            [0.6, 0.3, 0.1],
            [0.3, 0.6, 0.1],
            [0.1, 0.8, 0.1],
            [0.3, 0.5, 0.2],
            [1.0, 0.0, 0.0],
        ]
        * 1000,
        ("sad", "happy", "fear"),
    )
    metrics = compute_metrics(predictions)
    intervals = metric_intervals(predictions, resampled_metrics(predictions, resamples=200))
    for name, (low, high) in intervals.items():
        assert low < metrics[name] < high
        # The log-loss of the sure and wrong answer is 16, so it moves more than a share.
        assert high - low < (0.5 if name == "log_loss" else 0.05)
    assert set(intervals) == {
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "log_loss",
    }


def test_the_intervals_are_the_same_each_time() -> None:
    """Two evaluations of the same answers print the same intervals."""
    predictions = predictions_of([0, 1] * 20, [[0.6, 0.4]] * 40, ("sad", "happy"))
    first = metric_intervals(predictions, resampled_metrics(predictions, resamples=100))
    assert metric_intervals(predictions, resampled_metrics(predictions, resamples=100)) == first
    assert first["accuracy"][0] < first["accuracy"][1]


def test_a_resample_without_a_rare_emotion_averages_over_the_others() -> None:
    """One wrong image among 21 is absent from a third of the resamples, which then score 1."""
    predictions = predictions_of([0] * 20 + [1], [[0.9, 0.1]] * 21, ("sad", "happy"))
    intervals = metric_intervals(predictions, resampled_metrics(predictions, resamples=400))
    # Drawn: recall 1 of sad and 0 of happy. Not drawn: recall 1 of sad alone.
    assert intervals["balanced_accuracy"] == [0.5, 1]


def test_figures_that_no_resample_changes_have_no_interval() -> None:
    """Without a mistake, accuracy and log-loss have an interval, the averages have none."""
    predictions = predictions_of([0, 1] * 10, [[0.9, 0.1], [0.2, 0.8]] * 10, ("sad", "happy"))
    intervals = metric_intervals(predictions, resampled_metrics(predictions, resamples=100))
    assert (intervals["balanced_accuracy"], intervals["macro_f1"]) == (None, None)
    # Wilson's lower end at n of n is n / (n + 1.96^2).
    assert intervals["accuracy"] == pytest.approx([20 / (20 + 1.959964**2), 1])
    low, high = intervals["log_loss"]
    assert -math.log(0.9) < low < high < -math.log(0.8)


def test_a_single_image_has_an_interval_of_the_accuracy_only() -> None:
    """Every resample of one image is that image, so resamples say nothing of others."""
    predictions = predictions_of([0], [[0.9, 0.1]], ("sad", "happy"))
    intervals = metric_intervals(predictions, resampled_metrics(predictions, resamples=100))
    assert [name for name, limits in intervals.items() if limits] == ["accuracy"]
