"""Everything that is measured of a model on labelled images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from emodetect.config import load_config
from emodetect.data.dataset import Dataset
from emodetect.evaluation.classify import Tta, batch_size_difference, predict_images
from emodetect.evaluation.image_selection import Selection, select_images
from emodetect.evaluation.labelled_data import (
    OWN_DATA,
    Faces,
    is_training_data,
    load_judged,
    open_source,
    open_training_data,
    source_config,
    training_config,
)
from emodetect.evaluation.metrics.classification import compute_metrics
from emodetect.evaluation.metrics.intervals import RESAMPLES, bootstrap_intervals
from emodetect.evaluation.metrics.robustness import altered_accuracies
from emodetect.evaluation.metrics.slices import measure_slices
from emodetect.evaluation.predictions import ImagePredictions
from emodetect.recognition.recognizer import EmotionRecognizer


@dataclass(frozen=True)
class Evaluation:
    """A model's answers, and their figures as plain, JSON-ready values."""

    predictions: ImagePredictions
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
        tta: see `classify.classify`.
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


logger = logging.getLogger(__name__)
SEEN = (
    "The model was trained on most of these images, and will do worse on others: judge it on "
    "images kept apart, such as those that its training took out (--split test)."
)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A model and the images that it is to be judged on.

    Attributes:
        told: what metrics.json tells of them: by what names the user knows the "model" and the
            "data", its "faces" and "split", whether the model has "seen" some of the images in
            training, and its "input". JSON-ready.
    """

    recognizer: EmotionRecognizer
    dataset: Dataset
    selection: Selection
    told: dict[str, Any]


def open_task(
    model: str,
    recognizer: EmotionRecognizer,
    *,
    source: str | None = None,
    config_name: str | None = None,
    faces: Faces | None = None,
    split: str | None = None,
    emotions: Sequence[str] | None = None,
    exclude_duplicates_of: Sequence[str] = (),
    slice_by: tuple[str, ...] = (),
) -> Task:
    """Load the data and select the images.

    Args:
        model: by what name the user knows it.
        source: SOURCE:PATH; else the data of `config_name`, a file or preset; else the model's own.
        faces: of a source, see `open_source`.
        split: "train", "val", "test" or "all"; test if None, all where the data has no splits.
        emotions: takes only the images of these.
        exclude_duplicates_of: SOURCE:PATH; images equal to training images there are left out.
        slice_by: columns of a manifest by which the figures are told, too.

    Raises:
        DataError: for data that cannot be read, or of which no image is left.
        ConfigError: for a config that cannot be used.
    """
    metadata = recognizer.metadata
    if source:
        wanted = source_config(source, metadata, faces=faces, slice_by=slice_by)
        dataset, same_data = load_judged(
            wanted, metadata, split=split, name=source, slice_by=slice_by
        )
    else:
        config = load_config(config_name) if config_name else training_config(metadata)
        dataset = open_training_data(config, metadata, slice_by=slice_by)
        same_data = is_training_data(config.data, metadata)
    data = source or config_name or OWN_DATA
    split = split or ("test" if "test" in dataset.splits else "all")
    seen = same_data and split in ("train", "all")
    if seen:
        logger.warning("%s: %s", data, SEEN)
    trained_on = {
        name: open_source(name, metadata, faces=faces, option="--exclude-duplicates-of")
        for name in exclude_duplicates_of
    }
    return Task(
        recognizer=recognizer,
        dataset=dataset,
        selection=select_images(dataset, split, emotions=emotions, trained_on=trained_on),
        told={
            "model": model,
            "data": data,
            "faces": faces,
            "split": split,
            "seen": seen,
            "input": [metadata.image_size, metadata.color, metadata.margin],
        },
    )


def evaluate_task(
    task: Task, *, tta: Tta | None = None, bootstrap: int = RESAMPLES, robustness: bool = False
) -> Evaluation:
    """Judge the model; see `evaluate_model`. The metrics begin with what the task tells."""
    evaluation = evaluate_model(
        task.recognizer,
        task.dataset,
        task.selection,
        tta=tta,
        bootstrap=bootstrap,
        robustness=robustness,
    )
    return replace(evaluation, metrics={**task.told, **evaluation.metrics})
