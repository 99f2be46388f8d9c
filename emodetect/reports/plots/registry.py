"""The plots of an evaluation: each is written to a file, and may be shown on the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.figure import Figure

from emodetect.evaluation.predictions import ImagePredictions
from emodetect.reports.plots.confusion_matrix import confusion_matrix
from emodetect.reports.plots.image_grids import mistakes
from emodetect.reports.plots.one_vs_rest import precision_recall, roc
from emodetect.reports.plots.reliability import reliability


@dataclass(frozen=True)
class Plot:
    """A plot of an evaluation.

    Attributes:
        draw: draws predictions and their metrics.
        section: the section of report.html that shows it; None if it is only a file.
        title: its description for screen readers.
    """

    draw: Callable[[ImagePredictions, dict[str, Any]], Figure]
    section: Literal["emotions", "confidence"] | None = None
    title: str = ""


PLOTS = {
    "confusion_matrix": Plot(confusion_matrix),
    "roc": Plot(roc, "emotions", "ROC curve of each emotion against the rest"),
    "precision_recall": Plot(
        precision_recall, "emotions", "Precision-recall curve of each emotion against the rest"
    ),
    "reliability": Plot(reliability, "confidence", "Accuracy by confidence"),
    "mistakes": Plot(mistakes),
}


def draw_plots(predictions: ImagePredictions, metrics: dict[str, Any]) -> dict[str, Figure]:
    """Return every plot of an evaluation by name."""
    return {name: plot.draw(predictions, metrics) for name, plot in PLOTS.items()}
