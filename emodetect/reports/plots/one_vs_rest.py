"""ROC and precision-recall curves, each emotion against the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from emodetect.emotions import hex_colors
from emodetect.evaluation.predictions import ImagePredictions
from emodetect.number_format import decimal
from emodetect.reports.plots.style import GRID, new_figure, short_name, styled

# A longer legend would cover the curves.
MOST_INSIDE = 10
LINES = ("-", "--", ":", "-.")  # beside the colours, which not everybody can tell apart


@styled()
def roc(predictions: ImagePredictions, metrics: dict[str, Any]) -> Figure:
    """Plot one-vs-rest ROC curves with their AUC, for the emotions in the data."""
    figure = _new_figure(predictions)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GRID)
    for emotion, truth, scores, style in _one_against_the_rest(predictions):
        false_positives, true_positives, _ = roc_curve(truth, scores)
        axes.plot(
            false_positives,
            true_positives,
            **style,
            label=f"{short_name(emotion)} (AUC {decimal(roc_auc_score(truth, scores))})",
        )
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    _finish_curves(axes, title="ROC")
    return figure


@styled()
def precision_recall(predictions: ImagePredictions, metrics: dict[str, Any]) -> Figure:
    """Plot one-vs-rest precision-recall curves with their average precision."""
    figure = _new_figure(predictions)
    axes = figure.subplots()
    for emotion, truth, scores, style in _one_against_the_rest(predictions):
        precision, recall, _ = precision_recall_curve(truth, scores)
        axes.plot(
            recall,
            precision,
            drawstyle="steps-post",
            **style,
            label=f"{short_name(emotion)} (AP {decimal(average_precision_score(truth, scores))})",
        )
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    axes.set_ylim(0, 1.02)
    _finish_curves(axes, title="precision-recall")
    return figure


def _new_figure(predictions: ImagePredictions) -> Figure:
    count = len(predictions.emotions)
    return new_figure(5.4, 4.8) if count <= MOST_INSIDE else new_figure(7.4, max(4.8, 0.17 * count))


def _one_against_the_rest(
    predictions: ImagePredictions,
) -> list[tuple[str, np.ndarray, np.ndarray, dict[str, Any]]]:
    """Return (emotion, whether it is true, its probability, the style of its line).

    Without an emotion that all images or none are of.
    """
    colors = hex_colors(predictions.emotions)
    found: list[tuple[str, np.ndarray, np.ndarray, dict[str, Any]]] = []
    for label, emotion in enumerate(predictions.emotions):
        truth = predictions.labels == label
        if truth.any() and not truth.all():
            style = {"color": colors[emotion], "linestyle": LINES[len(found) % len(LINES)]}
            found.append((emotion, truth, predictions.probabilities[:, label], style))
    return found


def _finish_curves(axes: Any, *, title: str) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_title(f"{title}, each emotion against the rest")
    axes.grid()
    curves = len(axes.get_legend_handles_labels()[0])
    if curves > MOST_INSIDE:
        axes.figure.legend(loc="outside right upper", fontsize=7)
    elif not curves:
        axes.text(0.5, 0.5, "needs images of at least two emotions", ha="center")
    else:
        axes.legend(loc="best", fontsize=9)  # the curves of a weak model leave no fixed corner free
