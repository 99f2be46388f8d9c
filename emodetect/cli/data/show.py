"""`emodetect data show`: what training would see."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from emodetect.cli.options.files import FileWithSuffix
from emodetect.cli.tables import new_table, print_table

if TYPE_CHECKING:
    from emodetect.data.dataset import Dataset


@click.command()
@click.option(
    "--config", "config_name", metavar="FILE|PRESET", required=True, help="Config file or preset."
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one value.")
@click.option(
    "--out",
    type=FileWithSuffix(".png"),
    metavar="FILE.png",
    default="samples.png",
    show_default=True,
    help="Contact sheet to write: labelled images before and after augmentation. Mixup and "
    "CutMix are not shown, because they mix labels too.",
)
def show(config_name: str, overrides: tuple[str, ...], out: Path) -> None:
    """Count the images per emotion and split, and draw a contact sheet.

    \b
    emodetect data show --config demo
    emodetect data show --config mobilenetv2_fer2013 --set data.path=faces --out faces.png
    """
    from emodetect.config import load_config
    from emodetect.data.dataset import load_dataset
    from emodetect.machine.tensorflow_devices import use_tensorflow

    use_tensorflow()
    from emodetect.data.augmentation import augment_images
    from emodetect.reports.plots.image_grids import contact_sheet

    config = load_config(config_name, overrides)
    dataset = load_dataset(config.data, seed=config.seed)
    _print_counts(dataset)
    augment = partial(augment_images, config=config.augmentation, seed=config.seed)
    contact_sheet(dataset, out, augment=augment)
    click.echo(str(out))


def _print_counts(dataset: Dataset) -> None:
    counts = dataset.counts()
    table = new_table(text=("emotion",), numbers=counts)
    for emotion in dataset.emotions:
        table.add_row(emotion, *(f"{of_split[emotion]:,}" for of_split in counts.values()))
    table.add_section()
    table.add_row("all", *(f"{sum(of_split.values()):,}" for of_split in counts.values()))
    print_table(table)
