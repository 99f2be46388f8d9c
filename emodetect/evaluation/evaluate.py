"""Everything that is measured of a model on labelled images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from emodetect.data.dataset import Dataset
from emodetect.evaluation.image_selection import Selection
from emodetect.evaluation.metrics.classification import compute_metrics
from emodetect.evaluation.metrics.intervals import RESAMPLES, bootstrap_intervals
from emodetect.evaluation.metrics.robustness import altered_accuracies
from emodetect.evaluation.metrics.slices import measure_slices
from emodetect.evaluation.predictions import (
    Predictions,
    Tta,
    batch_size_difference,
    predict_images,
)
from emodetect.recognition.recognizer import EmotionRecognizer


@dataclass(frozen=True)
class Evaluation:
    """A model's answers, and their figures as plain, JSON-ready values."""

    predictions: Predictions
    metrics: dict[str, Any]


def evaluate_model(
    recognizer: EmotionRecognizer,
    dataset: Dataset,
    selection: Selection,
    *,
    tta: Tta | None = None,
    bootstrap: int = RESAMPLES,
    robustness: bool = False,
) -> Evaluation:
    """Classify the selected images and measure the answers.

    What was not asked for is None among the metrics.

    Args:
        tta: see `predictions.classify`.
        bootstrap: how many resamples the 95 % intervals come from.
        robustness: classifies altered copies too.

    Raises:
        DataError: for emotions that the model does not know.
    """
    predictions = predict_images(recognizer, dataset, selection.members, tta=tta)
    altered = altered_accuracies(recognizer, predictions, tta=tta) if robustness else None
    metrics = {
        "fingerprint": dataset.fingerprint,
        "skipped": [str(file) for file in dataset.skipped],
        "left_out": selection.left_out,
        "tta": tta,
        **compute_metrics(predictions),
        "batch_size_difference": batch_size_difference(recognizer, predictions.images),
        "bootstrap": bootstrap,
        "intervals_95": bootstrap_intervals(predictions, resamples=bootstrap),
        "slices": measure_slices(predictions, dataset, selection.members),
        "robustness": altered,
    }
    return Evaluation(predictions, metrics)
