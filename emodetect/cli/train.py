"""`emodetect train`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from emodetect.config import ExperimentConfig
    from emodetect.data.dataset import Dataset
    from emodetect.training.train import TrainingResult


@click.command()
@click.option("--config", "config_name", metavar="FILE|PRESET", help="A TOML file or a preset.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one value; repeatable."
)
@click.option(
    "--resume",
    "resume_run",
    metavar="RUN",
    type=click.Path(path_type=Path, file_okay=False),
    help="Go on with an interrupted run; needs no --config.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be trained, and train nothing.")
def train(
    config_name: str | None, overrides: tuple[str, ...], resume_run: Path | None, dry_run: bool
) -> None:
    """Train a model and save it as best_model.keras in a run folder.

    \b
    emodetect train --config demo
    emodetect train --config mobilenetv2_fer2013 --set data.path=faces --set training.epochs=3
    emodetect train --resume runs/mobilenetv2_fer2013

    `emodetect config list` names the presets. A run that was interrupted, at any moment, goes on
    with --resume and ends with the same weights.
    """
    from emodetect.config import load_config

    if config_name is None and resume_run is None:
        raise click.UsageError("Name what to train: --config FILE|PRESET, or --resume RUN.")
    if config_name is None and overrides:
        raise click.UsageError("--set changes a config; it needs --config.")
    config = load_config(config_name, overrides) if config_name else None
    if dry_run:
        if config is None:
            raise click.UsageError("--dry-run needs --config.")
        from emodetect.training.dry_run import describe_run

        click.echo(describe_run(config))
        return
    try:
        result = _start(config, resume_run)
    except KeyboardInterrupt:
        run = resume_run or (config and config.output)
        if run and (run / "config.toml").is_file():
            click.echo(f"interrupted; go on with: emodetect train --resume {run}", err=True)
        raise SystemExit(130) from None
    for line in result.summary:
        click.echo(line)
    click.echo(f"model: {result.artifact}")
    click.echo(f"next:  emodetect evaluate --model {result.artifact}")


def _start(config: ExperimentConfig | None, resume_run: Path | None) -> TrainingResult:
    from emodetect.training import train as training

    if resume_run is not None:
        return training.resume(resume_run, config, draw=_draw)
    assert config is not None
    return training.train(config, draw=_draw)


def _draw(run: Path, config: ExperimentConfig, dataset: Dataset) -> None:
    from emodetect.data.augmentation import augment_images
    from emodetect.reports.plots.image_grids import contact_sheet
    from emodetect.reports.plots.learning_curves import learning_curves
    from emodetect.reports.plots.style import save_png

    save_png(learning_curves(run / "history.csv"), run / "curves.png")
    augment = partial(augment_images, config=config.augmentation, seed=config.seed)
    contact_sheet(dataset, run / "samples.png", augment=augment)
