"""`emodetect data show`: what training would see."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from emodetect.cli.options.experiment import (
    DEFAULT_PRESET,
    ConfigChoice,
    chosen_config,
    config_options,
)
from emodetect.cli.options.files import FileWithSuffix, force_option, output_option
from emodetect.cli.options.quiet import quiet_decoders
from emodetect.cli.options.source import DATA, FORMS_OF_DATA
from emodetect.cli.tables import new_table, print_table

if TYPE_CHECKING:
    from emodetect.data.dataset import Dataset


@click.command(short_help="Count images per emotion and split, and draw a sample.")
@click.argument("data", metavar=DATA, required=False)
@config_options
@output_option(
    type=FileWithSuffix(".png"),
    metavar="FILE.png",
    default="samples.png",
    show_default=True,
    help="Contact sheet to write: labelled images before and after augmentation. Mixup and "
    "CutMix are not shown, because they mix labels too.",
)
@force_option()
@quiet_decoders
def show(data: str | None, choice: ConfigChoice, output: Path, force: bool) -> None:
    """Count the images per emotion and split, and draw a contact sheet.

    \b
    emodetect data show faces
    emodetect data show raf_db:RAF-DB --output raf_db.png
    emodetect data show --config demo

    The images are prepared as by `train --data`, and the options are the same.
    """
    if data is None and choice.name is None:
        raise click.UsageError(
            f"expected labelled images or --config, such as: emodetect data show faces "
            f"({FORMS_OF_DATA})."
        )
    from emodetect.data.dataset import load_dataset
    from emodetect.machine.output_folder import check_output_file
    from emodetect.machine.tensorflow_devices import use_tensorflow

    use_tensorflow()
    config = chosen_config(choice, data, option="data show")
    if choice.name is None:
        click.echo(f"preset: {DEFAULT_PRESET} (change it with --config)", err=True)
    dataset = load_dataset(config.data, seed=config.seed)
    _print_counts(dataset)
    check_output_file(output, force=force)
    from emodetect.data.augmentation import augment_images
    from emodetect.reports.plots.image_grids import contact_sheet

    augment = partial(augment_images, config=config.augmentation, seed=config.seed)
    contact_sheet(dataset, output, augment=augment)
    click.echo(str(output))


def _print_counts(dataset: Dataset) -> None:
    counts = dataset.counts()
    table = new_table(text=("emotion",), numbers=counts)
    for emotion in dataset.emotions:
        table.add_row(emotion, *(f"{of_split[emotion]:,}" for of_split in counts.values()))
    table.add_section()
    table.add_row("all", *(f"{sum(of_split.values()):,}" for of_split in counts.values()))
    print_table(table)
