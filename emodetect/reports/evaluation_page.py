"""The page of an evaluation: what the model gets wrong, where and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from emodetect.config import flatten
from emodetect.errors import first_line
from emodetect.evaluation.grad_cam import HeatMaps, overlay
from emodetect.evaluation.labelled_images.labelled_data import OWN_DATA
from emodetect.evaluation.metrics.significance import SIGNIFICANT
from emodetect.evaluation.metrics.slices import FEW_GROUPS, FEW_IMAGES
from emodetect.evaluation.predictions import ImagePredictions
from emodetect.model_file.metadata import Metadata
from emodetect.number_format import between, p_equals, percent, points_apart, quantity
from emodetect.reports.glossary import MEANINGS, METRIC_NAMES, independence, metric_form
from emodetect.reports.html import THUMBNAIL_SIDE, page_colors, thumbnail, write_page
from emodetect.reports.plots.confusion_matrix import shares_of_truth
from emodetect.reports.plots.learning_curves import learning_curves
from emodetect.reports.plots.registry import PLOTS
from emodetect.reports.plots.style import to_svg

EXAMPLES = 6  # of each emotion, correct and incorrect
NAMED_AT_MOST = 200
NAMED_TOGETHER = 3  # emotions that are recognised equally well
DASH = "—"
NO_RUN = "No learning curves: the model is not in the folder of its training run."


@dataclass(frozen=True, kw_only=True)
class ReportedModel:
    """What a report shows about a model besides its metrics.

    Attributes:
        run: the folder of the model, which may be its training run; None for a shipped model.
        heat: Grad-CAM of `ImagePredictions.worst_mistakes`, or a sentence that says why there is
            none.
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
    model: ReportedModel,
) -> None:
    """Write the page; see `evaluation_files.write_report`."""
    heat = model.heat
    record = _run_record(model)
    curves = _curves(model.run, record, model.metadata) if model.run and record else NO_RUN
    write_page(
        "evaluation.html",
        path,
        title=f"{metrics['model']} on {_data_name(metrics)}",
        metrics=metrics,
        cards=list(_cards(metrics)),
        summary=list(_summary(metrics)),
        independence=independence(metrics),
        notes=list(_notes(metrics)),
        classes=list(_classes(metrics)),
        confusion=list(_confusion(metrics)),
        plots=_plots(figures),
        few=FEW_IMAGES,
        few_groups=FEW_GROUPS,
        slices=[{**way, "gap_text": _gap_text(way["gap"])} for way in metrics["slices"]],
        mistakes=list(_mistakes(predictions, heat)),
        cells=None if isinstance(heat, str) else heat.cells,
        unexplained=heat if isinstance(heat, str) else "",
        examples=list(_examples(predictions)),
        curves=curves if isinstance(curves, Markup) else None,
        no_curves=curves,
        run=record.get("summary", []),
        metadata=model.metadata,
        config=[
            (key, json.dumps(value, ensure_ascii=False))
            for key, value in flatten(model.metadata.config)
        ],
        named_at_most=NAMED_AT_MOST,
    )


def _data_name(metrics: dict[str, Any]) -> str:
    if metrics["data"] == OWN_DATA:
        return "its own data" if metrics["split"] == "all" else f"its own {metrics['split']} data"
    return str(metrics["data"]).rstrip(":")


def _plots(figures: Mapping[str, Figure]) -> dict[str, list[Markup]]:
    """Return the plots of each section of the page that has some."""
    sections: dict[str, list[Markup]] = {}
    for name, plot in PLOTS.items():
        if plot.section:
            svg = to_svg(figures[name], name=name, title=plot.title)
            sections.setdefault(plot.section, []).append(svg)
    return sections


def _cards(metrics: dict[str, Any]) -> Iterator[dict[str, str]]:
    intervals = metrics["intervals_95"]
    for key, name in METRIC_NAMES.items():
        form = metric_form(key)
        yield {
            "name": name,
            "value": form(metrics[key]),
            "between": between(intervals.get(key), form),
            "meaning": MEANINGS[name],
        }


def _summary(metrics: dict[str, Any]) -> Iterator[str]:
    classes = metrics["per_class"]
    common, row = max(classes.items(), key=lambda item: item[1]["support"])
    even = all(other["support"] == row["support"] for other in classes.values())
    guess = "the same emotion" if even else f"{common}, the most frequent emotion here,"
    share = percent(row["support"] / metrics["images"])
    yield f"Baseline: always predicting {guess} would give an accuracy of {share}."
    if len(classes) < 2:
        return
    yield _extremes(metrics)
    gaps = [way for way in metrics["slices"] if way["gap"] and way["gap"]["p"] < SIGNIFICANT]
    if gaps:
        widest = max(gaps, key=lambda way: way["gap"]["points"])
        gap = widest["gap"]
        yield (
            f"Widest accuracy gap: {points_apart(gap['points'] / 100)} by {widest['by']}, between "
            f"{gap['best']} (best) and {gap['worst']} (worst), {p_equals(gap['p'])}."
        )


def _extremes(metrics: dict[str, Any]) -> str:
    """Return which emotions are recognised best and worst, and their recall."""
    recalls = {name: row["recall"] for name, row in metrics["per_class"].items()}
    low, high = min(recalls.values()), max(recalls.values())
    if low == high:
        return f"All emotions are recognised equally well (recall {percent(low)})."
    best, worst = ([name for name in recalls if recalls[name] == end] for end in (high, low))
    confused = _mistaken_for(metrics, worst[0]) if len(worst) == 1 else ""
    return (
        f"Best recognised: {_names(best)} (recall {percent(high)}); worst: {_names(worst)} (recall "
        f"{percent(low)})" + (f", most often mistaken for {confused}." if confused else ".")
    )


def _names(names: Sequence[str]) -> str:
    """Return at most `NAMED_TOGETHER` names, and how many more there are; no "1 more"."""
    more = len(names) - NAMED_TOGETHER
    *first, last = [*names[:NAMED_TOGETHER], f"{more} more"] if more > 1 else names
    return f"{', '.join(first)} and {last}" if first else last


def _gap_text(gap: dict[str, Any] | None) -> str:
    if gap is None:
        return "No gap: fewer than two subsets are large enough."
    apart = points_apart(gap["points"] / 100)
    if apart == points_apart(0):
        return "No gap: all subsets have the same accuracy."
    chance = " It may be due to chance." if gap["p"] >= SIGNIFICANT else ""
    ends = f"from {gap['best']} (best) to {gap['worst']} (worst)"
    return f"Gap: {apart}, {ends}, {p_equals(gap['p'])}.{chance}"


def _notes(metrics: dict[str, Any]) -> Iterator[str]:
    yield from metrics["caveats"]
    if metrics["leaked"]:
        copies = quantity(metrics["leaked"], "copy", "copies")
        yield (
            f"Includes {copies} of training images, so these figures are too good; "
            "--exclude-duplicates-of leaves them out."
        )
    if metrics["groups"] < FEW_IMAGES:
        unit = "image" if metrics["groups"] == metrics["images"] else "group"
        yield (
            f"Only {quantity(metrics['groups'], unit)}: these results are not "
            f"reliable, and the bootstrap intervals may be too narrow. Use more {unit}s."
        )
    if names := metrics["never_predicted"]:
        yield f"Never predicted: {', '.join(names)}. Their precision is undefined ({DASH})."
    if names := metrics["absent"]:
        yield f"No images of: {', '.join(names)}. The averages exclude them."


def _classes(metrics: dict[str, Any]) -> Iterator[dict[str, Any]]:
    colors = page_colors(metrics["emotions"])
    for name, row in metrics["per_class"].items():
        support = int(row["support"])
        never = name in metrics["never_predicted"]
        yield {
            "name": name,
            "color": colors[name],
            "precision": DASH if never else percent(row["precision"]),
            "recall": percent(row["recall"]),
            "share": round(100 * row["recall"], 1),
            "between": between(row["recall_interval_95"], percent),
            "f1": percent(row["f1-score"]),
            "images": f"{support:,}",
            "mistaken_for": _mistaken_for(metrics, name) or DASH,
        }


def _mistaken_for(metrics: dict[str, Any], emotion: str) -> str:
    """Return the most frequent wrong prediction for an emotion and its share; "" if none."""
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
            {"count": f"{count:,}", "share": float(share)}
            for count, share in zip(counts, row, strict=True)
        ]
        yield {"name": name, "cells": cells, "absent": not sum(counts)}


def _mistakes(predictions: ImagePredictions, heat: HeatMaps | str) -> Iterator[dict[str, Any]]:
    for number, place in enumerate(predictions.worst_mistakes()):
        face = _face(predictions, int(place))
        if not isinstance(heat, str):
            wide = cv2.resize(face["image"], (THUMBNAIL_SIDE, THUMBNAIL_SIDE))
            bgr = wide if wide.ndim == 3 else cv2.cvtColor(wide, cv2.COLOR_GRAY2BGR)
            face["heat"] = overlay(bgr, heat.maps[number])
        yield face


def _examples(predictions: ImagePredictions) -> Iterator[dict[str, Any]]:
    """Yield random faces of each emotion, classified correctly and incorrectly (fixed seed)."""
    generator = np.random.default_rng(0)
    colors = page_colors(predictions.emotions)
    correct = predictions.correct
    for label, emotion in enumerate(predictions.emotions):
        drawn = {}
        for kind, which in (("correct", correct), ("incorrect", ~correct)):
            members = np.flatnonzero(which & (predictions.labels == label))
            chosen = generator.choice(members, min(EXAMPLES, len(members)), replace=False)
            drawn[kind] = [_face(predictions, int(place)) for place in np.sort(chosen)]
        if drawn["correct"] or drawn["incorrect"]:
            yield {"emotion": emotion, "color": colors[emotion], **drawn}


def _face(predictions: ImagePredictions, place: int) -> dict[str, Any]:
    names = predictions.emotions
    return {
        "image": thumbnail(predictions.images[place]),
        "heat": None,
        "true": names[predictions.labels[place]],
        "predicted": names[int(predictions.probabilities[place].argmax())],
        "confidence": percent(predictions.probabilities[place].max()),
        "path": predictions.paths[place],
        "name": predictions.paths[place].rpartition("/")[2],
    }


def _run_record(model: ReportedModel) -> dict[str, Any]:
    """Return run.json if the model is in the folder of its own run; else nothing."""
    if model.run is None:
        return {}
    try:
        record = json.loads((model.run / "run.json").read_text(encoding="utf-8"))
        trained_on, summary = record["dataset"]["fingerprint"], record["summary"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    own = trained_on == model.metadata.dataset.get("fingerprint") and isinstance(summary, list)
    return record if own else {}


def _curves(run: Path, record: dict[str, Any], metadata: Metadata) -> Markup | str:
    """Return the learning curves of a run folder, or why there are none."""
    history, training = run / "history.csv", metadata.config.get("training", {})
    try:
        figure = learning_curves(
            history,
            best_epoch=record["best_epoch"],
            head_epochs=int(training.get("head_epochs", 0)),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"No learning curves: {history} is not a training history ({first_line(error)})."
    return to_svg(figure, name="curves", title="Accuracy and loss by epoch")
