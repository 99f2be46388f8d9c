"""How well a model does on labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import (
    classification_report,
    confusion_matrix,
    log_loss,
)

from emodetect.data.dataset import Dataset
from emodetect.emotions import canonical_emotion
from emodetect.errors import DataError
from emodetect.inference.recognizer import EmotionRecognizer
from emodetect.inference.runtime import MAX_BATCH
from emodetect.progress import track


@dataclass(frozen=True)
class Predictions:
    """A model's answers on labelled images.

    Attributes:
        emotions: the model's label order.
        labels: (n,) int64, the true positions in `emotions`.
        probabilities: (n, emotions) float32.
        images: (n, size, size, channels) uint8.
        paths: (n,) str.
    """

    emotions: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    images: np.ndarray
    paths: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """(n,) int64, the most probable position of each image."""
        best: np.ndarray = np.argmax(self.probabilities, axis=1)
        return best


def predict_dataset(
    recognizer: EmotionRecognizer,
    dataset: Dataset,
    split: str,
    *,
    emotions: Sequence[str] | None = None,
) -> Predictions:
    """Classify the images of a split ("train", "val", "test" or "all"), or of some emotions in it.

    Labels are matched by name. Raises DataError for an empty split, and for emotions that the
    model does not know.
    """
    members = dataset.indices(split)
    if emotions is not None:
        wanted = [canonical_emotion(name, where="--classes") for name in emotions]
        if len(set(wanted)) != len(wanted):
            raise DataError("--classes: each emotion may be named once.")
        if absent := [name for name in wanted if name not in dataset.emotions]:
            raise DataError(
                f"--classes: the data has no images of {', '.join(absent)}, only of "
                f"{', '.join(dataset.emotions)}."
            )
        kept = [dataset.emotions.index(name) for name in wanted]
        members = members[np.isin(dataset.labels[members], kept)]
    if not len(members):
        there = sorted(set(dataset.splits.tolist()) - {""})
        raise DataError(
            f"expected images in the split {split!r}; this data has "
            f"the splits {', '.join(there) or '(none)'} and the emotions "
            f"{', '.join(dataset.emotions)}. Use --split all for every image."
        )
    names = [dataset.emotions[label] for label in dataset.labels[members]]
    unknown = sorted(set(names) - set(recognizer.emotions))
    if unknown:
        raise DataError(
            f"the data has emotions that the model does not know: {', '.join(unknown)}. It knows "
            f"{', '.join(recognizer.emotions)}. Leave them out with --classes."
        )
    position = {emotion: label for label, emotion in enumerate(recognizer.emotions)}
    starts = range(0, len(members), MAX_BATCH)
    probabilities = np.concatenate(
        [
            recognizer.classify_inputs(dataset.images[members[start : start + MAX_BATCH]])
            for start in track(starts, description="classifying", total=len(starts))
        ]
    )
    return Predictions(
        emotions=recognizer.emotions,
        labels=np.array([position[name] for name in names]),
        probabilities=probabilities,
        images=dataset.images[members],
        paths=dataset.paths[members],
    )


def compute_metrics(predictions: Predictions) -> dict[str, Any]:
    """Return the figures of a classifier as plain, JSON-ready values.

    Averages go over the emotions that the data has; predictions of others count as errors.
    A precision that is undefined, because the emotion was never predicted, counts as 0.
    """
    labels, predicted = predictions.labels, predictions.predicted
    names = predictions.emotions
    present, answered = np.unique(labels), np.unique(predicted)
    report = classification_report(
        labels,
        predicted,
        labels=present,
        target_names=[names[label] for label in present],
        output_dict=True,
        zero_division=0,
    )
    return {
        "images": len(labels),
        "accuracy": float(np.mean(labels == predicted)),
        # Its definition; scikit-learn's function of the name warns where a class is absent.
        "balanced_accuracy": report["macro avg"]["recall"],
        "log_loss": float(
            log_loss(labels, predictions.probabilities, labels=np.arange(len(names)))
        ),
        "macro_average": report["macro avg"],
        "weighted_average": report["weighted avg"],
        "per_class": {names[label]: report[names[label]] for label in present},
        "absent": [name for label, name in enumerate(names) if label not in present],
        "never_predicted": [name for label, name in enumerate(names) if label not in answered],
        "emotions": list(names),
        "confusion_matrix": confusion_matrix(
            labels, predicted, labels=np.arange(len(names))
        ).tolist(),
    }
