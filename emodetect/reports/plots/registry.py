"""The plots of an evaluation by name: each becomes a file, and a place on the page can show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

from emodetect.evaluation.predictions import ImagePredictions
from emodetect.reports.plots.confusion_matrix import confusion_matrix
from emodetect.reports.plots.image_grids import mistakes
from emodetect.reports.plots.one_vs_rest import precision_recall, roc
from emodetect.reports.plots.reliability import reliability

PLOTS: dict[str, Callable[[ImagePredictions, dict[str, Any]], Figure]] = {
    "confusion_matrix": confusion_matrix,
    "roc": roc,
    "precision_recall": precision_recall,
    "reliability": reliability,
    "mistakes": mistakes,
}


def draw_plots(predictions: ImagePredictions, metrics: dict[str, Any]) -> dict[str, Figure]:
    """Return every plot of an evaluation, by name."""
    return {name: draw(predictions, metrics) for name, draw in PLOTS.items()}
