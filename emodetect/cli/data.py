"""`emodetect data`: looking at data."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click


@click.group()
def data() -> None:
    """Look at the data of a config before training on it."""


@data.command()
@click.option("--config", "config_name", metavar="FILE|PRESET", required=True)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one value.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default="samples.png",
    show_default=True,
    help="The contact sheet: images with labels, before and after augmentation.",
)
def show(config_name: str, overrides: tuple[str, ...], out: Path) -> None:
    """Count the images of each emotion in each split, and draw a contact sheet.

    \b
    emodetect data show --config demo
    emodetect data show --config mobilenetv2_fer2013 --set data.path=faces --out faces.png
    """
    from rich.console import Console
    from rich.table import Table

    from emodetect.backend import use_tensorflow
    from emodetect.config import load_config
    from emodetect.data.dataset import SPLITS, load_dataset

    use_tensorflow()
    from emodetect.data.pipeline import augment_images
    from emodetect.evaluation.plots import contact_sheet

    if out.suffix.lower() != ".png":
        raise click.BadParameter(
            f"expected a name that ends in .png, got {out}", param_hint="--out"
        )
    config = load_config(config_name, overrides)
    dataset = load_dataset(config.data, seed=config.seed)
    counts = dataset.counts()
    table = Table()
    table.add_column("emotion")
    for split in SPLITS:
        table.add_column(split, justify="right")
    for emotion in dataset.emotions:
        table.add_row(emotion, *(f"{counts[split][emotion]:,}" for split in SPLITS))
    table.add_section()
    table.add_row("all", *(f"{sum(counts[split].values()):,}" for split in SPLITS))
    Console().print(table)
    contact_sheet(
        dataset,
        out,
        augment=partial(augment_images, config=config.augmentation, seed=config.seed),
    )
    click.echo(str(out))
