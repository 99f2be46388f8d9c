"""`emodetect predict`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from emodetect.cli.options.model import model_options, runtime_option, usable_model
from emodetect.cli.options.numbers import Probability, uncertain_option
from emodetect.cli.options.tracking import detector_option
from emodetect.errors import EmodetectError

if TYPE_CHECKING:
    from emodetect.recognition.photos.analysis import Photo, PhotoResult
    from emodetect.recognition.photos.result_file import HeldPaths

ROW_FORMATS = ("jsonl", "csv")
# So few are done before a progress bar would help.
PHOTOS_WITHOUT_PROGRESS = 20


@click.command()
@click.argument(
    "images",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, readable=False, allow_dash=True),
)
@model_options
@runtime_option
@detector_option
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
    help="jsonl is one object a line, as they come; csv one row a face.  [default: by the name of "
    "--output, else table]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write jsonl or csv here, each photo as soon as it is done.",
)
@click.option("--resume", is_flag=True, help="Leave out photos that --output FILE holds already.")
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
@click.option(
    "--explain",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write a picture for each face that shows what its answer rests on (Grad-CAM), named as "
    "crops are. Loads TensorFlow; without worker processes.",
)
@click.option(
    "--force", is_flag=True, help="Replace FILE, and write into folders that hold files already."
)
@click.option("-0", "--null", is_flag=True, help="NUL ends a path in the list on standard input.")
@click.option(
    "--workers",
    type=click.IntRange(0, 256),
    metavar="N",
    help="Processes that share many photos; 0 for none but this one.  [default: the cores, at "
    "most 8]",
)
def predict(
    images: tuple[Path, ...],
    model: str | None,
    labels: str | None,
    pixels: str | None,
    runtime: str | None,
    detector: str,
    min_confidence: float,
    uncertain_below: float,
    output_format: str | None,
    output: Path | None,
    resume: bool,
    annotate: Path | None,
    save_crops: Path | None,
    explain: Path | None,
    force: bool,
    null: bool,
    workers: int | None,
) -> None:
    """Name the emotion of every face in IMAGES: files, folders searched at any depth, quoted
    patterns, or - for a list of files and folders on standard input, one a line.

    \b
    emodetect predict photo.jpg
    emodetect predict holiday/ --annotate drawn/
    emodetect predict 'albums/**/*.jpg' --output emotions.jsonl
    emodetect predict albums/ --output emotions.jsonl --resume
    find . -name '*.jpg' -print0 | emodetect predict - -0 --output emotions.csv
    emodetect predict crops/ --detector none --format csv > emotions.csv
    emodetect predict photo.jpg --uncertain-below 0.5
    emodetect predict photo.jpg --explain why/

    An uncertain face has "uncertain" for its emotion in every format and a folder of that name
    among --save-crops. Its confidence and scores stay; the two highest scores are its guesses.

    Rows come in the order of IMAGES, each as soon as it is there. After an interruption, the same
    command with --resume goes on; photos with an error in FILE count as done.

    Exit status: 0, also where no face is found; 1 if a file could not be read (its error is
    in the output, the others go on).
    """
    from emodetect.machine.output_folder import check_output_folder
    from emodetect.recognition.photos.analysis import PhotoOptions, real_paths
    from emodetect.recognition.photos.finding import LIST, find_photos
    from emodetect.recognition.photos.output_formats import WRITERS
    from emodetect.recognition.photos.result_file import open_photo_rows
    from emodetect.recognition.photos.workers import analyze_many
    from emodetect.recognition.recognizer import EmotionRecognizer

    if null and LIST not in images:
        raise click.UsageError("-0 goes with -, a list on standard input.")
    if explain is not None and workers:
        raise click.UsageError("--explain goes without workers; leave --workers out.")
    if explain is not None and save_crops is not None and _same_place(explain, save_crops):
        raise click.UsageError("--explain and --save-crops name files alike: two folders, please.")
    form = _usable_format(output_format, output, resume=resume, force=force)
    folders = [folder for folder in (annotate, save_crops, explain) if folder is not None]
    for folder in folders:
        check_output_folder(folder, force=force or resume)
    open_recognizer = partial(
        EmotionRecognizer,
        usable_model(model, labels, pixels),
        detector=detector,
        runtime=runtime,
        uncertain_below=uncertain_below,
    )
    recognizer = open_recognizer()
    explainer = None
    if explain is not None:
        from emodetect.evaluation.grad_cam import GradCam

        explainer = GradCam(recognizer.path)
    find = partial(find_photos, images, leave_out=folders)
    listed = _list_on_stdin(null=null) if LIST in images else ()
    photos = find(listed=listed, unique=bool(folders))
    originals: frozenset[str] = frozenset()
    if any(map(_holds_files, folders)):  # only then may a result meet a photo
        photos = iter(known := list(photos))
        originals = real_paths(known)
    counts = _Counts()
    with ExitStack() as stack:
        rows = None
        if output is not None:
            rows = stack.enter_context(
                open_photo_rows(output, form, recognizer.emotions, resume=resume, force=force)
            )
            photos = counts.without_held(photos, rows.held)
        analysis = analyze_many(
            photos,
            recognizer,
            PhotoOptions(min_confidence, annotate, save_crops, originals, explain, explainer),
            open_recognizer=open_recognizer,
            workers=workers,
        )
        stack.enter_context(closing(analysis))  # ends the workers, whatever happens
        results: Iterator[PhotoResult] = analysis
        if rows is not None or not sys.stdout.isatty():
            held = 0 if rows is None else len(rows.held)
            total = None if listed else lambda: sum(1 for _ in find()) - held
            results = _with_progress(results, total)
        lines = WRITERS[form](counts.of_results(results), recognizer.emotions)
        if rows is not None and rows.has_header:
            next(lines)
        write = click.echo if rows is None else rows.write
        for line in lines:
            write(line)
    if output is not None:
        click.echo(f"{output}: {counts.done:,} photo{'s' * (counts.done != 1)} added", err=True)
    if counts.held:
        click.echo(f"{counts.held:,} left out: {output} holds them", err=True)
    if counts.failed:
        click.echo(f"{counts.failed:,} of {counts.done:,} could not be read", err=True)
        raise SystemExit(1)


class _Counts:
    """How many photos were left out because a file holds them, done, and done with an error."""

    def __init__(self) -> None:
        self.held = self.done = self.failed = 0

    def without_held(
        self, photos: Iterable[Photo | None], held: HeldPaths
    ) -> Iterator[Photo | None]:
        for photo in photos:
            if photo is not None and held.take(str(photo.path)):
                self.held += 1
            else:
                yield photo

    def of_results(self, results: Iterable[PhotoResult]) -> Iterator[PhotoResult]:
        for result in results:
            self.done += 1
            self.failed += result.error is not None
            yield result


def _usable_format(chosen: str | None, output: Path | None, *, resume: bool, force: bool) -> str:
    if output is None:
        if resume:
            raise click.UsageError("--resume goes with --output FILE.")
        return chosen or "table"
    if resume and force:
        raise click.UsageError("--resume goes on with FILE, --force replaces it: give one of them.")
    form = chosen or output.suffix.lower().removeprefix(".")
    if form not in ROW_FORMATS:
        raise click.UsageError(
            f"--output takes jsonl or csv, got {form or 'a name without suffix'}: end the name "
            "of FILE with .jsonl or .csv, or add --format."
        )
    from emodetect.images.formats import has_image_suffix

    if has_image_suffix(output):
        raise click.UsageError(f"--output takes a file for rows, got an image's name: {output}")
    return form


def _list_on_stdin(*, null: bool) -> Iterator[Path | None]:
    from emodetect.recognition.photos.finding import listed_paths

    if sys.stdin is None:  # closed by who started the program
        raise EmodetectError("-: standard input is closed; expected a list of paths on it.")
    return listed_paths(sys.stdin.fileno(), separator=b"\0" if null else b"\n")


def _same_place(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _holds_files(folder: Path) -> bool:
    # By its real path: `new/..` is not there yet, but will be.
    real = Path(os.path.realpath(folder))
    return real.is_dir() and any(real.iterdir())


def _with_progress(
    results: Iterator[PhotoResult], total: Callable[[], int] | None
) -> Iterator[PhotoResult]:
    for number, result in enumerate(results, start=1):
        yield result
        if number == PHOTOS_WITHOUT_PROGRESS:
            from emodetect.machine.progress import track

            yield from track(results, description="analysing", total=total, done=number)
