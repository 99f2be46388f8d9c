"""Cross-dataset evaluation: every model on every data set."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emodetect.config import Faces
from emodetect.data.dataset import DATA_LOGGERS
from emodetect.data.named_data import NamedData
from emodetect.emotions import in_canonical_order, known_labels
from emodetect.errors import DataError
from emodetect.evaluation.evaluate import evaluate_model
from emodetect.evaluation.labelled_images.image_selection import Selection, select_images
from emodetect.evaluation.labelled_images.labelled_data import (
    LabelledData,
    load_labelled_data,
    open_excluded,
    shared_label_names,
    takes_label_names,
)
from emodetect.evaluation.metrics.intervals import RESAMPLES
from emodetect.machine.terminal_text import said_once
from emodetect.model_file.shipped_models import TRAINED_ON
from emodetect.recognition.recognizer import EmotionRecognizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NamedModel:
    """A model and its name or file as the user gave it."""

    name: str
    recognizer: EmotionRecognizer


@dataclass(frozen=True)
class DataSource:
    """A data set, and how its faces are cropped; see `load_source`."""

    data: NamedData
    faces: Faces | None = None


@dataclass(frozen=True)
class CrossDatasetResult:
    """The result of one model on one data set.

    Attributes:
        model: its name.
        trained_on: its training data as SOURCE:PATH; the common name of that data for a shipped
            model, "unknown" for a foreign one.
        data: its test data as SOURCE:PATH.
        split: "train", "val", "test" or "all".
        faces: how the images were cropped, "whole" or "detect".
        same_data: whether the model was trained on this data set.
        seen: whether it was trained on some of these images.
        label_names: the emotion for each label of the data set.
        available: the number of images of each emotion in the split, before any were excluded.
        metrics: see `evaluate_model`.
    """

    model: str
    trained_on: str
    data: str
    split: str
    faces: str
    same_data: bool
    seen: bool
    label_names: dict[str, str]
    available: dict[str, int]
    metrics: dict[str, Any]

    def emotions(self) -> tuple[str, ...]:
        """Return the emotions of the evaluated images, in canonical order."""
        return in_canonical_order(self.metrics["per_class"])


@dataclass(frozen=True)
class _Task:
    model: NamedModel
    source: DataSource
    loaded: LabelledData
    selection: Selection


def evaluate_across(
    models: Sequence[NamedModel],
    sources: Sequence[DataSource],
    *,
    split: str | None = None,
    emotions: Sequence[str] | None = None,
    exclude_duplicates_of: Sequence[NamedData] = (),
    label_names: Mapping[str, str] | None = None,
    bootstrap: int = RESAMPLES,
) -> list[CrossDatasetResult]:
    """Evaluate each model on each data set; results are ordered by model, then by data set.

    Images of emotions that a model was not trained on are excluded and counted. What one model
    calls the labels of a data set holds for all; see `shared_label_names`.

    Args:
        split: see `load_labelled_data`.
        emotions: uses only the images of these, where a data set has them.
        exclude_duplicates_of: data sets whose training images are excluded.
        label_names: emotions of labels by other names, for the data sets that take them.
        bootstrap: the number of resamples for the 95% intervals.

    Raises:
        DataError: if a data set cannot be read, or no image is left for a model.
    """
    # If no data set takes them, they are refused rather than ignored.
    taking = [takes_label_names(source.data) for source in sources]
    metadata = [model.recognizer.metadata for model in models]
    names = [
        shared_label_names(
            source.data, metadata, (label_names or {}) if takes or not any(taking) else {}
        )
        for source, takes in zip(sources, taking, strict=True)
    ]
    # Everything is loaded first, so that an error in the last data set shows up at once.
    with said_once(*DATA_LOGGERS):
        tasks = [
            _load_task(model, source, split, emotions, exclude_duplicates_of, of_source)
            for model in models
            for source, of_source in zip(sources, names, strict=True)
        ]
    return [_evaluate(task, bootstrap=bootstrap) for task in tasks]


def trained_on(model: NamedModel) -> str:
    """Return what a model was trained on; see `CrossDatasetResult`."""
    if model.name in TRAINED_ON:
        return TRAINED_ON[model.name]
    data = model.recognizer.metadata.config.get("data")
    if not data:
        return "unknown"
    return f"{data['source']}:{data['path']}" if data.get("path") else str(data["source"])


def _load_task(
    model: NamedModel,
    source: DataSource,
    split: str | None,
    wanted: Sequence[str] | None,
    exclude_duplicates_of: Sequence[NamedData],
    label_names: Mapping[str, str],
) -> _Task:
    metadata = model.recognizer.metadata
    logger.info("loading %s for %s", source.data, model.name)
    loaded = load_labelled_data(
        metadata, source=source.data, faces=source.faces, split=split, label_names=label_names
    )
    excluded = open_excluded(exclude_duplicates_of, metadata, label_names=label_names)
    emotions = None
    if wanted is not None:
        there = loaded.dataset.emotions
        chosen = known_labels(wanted, (*metadata.emotions, *there))
        emotions = [name for name in chosen if name in there]
        if not emotions:
            raise DataError(
                f"--classes: {source.data} has no images of {', '.join(chosen)}, only of "
                f"{', '.join(there)}."
            )
    try:
        selection = select_images(
            loaded.dataset,
            loaded.split,
            emotions=emotions,
            known=metadata.emotions,
            trained_on=excluded,
        )
    except DataError as error:
        raise DataError(f"{model.name} on {source.data}: {error}") from None
    return _Task(model, source, loaded, selection)


def _evaluate(task: _Task, *, bootstrap: int) -> CrossDatasetResult:
    loaded, dataset = task.loaded, task.loaded.dataset
    evaluation = evaluate_model(task.model.recognizer, dataset, task.selection, bootstrap=bootstrap)
    labels = dataset.labels[dataset.indices(loaded.split)]
    return CrossDatasetResult(
        model=task.model.name,
        trained_on=trained_on(task.model),
        data=str(task.source.data),
        split=loaded.split,
        faces=loaded.config.faces,
        same_data=loaded.same_data,
        seen=loaded.seen(task.selection.members),
        label_names=dataset.label_names,
        available={
            emotion: int(np.sum(labels == label)) for label, emotion in enumerate(dataset.emotions)
        },
        metrics=evaluation.metrics,
    )
