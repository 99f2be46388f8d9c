"""`emodetect evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from emodetect.cli.options.model import foreign_options


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
    from emodetect.cli.single import evaluate_one

    evaluate_one(
        models[0] if models else None,
        labels,
        pixels,
        source=data[0] if data else None,
        config_name=config_name,
        faces=faces[0] if faces else None,
        split=split,
        classes=classes,
        exclude_duplicates_of=exclude_duplicates_of,
        slice_by=slice_by,
        tta=tta,
        bootstrap=bootstrap,
        robustness=robustness,
        explain=not no_explain,
        out=out,
        force=force,
    )


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
