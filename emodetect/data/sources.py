"""Readers: each lists the labelled images of one layout of data."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from emodetect.config import DataConfig
from emodetect.data.cache import cache_root, publish
from emodetect.data.synthetic import draw_dataset
from emodetect.emotions import EMOTIONS, canonical_emotion, in_canonical_order
from emodetect.errors import DataError
from emodetect.preprocessing import IMAGE_SUFFIXES, has_image_suffix

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Sample:
    """One labelled image file; `split` is None where the source does not say."""

    path: Path
    relative_path: str
    emotion: str
    split: str | None


@dataclass(frozen=True)
class Listing:
    """What a reader found, and how many files it left out for which reason."""

    samples: tuple[Sample, ...]
    emotions: tuple[str, ...]
    left_out: dict[str, int] = field(default_factory=dict)


def list_samples(config: DataConfig) -> Listing:
    """List the images of a data set with the reader of `config.source`.

    Raises DataError for a missing folder, a label nobody knows, or an empty class.
    """
    return READERS[config.source](config)


def read_folder(config: DataConfig) -> Listing:
    """List class folders of images, with or without train, val and test folders above them."""
    root = config.path
    assert root is not None  # the schema requires it for this source
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; data.path is the folder of the class folders.")
    split_folders = {
        folder: SPLIT_FOLDERS[folder.name.lower()]
        for folder in _folders(root)
        if folder.name.lower() in SPLIT_FOLDERS
    }
    others = [folder for folder in _folders(root) if folder not in split_folders]
    if split_folders and others:
        raise DataError(
            f"{root}: expected either split folders ({', '.join(SPLIT_FOLDERS)}) or "
            f"class folders, found both: {others[0].name!r} stands beside "
            f"{next(iter(split_folders)).name!r}. Move one of them away."
        )
    samples: list[Sample] = []
    left_out: Counter[str] = Counter()
    for top in {root, *split_folders}:
        beside = sum(map(has_image_suffix, _direct_files(top)))
        if beside:
            left_out["image beside the class folders, not in one"] += beside
    tops: dict[Path, str | None] = {**split_folders} if split_folders else {root: None}
    for top, split in tops.items():
        for folder in _folders(top):
            emotion = canonical_emotion(folder.name, where=str(folder))
            files = list(_files(folder))
            images = list(filter(has_image_suffix, files))
            if len(files) > len(images):
                left_out["not an image file (by its suffix)"] += len(files) - len(images)
            if config.classes and emotion not in config.classes:
                left_out[f"emotion outside data.classes: {emotion}"] += len(images)
                continue
            if not images:
                raise DataError(
                    f"{folder}: the class folder holds no image "
                    f"({', '.join(IMAGE_SUFFIXES)}); fill it or remove it."
                )
            samples += [
                Sample(path, path.relative_to(root).as_posix(), emotion, split) for path in images
            ]
    return _checked(samples, config, left_out, where=str(root))


def read_synthetic(config: DataConfig) -> Listing:
    """List drawn faces; they are drawn once into the cache folder."""
    drawn = config.synthetic
    emotions = config.classes or EMOTIONS
    key = f"v1 {drawn.train_per_class} {drawn.test_per_class} {drawn.size} {emotions}"
    name = "synthetic-" + hashlib.sha256(key.encode()).hexdigest()[:16]
    folder = cache_root(config.cache_dir) / name
    if not folder.is_dir():
        with publish(folder) as unfinished:
            draw_dataset(
                unfinished,
                counts={"train": drawn.train_per_class, "test": drawn.test_per_class},
                emotions=emotions,
                seed=0,
                size=drawn.size,
            )
    return read_folder(config.model_copy(update={"path": folder}))


READERS: dict[str, Callable[[DataConfig], Listing]] = {
    "folder": read_folder,
    "synthetic": read_synthetic,
}


def _checked(
    samples: list[Sample], config: DataConfig, left_out: Counter[str], *, where: str
) -> Listing:
    found = in_canonical_order(sample.emotion for sample in samples)
    emotions = config.classes or found
    missing = [emotion for emotion in emotions if emotion not in found]
    if missing:
        raise DataError(
            f"{where}: no images of {', '.join(missing)}, which data.classes asks for; "
            f"found {', '.join(found) or 'none'}."
        )
    if not samples:
        raise DataError(
            f"{where}: no class folder found; expected folders named after emotions "
            f"({', '.join(EMOTIONS)}), or train and test folders with such folders inside."
        )
    return Listing(tuple(samples), emotions, dict(left_out))


def _folders(parent: Path) -> list[Path]:
    return sorted(
        path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def _direct_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.is_dir()]


def _files(folder: Path) -> Iterator[Path]:
    # Not is_file(): a broken link must end as a file that cannot be read, not in silence.
    for path in sorted(folder.rglob("*")):
        if not path.is_dir() and not path.name.startswith("."):
            yield path
