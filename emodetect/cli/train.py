"""`emodetect train`."""

from __future__ import annotations

from pathlib import Path

import click

from emodetect.cli.options.experiment import (
    DEFAULT_PRESET,
    ConfigChoice,
    chosen_config,
    config_options,
)
from emodetect.cli.options.files import folder_option
from emodetect.cli.options.source import DATA, FORMS_OF_DATA, DataCommand
from emodetect.machine.terminal_text import on_one_line, shell_command


@click.command(cls=DataCommand, short_help="Train a model on labelled images.")
@click.option(
    "--data",
    metavar=DATA,
    help="Labelled images: a folder of class folders, a CSV, or SOURCE:PATH such as raf_db:RAF-DB. "
    "Replaces data.source and data.path of the config.",
)
@config_options
@folder_option("--output", help="Run folder to create. [default: output of the config]")
@click.option(
    "--resume",
    "resume_run",
    metavar="RUN",
    type=click.Path(path_type=Path, file_okay=False),
    help="Continue an interrupted run; needs no other options.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be trained, without training.")
def train(
    data: str | None,
    choice: ConfigChoice,
    output: Path | None,
    resume_run: Path | None,
    dry_run: bool,
) -> None:
    """Train a model and save it as best_model.keras in a run folder.

    \b
    emodetect train --data faces
    emodetect train --data faces --output runs/mine --set training.epochs=3
    emodetect train --data fer2013.csv --config mobilenetv2_fer2013
    emodetect train --resume runs/mobilenetv2_fer2013

    Without --config, --data is trained on with the preset fine_tuning, which starts from the
    shipped model; `emodetect config list` lists the others. --set wins over --data, and --data
    over the config. A run can be interrupted at any moment: --resume continues it, and it ends
    with the same weights if the number of cores is the same.
    """
    _check_combination(data, choice, output, resume_run, dry_run=dry_run)
    config = None
    if data is not None or choice.name is not None:
        config = chosen_config(choice, data, option="--data")
        if output is not None:
            config = config.model_copy(update={"output": output})
        if choice.name is None:
            click.echo(
                f"preset: {DEFAULT_PRESET} (change it with --config); "
                f"run folder: {on_one_line(str(config.output))} (change it with --output)",
                err=True,
            )
    if dry_run:
        assert config is not None
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
        if not run or not (run / "config.toml").is_file():
            raise
        command = shell_command("emodetect", "train", "--resume", str(run))
        click.echo(f"interrupted; resume with: {command}", err=True)
        raise SystemExit(130) from None
    for line in result.summary:
        click.echo(line)
    click.echo(f"model: {result.artifact}")
    command = shell_command("emodetect", "evaluate", "--model", str(result.run))
    click.echo(f"next:  {command}")


def _check_combination(
    data: str | None,
    choice: ConfigChoice,
    output: Path | None,
    resume_run: Path | None,
    *,
    dry_run: bool,
) -> None:
    if data is None and choice.name is None:
        if resume_run is None:
            raise click.UsageError(
                "expected --data, --config or --resume, such as: emodetect train --data faces "
                f"({FORMS_OF_DATA})."
            )
        if option := choice.option_without_data():
            raise click.UsageError(f"{option} changes a config; it requires --config or --data.")
        if dry_run:
            raise click.UsageError("--dry-run requires --config or --data.")
    if output is not None and resume_run is not None:
        raise click.UsageError("--resume continues in its run folder; omit --output.")
    if data is not None and resume_run is not None:
        raise click.UsageError("--resume continues with the data of its run; omit --data.")
