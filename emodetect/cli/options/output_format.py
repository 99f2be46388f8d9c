"""The option of commands that print their results as a table or as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def table_or_json(
    name: str = "--format", *, help: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option; the command gets its value as `output_format`."""
    return click.option(
        name,
        "output_format",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help=help,
    )
