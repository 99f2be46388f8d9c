"""Learning curves: accuracy and loss by epoch, with the best epoch and the phases of training."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from emodetect.number_format import decimal, percent
from emodetect.reports.plots.style import (
    GRID,
    INK,
    TRAIN_COLOR,
    VALIDATION_COLOR,
    new_figure,
    styled,
)


@styled()
def learning_curves(history: Path, *, best_epoch: int, head_epochs: int = 0) -> Figure:
    """Plot training and validation accuracy and loss from the history.csv of a run.

    Args:
        best_epoch: the epoch, counted from 1, whose weights were kept; it is marked.
        head_epochs: the first epochs, in which only the head was trained; they are shaded.
    """
    with history.open(newline="", encoding="utf-8") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    best = {row["epoch"]: row for row in rows}[best_epoch]
    figure = new_figure(9, 4.2)
    panels = figure.subplots(1, 2)
    for axes, name in zip(panels, ("accuracy", "loss"), strict=True):
        _draw_curves(axes, name, rows)
        axes.axvline(
            best_epoch,
            color=INK,
            linestyle=":",
            label=f"best epoch: {best_epoch} (validation accuracy "
            f"{percent(best['val_accuracy'])}, loss {decimal(best['val_loss'])})",
        )
        _mark_phases(axes, head_epochs, len(rows))
    panels[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _draw_curves(axes: Axes, name: str, rows: Sequence[dict[str, float]]) -> None:
    epochs = range(1, len(rows) + 1)
    for key, label, color, line in (
        (name, "training (augmented)", TRAIN_COLOR, "o--"),
        (f"val_{name}", "validation", VALIDATION_COLOR, "o-"),
    ):
        values = [row[key] for row in rows]
        axes.plot(epochs, values, line, color=color, label=label, markersize=4)
    axes.set_xlabel("epoch")
    axes.set_title(name, pad=20)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid()


def _mark_phases(axes: Axes, head_epochs: int, count: int) -> None:
    """Shade the epochs of the head, and name both phases above the axes."""
    head = min(head_epochs, count)
    phases = [("head", 0.5, head + 0.5), ("fine-tuning", head + 0.5, count + 0.5)]
    phases = [(name, first, last) for name, first, last in phases if last > first]
    axes.set_xlim(0.5, count + 0.5)
    if head:
        axes.axvspan(0.5, head + 0.5, color=GRID, alpha=0.5, linewidth=0, zorder=0)
    for name, first, last in phases:
        # A short phase's name starts where the phase does, so that two names do not meet.
        narrow = last - first < count / 4
        axes.text(
            first if narrow else (first + last) / 2,
            1.02,
            name,
            transform=axes.get_xaxis_transform(),
            ha="left" if narrow else "center",
            fontsize=9,
        )
