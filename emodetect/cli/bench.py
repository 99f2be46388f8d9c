"""`emodetect bench`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from emodetect.cli.options.model import model_options, usable_model
from emodetect.cli.options.output_format import table_or_json

if TYPE_CHECKING:
    from emodetect.evaluation.runtime_benchmark import Comparison


@click.command()
@model_options
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    metavar="N",
    help="For each runtime but Keras, which takes all cores. [default: the cores, at most 4]",
)
@table_or_json(help="Of the figures; json has all of them.")
def bench(
    model: str | None,
    labels: str | None,
    pixels: str | None,
    threads: int | None,
    output_format: str,
) -> None:
    """Compare the runtimes that are installed here: speed, and agreement with Keras.

    \b
    emodetect bench
    emodetect bench --model runs/mine/best_model.keras --threads 1

    The faces are drawn ones, already cropped. Each figure is a median; start is what a process
    pays once, for the imports, the model and the first face.
    """
    from emodetect.evaluation.runtime_benchmark import compare_runtimes

    comparison = compare_runtimes(usable_model(model, labels, pixels), threads=threads)
    if output_format == "json":
        import json
        from dataclasses import asdict

        click.echo(json.dumps(asdict(comparison), default=str, indent=1))
        return
    _print(comparison)


def _print(comparison: Comparison) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    table.add_column("runtime", no_wrap=True)
    for name in ("start, ms", "one face, ms", "p95, ms", "64, faces/s", "off by", "same"):
        table.add_column(name, justify="right")
    for one in comparison.runtimes:
        table.add_row(
            one.runtime,
            f"{one.start_ms:,.0f}",
            f"{one.latency_ms:.2f}",
            f"{one.latency_p95_ms:.2f}",
            f"{one.faces_per_second:,.0f}",
            "-" if one.difference is None else f"{one.difference:.1e}",
            "-" if one.same_emotion is None else f"{one.same_emotion:.1%}",
        )
    Console().print(table)
    click.echo(
        "off by: the largest difference of a probability from Keras; same: faces of the same "
        f"emotion as with Keras; {comparison.faces} drawn faces"
    )
    machine = comparison.machine
    click.echo(
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}"
    )
    click.echo(", ".join(f"{name} {version}" for name, version in comparison.versions.items()))
    for line in comparison.not_installed:
        click.echo(line)
