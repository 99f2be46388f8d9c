"""What `emodetect evaluate` does with one model on one data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from emodetect.cli.options.model import usable_model
from emodetect.errors import EmodetectError

if TYPE_CHECKING:
    from emodetect.evaluation.grad_cam import HeatMaps
    from emodetect.evaluation.predictions import ImagePredictions

NOT_ASKED = "Heat maps were not asked for."

# What they are called in metrics.json, and in print.
FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log-loss",
    "expected_calibration_error": "ECE",
}


def evaluate_one(
    model: str | None,
    labels: str | None,
    pixels: str | None,
    *,
    source: str | None,
    config_name: str | None,
    faces: Literal["whole", "detect"] | None,
    split: str | None,
    classes: str | None,
    exclude_duplicates_of: Sequence[str],
    slice_by: tuple[str, ...],
    tta: Literal["flip"] | None,
    bootstrap: int,
    robustness: bool,
    explain: bool,
    out: Path | None,
    force: bool,
) -> None:
    """Judge a model; print the figures and write the report to `out`."""
    from emodetect.evaluation.evaluate import evaluate_task, open_task
    from emodetect.machine.output_folder import check_output_folder
    from emodetect.model_file.shipped_models import DEFAULT_MODEL, shipped_models
    from emodetect.recognition.recognizer import EmotionRecognizer
    from emodetect.reports.evaluation_files import write_report
    from emodetect.reports.evaluation_page import JudgedModel

    if out is not None:  # the name of the default is known once the data is read
        check_output_folder(out, force=force)
    recognizer = EmotionRecognizer(usable_model(model, labels, pixels), detector="none")
    task = open_task(
        model or DEFAULT_MODEL,
        recognizer,
        source=source,
        config_name=config_name,
        faces=faces,
        split=split,
        emotions=None if classes is None else classes.split(","),
        exclude_duplicates_of=exclude_duplicates_of,
        slice_by=slice_by,
    )
    # Of the file that the user named: a foreign one is compiled into the cache.
    home = None if model is None or model in shipped_models() else Path(model).parent
    if out is None:
        out = (home or Path()) / f"evaluation-{task.told['split']}"
        check_output_folder(out, force=force)
    evaluation = evaluate_task(task, tta=tta, bootstrap=bootstrap, robustness=robustness)
    # Before the files, so that a full disk does not take what was measured along.
    _print(evaluation.metrics)
    heat = _explain(recognizer.path, evaluation.predictions) if explain else NOT_ASKED
    judged = JudgedModel(metadata=recognizer.metadata, run=home, heat=heat)
    for file in write_report(evaluation.predictions, evaluation.metrics, out, judged=judged):
        click.echo(str(file))


def _explain(model: Path, predictions: ImagePredictions) -> HeatMaps | str:
    """Return Grad-CAM of the worst mistakes; or why there is none, which is no error here."""
    from emodetect.evaluation.grad_cam import explain_mistakes

    click.echo("explaining the worst mistakes (this loads TensorFlow)", err=True)
    try:
        return explain_mistakes(model, predictions)
    except EmodetectError as error:
        click.echo(f"without heat maps: {error}", err=True)
        return str(error)


def _print(metrics: dict[str, Any]) -> None:
    _print_emotions(metrics)
    _print_figures(metrics)
    if metrics["robustness"]:
        _print_robustness(metrics)
    for way in metrics["slices"]:
        if gap := way["gap"]:
            chance = " (may be chance)" if gap["overlap"] else ""
            click.echo(
                f"gap by {way['by']}: {gap['points']:.1f} points, best {gap['best']}, worst "
                f"{gap['worst']}{chance}"
            )
    if metrics["never_predicted"]:
        click.echo(f"never predicted: {', '.join(metrics['never_predicted'])}")
    if metrics["absent"]:
        click.echo(f"no images of: {', '.join(metrics['absent'])} (left out of the averages)")
    for reason, count in metrics["left_out"].items():
        click.echo(f"left out {count:,}: {reason}")
    if metrics["skipped"]:
        click.echo(f"skipped {len(metrics['skipped'])} unreadable files, named in metrics.json")
    warn_of_batches(metrics)


def _print_emotions(metrics: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from emodetect.reports.evaluation_files import class_rows

    title = f"{metrics['images']:,} images, split {metrics['split']}"
    if metrics["tta"]:
        title += f", tta {metrics['tta']}"
    table = Table(title=title)
    table.add_column("emotion")
    for name in ("precision", "recall", "F1", "images"):
        table.add_column(name, justify="right")
    for name, (precision, recall, f1, support) in class_rows(metrics):
        if name == "macro average":
            table.add_section()
        shown = "-" if name in metrics["never_predicted"] else f"{precision:.3f}"
        table.add_row(name, shown, f"{recall:.3f}", f"{f1:.3f}", str(support))
    Console().print(table)


def _print_figures(metrics: dict[str, Any]) -> None:
    figures = {key: f"{name} {metrics[key]:.4f}" for key, name in FIGURES.items()}
    for key, (low, high) in metrics["intervals_95"].items():
        figures[key] += f" [{low:.4f}, {high:.4f}]"
    click.echo("\n".join(figures.values()))
    click.echo(f"[95 % intervals from {metrics['bootstrap']:,} resamples]")


def _print_robustness(metrics: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    table.add_column("altered copies")
    for name in ("accuracy", "points"):
        table.add_column(name, justify="right")
    for name, row in metrics["robustness"].items():
        table.add_row(name, f"{row['accuracy']:.4f}", f"{row['difference_points']:+.1f}")
    Console().print(table)


def warn_of_batches(metrics: dict[str, Any]) -> None:
    """Say on stderr that a model answers by the company an image is in, if it does."""
    from emodetect.evaluation.classify import BATCH_TOLERANCE

    difference = metrics["batch_size_difference"]
    if difference > BATCH_TOLERANCE:
        click.echo(
            f"warning: a probability differs by {difference:.2g} between one image at a time and "
            "a batch; the model's batch normalisation may have been left in training mode.",
            err=True,
        )
