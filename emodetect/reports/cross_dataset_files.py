"""The files of a cross-dataset evaluation: all figures, a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from emodetect.evaluation.cross_dataset import CrossDatasetResult
from emodetect.machine.atomic_files import write_json, write_text
from emodetect.machine.csv_files import csv_text
from emodetect.machine.output_folder import make_output_folder
from emodetect.number_format import percent
from emodetect.reports.glossary import METRIC_NAMES
from emodetect.reports.plots.style import ink_on, new_figure, save_png, styled


def write_matrix(cells: Sequence[CrossDatasetResult], out: Path) -> list[Path]:
    """Write matrix.json, matrix.csv and matrix.png to `out`; return the files."""
    make_output_folder(out)
    files = [out / name for name in ("matrix.json", "matrix.csv", "matrix.png")]
    write_json(files[0], [asdict(cell) for cell in cells])
    _write_table(cells, files[1])
    _plot(cells, files[2])
    return files


def _write_table(cells: Sequence[CrossDatasetResult], path: Path) -> None:
    rows: list[list[object]] = [
        [
            *("model", "trained_on", "tested_on", "same_data", "split", "faces"),
            *("images", "groups", "available", *METRIC_NAMES, "emotions"),
        ]
    ]
    for cell in cells:
        rows.append(
            [
                *(cell.model, cell.trained_on, cell.data, cell.same_data, cell.split),
                *(cell.faces, cell.metrics["images"], cell.metrics["groups"]),
                sum(cell.available.values()),
                *(cell.metrics[name] for name in METRIC_NAMES),
                " ".join(cell.emotions()),
            ]
        )
    write_text(path, csv_text(rows))


@styled()
def _plot(cells: Sequence[CrossDatasetResult], out: Path) -> None:
    """Draw the matrix, coloured by balanced accuracy, with the main metrics in each cell."""
    models = list(dict.fromkeys(cell.model for cell in cells))
    sources = list(dict.fromkeys(cell.data for cell in cells))
    shares = np.array([cell.metrics["balanced_accuracy"] for cell in cells])
    figure = new_figure(3.2 + 2.0 * len(sources), 1.9 + 1.0 * len(models))
    axes = figure.subplots()
    drawn = axes.imshow(
        shares.reshape(len(models), len(sources)), cmap="Blues", vmin=0, vmax=1, aspect="auto"
    )
    rows = {cell.model: _shortened(cell.model, cell.trained_on) for cell in cells}
    axes.set_xticks(range(len(sources)), [_shortened(name) for name in sources], fontsize=8)
    axes.set_yticks(range(len(models)), list(rows.values()), fontsize=8)
    axes.set_xlabel("tested on")
    axes.set_ylabel("model and its training data")
    axes.set_title("colour: balanced accuracy", fontsize=10)
    for number, cell in enumerate(cells):
        row, column = divmod(number, len(sources))
        metrics = cell.metrics
        marked = " *" if cell.same_data else ""
        text = (
            f"balanced {percent(metrics['balanced_accuracy'])}\n"
            f"accuracy {percent(metrics['accuracy'])}{marked}\n"
            f"{metrics['images']:,} images, {len(metrics['per_class'])} emotions\n"
            f"split {cell.split}, faces {cell.faces}"
        )
        color = ink_on(drawn.cmap(metrics["balanced_accuracy"]))
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=8)
    if any(cell.same_data for cell in cells):
        figure.supxlabel("* the model was trained on this data set", fontsize=8)
    save_png(figure, out)


def _shortened(*lines: str, longest: int = 28) -> str:
    """Join lines, each shortened at the start, where paths differ least."""
    return "\n".join(
        line if len(line) <= longest else f"…{line[len(line) - longest + 1 :]}" for line in lines
    )
