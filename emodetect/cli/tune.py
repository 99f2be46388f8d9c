"""`emodetect tune`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from emodetect.cli.options.experiment import ConfigChoice, chosen_config, config_options
from emodetect.cli.options.files import folder_option
from emodetect.cli.options.numbers import WholeNumber
from emodetect.cli.options.source import DATA, DataCommand
from emodetect.cli.tables import new_table, print_table
from emodetect.machine.terminal_text import on_one_line, shell_command
from emodetect.number_format import decimal, percent

if TYPE_CHECKING:
    from emodetect.tuning.outcome.trial_result import TrialResult

SHOWN_TRIALS = 10


@click.command(cls=DataCommand, short_help="Search for the best config with many training runs.")
@click.option(
    "--data",
    metavar=DATA,
    help="Labelled images, as for train. Replaces data.source and data.path of the config.",
)
@config_options
@click.option(
    "--search",
    multiple=True,
    required=True,
    metavar="KEY=LOW..HIGH|KEY=A,B",
    help="A key of the config and the values to try. Repeatable.",
)
@click.option(
    "--trials",
    type=WholeNumber(1),
    default=20,
    show_default=True,
    metavar="N",
    help="Trials that the study has in the end, including those of other processes.",
)
@click.option(
    "--objective",
    type=click.Choice(["accuracy", "log_loss"]),
    default="accuracy",
    show_default=True,
    help="Validation metric by which trials are compared.",
)
@click.option(
    "--storage",
    metavar="URL|FILE",
    help="Where machines share the study: a database such as postgresql://HOST/NAME, or a journal "
    "file on a shared drive. [default: SQLite in the output folder]",
)
@folder_option(
    "--output",
    default="tuning",
    help="Folder of the study: a run folder for each trial, and the results.",
)
def tune(
    data: str | None,
    choice: ConfigChoice,
    search: tuple[str, ...],
    trials: int,
    objective: str,
    storage: str | None,
    output: Path,
) -> None:
    """Train many times with different values of the config, and keep the best.

    \b
    emodetect tune --data faces --search training.learning_rate=1e-5..1e-3
    emodetect tune --config my_config.toml --data faces --trials 40 \\
        --search model.dropout=0.1..0.5 --search augmentation.mixup=0,0.2,0.4
    emodetect train --config tuning/best.toml

    LOW..HIGH is a range, A,B are choices. Learning rates, and ranges that span more than a factor
    of 10, are searched on a log scale. Trials that do worse than the median of the others are
    stopped early. The test split is not used.

    It can be interrupted or killed at any moment: the same command continues the study. Several
    processes can work on one study at a time: start the same command again, with --storage also
    on other machines.
    """
    if data is None and choice.name is None:
        raise click.UsageError("expected --data or --config, such as: --data faces.")
    keys = {text.partition("=")[0].strip() for text in choice.overrides}
    for text in search:
        if (key := text.partition("=")[0].strip()) in keys:
            raise click.UsageError(f"{key} is given to both --set and --search; choose one.")
    # Before a folder is made, for whoever has not installed them.
    for library in ("optuna", "tensorflow", "keras"):
        if find_spec(library) is None:
            raise ModuleNotFoundError(name=library)
    from emodetect.tuning.options import TuningOptions
    from emodetect.tuning.tune import tune as run_study

    options = TuningOptions(
        config=chosen_config(choice, data, option="--data"),
        search=search,
        output=output,
        trials=trials,
        objective="log_loss" if objective == "log_loss" else "accuracy",
        storage=storage,
    )
    try:
        result = run_study(options)
    except KeyboardInterrupt:
        click.echo("interrupted; run the same command again to continue the study", err=True)
        raise SystemExit(130) from None
    _print_trials(result.trials)
    for line in result.summary:
        click.echo(line)
    for file in result.files:
        click.echo(str(file))
    best = next((one for one in result.trials if one.state == "finished"), None)
    if best is not None:
        if best.run is not None:
            click.echo(f"model: {on_one_line(str(best.run))}")
            evaluate = shell_command("emodetect", "evaluate", "--model", str(best.run))
            click.echo(f"next:  {evaluate}")
        train = shell_command("emodetect", "train", "--config", str(result.best_config))
        click.echo(f"again: {train}")
    else:
        raise SystemExit(1)


def _print_trials(trials: Sequence[TrialResult]) -> None:
    from emodetect.tuning.search_space import short_value

    table = new_table(
        title="the trials, best first",
        text=("trial", "state", "values"),
        numbers=("accuracy", "log-loss", "epochs"),
    )
    for one in trials[:SHOWN_TRIALS]:
        values = [
            f"{key.rpartition('.')[2]} {short_value(value)}" for key, value in one.values.items()
        ]
        table.add_row(
            str(one.number),
            one.state,
            ", ".join(values),
            "" if one.accuracy is None else percent(one.accuracy),
            "" if one.log_loss is None else decimal(one.log_loss),
            str(one.epochs),
        )
    for column in (0, 1, 3, 4, 5):
        table.columns[column].no_wrap = True
    print_table(table)
    if len(trials) > SHOWN_TRIALS:
        click.echo(f"and {len(trials) - SHOWN_TRIALS} more, in trials.csv")
