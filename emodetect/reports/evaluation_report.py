"""Evaluate models on labelled images and write the report: `emodetect evaluate` in Python."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from emodetect.config import Faces
from emodetect.data.named_data import NamedData, find_data
from emodetect.errors import EmodetectError, OptionsError
from emodetect.evaluation.cross_dataset import (
    CrossDatasetResult,
    DataSource,
    NamedModel,
    evaluate_across,
)
from emodetect.evaluation.evaluate import Evaluation, evaluate_model, open_task
from emodetect.evaluation.grad_cam import HeatMaps, explain_mistakes
from emodetect.evaluation.metrics.intervals import RESAMPLES
from emodetect.evaluation.predictions import ImagePredictions
from emodetect.machine.output_folder import check_output_folder, check_outside, told_first
from emodetect.model_file.artifact import read_artifact
from emodetect.model_file.shipped_models import DEFAULT_MODEL, model_path, shipped_models
from emodetect.notebook import heading, lines, picture, table
from emodetect.number_format import between, percent, quantity
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.runtimes.mirrored import Tta
from emodetect.reports.cross_dataset_files import write_matrix
from emodetect.reports.evaluation_files import write_report
from emodetect.reports.evaluation_page import ReportedModel
from emodetect.reports.glossary import METRIC_NAMES, independence, metric_form
from emodetect.reports.plots.confusion_matrix import confusion_matrix
from emodetect.reports.plots.style import png_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """What to evaluate, on which images, and what to report.

    Raises OptionsError for options that do not go together.

    Attributes:
        models: files, run folders, or names of shipped models; several give a matrix.
        labels: for a Keras file that emodetect did not create, its emotions in the order of its
            outputs.
        pixel_range: for such a file, the values of a black and a white pixel in its training.
        data: SOURCE:PATH or PATH each; several give a matrix. If empty, the data of `config`; if
            that is None too, the data that the model was trained on.
        config: a config file or preset.
        faces: how to crop the faces of each of `data`; see `load_source`. Empty for None each.
        label_names: emotions of labels by other names, in addition to those of the training data.
        split: "train", "val", "test" or "all". If None, test, or all if the data has no splits.
        emotions: uses only the images of these.
        exclude_duplicates_of: data sets (SOURCE:PATH or PATH) whose training images are excluded.
        slice_by: columns of a manifest to break results down by; not for a matrix.
        group: columns of a manifest, such as person; images with the same value count together in
            intervals and p-values. Not for a matrix.
        tta: "flip" averages each image and its mirror image.
        bootstrap: the number of resamples for the 95% intervals.
        robustness: also evaluates corrupted copies; not for a matrix.
        explain: adds Grad-CAM heat maps of the worst mistakes, which loads TensorFlow; not for a
            matrix.
        output: the folder of the report. If None, `evaluation-SPLIT` next to the model, or in the
            current folder for a shipped model; `evaluation-across` for a matrix.
        force: allows writing into a folder that already contains files.
    """

    models: tuple[str, ...] = (DEFAULT_MODEL,)
    labels: tuple[str, ...] | None = None
    pixel_range: tuple[float, float] = (0, 255)
    data: tuple[str, ...] = ()
    config: str | None = None
    faces: tuple[Faces | None, ...] = ()
    label_names: Mapping[str, str] = field(default_factory=dict)
    split: str | None = None
    emotions: tuple[str, ...] | None = None
    exclude_duplicates_of: tuple[str, ...] = ()
    slice_by: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    tta: Tta | None = None
    bootstrap: int = RESAMPLES
    robustness: bool = False
    explain: bool = True
    output: Path | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if not self.models:
            raise OptionsError("--model: expected at least one model, got none.")
        if not isinstance(self.bootstrap, int) or self.bootstrap < 1:
            raise OptionsError(
                f"--bootstrap: expected a whole number of at least 1, got {self.bootstrap!r}."
            )
        if self.labels is None and self.pixel_range != (0, 255):
            raise OptionsError("--pixels requires --labels.")
        if self.data:
            if self.config is not None:
                raise OptionsError("give the data once: with --data or with --config.")
            if self.faces and len(self.faces) != len(self.data):
                raise OptionsError(
                    f"--faces: expected one value, or {len(self.data)} (one per data set), got "
                    f"{len(self.faces)}."
                )
        elif self.faces:
            raise OptionsError("--faces requires --data; a config has data.faces.")
        elif self.label_names:
            raise OptionsError("--label-name requires --data; a config has data.label_names.")
        if self.several:
            self._check_several()

    @property
    def several(self) -> bool:
        """Whether the result is a matrix."""
        return len(self.models) > 1 or len(self.data) > 1

    def _check_several(self) -> None:
        if not self.data:
            raise OptionsError("several models need at least one --data to be evaluated on.")
        if self.labels is not None and len(self.models) > 1:
            raise OptionsError("--labels works only with one --model.")
        for option, value in (
            ("--robustness", self.robustness),
            ("--slice-by", self.slice_by),
            ("--group", self.group),
        ):
            if value:
                raise OptionsError(f"{option} works only with one --model and one --data.")


@dataclass(frozen=True, kw_only=True, eq=False)  # holds arrays
class EvaluationReport:
    """An evaluation of one model on one data set, and the files of its report.

    In a notebook, it shows the figures and the confusion matrix.

    Attributes:
        predictions: the predictions for each image.
        metrics: the content of metrics.json.
        files: what was written, the page first.
        no_heat_maps: why there are no heat maps although they were requested, or "".
    """

    predictions: ImagePredictions = field(repr=False)
    metrics: dict[str, Any] = field(repr=False)
    files: list[Path]
    no_heat_maps: str = ""

    @property
    def images(self) -> int:
        """The number of images."""
        return int(self.metrics["images"])

    @property
    def accuracy(self) -> float:
        """The share of the images classified correctly, 0 to 1."""
        return float(self.metrics["accuracy"])

    @property
    def balanced_accuracy(self) -> float:
        """The mean of the recalls, 0 to 1."""
        return float(self.metrics["balanced_accuracy"])

    @property
    def macro_f1(self) -> float:
        """The mean of the F1 of all emotions, 0 to 1."""
        return float(self.metrics["macro_f1"])

    @property
    def log_loss(self) -> float:
        """The log-loss; 0 is perfect."""
        return float(self.metrics["log_loss"])

    @property
    def expected_calibration_error(self) -> float:
        """The mean gap between confidence and accuracy, 0 to 1."""
        return float(self.metrics["expected_calibration_error"])

    @property
    def emotions(self) -> list[str]:
        """The emotions of the model, in its label order."""
        return list(self.metrics["emotions"])

    @property
    def recall(self) -> dict[str, float]:
        """The recall of each emotion in the data, 0 to 1."""
        return {name: row["recall"] for name, row in self.metrics["per_class"].items()}

    @property
    def confusion_matrix(self) -> np.ndarray:
        """(emotions, emotions) numbers of images: rows are true, columns are predicted."""
        return np.array(self.metrics["confusion_matrix"])

    def _repr_html_(self) -> str:
        figures = [
            (name, form(self.metrics[key]), between(self.metrics["intervals_95"].get(key), form))
            for key, name in METRIC_NAMES.items()
            for form in [metric_form(key)]
        ]
        never = self.metrics["never_predicted"]
        classes = [
            (
                *(name, percent(row["recall"])),
                "undefined" if name in never else percent(row["precision"]),
                f"{row['support']:,.0f}",
            )
            for name, row in self.metrics["per_class"].items()
        ]
        plot = png_of(confusion_matrix(self.predictions, self.metrics))
        return "".join(
            [
                heading(f"{self.metrics.get('model', 'model')}: {quantity(self.images, 'image')}"),
                table(("metric", "value", "95% interval"), figures),
                table(("emotion", "recall", "precision", "images"), classes),
                picture(plot, alt="confusion matrix"),
                lines([independence(self.metrics), f"report: {self.files[0]}"]),
            ]
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossDatasetReport:
    """Evaluations of models on data sets, and the files of their report.

    Attributes:
        results: ordered by model, then by data set.
        files: matrix.json, matrix.csv and matrix.png.
    """

    results: list[CrossDatasetResult] = field(repr=False)
    files: list[Path]

    @property
    def accuracy(self) -> dict[tuple[str, str], float]:
        """The accuracy of each model on each data set, 0 to 1."""
        return {(one.model, one.data): one.metrics["accuracy"] for one in self.results}

    def _repr_html_(self) -> str:
        rows = [
            (
                *(one.model, one.trained_on, one.data, f"{one.metrics['images']:,}"),
                *(metric_form(key)(one.metrics[key]) for key in METRIC_NAMES),
            )
            for one in self.results
        ]
        columns = ("model", "trained on", "tested on", "images", *METRIC_NAMES.values())
        return table(columns, rows) + picture(self.files[-1].read_bytes(), alt="matrix")


OnResult = Callable[[Evaluation | list[CrossDatasetResult]], None]


def evaluate(
    options: EvaluationOptions, *, on_result: OnResult = lambda result: None
) -> EvaluationReport | CrossDatasetReport:
    """Evaluate a model on a data set, or several as a matrix, and write the report.

    Args:
        on_result: called before any file is written, so that a full disk does not lose the result;
            an OSError of it is raised once they are.

    Raises:
        EmodetectError: if a model, the data, the config or the folder cannot be used.
    """
    if options.several:
        return _evaluate_several(options, on_result)
    return _evaluate_one(options, on_result)


def _evaluate_one(options: EvaluationOptions, on_result: OnResult) -> EvaluationReport:
    source = find_data(options.data[0], option="--data") if options.data else None
    if options.output is not None:  # the default folder depends on the data
        _check_folder(options.output, [source], force=options.force)
    (name,) = options.models
    recognizer = _recognizer(name, options)
    task = open_task(
        name,
        recognizer,
        source=source,
        config_name=options.config,
        faces=options.faces[0] if options.faces else None,
        split=options.split,
        emotions=options.emotions,
        exclude_duplicates_of=_excluded(options),
        slice_by=options.slice_by,
        group=options.group,
        label_names=options.label_names,
    )
    # Not of the recognizer's file: a foreign model is compiled into the cache.
    run = None if name in shipped_models() else model_path(name).parent
    out = options.output
    if out is None:
        out = (run or Path()) / f"evaluation-{task.description['split']}"
        _check_folder(out, [source], force=options.force)
    evaluation = evaluate_model(
        recognizer,
        task.dataset,
        task.selection,
        description={**task.description, "model_hash": recognizer.artifact.identity()},
        bootstrap=options.bootstrap,
        robustness=options.robustness,
    )
    with told_first(on_result, evaluation):
        heat = _explain(recognizer, evaluation.predictions) if options.explain else None
        model = ReportedModel(
            metadata=recognizer.metadata, run=run, heat=heat or "Heat maps were not requested."
        )
        files = write_report(evaluation.predictions, evaluation.metrics, out, model=model)
    return EvaluationReport(
        predictions=evaluation.predictions,
        metrics=evaluation.metrics,
        files=files,
        no_heat_maps=heat if isinstance(heat, str) else "",
    )


def _check_folder(out: Path, sources: Sequence[NamedData | None], *, force: bool) -> None:
    check_output_folder(out, force=force)
    for source in sources:
        if source is not None:
            check_outside(out, source.searched_folder)


def _evaluate_several(options: EvaluationOptions, on_result: OnResult) -> CrossDatasetReport:
    out = options.output or Path("evaluation-across")
    faces = options.faces or (None,) * len(options.data)
    sources = [find_data(name, option="--data") for name in options.data]
    _check_folder(out, sources, force=options.force)
    for option, names in (("--model", options.models), ("--data", list(map(str, sources)))):
        if len(set(names)) < len(names):
            raise OptionsError(f"{option}: expected each value once, got {', '.join(names)}.")
    results = evaluate_across(
        [NamedModel(name, _recognizer(name, options)) for name in options.models],
        [DataSource(source, how) for source, how in zip(sources, faces, strict=True)],
        split=options.split,
        emotions=options.emotions,
        exclude_duplicates_of=_excluded(options),
        label_names=options.label_names,
        bootstrap=options.bootstrap,
    )
    with told_first(on_result, results):
        files = write_matrix(results, out)
    return CrossDatasetReport(results=results, files=files)


def _excluded(options: EvaluationOptions) -> list[NamedData]:
    option = "--exclude-duplicates-of"
    return [find_data(source, option=option) for source in options.exclude_duplicates_of]


def _recognizer(name: str, options: EvaluationOptions) -> EmotionRecognizer:
    path = model_path(name)
    if options.labels is not None:
        from emodetect.training.models.import_keras import import_keras_model  # loads TensorFlow

        path = import_keras_model(path, labels=options.labels, pixel_range=options.pixel_range)
    return EmotionRecognizer(path, detector="none", tta=options.tta)


def _explain(recognizer: EmotionRecognizer, predictions: ImagePredictions) -> HeatMaps | str:
    """Return heat maps of the worst mistakes, or why there are none; "" without a mistake."""
    if not len(predictions.worst_mistakes()):
        return ""
    logger.info("explaining the worst mistakes (this loads TensorFlow)")
    try:
        if read_artifact(recognizer.path).identity() != recognizer.artifact.identity():
            return f"{recognizer.path} was replaced by another model during the evaluation."
        return explain_mistakes(recognizer.path, predictions)
    except EmodetectError as error:
        return str(error)
