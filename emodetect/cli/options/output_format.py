"""The option of commands that print a table, or the same as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def table_or_json(
    name: str = "--format", *, help: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option, which the command gets as `output_format`."""
    return click.option(
        name,
        "output_format",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help=help,
    )
