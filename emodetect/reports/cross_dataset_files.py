"""The files of a cross-dataset evaluation: table, figures and heat map."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from emodetect.evaluation.cross_dataset import FIGURES, Cell
from emodetect.machine.output_folder import make_output_folder
from emodetect.reports.plots.style import INK, new_figure, save_png, styled


def write_matrix(cells: Sequence[Cell], out: Path) -> list[Path]:
    """Write all figures, a table of the chief ones and its picture into `out`; return the files."""
    make_output_folder(out)
    files = [out / name for name in ("matrix.json", "matrix.csv", "matrix.png")]
    content = json.dumps([asdict(cell) for cell in cells], indent=1)
    files[0].write_text(content, encoding="utf-8")
    _write_table(cells, files[1])
    _plot(cells, files[2])
    return files


def _write_table(cells: Sequence[Cell], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                *("model", "trained_on", "tested_on", "same_data", "split", "faces"),
                *("images", "available", *FIGURES, "emotions"),
            ]
        )
        for cell in cells:
            writer.writerow(
                [
                    *(cell.model, cell.trained_on, cell.data, cell.same_data, cell.split),
                    *(cell.faces, cell.metrics["images"], sum(cell.available.values())),
                    *(cell.metrics[name] for name in FIGURES),
                    " ".join(cell.emotions()),
                ]
            )


@styled()
def _plot(cells: Sequence[Cell], out: Path) -> None:
    """Draw the balanced accuracy as colour, with the chief figures of each cell."""
    models = list(dict.fromkeys(cell.model for cell in cells))
    sources = list(dict.fromkeys(cell.data for cell in cells))
    shares = np.array([cell.metrics["balanced_accuracy"] for cell in cells])
    figure = new_figure(3.2 + 2.0 * len(sources), 1.9 + 1.0 * len(models))
    axes = figure.subplots()
    axes.imshow(
        shares.reshape(len(models), len(sources)), cmap="Blues", vmin=0, vmax=1, aspect="auto"
    )
    rows = {cell.model: _shortened(cell.model, cell.trained_on) for cell in cells}
    axes.set_xticks(range(len(sources)), [_shortened(name) for name in sources], fontsize=8)
    axes.set_yticks(range(len(models)), list(rows.values()), fontsize=8)
    axes.set_xlabel("tested on")
    axes.set_ylabel("model, trained on")
    axes.set_title("balanced accuracy (colour)", fontsize=10)
    for number, cell in enumerate(cells):
        row, column = divmod(number, len(sources))
        metrics = cell.metrics
        text = (
            f"balanced {metrics['balanced_accuracy']:.3f}\naccuracy {metrics['accuracy']:.3f}"
            f"{' *' if cell.same_data else ''}\n{metrics['images']:,} images, "
            f"{len(metrics['per_class'])} emotions\nsplit {cell.split}, faces {cell.faces}"
        )
        color = "white" if metrics["balanced_accuracy"] > 0.6 else INK
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=8)
    if any(cell.same_data for cell in cells):
        figure.supxlabel("* data that the model was trained on", fontsize=8)
    save_png(figure, out)


def _shortened(*lines: str, longest: int = 28) -> str:
    """Join lines, each cut at its beginning, where paths differ least."""
    return "\n".join(
        line if len(line) <= longest else f"…{line[len(line) - longest + 1 :]}" for line in lines
    )
