"""`emodetect export`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emodetect.cli.options.files import (
    OutputFile,
    RenamedOption,
    force_option,
    note_renaming,
    output_option,
)
from emodetect.cli.options.model import model_options, usable_model
from emodetect.cli.options.numbers import Probability
from emodetect.cli.options.quiet import quiet_decoders
from emodetect.cli.options.source import DATA, label_name_option, label_names, named_data
from emodetect.cli.tables import new_table, print_json, print_table, table_or_json
from emodetect.exporting.formats.registry import FORMAT_NAMES
from emodetect.number_format import quantity

if TYPE_CHECKING:
    from emodetect.exporting.comparison_with_keras import Comparison

QUANTIZATIONS = ("none", "float16", "dynamic", "int8")


class _ExportTo(click.Option):
    """--to, which used to be --format: an export format given there still counts."""

    def __init__(self, *names: Any, **settings: Any) -> None:
        super().__init__(*names, is_eager=True, **settings)  # before --format

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        assert isinstance(opts, dict)
        if self.name not in opts and opts.get("output_format") in FORMAT_NAMES:
            note_renaming("--format", "--to")
            opts[self.name] = opts.pop("output_format")
        return super().handle_parse_result(ctx, opts, args)


@click.command(short_help="Export a model for use without emodetect.")
@model_options
@click.option(
    "--to",
    "format",
    cls=_ExportTo,
    type=click.Choice(FORMAT_NAMES),
    required=True,
    help="Export format.",
)
@click.option(
    "--quantize",
    type=click.Choice(QUANTIZATIONS),
    default="none",
    show_default=True,
    help="float16: half the size (tflite, onnx, openvino). dynamic: 8-bit weights (tflite). int8: "
    "8 bits throughout, for microcontrollers and phones (tflite).",
)
@click.option(
    "--representative",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of a few hundred face crops to calibrate int8 on.",
)
@click.option(
    "--data",
    metavar=DATA,
    help="Labelled images to compare on; also reports the accuracy. [default: half of the images "
    "of --representative, or drawn faces]",
)
@label_name_option
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test", "all"]),
    help="Split of --data to use. [default: test, or all if there is no test split]",
)
@click.option(
    "--least-agreement",
    metavar="0..1",
    type=Probability(),
    help="Minimum share of faces with the same prediction as the model; below it, nothing is "
    "written. [default: 0.99; float16 0.98, dynamic and int8 0.9]",
)
@output_option(
    type=OutputFile(),
    metavar="FILE|DIR",
    help="Output file, or folder for saved_model. [default: MODEL-PRECISION.SUFFIX or "
    "MODEL-saved_model in the current folder; MODEL is the run, or the file without .keras]",
)
@force_option(help="Replace existing files.")
@table_or_json(cls=RenamedOption, old="--output-format", help="Output format of the comparison.")
@quiet_decoders
def export(
    model: str | None,
    labels: str | None,
    pixels: str | None,
    output_format: str,
    label_name: tuple[str, ...],
    **options: Any,
) -> None:
    """Export a model for use without emodetect, and compare it with the original.

    \b
    emodetect export --to tflite --quantize float16
    emodetect export --to tflite --quantize int8 --representative faces/train
    emodetect export --to onnx --model runs/mine --data faces
    emodetect export --to openvino --output served/emotions.xml

    The file takes raw face crops (0-255, the model's own size) and returns calibrated
    probabilities. A JSON next to it describes its labels, input and output. Nothing is written if
    its predictions differ from the model's.
    """
    options["label_names"] = label_names(label_name)
    if options["data"]:
        options["data"] = str(named_data(options["data"], option="--data"))
    from emodetect.exporting.export import ExportOptions, export_model

    done = export_model(usable_model(model, labels, pixels), ExportOptions(**options))
    if done.skipped:
        files = quantity(done.skipped, "unreadable file")
        click.echo(f"skipped {files} in {options['representative']}", err=True)
    if output_format == "json":
        print_json(done)
        return
    _print(done.comparison, done.path.name)
    click.echo(f"{done.path}\n{done.sidecar}")


def _print(comparison: Comparison, name: str) -> None:
    from emodetect.exporting.comparison_with_keras import ORIGINAL_NOTE, comparison_rows

    title = f"{quantity(comparison.faces, 'face')}: {comparison.origin}"
    table = new_table(title=title, text=("",), numbers=("original", name))
    for row in comparison_rows(comparison):
        table.add_row(*row)
    print_table(table)
    click.echo(
        f"{ORIGINAL_NOTE}; latencies are medians on this machine, measured alternately\n"
        "agreement: share of faces with the same predicted emotion; max. difference: largest "
        "difference in any probability"
    )
