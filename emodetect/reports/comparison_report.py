"""Compare models on the same images and write the report: `emodetect compare` in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emodetect.data.dataset import DATA_LOGGERS, Dataset
from emodetect.data.named_data import find_data
from emodetect.errors import EmodetectError, OptionsError
from emodetect.evaluation.comparison import compare_models, match_images
from emodetect.evaluation.evaluated_models import (
    EvaluatedModel,
    changed_data,
    evaluate_on,
    load_evaluated_model,
    open_images,
    shown_names,
)
from emodetect.evaluation.verdict import unequal_terms, verdict
from emodetect.machine.output_folder import check_output_folder, told_first
from emodetect.machine.terminal_text import said_once
from emodetect.notebook import heading, lines, table
from emodetect.number_format import p_value, percent, points, points_between, quantity
from emodetect.reports.comparison_page import write_comparison
from emodetect.reports.glossary import independence


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions:
    """What to compare, and where to write the report.

    Raises OptionsError for options that do not go together.

    Attributes:
        folders: at least 2 report folders or run folders; the first is the reference. With `data`,
            run folders, .keras files or names of shipped models.
        data: SOURCE:PATH or PATH of labelled images to evaluate all models on. If None, each
            report's own, or each run's test split.
        label_names: with `data`, emotions of labels by other names, in addition to those that the
            models' training data has.
        group: with `data`, columns of a manifest, such as person; images with the same value count
            together.
        common: if the images differ, compares on those that all models have.
        output: the folder of compare.html and compare.json.
        force: allows writing into a folder that already contains files.
    """

    folders: tuple[Path, ...]
    data: str | None = None
    label_names: Mapping[str, str] = field(default_factory=dict)
    group: tuple[str, ...] = ()
    common: bool = False
    output: Path = Path("comparison")
    force: bool = False

    def __post_init__(self) -> None:
        if len(self.folders) < 2:
            raise OptionsError(
                "expected at least 2 run or report folders to compare (with --data, models too), "
                f"got {len(self.folders)}."
            )
        if self.label_names and self.data is None:
            raise OptionsError("--label-name requires --data.")
        if self.group and self.data is None:
            raise OptionsError("--group requires --data; reports of evaluate contain their groups.")


@dataclass(frozen=True, kw_only=True)
class ComparisonReport:
    """A comparison of models, and the files of its report; a notebook shows its table.

    Attributes:
        comparison: the content of compare.json: see `compare_models`, and its "verdict" in
            sentences, how many images are "left_out" of each model, the "settings" of each
            evaluation in words, and warnings about "changed" data.
        files: what was written, the page first.
        no_pictures: why the page shows no images, or "".
    """

    comparison: dict[str, Any] = field(repr=False)
    files: list[Path]
    no_pictures: str

    @property
    def images(self) -> int:
        """The number of images that the models are compared on."""
        return int(self.comparison["images"])

    @property
    def models(self) -> list[str]:
        """The names of the models, the reference first."""
        return [model["name"] for model in self.comparison["models"]]

    @property
    def accuracy(self) -> dict[str, float]:
        """The accuracy of each model, 0 to 1."""
        return {model["name"]: model["figures"]["accuracy"] for model in self.comparison["models"]}

    @property
    def differences(self) -> dict[str, float]:
        """The accuracy of each other model minus that of the reference, -1 to 1."""
        return {
            name: row["differences"]["accuracy"]["difference"]
            for name, row in zip(self.models[1:], self.comparison["comparisons"], strict=True)
        }

    @property
    def p_values(self) -> dict[str, float]:
        """The p of the exact paired test of each other model against the reference."""
        return {
            name: row["p"]
            for name, row in zip(self.models[1:], self.comparison["comparisons"], strict=True)
        }

    @property
    def verdict(self) -> list[str]:
        """The result in sentences."""
        return list(self.comparison["verdict"])

    def _repr_html_(self) -> str:
        rows = [(name, percent(share), "", "", "") for name, share in self.accuracy.items()]
        for place, row in enumerate(self.comparison["comparisons"], start=1):
            change = row["differences"]["accuracy"]
            rows[place] = (
                *rows[place][:2],
                points(change["difference"]),
                points_between(change["interval_95"]),
                p_value(row["p"]),
            )
        return "".join(
            [
                heading(f"{quantity(self.images, 'image')}, compared with {self.models[0]}"),
                table(("model", "accuracy", "difference", "95% interval", "p"), rows),
                lines([independence(self.comparison), *self.verdict, f"report: {self.files[0]}"]),
            ]
        )


def compare(
    options: ComparisonOptions,
    *,
    on_result: Callable[[dict[str, Any]], None] = lambda comparison: None,
) -> ComparisonReport:
    """Compare evaluated models on the same images, and write the report.

    Args:
        on_result: called with the comparison before any file is written, so that a full disk does
            not lose it; an OSError of it is raised once they are.

    Raises:
        EmodetectError: if a folder cannot be used, or the models cannot be compared.
    """
    check_output_folder(options.output, force=options.force)
    with said_once(*DATA_LOGGERS):
        models = _evaluated(options)
    names = shown_names(models)
    matched, left_out = match_images(
        names, [model.predictions for model in models], common=options.common
    )
    figures = compare_models(names, matched)
    # Of the common ones alone, it is not known how many are.
    leaked = [None if any(left_out) else model.leaked for model in models]
    comparison = {
        **figures,
        "verdict": [
            *verdict(figures),
            *unequal_terms(names, matched, leaked),
        ],
        "left_out": left_out,
        "settings": [model.setting(name) for model, name in zip(models, names, strict=True)],
        "changed": changed_data(models),
    }
    with told_first(on_result, comparison):
        images = _images(models[0])
        files = write_comparison(comparison, matched, options.output, images=images)
    return ComparisonReport(
        comparison=comparison,
        files=files,
        no_pictures=images if isinstance(images, str) else "",
    )


def _evaluated(options: ComparisonOptions) -> list[EvaluatedModel]:
    if options.data is None:
        return [load_evaluated_model(folder) for folder in options.folders]
    source = find_data(options.data, option="--data")
    return evaluate_on(
        source, options.folders, label_names=options.label_names, group=options.group
    )


def _images(model: EvaluatedModel) -> Dataset | str:
    """Return the data that a model was evaluated on, or why it cannot be shown."""
    try:
        return open_images(model)
    except EmodetectError as error:
        return str(error)
