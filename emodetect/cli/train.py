"""`emodetect train`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--config", "config_name", metavar="FILE|PRESET", help="A TOML file or a preset.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value; repeatable."
)
@click.option(
    "--resume",
    "resume_run",
    metavar="RUN",
    type=click.Path(path_type=Path, file_okay=False),
    help="Continue an interrupted run; needs no --config.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be trained, without training.")
def train(
    config_name: str | None, overrides: tuple[str, ...], resume_run: Path | None, dry_run: bool
) -> None:
    """Train a model and save it as best_model.keras in a run folder.

    \b
    emodetect train --config demo
    emodetect train --config mobilenetv2_fer2013 --set data.path=faces --set training.epochs=3
    emodetect train --resume runs/mobilenetv2_fer2013

    `emodetect config list` lists the presets. A run can be interrupted at any moment: --resume
    continues it, and it ends with the same weights.
    """
    from emodetect.config import load_config

    if config_name is None and resume_run is None:
        raise click.UsageError("--config FILE|PRESET or --resume RUN is required.")
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
        from emodetect.reports.run_plots import draw_run
        from emodetect.training import train as training

        if resume_run is not None:
            result = training.resume(resume_run, config, draw=draw_run)
        else:
            assert config is not None
            result = training.train(config, draw=draw_run)
    except KeyboardInterrupt:
        run = resume_run or (config and config.output)
        if run and (run / "config.toml").is_file():
            click.echo(f"interrupted; resume with: emodetect train --resume {run}", err=True)
        raise SystemExit(130) from None
    for line in result.summary:
        click.echo(line)
    click.echo(f"model: {result.artifact}")
    click.echo(f"next:  emodetect evaluate --model {result.artifact}")
