"""`emodetect evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from emodetect.cli.options.files import FOLDER, force_option, output_option
from emodetect.cli.options.model import MODEL, PIXEL_RANGES, foreign_options, tta_option
from emodetect.cli.options.numbers import WholeNumber
from emodetect.cli.options.quiet import quiet_decoders
from emodetect.cli.options.source import (
    DATA,
    DataCommand,
    faces_of_each,
    group_option,
    label_name_option,
    label_names,
    named_data,
    names_in,
)

if TYPE_CHECKING:
    from emodetect.config import Faces


@click.command(
    cls=DataCommand, short_help="Evaluate a model on labelled images, and write a report."
)
@click.option(
    "--model",
    "models",
    metavar=MODEL,
    multiple=True,
    help="A run folder, a .keras file, or the name of a shipped model. Repeatable. [default: the "
    "shipped one]",
)
@foreign_options
@click.option(
    "--data",
    metavar=DATA,
    multiple=True,
    help="Labelled images: a folder of class folders, a CSV, or SOURCE:PATH such as raf_db:RAF-DB. "
    "Repeatable.",
)
@click.option("--config", metavar="FILE|PRESET", help="Use the data of this config.")
@label_name_option
@click.option(
    "--faces",
    type=click.Choice(["whole", "detect"]),
    multiple=True,
    help="With --data: use each image as one crop, or detect its largest face as predict does. "
    "Once for all data, or once for each, in order. [default: as in training]",
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test", "all"]),
    help="Which images to use. [default: test, or all if the data has no splits]",
)
@click.option("--classes", metavar="A,B,...", help="Use only the images of these emotions.")
@click.option(
    "--exclude-duplicates-of",
    metavar=DATA,
    multiple=True,
    help="Exclude images whose crops are identical to training or validation images of this data. "
    "Repeatable.",
)
@tta_option
@click.option(
    "--bootstrap",
    metavar="N",
    type=WholeNumber(100, 100_000),
    default=1000,
    show_default=True,
    help="Number of resamples for the 95% intervals.",
)
@click.option(
    "--robustness",
    is_flag=True,
    help="Also report the accuracy on corrupted copies: with changed framing or light, blur, or "
    "compression.",
)
@click.option(
    "--slice-by",
    metavar="COLUMN",
    multiple=True,
    help="Also break results down by this column of a manifest, such as age. Repeatable.",
)
@group_option
@click.option(
    "--no-explain",
    is_flag=True,
    help="Omit the heat maps of the worst mistakes, which need TensorFlow.",
)
@output_option(
    type=FOLDER,
    metavar="DIR",
    help="Folder for the report. [default: evaluation-SPLIT next to the model; in the current "
    "folder, evaluation-SPLIT for a shipped model, evaluation-across for several models or data "
    "sets]",
)
@force_option(help="Write into a folder that already contains files.")
@quiet_decoders
def evaluate(
    models: tuple[str, ...],
    labels: str | None,
    pixels: str | None,
    data: tuple[str, ...],
    faces: tuple[Faces, ...],
    label_name: tuple[str, ...],
    classes: str | None,
    no_explain: bool,
    **chosen: Any,
) -> None:
    """Evaluate a model on labelled images, and write report.html: what it gets wrong, where, why.

    \b
    emodetect evaluate --data data/fer2013 --split test
    emodetect evaluate --data data/fer2013 --exclude-duplicates-of data/fer2013
    emodetect evaluate --data fer2013.csv
    emodetect evaluate --data photos --faces detect --split all
    emodetect evaluate --data people.csv --group person --slice-by age
    emodetect evaluate --model runs/demo
    emodetect evaluate --model fer2013 --model ferplus --data raf_db:RAF-DB

    Several models or data sets give a matrix of every model on every data set. There, images of
    emotions that a model was not trained on are excluded and counted; otherwise they are an error.

    Without --data and --config, the model is evaluated on the data it was trained on, split as in
    training. Labels are matched by name, in any order.
    """
    data = tuple(str(named_data(one, option="--data")) for one in data)
    chosen["exclude_duplicates_of"] = tuple(
        str(named_data(one, option="--exclude-duplicates-of"))
        for one in chosen["exclude_duplicates_of"]
    )
    from emodetect.cli.evaluation_tables import print_result
    from emodetect.model_file.shipped_models import DEFAULT_MODEL
    from emodetect.reports.evaluation_report import EvaluationOptions, EvaluationReport
    from emodetect.reports.evaluation_report import evaluate as write_evaluation

    options = EvaluationOptions(
        models=models or (DEFAULT_MODEL,),
        labels=None if labels is None else names_in(labels),
        pixel_range=PIXEL_RANGES[pixels or "0..255"],
        data=data,
        faces=faces_of_each(faces, data) if data else faces,
        label_names=label_names(label_name),
        emotions=None if classes is None else names_in(classes),
        explain=not no_explain,
        **chosen,
    )
    report = write_evaluation(options, on_result=print_result)
    if isinstance(report, EvaluationReport) and report.no_heat_maps:
        click.echo(f"no heat maps: {report.no_heat_maps}", err=True)
    for file in report.files:
        click.echo(str(file))
