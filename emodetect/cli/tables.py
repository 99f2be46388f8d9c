"""Tables, JSON and Markdown on the terminal, and the option that chooses between them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from shutil import get_terminal_size
from textwrap import fill
from typing import TYPE_CHECKING, Any

import click

from emodetect.cli.options.files import Decorator

if TYPE_CHECKING:
    from rich.table import Table


def table_or_json(*, help: str, **settings: Any) -> Decorator:
    """Return the option for the format; the command gets its value as `output_format`."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help=help,
        **settings,
    )


def new_table(*, title: str = "", text: Iterable[str] = (), numbers: Iterable[str] = ()) -> Table:
    """Return an empty table; long names are folded, as paths may differ only at the end.

    Args:
        text: the columns on the left.
        numbers: the columns to their right, which are right-aligned.
    """
    from rich.table import Table

    table = Table(title=title or None)
    for name in text:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", overflow="fold")
    return table


def print_table(table: Table) -> None:
    """Print a table; names may contain [brackets]."""
    from rich.console import Console

    Console(markup=False).print(table)


def print_markdown(text: str) -> None:
    """Print Markdown, laid out if it goes to a terminal."""
    if not sys.stdout.isatty():
        click.echo(text, nl=False)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text, hyperlinks=False))


def hanging(head: str, text: str) -> str:
    """Return a line that begins with `head`, wrapped to the terminal, with the text indented."""
    return fill(
        text,
        max(get_terminal_size().columns, 2 * len(head)),
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def explain(*words: str) -> None:
    """Print what technical words of a table mean, a line each; see `reports.glossary`."""
    from emodetect.reports.glossary import MEANINGS

    for word in words:
        click.echo(f"  {word}: {MEANINGS[word]}")


def print_json(result: Any) -> None:
    """Print a dataclass, or a list of them, as JSON."""
    import json
    from dataclasses import asdict

    plain = [asdict(one) for one in result] if isinstance(result, list) else asdict(result)
    click.echo(json.dumps(plain, default=str, indent=1))
