"""Learning curves: accuracy and loss by epoch."""

from __future__ import annotations

import csv
from pathlib import Path

from matplotlib.figure import Figure

from emodetect.reports.plots.style import TRAIN_COLOR, VALIDATION_COLOR, new_figure, styled


@styled()
def learning_curves(history: Path) -> Figure:
    """Plot training and validation accuracy and loss from the history.csv of a run."""
    with history.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) + 1 for row in rows]
    figure = new_figure(9, 3.8)
    for axes, name in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        for key, label, color, line in (
            (name, "training (augmented)", TRAIN_COLOR, "o--"),
            (f"val_{name}", "validation", VALIDATION_COLOR, "o-"),
        ):
            values = [float(row[key]) for row in rows]
            axes.plot(epochs, values, line, color=color, label=label, markersize=4)
        axes.set_xlabel("epoch")
        axes.set_title(name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid()
        axes.legend()
    return figure
