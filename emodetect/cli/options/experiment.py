"""The options that choose the config of an experiment: its file or preset, data and overrides."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from emodetect.cli.options.source import label_names, label_options, named_data

if TYPE_CHECKING:
    from emodetect.config import ExperimentConfig

DEFAULT_PRESET = "fine_tuning"


@dataclass(frozen=True)
class ConfigChoice:
    """What the user said about the config of an experiment."""

    name: str | None
    overrides: tuple[str, ...]
    label_names: dict[str, str]
    own_labels: bool

    def option_without_data(self) -> str | None:
        """Return the first of the given options that change a config or data, but name none."""
        given = {
            "--set": self.overrides,
            "--label-name": self.label_names,
            "--own-labels": self.own_labels,
        }
        return next((option for option, value in given.items() if value), None)


def config_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --config, --set, --label-name and --own-labels; the command gets them as `choice`."""

    @click.option(
        "--config",
        "config_name",
        metavar="FILE|PRESET",
        help=f"A TOML file or a preset. [default for data without a config: {DEFAULT_PRESET}]",
    )
    @click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override a value of the config. Repeatable.",
    )
    @label_options
    @wraps(command)
    def with_choice(
        *,
        config_name: str | None,
        overrides: tuple[str, ...],
        label_name: tuple[str, ...],
        own_labels: bool,
        **others: Any,
    ) -> Any:
        choice = ConfigChoice(config_name, overrides, label_names(label_name), own_labels)
        return command(choice=choice, **others)

    return with_choice


def chosen_config(choice: ConfigChoice, data: str | None, *, option: str) -> ExperimentConfig:
    """Return the config that the options choose; the default preset if they choose none.

    Args:
        data: SOURCE:PATH or PATH.
        option: the option or command that gave the data, for errors.

    Raises EmodetectError as `find_data` and `load_config`, and for data that does not exist: a
    preset's may be absent in a dry run, but not what the user named.
    """
    from emodetect.config import load_config
    from emodetect.errors import DataError

    named = None if data is None else str(named_data(data, option=option))
    path = (named or "").partition(":")[2]
    if path and not os.path.exists(path):
        raise DataError(f"{option}: {named}: no such file or folder: {path}.")
    return load_config(
        choice.name or DEFAULT_PRESET,
        choice.overrides,
        data=named,
        label_names=choice.label_names,
        own_labels=choice.own_labels,
    )
