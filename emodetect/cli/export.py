"""`emodetect export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emodetect.cli.options.model import model_options, usable_model
from emodetect.cli.options.numbers import Probability
from emodetect.cli.options.output_format import table_or_json
from emodetect.export.formats.registry import FORMAT_NAMES

if TYPE_CHECKING:
    from emodetect.export.comparison import Comparison

QUANTIZATIONS = ("none", "float16", "dynamic", "int8")


@click.command()
@model_options
@click.option("--format", type=click.Choice(FORMAT_NAMES), required=True, help="Of the file.")
@click.option(
    "--quantize",
    type=click.Choice(QUANTIZATIONS),
    default="none",
    show_default=True,
    help="float16: half the size (tflite, onnx, openvino). dynamic: weights of 8 bits. int8: all "
    "of 8 bits, for microcontrollers and phones (both tflite).",
)
@click.option(
    "--representative",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="For int8: a folder of face crops, some hundred, by which it finds its ranges.",
)
@click.option(
    "--data",
    metavar="SOURCE:PATH",
    help="Compare on these labelled images, and tell the accuracy too. [default: the images of "
    "--representative that are left, or drawn faces]",
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test", "all"]),
    help="With --data: which images. [default: test, or all where the data has no splits]",
)
@click.option(
    "--least-agreement",
    metavar="SHARE",
    type=Probability(),
    help="Write no file that names fewer faces as the model does. [default: 0.99; float16 0.98, "
    "dynamic and int8 0.9]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The file, or the folder of a saved_model. [default: MODEL-PRECISION or "
    "MODEL-saved_model, here]",
)
@click.option("--force", is_flag=True, help="Replace files that are there.")
@table_or_json("--output-format", help="Of the comparison.")
def export(
    model: str | None,
    labels: str | None,
    pixels: str | None,
    output_format: str,
    **options: Any,
) -> None:
    """Write a model for use without emodetect, compared with the original on the spot.

    \b
    emodetect export --format tflite --quantize float16
    emodetect export --format tflite --quantize int8 --representative data/fer2013/train
    emodetect export --format onnx --model runs/mine/best_model.keras --data folder:faces
    emodetect export --format openvino --out served/emotions.xml

    The file takes raw face crops (0-255, the model's own size) and gives calibrated probabilities.
    A JSON beside it has the labels and all that is known of it. Nothing is written where the file
    answers otherwise than the model.
    """
    if options["split"] and not options["data"]:
        raise click.UsageError("--split goes with --data.")
    from emodetect.export.export import ExportOptions, export_model

    done = export_model(usable_model(model, labels, pixels), ExportOptions(**options))
    if done.skipped:
        click.echo(
            f"skipped {done.skipped:,} files of {options['representative']} that cannot be read",
            err=True,
        )
    if output_format == "json":
        import json
        from dataclasses import asdict

        click.echo(json.dumps(asdict(done), default=str, indent=1))
        return
    _print(done.comparison, done.path.name)
    click.echo(f"{done.path}\n{done.sidecar}")


def _print(comparison: Comparison, name: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{comparison.faces:,} faces: {comparison.origin}")
    table.add_column("")
    for title in ("the .keras", name):
        table.add_column(title, justify="right")
    size, litert_size = (
        f"{n / 1e6:.1f} MB" for n in (comparison.file_bytes, comparison.litert_bytes)
    )
    litert_ms = comparison.litert_latency_ms
    rows = [
        ("size", f"{litert_size} *", size),
        (
            "one face",
            "-" if litert_ms is None else f"{litert_ms:.2f} ms *",
            f"{comparison.latency_ms:.2f} ms",
        ),
        ("same emotion", "", f"{comparison.same_emotion:.1%}"),
        ("probabilities off by at most", "", f"{comparison.max_difference:.1e}"),
    ]
    if comparison.accuracy is not None and comparison.keras_accuracy is not None:
        lost = 100 * (comparison.keras_accuracy - comparison.accuracy)
        rows += [
            ("accuracy", f"{comparison.keras_accuracy:.1%}", f"{comparison.accuracy:.1%}"),
            ("points lost", "", f"{lost:.2f}"),
        ]
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    click.echo(
        "* its network as LiteRT runs it, float32; latencies are medians here, measured in turns"
    )
