"""`emodetect bench`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from emodetect.cli.options.model import model_options, usable_model
from emodetect.cli.options.numbers import WholeNumber
from emodetect.cli.tables import new_table, print_json, print_table, table_or_json
from emodetect.number_format import percent

if TYPE_CHECKING:
    from emodetect.evaluation.runtime_benchmark import Comparison


@click.command(short_help="Compare the installed runtimes: speed and agreement.")
@model_options
@click.option(
    "--threads",
    type=WholeNumber(1, 256),
    metavar="N",
    help="Threads of each runtime; Keras always uses all cores. [default: the number of cores, at "
    "most 4]",
)
@table_or_json(help="Output format; json includes every measurement.")
def bench(
    model: str | None,
    labels: str | None,
    pixels: str | None,
    threads: int | None,
    output_format: str,
) -> None:
    """Compare the installed runtimes: speed, and agreement with Keras.

    \b
    emodetect bench
    emodetect bench --model runs/mine --threads 1

    Measured on synthetic, already cropped faces. Times are medians unless marked p95. "start" is
    paid once per process: imports, loading the model and the first face. Of a runtime that is
    measured after others, it lacks imports that they share.
    """
    from emodetect.evaluation.runtime_benchmark import compare_runtimes

    comparison = compare_runtimes(usable_model(model, labels, pixels), threads=threads)
    if output_format == "json":
        print_json(comparison)
        return
    _print(comparison)


def _print(comparison: Comparison) -> None:
    # In two lines, so that the table fits 80 columns.
    times = ("start,\nms", "1 face,\nms", "p95,\nms", "64 faces,\nfaces/s")
    table = new_table(text=("runtime",), numbers=(*times, "max.\ndiff.", "agreement"))
    table.columns[0].no_wrap = True
    for one in comparison.runtimes:
        table.add_row(
            one.runtime,
            f"{one.start_ms:,.0f}",
            f"{one.latency_ms:.2f}",
            f"{one.latency_p95_ms:.2f}",
            f"{one.faces_per_second:,.0f}",
            "-" if one.difference is None else f"{one.difference:.1e}",
            "-" if one.same_emotion is None else percent(one.same_emotion),
        )
    print_table(table)
    machine = comparison.machine
    for line in (
        "max. diff.: largest difference in a probability from Keras",
        "agreement: faces with the same emotion as Keras",
        f"measured on {comparison.faces} synthetic faces",
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, Python "
        f"{machine['python']}",
        ", ".join(f"{name} {version}" for name, version in comparison.versions.items()),
        *comparison.not_measured,
    ):
        click.echo(click.wrap_text(line, width=80))
