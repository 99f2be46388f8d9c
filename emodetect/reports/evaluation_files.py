"""The files of an evaluation report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emodetect.evaluation.predictions import PREDICTIONS_FILE, ImagePredictions, write_predictions
from emodetect.machine.atomic_files import write_json, write_text
from emodetect.machine.csv_files import csv_text
from emodetect.machine.output_folder import make_output_folder
from emodetect.reports.evaluation_page import ReportedModel, write_report_page
from emodetect.reports.plots.registry import draw_plots
from emodetect.reports.plots.style import save_png


def write_report(
    predictions: ImagePredictions, metrics: dict[str, Any], out: Path, *, model: ReportedModel
) -> list[Path]:
    """Write the page, the metrics, the plots and the predictions to a folder.

    Args:
        metrics: see `evaluate_model`, with the description of an `EvaluationTask`.

    Returns:
        the files, the page first.
    """
    make_output_folder(out)
    figures = draw_plots(predictions, metrics)
    names = ("report.html", "metrics.json", "classification_report.csv", PREDICTIONS_FILE)
    page, numbers, classes, images = (out / name for name in names)
    write_report_page(predictions, metrics, page, figures=figures, model=model)
    write_json(numbers, metrics)
    _write_classes(metrics, classes)
    write_predictions(predictions, images)
    pictures = [out / f"{name}.png" for name in figures]
    for figure, picture in zip(figures.values(), pictures, strict=True):
        save_png(figure, picture)
    return [page, numbers, classes, images, *pictures]


def _write_classes(metrics: dict[str, Any], path: Path) -> None:
    header = ["emotion", "precision", "recall", "f1", "support"]
    write_text(path, csv_text([header, *([name, *row] for name, row in class_rows(metrics))]))


def class_rows(metrics: dict[str, Any]) -> list[tuple[str, tuple[float, float, float, int]]]:
    """Return (name, (precision, recall, F1, support)) of each emotion and of the averages."""
    rows = {
        **metrics["per_class"],
        "macro average": metrics["macro_average"],
        "weighted average": metrics["weighted_average"],
    }
    return [
        (name, (row["precision"], row["recall"], row["f1-score"], int(row["support"])))
        for name, row in rows.items()
    ]
