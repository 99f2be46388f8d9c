"""Grids of face crops: the contact sheet of a data set, the worst mistakes of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from emodetect.data.dataset import Dataset
from emodetect.evaluation.predictions import ImagePredictions
from emodetect.number_format import percent
from emodetect.reports.plots.style import save_png, short_name, styled

# Sizes in inches.
CELL_WIDTH, CELL_HEIGHT, MARGIN, HEADING = 1.25, 1.6, 0.04, 0.3
LINE = 0.14  # of a caption
MOST_LETTERS = 15  # of a caption
SHOWN_PER_EMOTION = 8  # in a contact sheet


@styled()
def mistakes(predictions: ImagePredictions, metrics: dict[str, Any]) -> Figure:
    """Show the most confident incorrect predictions."""
    worst = predictions.worst_mistakes()
    if not len(worst):
        figure = Figure(figsize=(5, 1.5))
        figure.text(0.5, 0.5, "no mistakes on these images", ha="center", va="center")
        return figure
    names, labels = predictions.emotions, predictions.labels
    rows = zip(worst, predictions.predicted[worst], predictions.confidence[worst], strict=True)
    titles = [
        f"{_fitting(names[labels[i]])}\n→ {_fitting(names[best])}\n{percent(share)}"
        for i, best, share in rows
    ]
    return _grid(
        predictions.images[worst],
        titles,
        columns=8,
        title="most confident mistakes: true → predicted",
        cell_height=CELL_HEIGHT + LINE,
    )


def _fitting(name: str) -> str:
    """Return a name that is no wider than a cell: names differ most at their ends."""
    return name if len(name) <= MOST_LETTERS else f"{name[:7]}…{name[-7:]}"


@styled()
def contact_sheet(
    dataset: Dataset,
    out: Path,
    *,
    augment: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Write a picture of some training images of each emotion, each above its augmented version."""
    generator = np.random.default_rng(0)
    train = dataset.indices("train") if "train" in dataset.splits else dataset.indices("all")
    chosen = []
    for label in range(len(dataset.emotions)):
        members = train[dataset.labels[train] == label]
        count = min(SHOWN_PER_EMOTION, len(members))
        chosen.append(np.sort(generator.choice(members, count, replace=False)))
    # In one call, so that every image gets its own augmentation.
    changed = augment(dataset.images[np.concatenate(chosen)])
    cells: list[np.ndarray] = []
    titles: list[str] = []
    done = 0
    for emotion, members in zip(dataset.emotions, chosen, strict=True):
        augmented = f"{short_name(emotion, longest=40)}, augmented"
        kinds = [
            (dataset.images[members], short_name(emotion, longest=60)),
            (changed[done : done + len(members)], augmented),
        ]
        done += len(members)
        for images, title in kinds:
            missing = SHOWN_PER_EMOTION - len(images)
            cells += [images, np.full((missing, *images.shape[1:]), 255, np.uint8)]
            titles += [title] + [""] * (SHOWN_PER_EMOTION - 1)  # a title is wider than an image
    save_png(_grid(np.concatenate(cells), titles, columns=SHOWN_PER_EMOTION), out)


def _grid(
    images: np.ndarray,
    titles: Sequence[str],
    *,
    columns: int,
    title: str = "",
    cell_height: float = CELL_HEIGHT,
) -> Figure:
    rows = -(-len(images) // columns)
    heading = HEADING if title else 0
    width, height = CELL_WIDTH * columns, cell_height * rows + heading
    figure = Figure(figsize=(width, height))
    if title:
        figure.suptitle(title, fontsize=10)
    # In inches from the top left. One for all images, because one for each takes a second.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    for number, (image, caption) in enumerate(zip(images, titles, strict=True)):
        row, column = divmod(number, columns)
        left = CELL_WIDTH * column + MARGIN
        right = CELL_WIDTH * (column + 1) - MARGIN
        bottom = heading + cell_height * (row + 1) - MARGIN
        top = bottom - (right - left)
        extent = (left, right, bottom, top)
        axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, extent=extent, aspect="auto")
        axes.text(left, top - MARGIN, caption, fontsize=8, va="bottom")
    axes.set(xlim=(0, width), ylim=(height, 0))
    return figure
