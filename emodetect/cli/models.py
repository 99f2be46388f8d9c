"""`emodetect models`: the models that come with the package, and any model's card."""

from __future__ import annotations

from functools import partial

import click

from emodetect.cli.options.model import MODEL
from emodetect.cli.tables import (
    new_table,
    print_json,
    print_markdown,
    print_table,
    table_or_json,
)
from emodetect.number_format import file_size


@click.group(invoke_without_command=True, short_help="List the models that come with emodetect.")
@table_or_json(help="Output format of the list.")
@click.pass_context
def models(context: click.Context, output_format: str) -> None:
    """List the models that come with emodetect; `show` prints a model's card.

    \b
    emodetect models
    emodetect models --format json
    emodetect models show ferplus
    """
    if context.invoked_subcommand is not None:
        if output_format != "table":
            raise click.UsageError("--format applies to the list; show prints Markdown.")
        return

    from emodetect.model_file.model_cards import list_shipped

    shipped = list_shipped()
    if output_format == "json":
        print_json(shipped)
        return
    table = new_table(text=("name", "about"))
    table.show_lines = table.columns[0].no_wrap = True
    for model in shipped:
        size = f"{model.image_size} x {model.image_size} {model.color}"
        table.add_row(
            f"{model.name} *" if model.default else model.name,
            f"{model.summary}\n"
            f"emotions: {', '.join(model.emotions)}\n"
            f"input: {size}; file: {file_size(model.file_bytes)}",
        )
    print_table(table)
    click.echo("* default, used without --model")


@models.command(short_help="Print a model's card.")
@click.argument("model", metavar=MODEL)
def show(model: str) -> None:
    """Print a model's card: laid out on a terminal, otherwise as Markdown.

    For a model that you trained, the card is built from the metadata in its file, if its network
    can be run here.

    \b
    emodetect models show ferplus
    emodetect models show runs/mine
    """
    from emodetect.model_file.model_cards import model_card
    from emodetect.recognition.runtimes.default import open_default

    print_markdown(model_card(model, check=partial(open_default, threads=1)))


@models.command(short_help="Download the YuNet face detector.")
@click.argument("name", type=click.Choice(["yunet"]))
def fetch(name: str) -> None:
    """Download the YuNet face detector (230 KB, MIT licence).

    It is not part of the package. The file is verified by its SHA-256 and kept in the user's cache.
    The only automatic download in emodetect is Keras' ImageNet weights, for training.

    \b
    emodetect models fetch yunet
    """
    from emodetect.faces.detectors.yunet import fetch_yunet

    click.echo(f"{name}: {fetch_yunet()}")
