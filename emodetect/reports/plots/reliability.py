"""The reliability diagram: accuracy by confidence."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from emodetect.evaluation.predictions import ImagePredictions
from emodetect.number_format import decimal
from emodetect.reports.plots.style import (
    BAR_COLOR,
    INK,
    PAPER,
    VALIDATION_COLOR,
    new_figure,
    styled,
)


@styled()
def reliability(predictions: ImagePredictions, metrics: dict[str, Any]) -> Figure:
    """Plot accuracy, the gap to the mean confidence and the number of images of each bin."""
    bins = [row for row in metrics["reliability_bins"] if row["images"]]
    middles = [(row["low"] + row["high"]) / 2 for row in bins]
    widths = [row["high"] - row["low"] for row in bins]
    counts = [row["images"] for row in bins]
    accuracies = [row["accuracy"] for row in bins]
    gaps = [row["mean_confidence"] - row["accuracy"] for row in bins]
    figure = new_figure(6, 6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], "--", color=INK, label="perfect calibration")
    upper.bar(middles, accuracies, widths, color=BAR_COLOR, edgecolor=PAPER, label="accuracy")
    upper.bar(
        middles,
        gaps,
        widths,
        bottom=accuracies,
        color="none",
        edgecolor=VALIDATION_COLOR,
        hatch="//",
        label="gap to the mean confidence",
    )
    upper.set_xlim(0, 1)
    upper.set_ylim(0, 1)
    upper.set_ylabel("accuracy")
    upper.set_title(f"calibration error (ECE) {decimal(metrics['expected_calibration_error'])}")
    handles = upper.get_legend_handles_labels()  # outside, because any bar may be high
    figure.legend(*handles, loc="outside lower center", ncols=3)
    bars = lower.bar(middles, counts, widths, color=BAR_COLOR, edgecolor=PAPER)
    lower.bar_label(bars, [f"{count:,}" for count in counts], fontsize=8)
    lower.margins(y=0.2)
    lower.set_xlabel("confidence")
    lower.set_ylabel("images")
    for axes in (upper, lower):
        axes.grid()
    return figure
