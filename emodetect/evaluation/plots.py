"""Pictures of data, training and results.

Figures are made without pyplot, which keeps every figure in memory and needs a backend.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score, roc_curve

from emodetect.data.dataset import Dataset
from emodetect.emotions import COLORS
from emodetect.evaluation.predictions import Predictions

INK, GRID = "#222222", "#dddddd"
TRAIN_COLOR, VALIDATION_COLOR = "#0072b2", "#d55e00"
BAR_COLOR = "#99c7e0"
DPI = 110


def learning_curves(history: Path, out: Path) -> None:
    """Plot accuracy and loss of train and validation from a run's history.csv."""
    with history.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) + 1 for row in rows]
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        for key, label, color in (
            (name, "train (augmented)", TRAIN_COLOR),
            (f"val_{name}", "validation", VALIDATION_COLOR),
        ):
            axes.plot(epochs, [float(row[key]) for row in rows], "o-", color=color, label=label)
        axes.set_xlabel("epoch")
        axes.set_title(name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(color=GRID)
        axes.legend()
    figure.savefig(out, dpi=DPI)


def confusion(metrics: dict[str, Any], out: Path) -> None:
    """Plot the confusion matrix twice: counts, and shares of each true emotion."""
    names = metrics["emotions"]
    counts = np.array(metrics["confusion_matrix"])
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    figure = Figure(figsize=(2.5 + 1.5 * len(names), 1.8 + 0.7 * len(names)), layout="constrained")
    texts = (counts.astype(str), np.char.mod("%.2f", shares))
    titles = ("images", "share of the true emotion")
    for axes, text, title in zip(figure.subplots(1, 2), texts, titles, strict=True):
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.set_title(title)
        for row in range(len(names)):
            for column in range(len(names)):
                color = "white" if shares[row, column] > 0.5 else INK
                axes.text(column, row, text[row, column], ha="center", va="center", color=color)
    figure.savefig(out, dpi=DPI)


def roc(predictions: Predictions, out: Path) -> None:
    """Plot one-vs-rest ROC curves with their areas, for the emotions that the data has."""
    figure = Figure(figsize=(6.5, 5.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], "--", color=GRID)
    for label, emotion in enumerate(predictions.emotions):
        truth = predictions.labels == label
        if truth.all() or not truth.any():
            continue
        scores = predictions.probabilities[:, label]
        false_positives, true_positives, _ = roc_curve(truth, scores)
        area = roc_auc_score(truth, scores)
        axes.plot(
            false_positives,
            true_positives,
            color=_color(emotion),
            label=f"{emotion} (AUC {area:.3f})",
        )
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    axes.set_title("one emotion against the rest")
    axes.grid(color=GRID)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right")
    figure.savefig(out, dpi=DPI)


def reliability(metrics: dict[str, Any], out: Path) -> None:
    """Plot accuracy by confidence, how far each bin is off, and how many images it has."""
    bins = [row for row in metrics["reliability_bins"] if row["images"]]
    middles = [(row["low"] + row["high"]) / 2 for row in bins]
    widths = [row["high"] - row["low"] for row in bins]
    counts = [row["images"] for row in bins]
    accuracies = [row["accuracy"] for row in bins]
    gaps = [row["mean_confidence"] - row["accuracy"] for row in bins]
    figure = Figure(figsize=(7, 7), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], "--", color=INK, label="calibrated")
    upper.bar(middles, accuracies, widths, color=BAR_COLOR, edgecolor="white", label="accuracy")
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
    upper.set_title(f"expected calibration error {metrics['expected_calibration_error']:.3f}")
    upper.legend(loc="upper left")
    bars = lower.bar(middles, counts, widths, color=BAR_COLOR, edgecolor="white")
    lower.bar_label(bars, [f"{count:,}" for count in counts], fontsize=8)
    lower.margins(y=0.2)
    lower.set_xlabel("confidence")
    lower.set_ylabel("images")
    for axes in (upper, lower):
        axes.set_axisbelow(True)
        axes.grid(color=GRID)
    figure.savefig(out, dpi=DPI)


def mistakes(predictions: Predictions, out: Path, *, count: int = 24) -> None:
    """Show the wrong answers of highest confidence."""
    predicted = predictions.predicted
    wrong = np.flatnonzero(predicted != predictions.labels)
    confidence = predictions.confidence
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:count]
    names = predictions.emotions
    titles = [
        f"{names[predictions.labels[i]]}\n→ {names[predicted[i]]} {confidence[i]:.0%}"
        for i in worst
    ]
    if len(worst):
        _grid(predictions.images[worst], titles, columns=8, title="true → predicted").savefig(
            out, dpi=DPI
        )
        return
    figure = Figure(figsize=(5, 1.5))
    figure.text(0.5, 0.5, "no mistakes on these images", ha="center", va="center")
    figure.savefig(out, dpi=DPI)


def contact_sheet(
    dataset: Dataset,
    out: Path,
    *,
    augment: Callable[[np.ndarray], np.ndarray] | None = None,
    per_emotion: int = 8,
    seed: int = 0,
) -> None:
    """Show some training images of each emotion, and below each its augmented version."""
    generator = np.random.default_rng(seed)
    train = dataset.indices("train") if "train" in dataset.splits else dataset.indices("all")
    chosen = []
    for label in range(len(dataset.emotions)):
        members = train[dataset.labels[train] == label]
        count = min(per_emotion, len(members))
        chosen.append(np.sort(generator.choice(members, count, replace=False)))
    # All in one call, so that no two images are changed alike.
    changed = augment(dataset.images[np.concatenate(chosen)]) if augment else None
    cells: list[np.ndarray] = []
    titles: list[str] = []
    done = 0
    for emotion, members in zip(dataset.emotions, chosen, strict=True):
        kinds = [(dataset.images[members], emotion)]
        if changed is not None:
            kinds.append((changed[done : done + len(members)], f"{emotion}, augmented"))
        done += len(members)
        for images, title in kinds:
            missing = per_emotion - len(images)
            cells += [images, np.full((missing, *images.shape[1:]), 255, np.uint8)]
            titles += [title] * len(images) + [""] * missing
    _grid(np.concatenate(cells), titles, columns=per_emotion).savefig(out, dpi=DPI)


def _grid(images: np.ndarray, titles: Sequence[str], *, columns: int, title: str = "") -> Figure:
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.25 * columns, 1.55 * rows + 0.4), layout="constrained")
    if title:
        figure.suptitle(title, fontsize=10)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, caption in zip(grid.flat, images, titles, strict=False):
        axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
        axes.set_title(caption, fontsize=8)
    return figure


def _color(emotion: str) -> tuple[float, ...]:
    return tuple(value / 255 for value in COLORS[emotion])
