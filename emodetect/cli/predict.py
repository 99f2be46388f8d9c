"""`emodetect predict`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from emodetect.cli.model_options import model_options, usable_model
from emodetect.cli.probability import Probability, uncertain_option

if TYPE_CHECKING:
    from emodetect.inference.photos import PhotoResult


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path, readable=False))
@model_options
@click.option(
    "--detector",
    type=click.Choice(["haar", "none"]),
    default="haar",
    show_default=True,
    help="How faces are found; none takes each image as one face.",
)
@click.option(
    "--min-confidence",
    type=Probability(),
    default=0.0,
    metavar="P",
    help="Leave out faces whose emotion is less sure than this.",
)
@uncertain_option
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json", "jsonl", "csv"]),
    default="table",
    show_default=True,
    help="jsonl is one object a line, as they come; csv one row a face.",
)
@click.option(
    "--annotate",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write copies with boxes and labels here.",
)
@click.option(
    "--save-crops",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write face crops here, in a folder for each emotion.",
)
@click.option("--force", is_flag=True, help="Write into folders that hold files already.")
def predict(
    images: tuple[Path, ...],
    model: str | None,
    labels: str | None,
    pixels: str | None,
    detector: str,
    min_confidence: float,
    uncertain_below: float,
    output_format: str,
    annotate: Path | None,
    save_crops: Path | None,
    force: bool,
) -> None:
    """Name the emotion of every face in IMAGES: files, or folders searched at any depth.

    \b
    emodetect predict photo.jpg
    emodetect predict holiday/ --annotate drawn/
    emodetect predict crops/ --detector none --format csv > emotions.csv
    emodetect predict photo.jpg --uncertain-below 0.5

    An uncertain face has "uncertain" for its emotion in every format and a folder of that name
    among --save-crops. Its confidence and scores stay; the two highest scores are its guesses.

    Exit status: 0, also where no face is found; 1 if a file could not be read (its error is
    in the output, the others go on).
    """
    from emodetect.inference.photos import analyze_photos, find_photos
    from emodetect.inference.recognizer import EmotionRecognizer
    from emodetect.inference.writers import WRITERS
    from emodetect.outputs import check_output_folder
    from emodetect.progress import track

    for folder in (annotate, save_crops):
        if folder is not None:
            check_output_folder(folder, force=force)
    recognizer = EmotionRecognizer(
        usable_model(model, labels, pixels), detector=detector, uncertain_below=uncertain_below
    )
    photos = list(find_photos(images, leave_out=(annotate, save_crops)))
    results = analyze_photos(
        photos,
        recognizer,
        min_confidence=min_confidence,
        annotate=annotate,
        save_crops=save_crops,
    )
    if len(photos) > 20 and not sys.stdout.isatty():
        results = track(results, description="analysing", total=len(photos))
    failed: list[str] = []
    for line in WRITERS[output_format](_noting_errors(results, failed), recognizer.emotions):
        click.echo(line)
    if failed:
        click.echo(f"{len(failed)} of {len(photos)} could not be read", err=True)
        raise SystemExit(1)


def _noting_errors(results: Iterable[PhotoResult], failed: list[str]) -> Iterator[PhotoResult]:
    for result in results:
        if result.error is not None:
            failed.append(result.path)
        yield result
