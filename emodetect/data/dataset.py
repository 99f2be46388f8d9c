"""A data set ready for use: decoded images, labels, splits, and what was left out."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

import numpy as np

from emodetect.config import DataConfig
from emodetect.data.cache import SkippedFile, load_images
from emodetect.data.sources import Listing, list_samples
from emodetect.data.splits import assign_splits
from emodetect.errors import DataError

logger = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Dataset:
    """Labelled face crops.

    Attributes:
        images: (n, size, size, channels) uint8, memory-mapped.
        labels: (n,) int64, positions in `emotions`.
        splits: (n,) str, "train", "val" or "test".
        paths: (n,) str, as the source names the files.
        emotions: the label order.
        carved: splits that the source does not have, taken out of its images by the seed.
        skipped: files that could not be decoded.
        left_out: how many files the reader left out, by reason.
        fingerprint: a hash of all pixels, labels and splits; paths and dates do not matter.
    """

    images: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    paths: np.ndarray
    emotions: tuple[str, ...]
    carved: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]
    left_out: dict[str, int]
    fingerprint: str

    def indices(self, split: str) -> np.ndarray:
        """Return the positions of a split's images; "all" means every image."""
        if split == "all":
            return np.arange(len(self.labels))
        return np.flatnonzero(self.splits == split)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of images of each emotion in each split."""
        return {
            split: {
                emotion: int(np.sum((self.splits == split) & (self.labels == label)))
                for label, emotion in enumerate(self.emotions)
            }
            for split in SPLITS
        }


def load_dataset(config: DataConfig, *, seed: int) -> Dataset:
    """List, decode (once: see cache.py) and split a data set to train on.

    Raises DataError for data that cannot be used; a file that cannot be decoded is skipped and
    named in the result, unless more than `max_unreadable_fraction` of all are so.
    """
    listing = list_samples(config)
    if len(listing.emotions) < 2:
        raise DataError(
            f"{config.path}: expected class folders of at least two emotions, "
            f"found {', '.join(listing.emotions) or 'none'}."
        )
    dataset = _decode(config, listing, seed=seed)
    for emotion, count in dataset.counts()["train"].items():
        if count == 0:
            raise DataError(
                f"no image of {emotion!r} is left to train on; add some, or leave the emotion "
                "out with data.classes."
            )
    return dataset


def load_for_evaluation(config: DataConfig) -> Dataset:
    """List and decode a data set without splitting it further than its source does.

    Images of a source without splits have the split "".
    """
    return _decode(config, list_samples(config), seed=None)


def _decode(config: DataConfig, listing: Listing, *, seed: int | None) -> Dataset:
    cached = load_images(
        [sample.path for sample in listing.samples],
        size=config.image_size,
        color=config.color,
        cache_dir=config.cache_dir,
    )
    total = len(listing.samples)
    if len(cached.skipped) > config.max_unreadable_fraction * total:
        first = cached.skipped[0]
        raise DataError(
            f"{len(cached.skipped)} of {total} images cannot be used, more than the "
            f"{config.max_unreadable_fraction:.0%} that data.max_unreadable_fraction allows. "
            f"The first: {first.path}: {first.reason}."
        )
    samples = [listing.samples[row] for row in cached.rows]
    position = {emotion: label for label, emotion in enumerate(listing.emotions)}
    labels = np.array([position[sample.emotion] for sample in samples], np.int64)
    given = [sample.split for sample in samples]
    if seed is None:
        splits = np.array([split or "" for split in given], "U5")
    else:
        splits = assign_splits(
            labels,
            cached.digests,
            given,
            validation_fraction=config.validation_fraction,
            test_fraction=config.test_fraction,
            seed=seed,
        )
    for file in cached.skipped:
        logger.warning("skipped %s: %s", file.path, file.reason)
    for reason, count in listing.left_out.items():
        logger.warning("left out %d files: %s", count, reason)
    return Dataset(
        images=cached.images,
        labels=labels,
        splits=splits,
        paths=np.array([sample.relative_path for sample in samples]),
        emotions=listing.emotions,
        carved=tuple(split for split in SPLITS if split in splits and split not in given),
        skipped=cached.skipped,
        left_out=listing.left_out,
        fingerprint=_fingerprint(cached.digests, [sample.emotion for sample in samples], splits),
    )


def _fingerprint(digests: np.ndarray, emotions: list[str], splits: np.ndarray) -> str:
    lines = sorted(map(" ".join, zip(digests, emotions, splits, strict=True)))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
