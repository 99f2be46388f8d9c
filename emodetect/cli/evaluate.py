"""`emodetect evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from emodetect.cli.model_options import foreign_options, usable_model
from emodetect.errors import EmodetectError

if TYPE_CHECKING:
    from emodetect.evaluation.explain import HeatMaps
    from emodetect.evaluation.predictions import Predictions

NOT_ASKED = "Heat maps were not asked for."

# What they are called in metrics.json, and in print.
FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log-loss",
    "expected_calibration_error": "ECE",
}


@click.command()
@click.option(
    "--model",
    "models",
    metavar="FILE|NAME",
    multiple=True,
    help="A .keras file, or the name of a shipped model. Repeatable. [default: the shipped one]",
)
@foreign_options
@click.option(
    "--data",
    metavar="SOURCE:PATH",
    multiple=True,
    help="Labelled images, such as folder:data/fer2013. Repeatable.",
)
@click.option("--config", "config_name", metavar="FILE|PRESET", help="The data of this config.")
@click.option(
    "--faces",
    type=click.Choice(["whole", "detect"]),
    multiple=True,
    help="With --data: take each image as one crop, or find its largest face as predict does. "
    "Once for all data, or once for each, in order. [default: as the model was trained]",
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test", "all"]),
    help="Which images. [default: test, or all where the data has no splits]",
)
@click.option("--classes", metavar="A,B,...", help="Use only the images of these emotions.")
@click.option(
    "--exclude-duplicates-of",
    metavar="SOURCE:PATH",
    multiple=True,
    help="Leave out images whose crops equal those of its training images. Repeatable.",
)
@click.option(
    "--tta",
    type=click.Choice(["flip"]),
    help="Test-time augmentation: the mean over each image and its mirror image. [default: none]",
)
@click.option(
    "--bootstrap",
    metavar="N",
    type=click.IntRange(100, 100_000),
    default=1000,
    show_default=True,
    help="95 % intervals of the figures come from so many resamples.",
)
@click.option(
    "--robustness",
    is_flag=True,
    help="Accuracy on altered copies too: framed, lit, blurred or compressed otherwise.",
)
@click.option(
    "--slice-by",
    metavar="COLUMN",
    multiple=True,
    help="Tell the results by this column of a manifest too, such as age. Repeatable.",
)
@click.option(
    "--no-explain",
    is_flag=True,
    help="Leave out the heat maps of the worst mistakes, for which TensorFlow is loaded.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the report. [default: evaluation-SPLIT beside the model; for a shipped "
    "model, here; evaluation-across, here, for several models or data sets]",
)
@click.option("--force", is_flag=True, help="Write into a report folder that exists.")
def evaluate(
    models: tuple[str, ...],
    labels: str | None,
    pixels: str | None,
    data: tuple[str, ...],
    config_name: str | None,
    faces: tuple[Literal["whole", "detect"], ...],
    split: str | None,
    classes: str | None,
    exclude_duplicates_of: tuple[str, ...],
    tta: Literal["flip"] | None,
    bootstrap: int,
    robustness: bool,
    slice_by: tuple[str, ...],
    no_explain: bool,
    out: Path | None,
    force: bool,
) -> None:
    """Measure a model on labelled images, and write report.html: what it gets wrong, where, why.

    \b
    emodetect evaluate --data folder:data/fer2013 --split test
    emodetect evaluate --data folder:data/fer2013 --exclude-duplicates-of folder:data/fer2013
    emodetect evaluate --data fer2013_csv:fer2013.csv
    emodetect evaluate --data folder:photos --faces detect --split all
    emodetect evaluate --data manifest:people.csv --slice-by age --slice-by gender
    emodetect evaluate --model runs/demo/best_model.keras
    emodetect evaluate --model fer2013 --model ferplus --data raf_db:RAF-DB --data ckplus:CK+

    Several models or data sets give one matrix, trained on by tested on. There, images of emotions
    that a model does not know are left out and counted, instead of refused.

    Without --data and --config the data that the model was trained with is used, split as in
    training. Labels are matched by name, whatever their order.
    """
    if data and config_name:
        raise click.UsageError("Name the data once: --data or --config.")
    if faces and not data:
        raise click.UsageError("--faces goes with --data; a config has data.faces.")
    if len(faces) > 1 and len(faces) != len(data):
        raise click.UsageError(
            f"--faces: expected it once, or once for each of {len(data)} --data, got {len(faces)}."
        )
    if len(models) > 1 or len(data) > 1:
        _refuse_for_several(models, data, labels, robustness=robustness, slice_by=slice_by)
        from emodetect.cli.across import evaluate_matrix

        evaluate_matrix(
            models,
            labels,
            pixels,
            data,
            faces=faces,
            split=split,
            classes=classes,
            exclude_duplicates_of=exclude_duplicates_of,
            tta=tta,
            bootstrap=bootstrap,
            out=out or Path("evaluation-across"),
            force=force,
        )
        return
    model = models[0] if models else None
    source = data[0] if data else None
    framing = faces[0] if faces else None
    from emodetect.config import load_config
    from emodetect.evaluation.evaluate import evaluate_model
    from emodetect.evaluation.report import write_report
    from emodetect.evaluation.report_page import JudgedModel
    from emodetect.evaluation.selection import select_images
    from emodetect.evaluation.sources import (
        OWN_DATA,
        open_source,
        open_training_data,
        training_config,
    )
    from emodetect.inference.recognizer import EmotionRecognizer
    from emodetect.outputs import check_output_folder
    from emodetect.shipped import DEFAULT_MODEL, shipped_models

    recognizer = EmotionRecognizer(usable_model(model, labels, pixels), detector="none")
    if source:
        dataset = open_source(source, recognizer.metadata, faces=framing, slice_by=slice_by)
    else:
        config = load_config(config_name) if config_name else training_config(recognizer.metadata)
        dataset = open_training_data(config, recognizer.metadata, slice_by=slice_by)
    split = split or ("test" if "test" in dataset.splits else "all")
    # Of the file that the user named: a foreign one is compiled into the cache.
    home = None if model is None or model in shipped_models() else Path(model).parent
    out = out or (home or Path()) / f"evaluation-{split}"
    check_output_folder(out, force=force)
    trained_on = {
        name: open_source(
            name, recognizer.metadata, faces=framing, option="--exclude-duplicates-of"
        )
        for name in exclude_duplicates_of
    }
    selection = select_images(
        dataset,
        split,
        emotions=None if classes is None else classes.split(","),
        trained_on=trained_on,
    )
    evaluation = evaluate_model(
        recognizer, dataset, selection, tta=tta, bootstrap=bootstrap, robustness=robustness
    )
    metrics = {
        "model": model or DEFAULT_MODEL,
        "data": source or config_name or OWN_DATA,
        "faces": framing,
        "split": split,
        **evaluation.metrics,
    }
    judged = JudgedModel(
        metadata=recognizer.metadata,
        run=home,
        heat=NOT_ASKED if no_explain else _explain(recognizer.path, evaluation.predictions),
    )
    files = write_report(evaluation.predictions, metrics, out, judged=judged)
    _print(metrics)
    for file in files:
        click.echo(str(file))


def _refuse_for_several(
    models: tuple[str, ...],
    data: tuple[str, ...],
    labels: str | None,
    *,
    robustness: bool,
    slice_by: tuple[str, ...],
) -> None:
    if not data:
        raise click.UsageError("Several models are compared on --data; name at least one.")
    for option, values in (("--model", models), ("--data", data)):
        if len(set(values)) < len(values):
            raise click.UsageError(f"{option}: each may be named once.")
    if labels and len(models) > 1:
        raise click.UsageError("--labels goes with one model, as it would name all of theirs.")
    for option, asked in (("--robustness", robustness), ("--slice-by", slice_by)):
        if asked:
            raise click.UsageError(f"{option} goes with one model and one --data.")


def _explain(model: Path, predictions: Predictions) -> HeatMaps | str:
    """Return Grad-CAM of the worst mistakes; or why there is none, which is no error here."""
    from emodetect.evaluation.explain import explain_mistakes

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

    from emodetect.evaluation.report import class_rows

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
    from emodetect.evaluation.predictions import BATCH_TOLERANCE

    difference = metrics["batch_size_difference"]
    if difference > BATCH_TOLERANCE:
        click.echo(
            f"warning: a probability differs by {difference:.2g} between one image at a time and "
            "a batch; the model's batch normalisation may have been left in training mode.",
            err=True,
        )
