"""The files that an evaluation leaves behind."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from emodetect.errors import EmodetectError
from emodetect.evaluation import plots
from emodetect.evaluation.predictions import Predictions


def write_report(predictions: Predictions, metrics: dict[str, Any], out: Path) -> list[Path]:
    """Write figures and plots into the folder `out`; return the files."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EmodetectError(f"{out}: cannot be written: {error.strerror}.") from None
    names = (
        "metrics.json",
        "classification_report.csv",
        "confusion_matrix.png",
        "roc.png",
        "reliability.png",
        "mistakes.png",
    )
    files = [out / name for name in names]
    files[0].write_text(json.dumps(metrics, indent=1), encoding="utf-8")
    _write_classes(metrics, files[1])
    plots.confusion(metrics, files[2])
    plots.roc(predictions, files[3])
    plots.reliability(metrics, files[4])
    plots.mistakes(predictions, files[5])
    return files


def _write_classes(metrics: dict[str, Any], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["emotion", "precision", "recall", "f1", "support"])
        for name, row in class_rows(metrics):
            writer.writerow([name, *row])


def class_rows(metrics: dict[str, Any]) -> list[tuple[str, tuple[float, float, float, int]]]:
    """Return (name, (precision, recall, F1, support)) of each emotion, then of the averages."""
    rows = {
        **metrics["per_class"],
        "macro average": metrics["macro_average"],
        "weighted average": metrics["weighted_average"],
    }
    return [
        (name, (row["precision"], row["recall"], row["f1-score"], int(row["support"])))
        for name, row in rows.items()
    ]
