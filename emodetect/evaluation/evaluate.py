"""Evaluate one model on labelled images."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emodetect.config import Faces
from emodetect.data.dataset import Dataset, leaked_images, place_of
from emodetect.data.named_data import NamedData
from emodetect.evaluation.classify import batch_size_difference, predict_images
from emodetect.evaluation.labelled_images.image_selection import Selection, select_images
from emodetect.evaluation.labelled_images.labelled_data import (
    OWN_DATA,
    LabelledData,
    load_labelled_data,
    open_excluded,
)
from emodetect.evaluation.metrics.classification import compute_metrics
from emodetect.evaluation.metrics.intervals import (
    RESAMPLES,
    metric_intervals,
    resampled_metrics,
)
from emodetect.evaluation.metrics.robustness import corrupted_accuracies
from emodetect.evaluation.metrics.slices import measure_slices
from emodetect.evaluation.predictions import ImagePredictions
from emodetect.recognition.recognizer import EmotionRecognizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EvaluationTask:
    """The images to evaluate a model on.

    Attributes:
        description: JSON-ready, for metrics.json: the "model" and the "data" as the user named
            them, a hash of the "place" of the data, "faces", the "label_names" given for the
            data, "split", whether the model has "seen" some of the images in training, the
            "caveats", the number of images "leaked" from training (None: unknown), and the model's
            "input".
    """

    dataset: Dataset
    selection: Selection
    description: dict[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """A model's predictions, and their metrics as plain, JSON-ready values."""

    predictions: ImagePredictions
    metrics: dict[str, Any]


def open_task(
    model: str,
    recognizer: EmotionRecognizer,
    *,
    source: NamedData | None = None,
    config_name: str | None = None,
    faces: Faces | None = None,
    split: str | None = None,
    emotions: Sequence[str] | None = None,
    exclude_duplicates_of: Sequence[NamedData] = (),
    slice_by: tuple[str, ...] = (),
    group: tuple[str, ...] = (),
    label_names: Mapping[str, str] | None = None,
) -> EvaluationTask:
    """Load the data and select the images; warn if the model was trained on them.

    Args:
        model: its name or file, as the user gave it.
        source, config_name, faces, split, slice_by, group, label_names: see
            `load_labelled_data`.
        emotions: uses only the images of these.
        exclude_duplicates_of: data sets whose training images are excluded.

    Raises:
        DataError: if the data cannot be read, or no image is left.
        ConfigError: if the config is not valid.
    """
    metadata = recognizer.metadata
    loaded = load_labelled_data(
        metadata,
        source=source,
        config_name=config_name,
        faces=faces,
        split=split,
        slice_by=slice_by,
        group=group,
        label_names=label_names,
    )
    excluded = open_excluded(exclude_duplicates_of, metadata, label_names=label_names)
    selection = select_images(loaded.dataset, loaded.split, emotions=emotions, trained_on=excluded)
    caveats = loaded.caveats(selection.members)
    for line in caveats:
        logger.warning("%s: %s", source or config_name or "the training data", line)
    own = len(np.unique(loaded.dataset.groups[selection.members]))
    if group and own == len(selection.members):
        logger.warning(
            "--group %s: no two of these images have the same value, so each counts on its own",
            " ".join(group),
        )
    return EvaluationTask(
        dataset=loaded.dataset,
        selection=selection,
        description={
            "model": model,
            "data": str(source or config_name or OWN_DATA),
            "place": None if loaded.config.path is None else place_of(loaded.config.path),
            "faces": faces,
            "label_names": dict(label_names or {}),
            "split": loaded.split,
            "seen": loaded.seen(selection.members),
            "caveats": caveats,
            "leaked": _leaked(loaded, selection),
            "input": [metadata.image_size, metadata.color, metadata.margin],
        },
    )


def _leaked(loaded: LabelledData, selection: Selection) -> int | None:
    """Return how many selected images are identical to training images; None if not known."""
    if not loaded.same_data:  # whose train split trained other models
        return None
    dataset = loaded.dataset
    if loaded.split not in dataset.leaked:
        return 0
    rows = np.union1d(dataset.indices("train"), selection.members)
    return leaked_images(dataset.digests[rows], dataset.splits[rows]).get(loaded.split, 0)


def evaluate_model(
    recognizer: EmotionRecognizer,
    dataset: Dataset,
    selection: Selection,
    *,
    description: Mapping[str, Any] | None = None,
    bootstrap: int = RESAMPLES,
    robustness: bool = False,
) -> Evaluation:
    """Classify the selected images and compute the metrics.

    Args:
        description: what the metrics begin with; see `EvaluationTask`.
        bootstrap: the number of resamples for the 95% intervals; see `metric_intervals`.
        robustness: also classifies corrupted copies; "robustness" is None otherwise.

    Raises:
        DataError: if the data has emotions that the model was not trained on.
    """
    predictions = predict_images(recognizer, dataset, selection.members)
    corrupted = corrupted_accuracies(recognizer, predictions) if robustness else None
    metrics = {
        **(description or {}),
        "fingerprint": dataset.fingerprint,
        "images_fingerprint": images_fingerprint(dataset),
        "skipped": [str(file) for file in dataset.skipped],
        "left_out": selection.left_out,
        "tta": recognizer.tta,
        **compute_metrics(predictions),
        "batch_size_difference": batch_size_difference(recognizer, predictions.images),
        "bootstrap": bootstrap,
        "intervals_95": metric_intervals(
            predictions, resampled_metrics(predictions, resamples=bootstrap)
        ),
        "slices": measure_slices(predictions, dataset, selection.members),
        "robustness": corrupted,
    }
    return Evaluation(predictions, metrics)


def images_fingerprint(dataset: Dataset) -> str:
    """Return a hash of the pixels and labels of a data set, whatever its splits and its order.

    Unlike the fingerprint of the data set, it is the same for models that split the data otherwise.
    """
    lines = [
        f"{digest.decode()} {dataset.emotions[label]}"
        for digest, label in zip(dataset.digests, dataset.labels, strict=True)
    ]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
