"""`emodetect evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from emodetect.cli.model_options import model_options, usable_model


@click.command()
@model_options
@click.option("--data", metavar="SOURCE:PATH", help="Labelled images, such as folder:data/fer2013.")
@click.option("--config", "config_name", metavar="FILE|PRESET", help="The data of this config.")
@click.option(
    "--faces",
    type=click.Choice(["whole", "detect"]),
    help="With --data: take each image as one crop, or find its largest face as predict does. "
    "[default: as the model was trained]",
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test", "all"]),
    help="Which images. [default: test, or all where the data has no splits]",
)
@click.option("--classes", metavar="A,B,...", help="Use only the images of these emotions.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the report. [default: evaluation-SPLIT beside the model; for a shipped "
    "model, here]",
)
@click.option("--force", is_flag=True, help="Write into a report folder that exists.")
def evaluate(
    model: str | None,
    labels: str | None,
    pixels: str | None,
    data: str | None,
    config_name: str | None,
    faces: Literal["whole", "detect"] | None,
    split: str | None,
    classes: str | None,
    out: Path | None,
    force: bool,
) -> None:
    """Measure a model on labelled images: precision, recall, F1, confusion matrix, ROC, mistakes.

    \b
    emodetect evaluate --data folder:data/fer2013 --split test
    emodetect evaluate --data fer2013_csv:fer2013.csv
    emodetect evaluate --data folder:photos --faces detect --split all
    emodetect evaluate --model runs/demo/best_model.keras

    Without --data and --config the data that the model was trained with is used, split as in
    training. Labels are matched by name, whatever their order.
    """
    if data and config_name:
        raise click.UsageError("Name the data once: --data or --config.")
    if faces and not data:
        raise click.UsageError("--faces goes with --data; a config has data.faces.")
    from emodetect.config import load_config
    from emodetect.evaluation.metrics import compute_metrics, predict_dataset
    from emodetect.evaluation.report import write_report
    from emodetect.evaluation.sources import open_source, open_training_data, training_config
    from emodetect.inference.recognizer import EmotionRecognizer
    from emodetect.outputs import check_output_folder
    from emodetect.shipped import DEFAULT_MODEL, shipped_models

    recognizer = EmotionRecognizer(usable_model(model, labels, pixels), detector="none")
    if data:
        dataset = open_source(data, recognizer.metadata, faces=faces)
    else:
        config = load_config(config_name) if config_name else training_config(recognizer.metadata)
        dataset = open_training_data(config, recognizer.metadata)
    split = split or ("test" if "test" in dataset.splits else "all")
    # Of the file that the user named: a foreign one is compiled into the cache.
    home = Path() if model is None or model in shipped_models() else Path(model).parent
    out = out or home / f"evaluation-{split}"
    check_output_folder(out, force=force)
    predictions = predict_dataset(
        recognizer, dataset, split, emotions=classes.split(",") if classes else None
    )
    left_out = dict(dataset.left_out)
    if others := len(dataset.indices(split)) - len(predictions.labels):
        left_out["emotion outside --classes"] = others
    metrics = {
        "model": model or DEFAULT_MODEL,
        "data": data or config_name or "the model's own",
        "split": split,
        "skipped": [str(file) for file in dataset.skipped],
        "left_out": left_out,
        **compute_metrics(predictions),
    }
    files = write_report(predictions, metrics, out)
    _print(metrics)
    for file in files:
        click.echo(str(file))


def _print(metrics: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from emodetect.evaluation.report import class_rows

    table = Table(title=f"{metrics['images']:,} images, split {metrics['split']}")
    table.add_column("emotion")
    for name in ("precision", "recall", "F1", "images"):
        table.add_column(name, justify="right")
    for name, (precision, recall, f1, support) in class_rows(metrics):
        if name == "macro average":
            table.add_section()
        shown = "-" if name in metrics["never_predicted"] else f"{precision:.3f}"
        table.add_row(name, shown, f"{recall:.3f}", f"{f1:.3f}", str(support))
    Console().print(table)
    click.echo(
        f"accuracy {metrics['accuracy']:.4f}   "
        f"balanced accuracy {metrics['balanced_accuracy']:.4f}   "
        f"log-loss {metrics['log_loss']:.4f}"
    )
    if metrics["never_predicted"]:
        click.echo(f"never predicted: {', '.join(metrics['never_predicted'])}")
    if metrics["absent"]:
        click.echo(f"no images of: {', '.join(metrics['absent'])} (left out of the averages)")
    if metrics["skipped"]:
        click.echo(f"skipped {len(metrics['skipped'])} unreadable files, named in metrics.json")
