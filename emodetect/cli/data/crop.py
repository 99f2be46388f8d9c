"""`emodetect data crop`: photos to face crops."""

from __future__ import annotations

from pathlib import Path

import click

from emodetect.cli.options.files import force_option
from emodetect.cli.options.numbers import NumberRange
from emodetect.cli.options.quiet import quiet_decoders
from emodetect.cli.options.source import DataCommand


@click.command(
    cls=DataCommand,
    short_help="Detect the faces in photos, and write the crops.",
    expects="a folder of photos and one for the crops, such as: emodetect data crop photos crops",
)
@click.argument("folder", metavar="DIR")
@click.argument("output", metavar="OUTPUT", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--faces-per-image",
    type=click.Choice(["largest", "all"]),
    default="largest",
    show_default=True,
    help="Which faces of each image to crop.",
)
@click.option(
    "--margin",
    type=NumberRange(0, 10),
    default=0.0,
    show_default=True,
    metavar="M",
    help="Enlarge each detected box by this fraction of its side.",
)
@force_option(help="Replace the crops of an earlier run in OUTPUT.")
@quiet_decoders
def crop(folder: str, output: Path, faces_per_image: str, margin: float, force: bool) -> None:
    """Detect the faces in all images below DIR, as predict does, and write the crops to OUTPUT.

    \b
    emodetect data crop photos crops
    emodetect data crop photos crops --faces-per-image all --margin 0.2

    Subfolders are kept: face 1 of DIR/train/happy/a.jpg becomes OUTPUT/train/happy/a.jpg_1.png, so
    you can train on OUTPUT (with the same data.margin). Its faces.csv lists every face, and every
    image without one. Faces from one photo may end up in different splits; to avoid that, train
    on the photos themselves with data.faces = "detect".

    Exit status: 0, even if no face is found; 1 if a file could not be read (it is reported, and
    the others are still processed).
    """
    from emodetect.data.named_data import find_data
    from emodetect.data.writers.face_crops import CropOptions, crop_photos
    from emodetect.machine.terminal_text import on_one_line

    photos = Path(find_data(folder, option="data crop", among=("folder",)).path)
    counts = crop_photos(photos, output, CropOptions(faces_per_image, margin, force))
    for line in counts.describe():
        click.echo(on_one_line(line))
    if counts.unreadable:
        raise SystemExit(1)
