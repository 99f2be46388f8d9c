"""Suspicious labels, with which a model disagrees: confident learning (Northcutt et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from emodetect.auditing.scan import Picture
from emodetect.config import DataConfig
from emodetect.data.cache.image_cache import pixel_hash
from emodetect.data.crops import read_crops
from emodetect.data.sketch import sketch_in
from emodetect.errors import EmodetectError, ImageError
from emodetect.evaluation.labelled_images.training_data import (
    was_trained_at,
    whole_training_data,
)
from emodetect.machine.computer import usable_cores
from emodetect.machine.progress import track
from emodetect.machine.threads import bounded_map
from emodetect.model_file.metadata import Metadata
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.runtimes.runtime import MAX_BATCH


@dataclass(frozen=True)
class ModelDoubts:
    """What a model says about n labels.

    Attributes:
        asked: (n,) bool, the images it classified: those that are readable and of an emotion it
            knows.
        unseen: (n,) bool, which of them it was not trained on, as far as is known.
        suggested: (n,) str, the emotion it is confident of, if that differs from the label; else
            empty.
        confidence: (n,) float32, the probability of the suggested emotion; else 0.
    """

    asked: np.ndarray
    unseen: np.ndarray
    suggested: np.ndarray
    confidence: np.ndarray


def ask_model(
    recognizer: EmotionRecognizer,
    pictures: Sequence[Picture],
    readable: np.ndarray,
    *,
    configs: Sequence[DataConfig],
    unseen: np.ndarray,
    stated: bool,
) -> ModelDoubts:
    """Find the labels that a model confidently disagrees with.

    Unseen images have their own thresholds, because a model is more confident on images it was
    trained on.

    Args:
        readable: (n,) bool.
        configs: of each source; they tell how faces are framed.
        unseen: (n,) bool; see `unseen_by`.
        stated: the user says so of all images.

    Raises EmodetectError for a statement that the model's sketch of its training contradicts.
    """
    emotions = np.array([picture.sample.emotion for picture in pictures], object)
    known = np.flatnonzero(readable & np.isin(emotions, recognizer.emotions))
    asked, probabilities, digests = _predictions(recognizer, pictures, known, configs)
    if _trained_on_some(recognizer.metadata, digests[unseen[asked]], stated=stated):
        unseen = np.zeros_like(unseen)
    labels = np.array([recognizer.emotions.index(emotions[row]) for row in asked], np.int64)
    count = len(pictures)
    doubts = ModelDoubts(
        asked=np.zeros(count, bool),
        unseen=np.zeros(count, bool),
        suggested=np.full(count, "", object),
        confidence=np.zeros(count, np.float32),
    )
    doubts.asked[asked] = True
    doubts.unseen[asked] = unseen[asked]
    for part in (unseen[asked], ~unseen[asked]):
        better = confident_labels(probabilities[part], labels[part])
        for row, label, scores in zip(asked[part], better, probabilities[part], strict=True):
            if label >= 0:
                doubts.suggested[row] = recognizer.emotions[label]
                doubts.confidence[row] = scores[label]
    return doubts


def confident_labels(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the class each image confidently belongs to if that is not its label, else -1.

    These are the off-diagonal entries of the confident joint of Northcutt, Jiang and Chuang (2021):
    an image belongs to a class if its probability reaches the mean probability of that class among
    the images labelled with it; if several classes qualify, to the most probable one.

    Args:
        probabilities: (n, classes) float32.
        labels: (n,) int64.

    Returns:
        (n,) int64.
    """
    # A class without images has no threshold, and no image is assigned to it.
    thresholds = np.full(probabilities.shape[1], np.inf)
    for label in np.unique(labels):
        thresholds[label] = probabilities[labels == label, label].mean()
    confident = np.where(probabilities >= thresholds, probabilities, -1)
    best = confident.argmax(axis=1)
    counted = confident.max(axis=1) >= 0
    better: np.ndarray = np.where(counted & (best != labels), best, -1)
    return better


def unseen_by(
    metadata: Metadata, pictures: Sequence[Picture], paths: Sequence[Path], *, stated: bool
) -> np.ndarray:
    """Return which images a model was not trained on, as far as is known: (n,) bool.

    Only those of a test split count as unseen, unless the user states that it has seen none.

    Args:
        paths: of the sources, to detect a false statement.

    Raises EmodetectError for a statement that contradicts the model's own config.
    """
    if not stated:
        return np.array([picture.sample.split == "test" for picture in pictures], bool)
    for path in paths:
        trained = path if was_trained_at(path, metadata) else whole_training_data(path, metadata)
        if trained:
            raise EmodetectError(
                f"--unseen: the model {metadata.name} was trained on {trained}; without --unseen, "
                "only images of the test split count as unseen."
            )
    return np.ones(len(pictures), bool)


def _trained_on_some(metadata: Metadata, digests: np.ndarray, *, stated: bool) -> bool:
    """Return whether a model was trained on more than a few of the images taken for unseen."""
    share = max(sketch_in(metadata, key).share_of(digests) for key in ("served", "trained"))
    if share and stated:
        raise EmodetectError(
            f"--unseen: about {share:.0%} of these images, by a sample, trained the model "
            f"{metadata.name}; without --unseen, only images of the test split count as unseen."
        )
    return share > 0


def _predictions(
    recognizer: EmotionRecognizer,
    pictures: Sequence[Picture],
    rows: np.ndarray,
    configs: Sequence[DataConfig],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the images with a crop, (m,) int64, their probabilities, and their pixels' hashes."""
    metadata = recognizer.metadata

    def prepare(row: int) -> np.ndarray | None:
        picture = pictures[row]
        try:
            crops = read_crops(picture.root, picture.sample, configs[picture.source])
        except ImageError:  # too small for any model; reported by the flag "tiny"
            return None
        if not crops:
            return None
        return metadata.input_of(crops[0])

    asked, hashes = [], []
    probabilities = [np.empty((0, len(recognizer.emotions)), np.float32)]
    with ThreadPoolExecutor(usable_cores()) as pool:
        inputs = bounded_map(pool, prepare, rows.tolist(), at_once=4 * MAX_BATCH)
        bar = track(inputs, description="classifying", total=len(rows))
        found = ((row, one) for row, one in zip(rows, bar, strict=True) if one is not None)
        while batch := list(islice(found, MAX_BATCH)):
            asked += [row for row, _ in batch]
            hashes += [pixel_hash(one) for _, one in batch]
            probabilities.append(recognizer.classify_inputs([one for _, one in batch]))
    return np.array(asked, np.int64), np.concatenate(probabilities), np.array(hashes, "S32")
