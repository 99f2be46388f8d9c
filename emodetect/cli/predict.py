"""`emodetect predict`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emodetect.cli.options.cluster import PhotoSource, check_local, cluster_options, on_cluster
from emodetect.cli.options.files import file_option, folder_option, force_option
from emodetect.cli.options.numbers import Probability, WholeNumber
from emodetect.cli.options.recognizer import RecognizerChoice, recognizer_options
from emodetect.machine.terminal_text import on_one_line, quoted
from emodetect.number_format import percent, quantity

if TYPE_CHECKING:
    from emodetect.recognition.photos.analysis import Explainer
    from emodetect.recognition.photos.predict import PredictCounts, PredictOptions

FORMATS = ("table", "json", "jsonl", "csv")
ROW_FORMATS = ("jsonl", "csv")
# A detector that is not this many times as fast is not worth a word.
WORTH_A_HINT = 1.2


@click.command(short_help="Recognise the emotion of every face in photos.")
@click.argument(
    "images",
    nargs=-1,
    required=True,
    type=PhotoSource(),
)
@recognizer_options
@click.option(
    "--min-confidence",
    type=Probability(),
    default=0.0,
    metavar="0..1",
    help="Drop faces with a lower confidence.",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(FORMATS),
    help="jsonl writes one object per photo, as soon as it is ready; csv one row per face. "
    "[default: the suffix of --output, else table]",
)
@file_option(
    "--output",
    metavar="FILE|DIR",
    help="Write jsonl or csv to this file, each photo as soon as it is ready; with --engine ray, "
    "Parquet files to this folder.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Skip photos that --output already contains. It must come from the same model and "
    "options: its last photos are analysed again and compared.",
)
@folder_option("--annotate", help="Save copies with boxes and labels here.")
@folder_option("--save-crops", help="Save face crops here, in one folder per emotion.")
@folder_option(
    "--explain",
    help="Save a Grad-CAM heat map of each face here, named like its crop. Loads TensorFlow; "
    "uses no worker processes.",
)
@force_option()
@click.option(
    "--max-pixels",
    type=WholeNumber(1, 1000),
    default=200,
    show_default=True,
    metavar="MILLIONS",
    help="Maximum size of a photo, checked before decoding. A worker may need 25 bytes for each "
    "pixel.",
)
@click.option("-0", "--null", is_flag=True, help="Paths on standard input end with NUL.")
@click.option(
    "--workers",
    type=WholeNumber(0, 256),
    metavar="N",
    help="Worker processes for many photos; 0 for none. [default: the number of cores, at most 8]",
)
@cluster_options
def predict(
    recognizer: RecognizerChoice,
    output_format: str | None,
    cluster: dict[str, Any] | None,
    **chosen: Any,
) -> None:
    """Recognise the emotion of every face in IMAGES: files, folders (searched recursively),
    quoted patterns, or - for a list of files and folders on standard input, one per line. Other
    files in the folders, such as videos and raw photos, are counted by kind at the end.

    \b
    emodetect predict photo.jpg
    emodetect predict holiday/ --annotate drawn/
    emodetect predict "albums/**/*.jpg" --output emotions.jsonl
    emodetect predict albums/ --output emotions.jsonl --resume
    find . -name '*.jpg' -print0 | emodetect predict - -0 --output emotions.csv
    emodetect predict crops/ --detector none --format csv > emotions.csv
    emodetect predict photo.jpg --uncertain-below 0.5
    emodetect predict photo.jpg --explain why/
    emodetect predict s3://bucket/albums/ --engine ray --output emotions/

    An uncertain face has the emotion "uncertain" in every format, and a folder of that name under
    --save-crops. Its confidence and scores are kept; the two highest scores are its guesses.

    Results come in the order of IMAGES, each as soon as it is ready. After an interruption, run
    the same command with --resume to continue; photos with an error in FILE count as done.

    With --engine ray, IMAGES may also be list files (.txt), manifests (.csv or .parquet with a
    column path) and URLs (s3://, gs://, http://, https://). docs/scale.md says more.

    Exit status: 0, even if no face is found; 1 if a file cannot be read (its error is in the
    output, and the other files are still processed); 130 after Ctrl-C.
    """
    from emodetect.machine.quiet_libraries import quiet_libraries
    from emodetect.recognition.photos.predict import PredictOptions, predict_photos

    output = chosen["output"]
    chosen["max_pixels"] *= 1_000_000
    if chosen["null"] and Path("-") not in chosen["images"]:
        raise click.UsageError("-0 requires -, a list on standard input.")
    if chosen["resume"] and chosen["force"]:
        raise click.UsageError(
            "--resume continues --output and --force overwrites it; give only one of them."
        )
    if cluster is not None:
        counts = on_cluster(recognizer, output_format, chosen, cluster)
        _print(counts, output, above=chosen["min_confidence"])
        sys.exit(1 if counts.failed else 0)
    check_local(chosen["images"], output)
    options = PredictOptions(
        output_format=_usable_format(output_format, output),
        progress=output is not None or not sys.stdout.isatty(),
        **chosen,
    )
    _check(options)
    open_explainer: Callable[[Path], Explainer] | None = None
    if options.explain is not None:
        from emodetect.evaluation.grad_cam import GradCam

        open_explainer = GradCam
    try:
        with quiet_libraries():  # where decoders print about each damaged photo
            counts = predict_photos(
                options, recognizer.opener(), open_explainer=open_explainer, write=click.echo
            )
    except KeyboardInterrupt:
        if output is not None:
            click.echo(f"{output}: stopped; continue with --resume", err=True)
        raise
    _print(counts, output, above=options.min_confidence)
    _print_folders(options, counts)
    _hint_at_lists(options.images)
    if counts.formulas and options.output_format == "csv":
        click.echo(
            f"{quantity(counts.formulas, 'path')} beginning with =, +, - or @, "
            "which spreadsheets take for formulas; import the CSV as text",
            err=True,
        )
    if counts.yunet_speedup is not None and counts.yunet_speedup >= WORTH_A_HINT:
        click.echo(
            f"hint: --detector yunet, which is installed, would have been about "
            f"{counts.yunet_speedup:.1f} times as fast",
            err=True,
        )
    if counts.failed:
        sys.exit(1)


def _hint_at_lists(images: tuple[Path, ...]) -> None:
    """Say how the photos in a list are analysed, if one was given as if it was a photo."""
    listing = next((path for path in images if path.suffix.lower() == ".txt"), None)
    if listing is not None and listing.is_file():
        click.echo(
            f"hint: for the photos that a list names: emodetect predict - < "
            f"{on_one_line(quoted(str(listing)))}",
            err=True,
        )


def _usable_format(chosen: str | None, output: Path | None) -> str:
    if output is None:
        return chosen or "table"
    form = chosen or output.suffix.lower().removeprefix(".")
    if form in FORMATS and form not in ROW_FORMATS:
        raise click.UsageError(
            "--output: expected a .jsonl or .csv file, written photo by photo, got "
            f"{output if chosen is None else f'--format {form}'}. For {form}, redirect what is "
            f"printed: --format {form} > {output}"
        )
    if form not in ROW_FORMATS:
        raise click.UsageError(
            f"--output: expected jsonl or csv, got {form or 'a name without a suffix'}. End FILE "
            "with .jsonl or .csv, or add --format."
        )
    suffix = output.suffix.lower().removeprefix(".")
    if suffix in FORMATS and suffix != form:
        raise click.UsageError(
            f"--output: expected a name ending in .{form} with --format {form}, got {output}."
        )
    from emodetect.images.formats import has_image_suffix, is_photo

    # By its content too: the file may be a link to the photo that is to be analysed.
    if has_image_suffix(output) or is_photo(output):
        raise click.UsageError(f"--output: expected a .jsonl or .csv file, got an image: {output}")
    return form


def _check(options: PredictOptions) -> None:
    if options.explain is not None and options.workers:
        raise click.UsageError("--explain cannot be combined with --workers.")
    explain, crops = options.explain, options.save_crops
    if explain and crops and os.path.realpath(explain) == os.path.realpath(crops):
        raise click.UsageError(
            "--explain and --save-crops give files the same names; choose two different folders."
        )
    if options.resume and options.output is None:
        raise click.UsageError("--resume requires --output FILE.")


def _print(counts: PredictCounts, output: Path | None, *, above: float) -> None:
    if output is not None:
        click.echo(f"{output}: {quantity(counts.done, 'photo')} added", err=True)
    if counts.skipped:
        click.echo(f"{counts.skipped:,} skipped: already in {output}", err=True)
    if counts.failed:
        click.echo(f"{counts.failed:,} of {counts.done:,} could not be read", err=True)
    if counts.faceless and counts.done > 1:
        # A detector finds few of the faces that fill their image.
        more = ""
        if above:
            more = f" with a confidence of at least {percent(above)}"
        elif 2 * counts.faceless > counts.done:
            more = "; if they are face crops, add --detector none"
        click.echo(f"{counts.faceless:,} of {counts.done:,}: no face found{more}", err=True)
    _print_not_read(counts)


def _print_folders(options: PredictOptions, counts: PredictCounts) -> None:
    for folder, count, kind in (
        (options.annotate, counts.done - counts.failed, "photo"),
        (options.save_crops, counts.faces, "face crop"),
        (options.explain, counts.faces, "heat map"),
    ):
        if folder is not None:
            named = on_one_line(str(folder))
            click.echo(f"{named}: {quantity(count, kind)} written", err=True)


def _print_not_read(counts: PredictCounts) -> None:
    from emodetect.images.formats import SYSTEM_FILE, count_in_words

    # Next to photos, what a system puts there is not worth a word of its own.
    if set(counts.not_read) - {SYSTEM_FILE} or not (counts.done or counts.skipped):
        total = counts.not_read.total()
        click.echo(
            f"{quantity(total, 'file')} not read: {count_in_words(counts.not_read)}",
            err=True,
        )
