"""Class folders of images, with or without train, val and test folders above them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from emodetect.config import DataConfig
from emodetect.data.labels import SPLIT_NAMES, emotion_of
from emodetect.data.listing import Listing, Sample
from emodetect.data.readers.listing_builder import ListingBuilder
from emodetect.emotions import EMOTIONS
from emodetect.errors import DataError
from emodetect.images.formats import (
    HIDDEN_FILE,
    OTHER_FILE,
    READ_FORMATS,
    has_image_suffix,
    is_junk,
    why_not_read,
)


def read_folder(config: DataConfig) -> Listing:
    """List class folders of images, with or without train, val and test folders above them."""
    root = config.data_path
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; data.path must be the folder of class folders.")
    return list_class_folders(
        root,
        config,
        emotion=lambda folder: emotion_of(folder.name, config.label_names, where=str(folder)),
    )


def list_class_folders(
    root: Path, config: DataConfig, *, emotion: Callable[[Path], str | None]
) -> Listing:
    """List the images in the class folders of `root`, or of the split folders in it.

    Args:
        emotion: returns the emotion of a class folder; None if it is left out, and counted.
    """
    splits = _split_folders(root)
    found = ListingBuilder(config)
    label_names: dict[str, str] = {}
    for top in {root, *splits}:
        for path in _direct_files(top):
            if has_image_suffix(path):
                found.left_out["image next to the class folders, not in one"] += 1
            elif (kind := why_not_read(path)) != OTHER_FILE:
                found.left_out[kind] += 1
    for top, split in splits.items():
        for folder in _folders(top):
            label = emotion(folder)
            names = _image_names(root, folder, found)
            if label is None:
                found.left_out[f"label that is not an emotion: {folder.name}"] += len(names)
                continue
            label_names[folder.name] = label
            if not found.wants(label, images=len(names)):
                continue
            if not names:
                raise DataError(
                    f"{folder}: the class folder contains no images "
                    f"({READ_FORMATS}); add some or remove the folder."
                )
            found.samples += [Sample(name, name, label, split) for name in names]
    if not found.samples and not config.classes:
        raise DataError(
            f"{root}: no class folder found; expected folders named after emotions "
            f"({', '.join(EMOTIONS)}), or train and test folders with such folders inside."
        )
    return found.listing(root, where=root, label_names=label_names)


def _split_folders(root: Path) -> dict[Path, str | None]:
    """Return the folders that contain class folders, and their splits; the root has none."""
    folders = _folders(root)
    splits: dict[Path, str | None] = {
        folder: SPLIT_NAMES[folder.name.lower()]
        for folder in folders
        if folder.name.lower() in SPLIT_NAMES
    }
    others = [folder for folder in folders if folder not in splits]
    if splits and others:
        raise DataError(
            f"{root}: expected either split folders ({', '.join(SPLIT_NAMES)}) or "
            f"class folders, found both: {others[0].name!r} is next to "
            f"{next(iter(splits)).name!r}. Move one of them away."
        )
    return splits or {root: None}


def _image_names(root: Path, folder: Path, found: ListingBuilder) -> list[str]:
    """Return the paths of a class folder's images below the root, and count other files."""
    closed = frozenset([os.path.realpath(root)])
    photos = photos_below(folder, closed, left_out=found.left_out)
    return [path.relative_to(root).as_posix() for path in photos]


def photos_below(
    folder: Path, closed: frozenset[str] = frozenset(), *, left_out: Counter[str] | None = None
) -> Iterator[Path]:
    """Yield the images below a folder as `files_below` does, and unreadable folders.

    Args:
        left_out: gets the number of all other files, by kind; see `why_not_read`.
    """
    for path in files_below(folder, closed, left_out=left_out):
        if is_photo(path):
            yield path
        elif left_out is not None:
            left_out[why_not_read(path)] += 1


def files_below(
    folder: Path, closed: frozenset[str] = frozenset(), *, left_out: Counter[str] | None = None
) -> Iterator[Path]:
    """Yield the files below a folder at any depth, sorted, without hidden ones.

    What `is_junk` names is left out too. Links are followed. A folder that cannot be read is
    yielded itself, so that it is reported as an unreadable file.

    Args:
        closed: real paths of folders that are not searched. The parents of a folder are added, so
            that a link to one of them does not lead to an endless search.
        left_out: gets the number of hidden files.
    """
    real = os.path.realpath(folder)
    if real in closed:
        return
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208  a million Paths take too much memory
    except OSError:
        yield folder
        return
    for name in names:
        path = folder / name
        is_folder = os.path.isdir(path)  # noqa: PTH112  Path.is_dir raises for some names
        if is_junk(name):
            continue
        if name.startswith("."):
            if left_out is not None:
                files = sum(len(names) for _, _, names in os.walk(path)) if is_folder else 1
                left_out[HIDDEN_FILE] += files
        elif is_folder:
            yield from files_below(path, closed | {real}, left_out=left_out)
        else:
            yield path


def is_photo(path: Path) -> bool:
    """Return whether a path of `files_below` is an image by its name, or an unreadable folder."""
    return has_image_suffix(path) or os.path.isdir(path)  # noqa: PTH112  as above


def _folders(parent: Path) -> list[Path]:
    return sorted(
        path
        for path in parent.iterdir()
        if path.is_dir() and not path.name.startswith(".") and not is_junk(path.name)
    )


def _direct_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.is_dir() and not is_junk(path.name)]
