"""Pictures of data, training and results, in the style of `style.py`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from emodetect.data.dataset import Dataset
from emodetect.evaluation.predictions import Predictions
from emodetect.reports.plots.style import (
    BAR_COLOR,
    GRID,
    INK,
    PAPER,
    TRAIN_COLOR,
    VALIDATION_COLOR,
    emotion_color,
    new_figure,
    save_png,
    styled,
)

# Of a picture of many faces, inches.
CELL_WIDTH, CELL_HEIGHT, CAPTION, HEADING = 1.25, 1.6, 0.36, 0.3


@styled()
def learning_curves(history: Path) -> Figure:
    """Plot accuracy and loss of train and validation from a run's history.csv."""
    with history.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) + 1 for row in rows]
    figure = new_figure(9, 3.8)
    for axes, name in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        for key, label, color, line in (
            (name, "train (augmented)", TRAIN_COLOR, "o--"),
            (f"val_{name}", "validation", VALIDATION_COLOR, "o-"),
        ):
            values = [float(row[key]) for row in rows]
            axes.plot(epochs, values, line, color=color, label=label, markersize=4)
        axes.set_xlabel("epoch")
        axes.set_title(name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid()
        axes.legend()
    return figure


@styled()
def confusion(metrics: dict[str, Any]) -> Figure:
    """Plot the confusion matrix twice: counts, and shares of each true emotion."""
    names = metrics["emotions"]
    counts = np.array(metrics["confusion_matrix"])
    shares = shares_of_truth(metrics)
    figure = new_figure(2.5 + 1.5 * len(names), 1.8 + 0.7 * len(names))
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
    return figure


def shares_of_truth(metrics: dict[str, Any]) -> np.ndarray:
    """Return the confusion matrix as shares (0-1) of each true emotion; 0 where it is absent."""
    counts = np.array(metrics["confusion_matrix"])
    totals = counts.sum(axis=1, keepdims=True)
    shares: np.ndarray = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    return shares


@styled()
def roc(predictions: Predictions) -> Figure:
    """Plot one-vs-rest ROC curves with their areas, for the emotions that the data has."""
    figure = new_figure(5.4, 4.8)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], "--", color=GRID)
    for emotion, truth, scores in _one_against_the_rest(predictions):
        false_positives, true_positives, _ = roc_curve(truth, scores)
        axes.plot(
            false_positives,
            true_positives,
            color=emotion_color(emotion),
            label=f"{emotion} (AUC {roc_auc_score(truth, scores):.3f})",
        )
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    _finish_curves(axes, title="ROC")
    return figure


@styled()
def precision_recall(predictions: Predictions) -> Figure:
    """Plot one-vs-rest precision by recall, with average precision, as `roc` does."""
    figure = new_figure(5.4, 4.8)
    axes = figure.subplots()
    for emotion, truth, scores in _one_against_the_rest(predictions):
        precision, recall, _ = precision_recall_curve(truth, scores)
        axes.plot(
            recall,
            precision,
            drawstyle="steps-post",
            color=emotion_color(emotion),
            label=f"{emotion} (AP {average_precision_score(truth, scores):.3f})",
        )
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    axes.set_ylim(0, 1.02)
    _finish_curves(axes, title="precision by recall")
    return figure


def _one_against_the_rest(
    predictions: Predictions,
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return (emotion, whether it is the true one, its probability) where both kinds are there."""
    found = []
    for label, emotion in enumerate(predictions.emotions):
        truth = predictions.labels == label
        if truth.any() and not truth.all():
            found.append((emotion, truth, predictions.probabilities[:, label]))
    return found


def _finish_curves(axes: Any, *, title: str) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_title(f"{title}, one emotion against the rest")
    axes.grid()
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", fontsize=9)  # those of a weak model run elsewhere


@styled()
def reliability(metrics: dict[str, Any]) -> Figure:
    """Plot accuracy by confidence, how far each bin is off, and how many images it has."""
    bins = [row for row in metrics["reliability_bins"] if row["images"]]
    middles = [(row["low"] + row["high"]) / 2 for row in bins]
    widths = [row["high"] - row["low"] for row in bins]
    counts = [row["images"] for row in bins]
    accuracies = [row["accuracy"] for row in bins]
    gaps = [row["mean_confidence"] - row["accuracy"] for row in bins]
    figure = new_figure(6, 6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], "--", color=INK, label="calibrated")
    upper.bar(middles, accuracies, widths, color=BAR_COLOR, edgecolor=PAPER, label="accuracy")
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
    bars = lower.bar(middles, counts, widths, color=BAR_COLOR, edgecolor=PAPER)
    lower.bar_label(bars, [f"{count:,}" for count in counts], fontsize=8)
    lower.margins(y=0.2)
    lower.set_xlabel("confidence")
    lower.set_ylabel("images")
    for axes in (upper, lower):
        axes.grid()
    return figure


@styled()
def mistakes(predictions: Predictions) -> Figure:
    """Show the wrong answers of highest confidence."""
    worst = predictions.worst_mistakes()
    if not len(worst):
        figure = Figure(figsize=(5, 1.5))
        figure.text(0.5, 0.5, "no mistakes on these images", ha="center", va="center")
        return figure
    names, labels = predictions.emotions, predictions.labels
    answers = zip(worst, predictions.predicted[worst], predictions.confidence[worst], strict=True)
    titles = [f"{names[labels[i]]}\n→ {names[best]} {sure:.0%}" for i, best, sure in answers]
    return _grid(predictions.images[worst], titles, columns=8, title="true → predicted")


@styled()
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
            titles += [title] + [""] * (per_emotion - 1)  # a title is wider than an image
    save_png(_grid(np.concatenate(cells), titles, columns=per_emotion), out)


def _grid(images: np.ndarray, titles: Sequence[str], *, columns: int, title: str = "") -> Figure:
    rows = -(-len(images) // columns)
    heading = HEADING if title else 0
    height = CELL_HEIGHT * rows + heading
    # Placed by hand, because working out a layout for so many takes a second.
    figure = Figure(figsize=(CELL_WIDTH * columns, height))
    if title:
        figure.suptitle(title, fontsize=10)
    grid = figure.subplots(
        rows,
        columns,
        squeeze=False,
        gridspec_kw={
            "left": 0.01,
            "right": 0.99,
            "bottom": 0.02 / height,
            "top": 1 - (heading + CAPTION) / height,
            "wspace": 0.05,
            "hspace": CAPTION / (CELL_HEIGHT - CAPTION),
        },
    )
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, caption in zip(grid.flat, images, titles, strict=False):
        axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
        axes.set_title(caption, fontsize=8, loc="left")
    return figure
