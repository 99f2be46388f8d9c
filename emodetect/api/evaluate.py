"""`emodetect.evaluate` and `emodetect.compare`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from emodetect.api.arguments import AnyPath, emotions_of_labels, plain, texts
from emodetect.api.python_words import in_python_words
from emodetect.errors import EmodetectError
from emodetect.model_file.shipped_models import DEFAULT_MODEL

if TYPE_CHECKING:
    from emodetect.config import Faces
    from emodetect.recognition.runtimes.mirrored import Tta
    from emodetect.reports.comparison_report import ComparisonReport
    from emodetect.reports.evaluation_report import CrossDatasetReport, EvaluationReport


class EvaluationSettings(TypedDict, total=False):
    """The settings of `evaluate`, explained by `EvaluationOptions`."""

    config: str
    split: Literal["train", "val", "test", "all"]
    faces: Faces | Sequence[Faces | None]
    emotions: Sequence[str]
    label_names: Mapping[str, str]
    exclude_duplicates_of: AnyPath | Sequence[AnyPath]
    slice_by: str | Sequence[str]
    group: str | Sequence[str]
    tta: Tta
    bootstrap: int
    robustness: bool
    explain: bool
    labels: Sequence[str]
    pixel_range: tuple[float, float]


@overload
def evaluate(
    model: AnyPath = DEFAULT_MODEL,
    data: AnyPath | None = None,
    *,
    output: AnyPath | None = None,
    force: bool = False,
    **settings: Unpack[EvaluationSettings],
) -> EvaluationReport: ...


@overload
def evaluate(
    model: AnyPath | Sequence[AnyPath],
    data: AnyPath | Sequence[AnyPath],
    *,
    output: AnyPath | None = None,
    force: bool = False,
    **settings: Unpack[EvaluationSettings],
) -> EvaluationReport | CrossDatasetReport: ...


@in_python_words
def evaluate(
    model: AnyPath | Sequence[AnyPath] = DEFAULT_MODEL,
    data: AnyPath | Sequence[AnyPath] | None = None,
    *,
    output: AnyPath | None = None,
    force: bool = False,
    **settings: Unpack[EvaluationSettings],
) -> EvaluationReport | CrossDatasetReport:
    """Evaluate a model on labelled images and write the report, as `emodetect evaluate` does.

    Args:
        model: a run folder, a .keras file or the name of a shipped model; several give a matrix.
        data: labelled images, as PATH or SOURCE:PATH; several give a matrix. If None, those that
            the model was trained on.
        output: the folder of the report. If None, `evaluation-SPLIT` next to the model, or in the
            current folder for a shipped model; `evaluation-across` for a matrix.
        force: write into a folder that already contains files.
        settings: `split` ("test", or "all" without splits), `emotions`, `label_names`, `faces`,
            `slice_by`, `group`, `tta`, `exclude_duplicates_of`, `bootstrap`, `robustness`,
            `explain` (heat maps, which load TensorFlow), `config`, `labels` and `pixel_range`, as
            in `EvaluationOptions`.

    Returns:
        The report, which shows its figures and the confusion matrix in a notebook.

    Raises:
        EmodetectError: if a model, the data, the config or the folder cannot be used.
        TypeError: for an unknown setting.

    Examples:
        >>> import emodetect
        >>> report = emodetect.evaluate("runs/mine", "kept_apart", explain=False)
        >>> report.images
        28
        >>> report.confusion_matrix.shape
        (7, 7)
        >>> report.files[0].name
        'report.html'
    """
    from emodetect.reports.evaluation_report import EvaluationOptions
    from emodetect.reports.evaluation_report import evaluate as write_evaluation

    sources = () if data is None else texts(data)
    if data is not None and not sources:
        raise EmodetectError("data: expected at least one data set, got none.")
    others: dict[str, Any] = {
        key: plain(value) for key, value in settings.items() if value is not None
    }
    faces_for_all = isinstance(others.get("faces"), str)
    several = {"emotions", "exclude_duplicates_of", "slice_by", "group", "labels", "faces"}
    for name in several & others.keys():
        others[name] = texts(others[name])
    if "label_names" in others:
        others["label_names"] = emotions_of_labels(others["label_names"])
    if "config" in others:
        others["config"] = os.fspath(others["config"])
    if faces_for_all:
        others["faces"] *= max(1, len(sources))
    options = EvaluationOptions(
        models=texts(model),
        data=sources,
        output=None if output is None else Path(output),
        force=force,
        **others,
    )
    return write_evaluation(options)


@in_python_words
def compare(
    models: Sequence[AnyPath],
    data: AnyPath | None = None,
    *,
    label_names: Mapping[str, str] | None = None,
    group: str | Sequence[str] = (),
    common: bool = False,
    output: AnyPath = "comparison",
    force: bool = False,
) -> ComparisonReport:
    """Compare models on the same images and write the report, as `emodetect compare` does.

    Args:
        models: at least two run folders or report folders of `evaluate`, the reference first; with
            `data`, run folders, .keras files or names of shipped models.
        data: labelled images to evaluate all models on, as PATH or SOURCE:PATH. If None, each
            report's own, or each run's test split.
        label_names: with `data`, the emotions of labels by other names, such as {"3": "happy"}.
        group: with `data`, columns of a manifest, such as "person"; images with the same value
            count together.
        common: if the images differ, compare on those that all models have.
        output: the folder of compare.html and compare.json.
        force: write into a folder that already contains files.

    Returns:
        The report, which shows its table in a notebook.

    Raises:
        EmodetectError: if a folder cannot be used, or the models cannot be compared.

    Examples:
        >>> import emodetect
        >>> report = emodetect.compare(["fer2013", "runs/mine"], "kept_apart")
        >>> report.models
        ['fer2013', 'runs/mine']
        >>> -1 <= report.differences["runs/mine"] <= 1
        True
        >>> len(report.verdict) > 0
        True
    """
    from emodetect.reports.comparison_report import ComparisonOptions
    from emodetect.reports.comparison_report import compare as write_comparison

    if isinstance(models, str | os.PathLike):
        raise EmodetectError(
            f'models: expected a list of at least 2, such as ["fer2013", "runs/mine"], got '
            f"{os.fspath(models)!r}."
        )
    options = ComparisonOptions(
        folders=tuple(map(Path, texts(models))),
        data=None if data is None else os.fspath(data),
        label_names=emotions_of_labels(label_names),
        group=texts(group),
        common=common,
        output=Path(output),
        force=force,
    )
    return write_comparison(options)
