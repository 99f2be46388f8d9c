"""Class folders of images, with or without train, val and test folders above them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from emodetect.config import DataConfig
from emodetect.data.labels import SPLIT_NAMES, emotion_of
from emodetect.data.listing import Listing, Sample
from emodetect.data.readers.listing_builder import ListingBuilder
from emodetect.emotions import EMOTIONS
from emodetect.errors import DataError
from emodetect.images.formats import IMAGE_SUFFIXES, has_image_suffix


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
        beside = sum(map(has_image_suffix, _direct_files(top)))
        found.left_out["image next to the class folders, not in one"] += beside
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
                    f"({', '.join(IMAGE_SUFFIXES)}); add some or remove the folder."
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
    names: list[str] = []
    for path in files_below(folder, frozenset([os.path.realpath(root)])):
        if is_photo(path):
            names.append(path.relative_to(root).as_posix())
        else:
            found.left_out["not an image file (by its suffix)"] += 1
    return names


def files_below(folder: Path, closed: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Yield the files below a folder at any depth, sorted, without hidden ones.

    Links are followed. A folder that cannot be read is yielded itself, so that it is reported as
    an unreadable file.

    Args:
        closed: real paths of folders that are not searched. The parents of a folder are added, so
            that a link to one of them does not lead to an endless search.
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
        if name.startswith("."):
            continue
        if os.path.isdir(path):  # noqa: PTH112  Path.is_dir raises for some names
            yield from files_below(path, closed | {real})
        else:
            yield path


def is_photo(path: Path) -> bool:
    """Return whether a path of `files_below` is an image by its name, or an unreadable folder."""
    return has_image_suffix(path) or os.path.isdir(path)  # noqa: PTH112  as above


def _folders(parent: Path) -> list[Path]:
    return sorted(
        path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def _direct_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.is_dir()]
