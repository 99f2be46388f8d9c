"""Load evaluated models, for comparison, from their run or report folders."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from emodetect.config import load_config
from emodetect.data.dataset import Dataset
from emodetect.data.named_data import NamedData
from emodetect.data.readers.registry import READERS
from emodetect.errors import DataError, EmodetectError
from emodetect.evaluation.classify import predict_images
from emodetect.evaluation.evaluate import EvaluationTask, images_fingerprint, open_task
from emodetect.evaluation.labelled_images.labelled_data import (
    OWN_DATA,
    load_source,
    shared_label_names,
)
from emodetect.evaluation.labelled_images.training_data import (
    open_training_data,
    training_config,
)
from emodetect.evaluation.predictions import PREDICTIONS_FILE, Predictions, read_predictions
from emodetect.model_file.artifact import read_artifact
from emodetect.model_file.shipped_models import RUN_MODEL, contents_of, model_path, shipped_models
from emodetect.number_format import quantity
from emodetect.recognition.recognizer import EmotionRecognizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EvaluatedModel:
    """A model with its predictions.

    Attributes:
        name: the folder, as the user gave it.
        metrics: the content of its metrics.json; empty if there is none.
        dataset: the data it was evaluated on; None for a report that only names it.
    """

    name: str
    predictions: Predictions
    metrics: dict[str, Any]
    dataset: Dataset | None = None

    @property
    def model(self) -> str:
        """The model as the user named it, or its run folder; the name if that is unknown."""
        model = self.metrics.get("model")
        if not isinstance(model, str):
            return self.name
        return _run_of(model)

    def setting(self, shown_name: str) -> str:
        """Return in words what the shown name does not say, the data and how it was evaluated."""
        data = self.metrics.get("data")
        if not isinstance(data, str):
            return "data unknown: no metrics.json"
        faces, tta = self.metrics.get("faces"), self.metrics.get("tta")
        copies = quantity(self.leaked or 0, "copy", "copies")
        named = f"report {self.name}, " if shown_name != self.name else f"model {self.model}, "
        return (
            ("" if self.model == _run_of(self.name) else named)
            + f"{_in_words(data)}, "
            + f"split {self.metrics.get('split')}"
            + (f", faces {faces}" if faces else "")
            + (f", test-time augmentation {tta}" if tta else "")
            + (", with training images" if self.metrics.get("seen") else "")
            + (f", with {copies} of training images" if self.leaked else "")
        )

    @property
    def leaked(self) -> int | None:
        """How many images of the evaluation are identical to training images; None if unknown."""
        leaked = self.metrics.get("leaked")
        return (
            leaked if type(leaked) is int and 0 <= leaked <= len(self.predictions.labels) else None
        )


def load_evaluated_model(folder: Path) -> EvaluatedModel:
    """Read the predictions of a report folder, or those of a run on its own test split.

    A run's report `evaluation-test` is used if it is of this model and of all images that the
    split has now; otherwise the model is evaluated. If the data is gone, or can no longer be
    split as in training, the report counts.

    Raises:
        DataError: if the folder is neither, or the data cannot be read.
        ModelError: if the model cannot be used.
    """
    if (folder / PREDICTIONS_FILE).is_file():
        return _from_report(folder, str(folder))
    model, report = folder / RUN_MODEL, folder / "evaluation-test"
    if not model.is_file():
        raise _no_predictions(folder)
    recognizer = EmotionRecognizer(model, detector="none")
    if (report / PREDICTIONS_FILE).is_file():
        found = _from_report(report, str(folder))
        if _is_whole_test_split(found.metrics):
            current = _with_data(found, recognizer)
            if isinstance(current, EvaluatedModel):
                return current
            logger.info("%s: evaluating it again, because %s", folder, current)
    return _evaluated(folder, recognizer, open_task(str(model), recognizer, split="test"))


def _with_data(report: EvaluatedModel, recognizer: EmotionRecognizer) -> EvaluatedModel | str:
    """Return a run's report with its data, or why it says nothing of the model or data of now."""
    metrics = report.metrics
    if "model_hash" not in metrics:
        return "its report does not tell of which model it is"
    if metrics["model_hash"] != recognizer.artifact.identity():
        return "its report is of another model"
    try:
        dataset = open_training_data(training_config(recognizer.metadata), recognizer.metadata)
    except EmodetectError as error:  # gone, or no longer split as in training
        logger.info("%s: the report counts as it is: %s", metrics["model"], error)
        return report
    if metrics.get("fingerprint") != dataset.fingerprint:
        return "its data has changed since"
    return replace(report, dataset=dataset)


def _run_of(model: str) -> str:
    """Return the run folder of a model in one; other models and folders as they are."""
    return str(Path(model).parent) if Path(model).name == RUN_MODEL else model


def _no_predictions(folder: Path) -> DataError:
    if folder.is_file() and (folder.parent / PREDICTIONS_FILE).is_file():
        return DataError(f"{folder}: is a file of a report; give its folder, {folder.parent}.")
    if str(folder) in shipped_models() or folder.is_file():
        return DataError(
            f"{folder}: models are compared on labelled images; give them with --data, such as: "
            "--data faces (a folder of folders named after emotions)."
        )
    found = f"; this folder {contents_of(folder)}" if folder.is_dir() else ""
    return DataError(
        f"{folder}: expected a report folder (with {PREDICTIONS_FILE}) or a run folder (with "
        f"{RUN_MODEL}){found}."
    )


def evaluate_on(
    source: NamedData,
    models: Sequence[Path],
    *,
    label_names: Mapping[str, str],
    group: tuple[str, ...] = (),
) -> list[EvaluatedModel]:
    """Evaluate models on labelled images: the test split, or all.

    Args:
        models: run folders, .keras files, or names of shipped models.
        label_names: emotions of labels by other names; what one model calls them holds for all,
            see `shared_label_names`.
        group: see `load_labelled_data`.

    Raises:
        DataError: as `open_task`, or if the data has emotions that a model was not trained on.
        ModelError: if a model cannot be used.
    """
    files = [str(model_path(model) if model.is_dir() else model) for model in models]
    opened = [EmotionRecognizer(file, detector="none") for file in files]
    metadata = [recognizer.metadata for recognizer in opened]
    label_names = shared_label_names(source, metadata, label_names)
    evaluated = []
    for model, file, recognizer in zip(models, files, opened, strict=True):
        task = open_task(file, recognizer, source=source, label_names=label_names, group=group)
        evaluated.append(_evaluated(model, recognizer, task))
    return evaluated


def _evaluated(name: Path, recognizer: EmotionRecognizer, task: EvaluationTask) -> EvaluatedModel:
    try:
        predictions = predict_images(recognizer, task.dataset, task.selection.members)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    fingerprint = images_fingerprint(task.dataset)
    metrics = {**task.description, "tta": None, "images_fingerprint": fingerprint}
    return EvaluatedModel(
        name=str(name), predictions=predictions, metrics=metrics, dataset=task.dataset
    )


def shown_names(models: Sequence[EvaluatedModel]) -> list[str]:
    """Return the name of each model, or of its folder if several folders are of one model."""
    names = [model.model for model in models]
    return [model.model if names.count(model.model) == 1 else model.name for model in models]


def changed_data(models: Sequence[EvaluatedModel]) -> list[str]:
    """Return a warning for each model whose data differs although its images' names agree."""
    warnings = []
    first: dict[str, EvaluatedModel] = {}
    placed: EvaluatedModel | None = None
    for model in models:
        metrics = model.metrics
        if not {"data", "images_fingerprint"} <= metrics.keys():
            continue
        # The fingerprint depends on the size and colour of the model's input, and that of its own
        # data on the emotions it was trained on.
        own = metrics["data"] == OWN_DATA
        key = str((metrics.get("faces"), metrics.get("input"), own and model.predictions.emotions))
        known, told_by = first.setdefault(key, model), "images_fingerprint"
        if known is model:  # the first of its kind: only the place tells whether the data is that
            known, told_by = placed or model, "place"
        if metrics.get("place"):
            placed = placed or model
        if metrics.get(told_by) in (None, known.metrics.get(told_by)):
            continue
        if OWN_DATA in (metrics["data"], known.metrics["data"]):
            warnings.append(
                f"the data of {known.name} and {model.name} is not the same: images are paired by "
                "name but may differ. Evaluate both on the same data, with --data."
            )
        elif metrics["data"] == known.metrics["data"] and told_by != "place":
            warnings.append(
                f"{metrics['data']} was not the same for {known.name} and {model.name}: images or "
                "labels differ. Evaluate both again."
            )
        else:
            warnings.append(
                f"{known.metrics['data']} ({known.name}) and {metrics['data']} ({model.name}) are "
                "not the same data: images are paired by name but may differ. Evaluate both on "
                "the same data."
            )
    return warnings


def open_images(model: EvaluatedModel) -> Dataset:
    """Return the data that a model was evaluated on, to show its images.

    Raises EmodetectError if the model or the data have moved or changed.
    """
    if model.dataset is not None:
        return model.dataset
    keys = ("model", "data", "faces", "images_fingerprint")
    try:
        file, data, faces, fingerprint = (model.metrics[key] for key in keys)
    except KeyError as error:
        raise DataError(f"{model.name}: its metrics.json has no {error}.") from None
    if not isinstance(file, str) or not isinstance(data, str):
        raise DataError(f"{model.name}: its metrics.json does not name its model and data.")
    metadata = read_artifact(model_path(file)).metadata
    source, colon, path = data.partition(":")
    if colon and source in READERS:
        names = model.metrics.get("label_names")
        dataset = load_source(NamedData(source, path), metadata, faces=faces, label_names=names)
    else:
        config = training_config(metadata) if data == OWN_DATA else load_config(data)
        dataset = open_training_data(config, metadata)
    if images_fingerprint(dataset) != fingerprint:
        raise DataError(
            f"{model.name}: {_in_words(data)} has changed since the evaluation (the fingerprints "
            "differ); run evaluate again."
        )
    return dataset


def _in_words(data: str) -> str:
    return "its own data" if data == OWN_DATA else data.rstrip(":")


def _is_whole_test_split(metrics: dict[str, Any]) -> bool:
    expected: dict[str, Any] = {"data": OWN_DATA, "split": "test", "tta": None, "left_out": {}}
    return all(metrics.get(key) == value for key, value in expected.items())


def _from_report(report: Path, name: str) -> EvaluatedModel:
    try:
        metrics = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, RecursionError, ValueError):
        metrics = {}
    metrics = metrics if isinstance(metrics, dict) else {}
    predictions = read_predictions(report / PREDICTIONS_FILE)
    count = len(predictions.labels)
    if metrics.get("images", count) != count:
        raise DataError(
            f"{report / PREDICTIONS_FILE}: expected {metrics['images']} images, as in "
            f"metrics.json, got {count}; run evaluate again."
        )
    return EvaluatedModel(name=name, predictions=predictions, metrics=metrics)
