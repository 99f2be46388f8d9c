"""What `emodetect evaluate` does with several models or several data sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from emodetect.cli.options.model import usable_model

if TYPE_CHECKING:
    from emodetect.evaluation.cross_dataset import Cell

SHOWN = {"accuracy": "accuracy", "balanced_accuracy": "balanced", "macro_f1": "macro F1"}


def evaluate_matrix(
    models: Sequence[str],
    labels: str | None,
    pixels: str | None,
    data: Sequence[str],
    *,
    faces: tuple[Literal["whole", "detect"], ...],
    split: str | None,
    classes: str | None,
    exclude_duplicates_of: Sequence[str],
    tta: Literal["flip"] | None,
    bootstrap: int,
    out: Path,
    force: bool,
) -> None:
    """Judge each model on each data set; print the matrix and write it to `out`."""
    from emodetect.evaluation.cross_dataset import NamedModel, Source, evaluate_across
    from emodetect.machine.output_folder import check_output_folder
    from emodetect.model_file.shipped_models import DEFAULT_MODEL
    from emodetect.recognition.recognizer import EmotionRecognizer
    from emodetect.reports.cross_dataset_files import write_matrix

    check_output_folder(out, force=force)
    framing = faces * len(data) if len(faces) == 1 else faces or (None,) * len(data)
    cells = evaluate_across(
        [
            NamedModel(name, EmotionRecognizer(usable_model(name, labels, pixels), detector="none"))
            for name in models or [DEFAULT_MODEL]
        ],
        [Source(name, how) for name, how in zip(data, framing, strict=True)],
        split=split,
        emotions=None if classes is None else classes.split(","),
        exclude_duplicates_of=exclude_duplicates_of,
        tta=tta,
        bootstrap=bootstrap,
    )
    # Before the files, so that a full disk does not take what was measured along.
    _print_matrix(cells)
    for source in data:
        _print_labels([cell for cell in cells if cell.data == source])
    for cell in cells:
        _print_notes(cell)
    for file in write_matrix(cells, out):
        click.echo(str(file))


def _print_matrix(cells: Sequence[Cell]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="trained on (rows), tested on (columns)", show_lines=True)
    # Folded, not cut: the ends of two paths may be all that differs.
    for name in ("model", *dict.fromkeys(cell.data for cell in cells)):
        table.add_column(name, overflow="fold")
    for model in dict.fromkeys(cell.model for cell in cells):
        row = [cell for cell in cells if cell.model == model]
        table.add_row(f"{model}\n({row[0].trained_on})", *map(_figures, row))
    Console(markup=False).print(table)  # names may hold [brackets]
    if any(cell.same_data for cell in cells):
        click.echo("* data that the model was trained on")


def _figures(cell: Cell) -> str:
    metrics = cell.metrics
    lines = []
    for key, name in SHOWN.items():
        low, high = metrics["intervals_95"][key]
        lines.append(f"{name} {metrics[key]:.4f} ({low:.4f} to {high:.4f})")
    lines[0] += " *" if cell.same_data else ""
    available = sum(cell.available.values())
    lines.append(f"{metrics['images']:,} of {available:,} images")
    lines.append(f"split {cell.split}, faces {cell.faces}")
    return "\n".join(lines)


def _print_labels(cells: Sequence[Cell]) -> None:
    """Print which label of one data set counts as which emotion, and the recall of each model."""
    from rich.console import Console
    from rich.table import Table

    from emodetect.emotions import in_canonical_order

    first = cells[0]
    table = Table(title=first.data)
    for name in ("label", "counts as"):
        table.add_column(name)
    for name in ("images", *(f"recall, {cell.model}" for cell in cells)):
        table.add_column(name, justify="right", overflow="fold")
    known = {emotion for cell in cells for emotion in cell.metrics["emotions"]}
    for emotion in in_canonical_order([*first.available, *known]):
        names = [label for label, of in first.label_names.items() if of == emotion]
        images = first.available.get(emotion, 0)
        table.add_row(
            ", ".join(names) if images else "-",
            emotion,
            f"{images:,}",
            *(_recall(cell, emotion) for cell in cells),
        )
    Console(markup=False).print(table)  # names may hold [brackets]
    emotions = {cell.emotions() for cell in cells}
    if len(emotions) > 1:
        common = set.intersection(*map(set, emotions))
        click.echo(
            "The models are judged on different emotions here; --classes "
            f"{','.join(in_canonical_order(common))} compares them on the same."
        )


def _recall(cell: Cell, emotion: str) -> str:
    if emotion in cell.metrics["per_class"]:
        return f"{cell.metrics['per_class'][emotion]['recall']:.3f}"
    return "left out" if cell.available.get(emotion) else "-"


def _print_notes(cell: Cell) -> None:
    """Print what was left out, and what else the figures of a cell do not say."""
    from emodetect.cli.single import warn_of_batches

    where, metrics = f"{cell.model} on {cell.data}", cell.metrics
    if cell.same_data and cell.split != "test":
        click.echo(f"{where}: includes images that it was trained on")
    for reason, count in metrics["left_out"].items():
        click.echo(f"{where}: left out {count:,}: {reason}")
    if metrics["skipped"]:
        click.echo(f"{where}: skipped {len(metrics['skipped'])} unreadable, named in matrix.json")
    if absent := [name for name in metrics["absent"] if not cell.available.get(name)]:
        click.echo(f"{where}: no images of {', '.join(absent)}; such answers are errors")
    if never := [name for name in metrics["never_predicted"] if name in metrics["per_class"]]:
        click.echo(f"{where}: never predicted {', '.join(never)}")
    warn_of_batches(metrics)
