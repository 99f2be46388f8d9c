"""A model's answers on labelled images, in memory and in a file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emodetect.data.dataset import Dataset
from emodetect.emotions import EMOTIONS
from emodetect.errors import DataError, EmodetectError
from emodetect.machine.csv_files import csv_line, open_csv, printable

PREDICTIONS_FILE = "predictions.csv"
COLUMNS = ["path", "crop", "true", "predicted"]


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """A model's answers on labelled images.

    Attributes:
        emotions: the model's label order.
        labels: (n,) int64, the true positions in `emotions`.
        probabilities: (n, emotions) float32.
        paths: (n,) str.
        crops: (n,) str, which of the crops that the data set has of the path; see `Dataset.crops`.
    """

    emotions: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    paths: np.ndarray
    crops: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """(n,) int64, the most probable position of each image."""
        best: np.ndarray = np.argmax(self.probabilities, axis=1)
        return best

    @property
    def confidence(self) -> np.ndarray:
        """(n,) float32, the highest probability of each image."""
        highest: np.ndarray = np.max(self.probabilities, axis=1)
        return highest

    def worst_mistakes(self, count: int = 24) -> np.ndarray:
        """Return (at most count,) int64, the positions of the wrong answers, the surest first."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")][:count]


def image_keys(images: Predictions | Dataset) -> list[tuple[str, str]]:
    """Return what tells each image from the others of its data set: its path and crop.

    They are the same whichever model is judged, and whatever is left out.
    """
    return [
        (printable(path), crop)
        for path, crop in zip(images.paths.tolist(), images.crops.tolist(), strict=True)
    ]


def write_predictions(answers: Predictions, path: Path) -> None:
    """Write a row for each image: its path and crop, its emotions, all probabilities."""
    names = answers.emotions
    rows = zip(
        image_keys(answers), answers.labels, answers.predicted, answers.probabilities, strict=True
    )
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            file.write(csv_line([*COLUMNS, *names]) + "\n")
            for (image, crop), label, answer, probabilities in rows:
                # Nine digits hold any float32.
                row = [image, crop, names[label], names[answer]]
                file.write(csv_line([*row, *(f"{value:.9g}" for value in probabilities)]) + "\n")
    except OSError as error:
        raise EmodetectError(f"{path}: cannot be written: {error.strerror}.") from None


def read_predictions(path: Path) -> Predictions:
    """Read what `write_predictions` wrote. Raises DataError for a file of another kind."""
    with open_csv(path) as file:
        rows = list(csv.reader(file))
    emotions = tuple(rows[0][len(COLUMNS) :]) if rows else ()
    known = len(emotions) > 1 and set(emotions) <= set(EMOTIONS)
    if not known or rows[0][: len(COLUMNS)] != COLUMNS:
        raise DataError(f"{path}: expected predictions of evaluate; run evaluate again.")
    try:
        columns = list(zip(*rows[1:], strict=True))
        answers = Predictions(
            emotions=emotions,
            labels=np.array([emotions.index(name) for name in columns[2]]),
            probabilities=np.array(columns[len(COLUMNS) :], np.float32).T,
            paths=np.array(columns[0], object),
            crops=np.array(columns[1], object),
        )
        if len(set(image_keys(answers))) < len(answers.labels):
            raise ValueError
        # Not "< 0 or > 1", which NaN is not.
        if not ((answers.probabilities >= 0) & (answers.probabilities <= 1)).all():
            raise ValueError
        return answers
    except (ValueError, IndexError):
        raise DataError(
            f"{path}: holds no images, or rows that evaluate did not write; run evaluate again."
        ) from None


@dataclass(frozen=True, kw_only=True)
class ImagePredictions(Predictions):
    """A model's answers, and what it saw.

    Attributes:
        images: (n, size, size, channels) uint8.
    """

    images: np.ndarray
