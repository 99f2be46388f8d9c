"""Classify labelled images with a model."""

from __future__ import annotations

import numpy as np

from emodetect.data.dataset import Dataset
from emodetect.errors import DataError
from emodetect.evaluation.predictions import ImagePredictions
from emodetect.machine.progress import track
from emodetect.machine.terminal_text import quoted
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.runtimes.runtime import MAX_BATCH

# A larger difference is more than rounding in another order.
BATCH_TOLERANCE = 1e-4


def predict_images(
    recognizer: EmotionRecognizer, dataset: Dataset, members: np.ndarray
) -> ImagePredictions:
    """Classify the images at the positions `members` of a data set.

    Labels are matched by name. Raises DataError if the data has emotions that the model
    was not trained on.
    """
    labels = labels_among(recognizer.emotions, dataset, members)
    images = dataset.images[members]
    return ImagePredictions(
        emotions=recognizer.emotions,
        labels=labels,
        probabilities=classify(recognizer, images),
        images=images,
        paths=dataset.paths[members],
        crops=dataset.crops[members],
        groups=dataset.groups[members],
    )


def labels_among(emotions: tuple[str, ...], dataset: Dataset, members: np.ndarray) -> np.ndarray:
    """Return the labels of images of a data set as (n,) int64 positions in a model's emotions.

    Raises DataError if the data has emotions that the model was not trained on.
    """
    names = [dataset.emotions[label] for label in dataset.labels[members]]
    unknown = sorted(set(names) - set(emotions))
    if unknown:
        known = ",".join(emotion for emotion in emotions if emotion in names)
        exclude = f"Exclude them (evaluate --classes {quoted(known)}), or say" if known else "Say"
        raise DataError(
            f"the data has emotions that the model was not trained on: {', '.join(unknown)}. "
            f"It was trained on {', '.join(emotions)}. {exclude} what they are with --label-name."
        )
    position = {emotion: label for label, emotion in enumerate(emotions)}
    return np.array([position[name] for name in names], np.int64)


def classify(
    recognizer: EmotionRecognizer,
    images: np.ndarray,
    *,
    description: str = "classifying",
) -> np.ndarray:
    """Return the emotion probabilities of model inputs, showing a progress bar.

    Args:
        images: (n, size, size, channels) uint8, at least one.

    Returns:
        (n, emotions) float32.
    """
    results = []
    starts = range(0, len(images), MAX_BATCH)
    for start in track(starts, description=description, total=len(starts)):
        results.append(recognizer.classify_inputs(images[start : start + MAX_BATCH]))
    return np.concatenate(results)


def batch_size_difference(recognizer: EmotionRecognizer, images: np.ndarray) -> float:
    """Return the largest difference of a probability between single images and a batch.

    It exceeds BATCH_TOLERANCE if batch normalisation was left in training mode, as an image's
    probabilities then depend on the rest of its batch. Checks up to 64 evenly spread images.

    Args:
        images: (n, size, size, channels) uint8, at least one.
    """
    sample = images[np.linspace(0, len(images) - 1, min(MAX_BATCH, len(images))).astype(int)]
    together = recognizer.classify_inputs(sample)
    alone = np.concatenate([recognizer.classify_inputs(image[np.newaxis]) for image in sample])
    return float(np.abs(together - alone).max())
