"""The face crops that an export is calibrated and compared on."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emodetect.data.named_data import find_data
from emodetect.data.synthetic import draw_face
from emodetect.emotions import EMOTIONS
from emodetect.errors import DataError, ImageError
from emodetect.evaluation.classify import labels_among
from emodetect.evaluation.labelled_images.image_selection import select_images
from emodetect.evaluation.labelled_images.labelled_data import load_labelled_data
from emodetect.images.reading import read_image
from emodetect.model_file.metadata import Metadata
from emodetect.number_format import quantity
from emodetect.recognition.photos.file_search import find_photos

logger = logging.getLogger(__name__)

DRAWN_FACES = 128
FEWEST_FACES = 20


@dataclass(frozen=True, kw_only=True)
class FaceCrops:
    """Face crops, sized and coloured for a model.

    Attributes:
        images: (n, size, size, channels) uint8.
        origin: where they come from, in words.
        labels: (n,) positions in the model's emotions; None if unknown.
        skipped: number of files that could not be read.
    """

    images: np.ndarray
    origin: str
    labels: np.ndarray | None = None
    skipped: int = 0


def drawn_faces(metadata: Metadata) -> FaceCrops:
    """Return drawn faces of a model's emotions; of all EMOTIONS for labels of one's own.

    Noise would not do: networks are so confident about it that differences disappear.
    """
    rng = np.random.default_rng(0)
    emotions = [name for name in metadata.emotions if name in EMOTIONS] or EMOTIONS
    drawn = [
        metadata.input_of(draw_face(emotions[number % len(emotions)], rng))
        for number in range(DRAWN_FACES)
    ]
    return FaceCrops(images=np.stack(drawn), origin="drawn faces")


def labelled_faces(
    source: str, split: str | None, metadata: Metadata, *, label_names: Mapping[str, str]
) -> FaceCrops:
    """Read labelled images from SOURCE:PATH, or PATH.

    Args:
        label_names: emotions of labels by other names.
        split: "train", "val", "test" or "all"; if None, the test split (that of the training, for
            the data that the model was trained on), or all images if there is none.

    Raises DataError as `load_labelled_data` and `select_images`.
    """
    data = find_data(source, option="--data")
    loaded = load_labelled_data(metadata, source=data, split=split, label_names=label_names)
    dataset = loaded.dataset
    members = select_images(dataset, loaded.split, known=metadata.emotions).members
    if unknown := len(dataset.indices(loaded.split)) - len(members):
        images = quantity(unknown, "image")
        logger.warning("%s: excluded %s of emotions that the model does not know", data, images)
    if loaded.seen(members):
        for line in loaded.caveats(members):
            logger.warning("%s: %s", data, line)
    return FaceCrops(
        images=dataset.images[members],
        origin=f"{data}, split {loaded.split}",
        labels=labels_among(metadata.emotions, dataset, members),
    )


def read_faces(folder: Path, metadata: Metadata, *, at_most: int) -> FaceCrops:
    """Read up to `at_most` face crops from a folder, at any depth; a random sample if it has more.

    Raises DataError for a folder with fewer than 20 readable images.
    """
    files = [photo.path for photo in find_photos([folder]) if photo and photo.path != folder]
    random.Random(0).shuffle(files)
    crops: list[np.ndarray] = []
    skipped = 0
    for file in files:
        if len(crops) == at_most:
            break
        try:
            crops.append(metadata.input_of(read_image(file)))
        except ImageError:
            skipped += 1
    if len(crops) < FEWEST_FACES:
        raise DataError(
            f"--representative {folder}: expected at least {FEWEST_FACES} images of faces, ideally "
            f"a few hundred, found {len(crops)} that can be read."
        )
    return FaceCrops(images=np.stack(crops), origin=str(folder), skipped=skipped)
