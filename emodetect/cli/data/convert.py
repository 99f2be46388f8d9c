"""`emodetect data convert`: a data set in another layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from emodetect.cli.options.files import force_option
from emodetect.cli.options.numbers import WholeNumber
from emodetect.cli.options.quiet import quiet_decoders
from emodetect.cli.options.source import (
    DATA,
    FORMS_OF_DATA,
    DataCommand,
    faces_of_each,
    label_names,
    named_data,
    names_in,
    source_options,
)

if TYPE_CHECKING:
    from emodetect.config import Faces


@click.command(
    cls=DataCommand,
    short_help="Write a data set in another layout.",
    expects=f"labelled images and where to write them, such as: emodetect data convert faces "
    f"faces.csv --to fer2013_csv ({FORMS_OF_DATA})",
)
@click.argument("source", metavar=DATA)
@click.argument("output", metavar="OUTPUT", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "layout",
    # As in data.writers.convert.LAYOUTS, whose import would slow --help.
    type=click.Choice(["folder", "fer2013_csv", "tfrecord"]),
    required=True,
    help="folder: PNGs in class folders, inside split folders; fer2013_csv: 48x48 pixels, "
    "greyscale; tfrecord: shards of PNGs.",
)
@click.option(
    "--shard-size",
    type=WholeNumber(1),
    metavar="N",
    help="Images per shard, for --to tfrecord. [default: 4096]",
)
@click.option("--classes", metavar="A,B,...", help="Convert only these emotions.")
@source_options
@force_option(help="Replace an earlier conversion, or the CSV file.")
@quiet_decoders
def convert(
    source: str,
    output: Path,
    layout: str,
    shard_size: int | None,
    classes: str | None,
    faces: tuple[Faces, ...],
    label_name: tuple[str, ...],
    own_labels: bool,
    force: bool,
) -> None:
    """Write the images of a data set to OUTPUT in another layout, with their labels and splits.

    \b
    emodetect data convert fer2013.csv data/fer2013 --to folder
    emodetect data convert data/fer2013 fer2013.csv --to fer2013_csv
    emodetect data convert raf_db:RAF-DB shards --to tfrecord --shard-size 10000

    OUTPUT is written completely or not at all. With --faces detect, it holds whole photos, in
    which training then detects the faces. Unreadable images are reported and skipped; the exit
    status is then 1.
    """
    from emodetect.data.named_data import config_of
    from emodetect.data.writers.convert import SHARD_SIZE, ConversionOptions
    from emodetect.data.writers.convert import convert as convert_data
    from emodetect.machine.terminal_text import on_one_line

    if shard_size is not None and layout != "tfrecord":
        raise click.UsageError("--shard-size is only for --to tfrecord.")
    config = config_of(
        named_data(source, option="data convert"),
        faces=faces_of_each(faces, [source])[0],
        label_names=label_names(label_name),
        classes=names_in(classes) if classes else None,
        own_labels=own_labels,
    )
    options = ConversionOptions(output, layout, shard_size or SHARD_SIZE, force)
    done = convert_data(config, options)
    for line in done.describe(output):
        click.echo(on_one_line(line))
    if done.skipped:
        raise SystemExit(1)
