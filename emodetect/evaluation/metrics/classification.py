"""Accuracy, F1, log-loss and the confusion matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import classification_report, confusion_matrix, log_loss

from emodetect.evaluation.metrics.calibration import expected_calibration_error, reliability_bins
from emodetect.evaluation.metrics.intervals import wilson_interval
from emodetect.evaluation.predictions import ImagePredictions


def compute_metrics(predictions: ImagePredictions) -> dict[str, Any]:
    """Return the metrics of a classifier as plain, JSON-ready values.

    Averages are over the emotions in the data; predictions of other emotions count as errors.
    The precision of an emotion that was never predicted counts as 0. "groups" is the number of
    groups of images, that of the images if all are independent.
    """
    labels, predicted = predictions.labels, predictions.predicted
    names = predictions.emotions
    confidence, correct = predictions.confidence, predictions.correct
    present, ever_predicted = np.unique(labels), np.unique(predicted)
    report = classification_report(
        labels,
        predicted,
        labels=present,
        output_dict=True,
        zero_division=0,
    )
    per_class = {}
    for label in present:
        mine = labels == label
        interval = wilson_interval(correct[mine], predictions.groups[mine])
        per_class[names[label]] = {**report[str(label)], "recall_interval_95": interval}
    return {
        "images": len(labels),
        "groups": len(np.unique(predictions.groups)),
        "accuracy": float(np.mean(correct)),
        # scikit-learn's balanced_accuracy_score warns if a class is absent.
        "balanced_accuracy": report["macro avg"]["recall"],
        "macro_f1": report["macro avg"]["f1-score"],
        "log_loss": float(
            log_loss(labels, predictions.probabilities, labels=np.arange(len(names)))
        ),
        "expected_calibration_error": expected_calibration_error(confidence, correct),
        "reliability_bins": reliability_bins(confidence, correct),
        "macro_average": report["macro avg"],
        "weighted_average": report["weighted avg"],
        "per_class": per_class,
        "absent": [name for label, name in enumerate(names) if label not in present],
        "never_predicted": [
            name for label, name in enumerate(names) if label not in ever_predicted
        ],
        "emotions": list(names),
        "confusion_matrix": confusion_matrix(
            labels, predicted, labels=np.arange(len(names))
        ).tolist(),
    }
