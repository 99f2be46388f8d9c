"""The confusion matrix, as numbers and as shares."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from emodetect.evaluation.predictions import ImagePredictions
from emodetect.number_format import percent
from emodetect.reports.plots.style import ink_on, new_figure, short_name, styled

TITLES = ("number of images", "share of the true emotion")
MOST_WITH_NUMBERS = 25
MOST_INCHES, POINTS_PER_INCH = 16, 72


@styled()
def confusion_matrix(predictions: ImagePredictions, metrics: dict[str, Any]) -> Figure:
    """Plot the confusion matrix twice: numbers of images, and shares of each true emotion.

    Of many emotions, only the shares, as colours, in a picture that is no larger: it would take
    gigabytes.
    """
    names = [short_name(name) for name in metrics["emotions"]]
    counts = np.array(metrics["confusion_matrix"])
    shares = shares_of_truth(metrics)
    if len(names) > MOST_WITH_NUMBERS:
        figure = new_figure(MOST_INCHES + 1, MOST_INCHES)
        letters = MOST_INCHES * POINTS_PER_INCH / len(names) / 2
        _draw(figure.subplots(), names, shares, TITLES[1], fontsize=min(11, letters))
        return figure
    figure = new_figure(4 + 1.5 * len(names), 2.6 + 0.7 * len(names))
    known = counts.any(axis=1, keepdims=True)
    percentages = np.where(known, np.vectorize(percent)(shares), "-")
    texts = (np.vectorize("{:,}".format)(counts), percentages)
    for axes, text, title in zip(figure.subplots(1, 2), texts, TITLES, strict=True):
        drawn = _draw(axes, names, shares, title)
        for row in range(len(names)):
            for column in range(len(names)):
                color = ink_on(drawn.cmap(shares[row, column]))
                shown = axes.text(column, row, text[row, column], color=color, in_layout=False)
                shown.set(ha="center", va="center")
    return figure


def _draw(
    axes: Axes, names: list[str], shares: np.ndarray, title: str, *, fontsize: float | None = None
) -> AxesImage:
    drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=fontsize)
    axes.set_yticks(range(len(names)), names, fontsize=fontsize)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title)
    return drawn


def shares_of_truth(metrics: dict[str, Any]) -> np.ndarray:
    """Return the confusion matrix as shares (0-1) of each true emotion; 0 without images."""
    counts = np.array(metrics["confusion_matrix"])
    totals = counts.sum(axis=1, keepdims=True)
    shares: np.ndarray = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    return shares
