"""The options that choose the config of an experiment: its file or preset, data and overrides."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from emodetect.cli.options.source import named_data

if TYPE_CHECKING:
    from emodetect.config import ExperimentConfig

DEFAULT_PRESET = "fine_tuning"

config_option = click.option(
    "--config",
    "config_name",
    metavar="FILE|PRESET",
    help=f"A TOML file or a preset. [default for data without a config: {DEFAULT_PRESET}]",
)
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a value of the config. Repeatable.",
)


def chosen_config(
    config_name: str | None, overrides: tuple[str, ...], data: str | None, *, option: str
) -> ExperimentConfig:
    """Return the config that the options choose; the default preset if they choose none.

    Args:
        data: SOURCE:PATH or PATH.
        option: the option or command that gave the data, for errors.

    Raises EmodetectError as `find_data` and `load_config`, and for data that does not exist: a
    preset's may be absent in a dry run, but not what the user named.
    """
    from emodetect.config import load_config
    from emodetect.errors import DataError

    named = None if data is None else named_data(data, option=option)
    path = (named or "").partition(":")[2]
    if path and not os.path.exists(path):  # noqa: PTH110  Path.exists raises for some names
        raise DataError(f"{option}: {named}: no such file or folder: {path}.")
    return load_config(config_name or DEFAULT_PRESET, overrides, data=named)
