"""The confusion matrix, as numbers and as shares."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from emodetect.evaluation.predictions import ImagePredictions
from emodetect.number_format import percent
from emodetect.reports.plots.style import ink_on, new_figure, short_name, styled

MOST_WITH_NUMBERS = 25


@styled()
def confusion_matrix(predictions: ImagePredictions, metrics: dict[str, Any]) -> Figure:
    """Plot the confusion matrix twice: numbers of images, and shares of each true emotion."""
    names = [short_name(name) for name in metrics["emotions"]]
    counts = np.array(metrics["confusion_matrix"])
    shares = shares_of_truth(metrics)
    # With more emotions, the cells get smaller, not the picture larger: it would take gigabytes.
    shown_size = min(len(names), MOST_WITH_NUMBERS)
    figure = new_figure(4 + 1.5 * shown_size, 2.6 + 0.7 * shown_size)
    letters = {"fontsize": 10 * shown_size / len(names)}
    known = counts.any(axis=1, keepdims=True)
    percentages = np.where(known, np.vectorize(percent)(shares), "-")
    texts = (np.vectorize("{:,}".format)(counts), percentages)
    titles = ("number of images", "share of the true emotion")
    for axes, text, title in zip(figure.subplots(1, 2), texts, titles, strict=True):
        drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", **letters)
        axes.set_yticks(range(len(names)), names, **letters)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.set_title(title)
        if len(names) > MOST_WITH_NUMBERS:
            continue
        for row in range(len(names)):
            for column in range(len(names)):
                color = ink_on(drawn.cmap(shares[row, column]))
                shown = axes.text(column, row, text[row, column], color=color, in_layout=False)
                shown.set(ha="center", va="center")
    return figure


def shares_of_truth(metrics: dict[str, Any]) -> np.ndarray:
    """Return the confusion matrix as shares (0-1) of each true emotion; 0 without images."""
    counts = np.array(metrics["confusion_matrix"])
    totals = counts.sum(axis=1, keepdims=True)
    shares: np.ndarray = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    return shares
