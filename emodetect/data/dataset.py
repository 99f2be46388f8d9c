"""A data set ready to use: decoded images, labels, splits, and what was left out."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from emodetect.config import DataConfig
from emodetect.data.cache.image_cache import ImageCache, StoredImages, load_images
from emodetect.data.listing import Listing, Sample, SkippedFile, known_group, skipped_lines
from emodetect.data.readers import registry
from emodetect.data.readers.manifest import missing_hint
from emodetect.data.readers.registry import list_samples
from emodetect.data.sketch import Sketch
from emodetect.data.splits import assign_splits, connect
from emodetect.errors import DataError
from emodetect.images.formats import count_in_words
from emodetect.number_format import quantity

logger = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
# Those of the lines about a data set.
DATA_LOGGERS = (__name__, registry.__name__)


@dataclass(frozen=True)
class Dataset:
    """Labelled face crops.

    Attributes:
        images: (n, size, size, channels) uint8, on disk.
        labels: (n,) int64, positions in `emotions`.
        targets: (n, emotions) float32, the probability of each emotion: 1 for the label, or the
            fraction of the votes.
        splits: (n,) str, "train", "val" or "test".
        root: the folder that relative paths start from.
        paths: (n,) str objects, the names of the images in the source.
        sides: (n,) int32, the longer side of each crop before resizing, in pixels.
        digests: (n,) bytes, a hash of each crop's pixels.
        traits: by column of data.slice_by, (n,) str objects each.
        groups: (n,) int64, the same number for images that are not independent, as they are of one
            person, photo or whatever data.group names, or identical to such an image.
        emotions: the label order.
        carved: splits that the source does not have, drawn from its images with the seed; "val"
            with data.fold, whatever the source has.
        skipped: images that could not be used.
        left_out: how many images were left out on purpose, by reason.
        fingerprint: a hash of all pixels, targets and splits, independent of paths, dates and
            order.
        order: a hash of the images' order.
        label_names: the emotion of each of the source's own labels.
        manifest_sha256: of the file `data.manifest` used for cleaning, or None.
        leaked: how many images of "val" and "test" are identical to a training image, if any are.
    """

    images: StoredImages
    labels: np.ndarray
    targets: np.ndarray
    splits: np.ndarray
    root: Path
    paths: np.ndarray
    sides: np.ndarray
    digests: np.ndarray
    traits: dict[str, np.ndarray]
    groups: np.ndarray
    emotions: tuple[str, ...]
    carved: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]
    left_out: dict[str, int]
    fingerprint: str
    order: str
    label_names: dict[str, str] = field(default_factory=dict)
    manifest_sha256: str | None = None
    leaked: dict[str, int] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """Return what identifies this data set: fingerprint, images, counts, cleaning."""
        identity: dict[str, Any] = {
            "fingerprint": self.fingerprint,
            "images": self.images_hash(),
            "drawn": {split: self.drawn_hashes(split) for split in self.carved},
            "counts": self.counts(),
        }
        if self.manifest_sha256 is not None:
            identity["manifest_sha256"] = self.manifest_sha256
        return identity

    def images_hash(self, splits: tuple[str, ...] = ()) -> str:
        """Return the hash of the images of some splits, or of all, whatever their labels."""
        chosen = np.isin(self.splits, splits) if splits else slice(None)
        return hash_of_images(self.digests[chosen])

    def sketch(self, splits: tuple[str, ...]) -> Sketch:
        """Return a sketch of the images of some splits."""
        return Sketch.of(self.digests[np.isin(self.splits, splits)])

    def drawn_hashes(self, split: str) -> dict[str, str]:
        """Return the hash of the images of a split, and of those that serve the training."""
        before = ("train", "val") if split == "test" else ("train",)
        return {"images": self.images_hash((split,)), "trained_on": self.images_hash(before)}

    def certain(self) -> np.ndarray:
        """Return (n, emotions) float32: 1 for each image's label, ignoring soft targets."""
        targets: np.ndarray = np.eye(len(self.emotions), dtype=np.float32)[self.labels]
        return targets

    @property
    def crops(self) -> np.ndarray:
        """(n,) str objects; see `number_crops`."""
        return number_crops(self.paths)

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

    def describe(self) -> list[str]:
        """Return lines that say how many images were used, left out and skipped, and why."""
        found = sorted(set(self.splits.tolist()), key=[*SPLITS, ""].index)
        parts = ", ".join(
            f"{int(np.sum(self.splits == split)):,} {split or 'without a split'}" for split in found
        )
        splits = parts if found != [""] else "no split given"
        lines = [f"{quantity(len(self.labels), 'image')} ({splits})"]
        lines += _left_out_lines(self.left_out)
        for split in self.carved:
            counts = self.counts()[split]
            if absent := [emotion for emotion, count in counts.items() if not count]:
                lines.append(f"the {split} split has no images of {', '.join(absent)}")
        return [*lines, *self.describe_leaks(), *skipped_lines(self.skipped)]

    def describe_leaks(self) -> list[str]:
        """Return a line for each split whose figures are too good because of training images."""
        return [
            f"{count:,} of {len(self.indices(split)):,} {split} images are identical to training "
            f"images, so figures on {split} are too good; `emodetect data audit` finds them, and "
            "with its manifest.csv as data.manifest they are not trained on"
            for split, count in self.leaked.items()
        ]


def hash_of_images(digests: np.ndarray) -> str:
    """Return the hash of images, (n,) hashes of their pixels, in whatever order."""
    return hashlib.sha256(np.sort(digests).tobytes()).hexdigest()


def number_crops(paths: np.ndarray) -> np.ndarray:
    """Return the number of each crop among those of its image: "2/3" is the second of three.

    Args:
        paths: (n,) str objects, of all crops of a data set.

    Returns:
        (n,) str objects.
    """
    total, seen = Counter(paths.tolist()), Counter[str]()
    numbers = []
    for path in paths.tolist():
        seen[path] += 1
        numbers.append(f"{seen[path]}/{total[path]}")
    return np.array(numbers, object)


def load_dataset(config: DataConfig, *, seed: int, folds: int = 0, retry: bool = True) -> Dataset:
    """List, decode (once, see cache.py) and split a data set for training.

    Files that cannot be decoded are skipped and listed in the result.

    Args:
        folds: into how many folds it must be possible to divide the data, too; 0 for none.
        retry: try again, see `load_images`, files that were skipped when the cache was made; not
            for a run that goes on.

    Raises DataError for data that cannot be used, or with more unreadable files than
    `max_unreadable_fraction` allows.
    """
    dataset = _load(config, seed=seed, folds=folds, retry=retry)
    weights = dataset.targets[dataset.indices("train")].sum(axis=0)
    for (emotion, count), weight in zip(dataset.counts()["train"].items(), weights, strict=True):
        if count == 0 or weight == 0:
            raise _none_left("image" if count == 0 else "weight", emotion)
    return dataset


def require_trainable(config: DataConfig, listing: Listing) -> None:
    """Raise DataError if the listed images are of fewer than two emotions, or one has none."""
    if len(listing.emotions) < 2:
        raise DataError(
            f"{config.path}: expected images of at least two emotions, "
            f"found {', '.join(listing.emotions) or 'none'}."
        )
    trained_on = {sample.emotion for sample in listing.samples if sample.split in (None, "train")}
    if not trained_on:
        raise DataError("no image is left to train on; give some the split train, or none.")
    for emotion in listing.emotions:
        if emotion not in trained_on:
            raise _none_left("image", emotion)


def _none_left(what: str, emotion: str) -> DataError:
    return DataError(
        f"no {what} of {emotion!r} is left to train on; add some, or exclude the emotion with "
        "data.classes."
    )


def load_for_evaluation(config: DataConfig) -> Dataset:
    """List and decode a data set for evaluation, with no other splits than its source gives.

    Images without a split have the split "".
    """
    return _load(config, seed=None)


def _load(config: DataConfig, *, seed: int | None, folds: int = 0, retry: bool = True) -> Dataset:
    listing = list_samples(config)
    if seed is not None:
        require_trainable(config, listing)
    told = _log_listing(config, listing)
    cached = load_images(listing.root, listing.samples, config, retry=retry)
    skipped = (*listing.skipped, *cached.skipped)
    _refuse_unusable(config, listing, cached, skipped)
    left_out = dict(listing.left_out)
    if cached.faceless:
        left_out["no face found"] = len(cached.faceless)
    emotions = listing.emotions
    samples = [listing.samples[row] for row in cached.rows]
    labels = np.array([emotions.index(sample.emotion) for sample in samples], np.int64)
    targets = _targets(samples, labels, listing, soft=config.soft_labels)
    columns = [
        [sample.groups[number] for sample in samples] for number in range(len(listing.groups))
    ]
    if seed is not None:
        _refuse_straddling(config, listing.groups, samples, columns)
    groups = _groups(config, columns, cached)
    root, label_names = listing.root, listing.label_names
    names = np.array([sample.name for sample in samples], object)
    traits = {
        column: np.array([sample.traits[number] for sample in samples], object)
        for number, column in enumerate(config.slice_by)
    }
    given = [sample.split for sample in samples]
    # No longer needed, and splitting takes memory too.
    del listing, samples, columns
    if seed is None:
        splits = np.array([split or "" for split in given], "U5")
    else:
        assign = partial(
            assign_splits,
            labels,
            # Half as long as in hexadecimal, with the same order.
            np.frombuffer(bytes.fromhex(cached.digests.tobytes().decode()), "S16"),
            given,
            validation_fraction=config.validation_fraction,
            test_fraction=config.test_fraction,
            seed=seed,
            groups=groups,
            names=names,
        )
        try:
            splits = assign(fold=config.fold)
            if folds:
                assign(fold=(1, folds))  # fails if any of them is impossible
        except DataError:
            for line in skipped_lines(skipped):  # those may be what is too few
                logger.warning(line)
            raise
    manifest = None if config.manifest is None else config.manifest.read_bytes()
    kept = {*given} - {"val"} if seed is not None and config.fold else {*given}
    dataset = Dataset(
        images=cached.images,
        labels=labels,
        targets=targets,
        splits=splits,
        root=root,
        paths=names,
        sides=cached.sides,
        digests=cached.digests,
        traits=traits,
        groups=np.arange(len(labels)) if groups is None else groups,
        emotions=emotions,
        carved=tuple(split for split in SPLITS if split in splits and split not in kept),
        skipped=skipped,
        left_out=left_out,
        fingerprint=_fingerprint(cached.digests, emotions, labels, targets, splits, config),
        order=hashlib.sha256(cached.digests.tobytes()).hexdigest(),
        label_names=label_names,
        manifest_sha256=None if manifest is None else hashlib.sha256(manifest).hexdigest(),
        leaked={} if seed is None else leaked_images(cached.digests, splits),
    )
    for line in dataset.describe():
        if line not in told:
            logger.info(line)
    return dataset


def place_of(path: Path) -> str:
    """Return a hash of where data is: of the machine and the real path, neither of which it tells.

    A path in a config may be relative to a folder that is no longer the current one.
    """
    place = f"{platform.node()}:{os.path.realpath(path)}"
    return hashlib.sha256(os.fsencode(place)).hexdigest()


def leaked_images(
    digests: np.ndarray, splits: np.ndarray, trained_on: np.ndarray | None = None
) -> dict[str, int]:
    """Return how many images of "val" and "test" are identical to a training image, without zeros.

    Args:
        digests: (n,) hash of each image's pixels.
        splits: (n,) "train", "val", "test" or "".
        trained_on: the hashes of the training images, if they are not those of the split.
    """
    if trained_on is None:
        trained_on = digests[splits == "train"]
    counts = {
        split: int(np.isin(digests[splits == split], trained_on).sum()) for split in SPLITS[1:]
    }
    return {split: count for split, count in counts.items() if count}


def _log_listing(config: DataConfig, listing: Listing) -> list[str]:
    """Log what the source gave, before anything can end in an error; return the lines."""
    suffixes = Counter(PurePath(sample.file).suffix.lower() for sample in listing.samples)
    kinds = f" ({count_in_words(suffixes)})" if len(suffixes) > 1 else ""
    lines = [
        f"{config.path or config.source}: {len(listing.samples):,} images found{kinds}",
        *_left_out_lines(listing.left_out),
    ]
    for line in lines:
        logger.info(line)
    return lines


def _left_out_lines(left_out: dict[str, int]) -> list[str]:
    return [f"left out {count:,}: {reason}" for reason, count in left_out.items()]


def _refuse_unusable(
    config: DataConfig, listing: Listing, cached: ImageCache, skipped: tuple[SkippedFile, ...]
) -> None:
    """Raise DataError if too many images cannot be used, or if none has a face."""
    total = len(listing.samples) + len(listing.skipped)
    if len(skipped) > config.max_unreadable_fraction * total:
        missing = {file.path for file in skipped if "no such file" in file.reason}
        hint = ""
        if len(missing) > total / 2:
            hint = " Were the files moved? Paths in a CSV file are relative to its folder."
            if config.source == "manifest":
                names = [
                    sample.name
                    for sample in listing.samples
                    if str(listing.root / sample.file) in missing
                ]
                hint += f" {missing_hint(config.data_path, names)}"
        raise DataError(
            f"{len(skipped)} of {total} images cannot be used, more than the "
            f"{config.max_unreadable_fraction:.0%} that data.max_unreadable_fraction allows. "
            f"The first: {skipped[0]}.{hint}"
        )
    if not len(cached.rows):
        raise DataError(f"{config.path}: no face found in any of the {total} images.")


def _targets(
    samples: list[Sample], labels: np.ndarray, listing: Listing, *, soft: bool
) -> np.ndarray:
    if not soft:
        certain: np.ndarray = np.eye(len(listing.emotions), dtype=np.float32)[labels]
        return certain
    columns = [listing.voted.index(emotion) for emotion in listing.emotions]
    # In double precision, because the weights of a manifest may be of any size.
    votes = np.array([sample.votes for sample in samples], np.float64)[:, columns]
    largest = votes.max(axis=1, keepdims=True)
    outvoted = np.count_nonzero(votes[np.arange(len(votes)), labels] < largest[:, 0])
    if outvoted:
        logger.info(
            "soft labels: in %s of %s images another emotion has more weight than the label",
            f"{outvoted:,}",
            f"{len(votes):,}",
        )
    shares: np.ndarray = votes / largest / (votes / largest).sum(axis=1, keepdims=True)
    return shares.astype(np.float32)


def _groups(config: DataConfig, columns: list[list[str]], cached: ImageCache) -> np.ndarray | None:
    """Return group numbers of crops that must stay in one split; None if identity is enough.

    Args:
        columns: of the crops, such as the person of each.
    """
    if not columns and config.faces_per_image == "largest":
        return None
    return group_images(columns, [str(row) for row in cached.rows], cached.digests)


def group_images(
    columns: Sequence[Sequence[str] | np.ndarray],
    photos: Sequence[str] | np.ndarray,
    digests: np.ndarray,
) -> np.ndarray:
    """Number images so that those of one photo, identical ones, and those alike in a column match.

    Args:
        columns: of n values each, such as the person of each image; "" or NaN if not known.
        photos: (n,) the photo of each image.
        digests: (n,) bytes, a hash of each image's pixels.

    Returns:
        (n,) int64.
    """
    known = [[known_group(value) for value in column] for column in columns]
    return connect([*known, photos, digests.astype(str)]).astype(np.int64)


def _refuse_straddling(
    config: DataConfig, names: tuple[str, ...], samples: list[Sample], columns: list[list[str]]
) -> None:
    for name, column in zip(names, columns, strict=True):
        split_of: dict[str, str | None] = {}
        for sample, value in zip(samples, column, strict=True):
            if value and sample.split and split_of.setdefault(value, sample.split) != sample.split:
                raise DataError(
                    f"{config.path}: {name} {value!r} has images in {split_of[value]} and in "
                    f"{sample.split}; a group must stay in one split. Move them, or remove the "
                    f"{'split column' if config.group else 'split folders'} to draw the splits."
                )


def _fingerprint(
    digests: np.ndarray,
    emotions: tuple[str, ...],
    labels: np.ndarray,
    targets: np.ndarray,
    splits: np.ndarray,
    config: DataConfig,
) -> str:
    names = [emotions[label] for label in labels]
    if config.soft_labels:
        shares = np.round(targets, 4).tolist()
        names = [f"{name} {row}" for name, row in zip(names, shares, strict=True)]
    # Encoded and hashed line by line, because there may be a million.
    lines = [
        f"{digest.decode()} {name} {split}".encode()
        for digest, name, split in zip(digests, names, splits, strict=True)
    ]
    lines.sort()
    fingerprint = hashlib.sha256()
    for number, line in enumerate(lines):
        fingerprint.update(b"\n" + line if number else line)
    return fingerprint.hexdigest()
