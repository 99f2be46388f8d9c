"""A model's predictions on labelled images, in memory and in a file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emodetect.data.dataset import Dataset
from emodetect.data.splits import connect
from emodetect.emotions import are_labels
from emodetect.errors import DataError
from emodetect.machine.atomic_files import atomic_write
from emodetect.machine.csv_files import csv_line, open_csv, printable
from emodetect.machine.output_folder import writing

PREDICTIONS_FILE = "predictions.csv"
SHOWN_MISTAKES = 24
COLUMNS = ["path", "crop", "group", "true", "predicted"]


@dataclass(frozen=True, kw_only=True, eq=False)  # holds arrays
class Predictions:
    """A model's predictions on labelled images.

    Attributes:
        emotions: the model's label order.
        labels: (n,) int64, the true emotions as positions in `emotions`.
        probabilities: (n, emotions) float32.
        paths: (n,) str.
        crops: (n,) str, which crop of the file it is; see `Dataset.crops`.
        groups: (n,) int64, the same number for images that are not independent; see
            `Dataset.groups`.
    """

    emotions: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    paths: np.ndarray
    crops: np.ndarray
    groups: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """(n,) int64, the most probable emotion of each image, as a position in `emotions`."""
        best: np.ndarray = np.argmax(self.probabilities, axis=1)
        return best

    @property
    def correct(self) -> np.ndarray:
        """(n,) bool, whether that is the true one."""
        right: np.ndarray = self.predicted == self.labels
        return right

    @property
    def confidence(self) -> np.ndarray:
        """(n,) float32, the highest probability of each image."""
        highest: np.ndarray = np.max(self.probabilities, axis=1)
        return highest

    def worst_mistakes(self) -> np.ndarray:
        """Return (at most SHOWN_MISTAKES,) int64, the positions of the most confident mistakes."""
        wrong = np.flatnonzero(~self.correct)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")][:SHOWN_MISTAKES]


def image_keys(images: Predictions | Dataset) -> list[tuple[str, str]]:
    """Return the path and crop of each image, which together are unique in a data set.

    They depend neither on the model nor on which images are selected.
    """
    return [
        (printable(path), crop)
        for path, crop in zip(images.paths.tolist(), images.crops.tolist(), strict=True)
    ]


def write_predictions(predictions: Predictions, path: Path) -> None:
    """Write a row for each image: path, crop, group, true and predicted emotion, probabilities.

    The group of an image that shares it with no other is empty.
    """
    names = predictions.emotions
    _, numbers, sizes = np.unique(predictions.groups, return_inverse=True, return_counts=True)
    rows = zip(
        image_keys(predictions),
        [str(number) if sizes[number] > 1 else "" for number in numbers.tolist()],
        predictions.labels,
        predictions.predicted,
        predictions.probabilities,
        strict=True,
    )
    with (
        writing(path),
        atomic_write(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        file.write(csv_line([*COLUMNS, *names]) + "\n")
        for (image, crop), group, label, best, probabilities in rows:
            # Nine digits represent any float32 exactly.
            row = [image, crop, group, names[label], names[best]]
            file.write(csv_line([*row, *(f"{value:.9g}" for value in probabilities)]) + "\n")


def read_predictions(path: Path) -> Predictions:
    """Read a file of `write_predictions`. Raises DataError if it is not one."""
    with open_csv(path) as file:
        rows = list(csv.reader(file))
    emotions = tuple(rows[0][len(COLUMNS) :]) if rows else ()
    if not are_labels(emotions) or rows[0][: len(COLUMNS)] != COLUMNS:
        raise DataError(f"{path}: expected a predictions file of evaluate; run evaluate again.")
    try:
        if len(rows) < 2:
            raise ValueError
        columns = [column[1:] for column in zip(*rows, strict=True)]
        predictions = Predictions(
            emotions=emotions,
            labels=np.array([emotions.index(name) for name in columns[3]]),
            probabilities=np.array(columns[len(COLUMNS) :], np.float32).T,
            paths=np.array(columns[0], object),
            crops=np.array(columns[1], object),
            groups=connect([columns[2]]),
        )
        if len(set(image_keys(predictions))) < len(predictions.labels):
            raise ValueError
        # Not "< 0 or > 1", which is false for NaN.
        if not ((predictions.probabilities >= 0) & (predictions.probabilities <= 1)).all():
            raise ValueError
        return predictions
    except (ValueError, IndexError):
        raise DataError(
            f"{path}: contains no images or damaged rows; run evaluate again."
        ) from None


@dataclass(frozen=True, kw_only=True, eq=False)
class ImagePredictions(Predictions):
    """A model's predictions, with its inputs.

    Attributes:
        images: (n, size, size, channels) uint8.
    """

    images: np.ndarray
