"""Models on several data sets: trained on this, tested on that."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emodetect.config import DataConfig
from emodetect.data.dataset import Dataset
from emodetect.emotions import canonical_emotion, in_canonical_order
from emodetect.errors import DataError
from emodetect.evaluation.classify import Tta
from emodetect.evaluation.evaluate import evaluate_model
from emodetect.evaluation.image_selection import Selection, select_images
from emodetect.evaluation.labelled_data import Faces, load_judged, open_source, source_config
from emodetect.evaluation.metrics.intervals import RESAMPLES
from emodetect.model_file.shipped_models import TRAINED_ON
from emodetect.recognition.recognizer import EmotionRecognizer

logger = logging.getLogger(__name__)
FIGURES = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "log_loss",
    "expected_calibration_error",
)


@dataclass(frozen=True)
class NamedModel:
    """A model by the name that the user gives it."""

    name: str
    recognizer: EmotionRecognizer


@dataclass(frozen=True)
class Source:
    """Labelled images, named as SOURCE:PATH, and how their faces are framed.

    `faces` is as in `open_source`.
    """

    name: str
    faces: Faces | None = None


@dataclass(frozen=True)
class Cell:
    """One model on one data set.

    Attributes:
        model: its name.
        trained_on: the data of its training, as SOURCE:PATH; its name for a shipped model,
            "unknown" for a foreign one.
        data: what it is tested on, as SOURCE:PATH.
        split: "train", "val", "test" or "all".
        faces: how the images were framed, "whole" or "detect".
        same_data: whether it was trained on this data.
        label_names: the emotion of each of the data's own labels.
        available: the number of images of each emotion in the split, before any was left out.
        metrics: the figures, as `evaluate_model` gives them.
    """

    model: str
    trained_on: str
    data: str
    split: str
    faces: str
    same_data: bool
    label_names: dict[str, str]
    available: dict[str, int]
    metrics: dict[str, Any]

    def emotions(self) -> tuple[str, ...]:
        """Return the emotions that the images judged on have, in canonical order."""
        return in_canonical_order(self.metrics["per_class"])


@dataclass(frozen=True)
class _Task:
    model: NamedModel
    source: Source
    config: DataConfig
    dataset: Dataset
    same_data: bool
    split: str
    selection: Selection


def evaluate_across(
    models: Sequence[NamedModel],
    sources: Sequence[Source],
    *,
    split: str | None = None,
    emotions: Sequence[str] | None = None,
    exclude_duplicates_of: Sequence[str] = (),
    tta: Tta | None = None,
    bootstrap: int = RESAMPLES,
) -> list[Cell]:
    """Judge each model on each data set; the cells are in the order of models, then of sources.

    Images of emotions that a model does not know are left out and counted. A model is judged on
    the test split that its training took out, where the data is its own and has none.

    Args:
        split: "train", "val", "test" or "all"; test if None, all where the data has no splits.
        emotions: takes only the images of these, as far as the data has them.
        exclude_duplicates_of: SOURCE:PATH; images equal to training images there are left out.
        tta: see `predictions.classify`.
        bootstrap: how many resamples the 95 % intervals come from.

    Raises:
        DataError: for data that cannot be read, or of which no image is left for a model.
    """
    wanted = [canonical_emotion(name, where="--classes") for name in emotions] if emotions else None
    # All of it first, so that the last data set's fault does not come after the first's hour.
    tasks = [
        _prepare(model, source, split, wanted, exclude_duplicates_of)
        for model in models
        for source in sources
    ]
    return [_evaluate(task, tta=tta, bootstrap=bootstrap) for task in tasks]


def trained_on(model: NamedModel) -> str:
    """Return what a model was trained on; see `Cell`."""
    if model.name in TRAINED_ON:
        return TRAINED_ON[model.name]
    data = model.recognizer.metadata.config.get("data")
    if not data:
        return "unknown"
    return f"{data['source']}:{data['path']}" if data.get("path") else str(data["source"])


def _prepare(
    model: NamedModel,
    source: Source,
    split: str | None,
    wanted: Sequence[str] | None,
    exclude_duplicates_of: Sequence[str],
) -> _Task:
    metadata = model.recognizer.metadata
    logger.info("%s on %s", model.name, source.name)
    config = source_config(source.name, metadata, faces=source.faces)
    dataset, same_data = load_judged(
        config, metadata, split=split, name=f"{model.name} on {source.name}"
    )
    split = split or ("test" if "test" in dataset.splits else "all")
    excluded = {
        name: open_source(name, metadata, faces=source.faces, option="--exclude-duplicates-of")
        for name in exclude_duplicates_of
    }
    emotions = None
    if wanted is not None:
        emotions = [name for name in wanted if name in dataset.emotions]
        if not emotions:
            raise DataError(
                f"--classes: {source.name} has no images of {', '.join(wanted)}, only of "
                f"{', '.join(dataset.emotions)}."
            )
    try:
        selection = select_images(
            dataset, split, emotions=emotions, known=metadata.emotions, trained_on=excluded
        )
    except DataError as error:
        raise DataError(f"{model.name} on {source.name}: {error}") from None
    return _Task(model, source, config, dataset, same_data, split, selection)


def _evaluate(task: _Task, *, tta: Tta | None, bootstrap: int) -> Cell:
    evaluation = evaluate_model(
        task.model.recognizer, task.dataset, task.selection, tta=tta, bootstrap=bootstrap
    )
    labels = task.dataset.labels[task.dataset.indices(task.split)]
    return Cell(
        model=task.model.name,
        trained_on=trained_on(task.model),
        data=task.source.name,
        split=task.split,
        faces=task.config.faces,
        same_data=task.same_data,
        label_names=task.dataset.label_names,
        available={
            emotion: int(np.sum(labels == label))
            for label, emotion in enumerate(task.dataset.emotions)
        },
        metrics=evaluation.metrics,
    )
