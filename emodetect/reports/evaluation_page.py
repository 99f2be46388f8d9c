"""The page of an evaluation: what a model gets wrong, where, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from emodetect.errors import first_line
from emodetect.evaluation.evaluate import SEEN
from emodetect.evaluation.grad_cam import HeatMaps, overlay
from emodetect.evaluation.metrics.intervals import wilson_interval
from emodetect.evaluation.metrics.slices import FEW_IMAGES
from emodetect.evaluation.predictions import ImagePredictions
from emodetect.model_file.metadata import Metadata
from emodetect.reports.html import write_page
from emodetect.reports.plots.confusion_matrix import shares_of_truth
from emodetect.reports.plots.learning_curves import learning_curves
from emodetect.reports.plots.style import emotion_color, to_svg

# Of the metrics, what they are called on the page; those of the first two are shares.
HEADLINE = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log-loss",
    "expected_calibration_error": "calibration error",
}
TITLES = {
    "roc": "ROC curves of each emotion against the rest",
    "precision_recall": "Precision by recall of each emotion against the rest",
    "reliability": "Accuracy by confidence",
}
EXAMPLES = 6  # of each emotion, right and wrong
SHOWN_SIDE = 96  # pixels a side of a face on the page, at most
NAMED_AT_MOST = 200
DASH = "—"
NO_RUN = "The history of its training is not beside the model, so there are no curves."


@dataclass(frozen=True, kw_only=True)
class JudgedModel:
    """What a report tells of a model beside its figures.

    Attributes:
        run: the folder that the model lies in, which may be that of its run; None for a shipped
            model.
        heat: Grad-CAM of `ImagePredictions.worst_mistakes`; or why there is none, a sentence.
    """

    metadata: Metadata
    run: Path | None
    heat: HeatMaps | str


def write_report_page(
    predictions: ImagePredictions,
    metrics: dict[str, Any],
    path: Path,
    *,
    figures: Mapping[str, Figure],
    judged: JudgedModel,
) -> None:
    """Write the page; see `report.write_report`."""
    heat = judged.heat
    record = _run_record(judged)
    curves = _curves(judged.run) if judged.run and record else NO_RUN
    write_page(
        "report.html",
        path,
        title=f"{metrics['model']} on {metrics['data'].rstrip(':')}",
        metrics=metrics,
        date=f"{datetime.now():%Y-%m-%d %H:%M}",
        cards=list(_cards(metrics)),
        summary=list(_summary(metrics)),
        notes=list(_notes(metrics)),
        classes=list(_classes(metrics)),
        confusion=list(_confusion(metrics)),
        plots={name: to_svg(figures[name], name=name, title=TITLES[name]) for name in TITLES},
        few=FEW_IMAGES,
        slices=metrics["slices"],
        mistakes=list(_mistakes(predictions, heat)),
        cells=None if isinstance(heat, str) else heat.cells,
        unexplained=heat if isinstance(heat, str) else "",
        examples=list(_examples(predictions)),
        curves=curves if isinstance(curves, Markup) else None,
        no_curves=curves,
        run=record.get("summary", []),
        metadata=judged.metadata,
        config=list(_flat(judged.metadata.config)),
        named_at_most=NAMED_AT_MOST,
    )


def percent(share: float) -> str:
    """Return a share as it stands on pages, such as "69.4 %"."""
    return f"{100 * share:.1f} %"


def shown(image: np.ndarray) -> np.ndarray:
    """Return a model input, grey or RGB, as a BGR or grey image of at most 96 pixels a side."""
    pixels = image[:, :, ::-1] if image.shape[2] == 3 else image
    if len(pixels) > SHOWN_SIDE:
        pixels = cv2.resize(
            np.ascontiguousarray(pixels), (SHOWN_SIDE, SHOWN_SIDE), interpolation=cv2.INTER_AREA
        )
    return np.ascontiguousarray(pixels)


def _cards(metrics: dict[str, Any]) -> Iterator[dict[str, str]]:
    intervals = metrics["intervals_95"]
    for key, name in HEADLINE.items():
        form = percent if "accuracy" in key else "{:.3f}".format
        between = ""
        if key in intervals:
            low, high = intervals[key]
            between = f"{form(low)} to {form(high)}"
        yield {"name": name, "value": form(metrics[key]), "between": between}
    yield {"name": "images", "value": f"{metrics['images']:,}", "between": ""}


def _summary(metrics: dict[str, Any]) -> Iterator[str]:
    classes = metrics["per_class"]
    common, row = max(classes.items(), key=lambda item: item[1]["support"])
    even = all(other["support"] == row["support"] for other in classes.values())
    answer = "the same emotion" if even else f"{common}, the most common emotion here,"
    share = percent(row["support"] / metrics["images"])
    yield f"Always answering {answer} would be right for {share}."
    if len(classes) < 2:
        return
    ordered = sorted(classes.items(), key=lambda item: item[1]["recall"])
    (worst, low), (best, high) = ordered[0], ordered[-1]
    confused = _taken_for(metrics, worst)
    yield (
        f"Found best: {best}, {percent(high['recall'])} of its images. Worst: {worst}, "
        f"{percent(low['recall'])}" + (f", most often taken for {confused}." if confused else ".")
    )
    gaps = [way for way in metrics["slices"] if way["gap"] and not way["gap"]["overlap"]]
    if gaps:
        widest = max(gaps, key=lambda way: way["gap"]["points"])
        gap = widest["gap"]
        yield (
            f"The widest gap between kinds of images is by {widest['by']}: "
            f"{gap['points']:.1f} points from {gap['best']} to {gap['worst']}."
        )


def _notes(metrics: dict[str, Any]) -> Iterator[str]:
    if metrics["seen"]:
        yield SEEN
    if metrics["images"] < FEW_IMAGES:
        yield (
            f"Of {metrics['images']} image{'s' * (metrics['images'] > 1)} no figure here says "
            "much, and the intervals are too narrow: use more images."
        )
    if names := metrics["never_predicted"]:
        yield f"Never predicted: {', '.join(names)}. Precision then has no value ({DASH})."
    if names := metrics["absent"]:
        yield f"No images of: {', '.join(names)}. They are left out of the averages."


def _classes(metrics: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name, row in metrics["per_class"].items():
        support = int(row["support"])
        low, high = wilson_interval(round(row["recall"] * support), support)
        unnamed = name in metrics["never_predicted"]
        yield {
            "name": name,
            "color": emotion_color(name),
            "precision": DASH if unnamed else percent(row["precision"]),
            "recall": percent(row["recall"]),
            "share": round(100 * row["recall"], 1),
            "between": f"{percent(low)} to {percent(high)}",
            "f1": f"{row['f1-score']:.3f}",
            "images": f"{support:,}",
            "taken_for": _taken_for(metrics, name) or DASH,
        }


def _taken_for(metrics: dict[str, Any], emotion: str) -> str:
    """Return for what an emotion is most often taken, with the share; empty if for nothing."""
    names = metrics["emotions"]
    counts = np.array(metrics["confusion_matrix"][names.index(emotion)])
    total = counts.sum()
    counts[names.index(emotion)] = 0
    most = int(counts.argmax())
    return f"{names[most]} ({percent(counts[most] / total)})" if counts[most] else ""


def _confusion(metrics: dict[str, Any]) -> Iterator[dict[str, Any]]:
    shares = shares_of_truth(metrics)
    rows = zip(metrics["emotions"], metrics["confusion_matrix"], shares, strict=True)
    for name, counts, row in rows:
        cells = [
            {"count": f"{count:,}", "share": round(float(share), 3), "deep": share > 0.5}
            for count, share in zip(counts, row, strict=True)
        ]
        yield {"name": name, "cells": cells, "absent": not sum(counts)}


def _mistakes(predictions: ImagePredictions, heat: HeatMaps | str) -> Iterator[dict[str, Any]]:
    for number, place in enumerate(predictions.worst_mistakes()):
        face = _face(predictions, int(place))
        if not isinstance(heat, str):
            wide = cv2.resize(face["image"], (SHOWN_SIDE, SHOWN_SIDE))
            bgr = wide if wide.ndim == 3 else cv2.cvtColor(wide, cv2.COLOR_GRAY2BGR)
            face["heat"] = overlay(bgr, heat.maps[number])
        yield face


def _examples(predictions: ImagePredictions) -> Iterator[dict[str, Any]]:
    """Yield faces of each emotion, drawn by a fixed seed from those named rightly and wrongly."""
    generator = np.random.default_rng(0)
    correct = predictions.labels == predictions.predicted
    for label, emotion in enumerate(predictions.emotions):
        drawn = {}
        for kind, which in (("right", correct), ("wrong", ~correct)):
            members = np.flatnonzero(which & (predictions.labels == label))
            chosen = generator.choice(members, min(EXAMPLES, len(members)), replace=False)
            drawn[kind] = [_face(predictions, int(place)) for place in np.sort(chosen)]
        if drawn["right"] or drawn["wrong"]:
            yield {"emotion": emotion, "color": emotion_color(emotion), **drawn}


def _face(predictions: ImagePredictions, place: int) -> dict[str, Any]:
    names = predictions.emotions
    return {
        "image": shown(predictions.images[place]),
        "heat": None,
        "true": names[predictions.labels[place]],
        "predicted": names[int(predictions.probabilities[place].argmax())],
        "confidence": f"{predictions.probabilities[place].max():.0%}",
        "path": predictions.paths[place],
        "name": predictions.paths[place].rpartition("/")[2],
    }


def _run_record(judged: JudgedModel) -> dict[str, Any]:
    """Return run.json where the model lies in the folder of its own run; else nothing."""
    if judged.run is None:
        return {}
    try:
        record = json.loads((judged.run / "run.json").read_text(encoding="utf-8"))
        trained_on, summary = record["dataset"]["fingerprint"], record["summary"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    own = trained_on == judged.metadata.dataset.get("fingerprint") and isinstance(summary, list)
    return record if own else {}


def _curves(run: Path) -> Markup | str:
    """Return the learning curves of a run folder, or why there are none."""
    history = run / "history.csv"
    try:
        figure = learning_curves(history)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{history} is no history of a training run ({first_line(error)})."
    return to_svg(figure, name="curves", title="Accuracy and loss by epoch")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value, ensure_ascii=False)
