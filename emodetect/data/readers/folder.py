"""Class folders of images, with or without train, val and test folders above them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from emodetect.config import DataConfig
from emodetect.data.labels import SPLIT_NAMES, emotion_of, label_order
from emodetect.data.listing import Listing, Sample
from emodetect.emotions import EMOTIONS
from emodetect.errors import DataError
from emodetect.images.formats import IMAGE_SUFFIXES, has_image_suffix


def read_folder(config: DataConfig) -> Listing:
    """List class folders of images, with or without train, val and test folders above them."""
    root = config.path
    assert root is not None  # the schema requires it for this source
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; data.path is the folder of the class folders.")
    return list_class_folders(
        root,
        config,
        emotion=lambda folder: emotion_of(folder.name, config.label_names, where=str(folder)),
    )


def list_class_folders(
    root: Path, config: DataConfig, *, emotion: Callable[[Path], str | None]
) -> Listing:
    """List the images of the class folders in `root`, or in the split folders there.

    Args:
        emotion: returns the emotion of a class folder; None leaves it out, counted.
    """
    split_folders = {
        folder: SPLIT_NAMES[folder.name.lower()]
        for folder in _folders(root)
        if folder.name.lower() in SPLIT_NAMES
    }
    others = [folder for folder in _folders(root) if folder not in split_folders]
    if split_folders and others:
        raise DataError(
            f"{root}: expected either split folders ({', '.join(SPLIT_NAMES)}) or "
            f"class folders, found both: {others[0].name!r} stands beside "
            f"{next(iter(split_folders)).name!r}. Move one of them away."
        )
    samples: list[Sample] = []
    left_out: Counter[str] = Counter()
    label_names: dict[str, str] = {}
    for top in {root, *split_folders}:
        beside = sum(map(has_image_suffix, _direct_files(top)))
        if beside:
            left_out["image beside the class folders, not in one"] += beside
    tops: dict[Path, str | None] = {**split_folders} if split_folders else {root: None}
    for top, split in tops.items():
        for folder in _folders(top):
            label = emotion(folder)
            names: list[str] = []
            others_below = 0
            for path in files_below(folder, frozenset([os.path.realpath(root)])):
                if is_photo(path):
                    names.append(path.relative_to(root).as_posix())
                else:
                    others_below += 1
            if others_below:
                left_out["not an image file (by its suffix)"] += others_below
            if label is None:
                left_out[f"label that is no emotion: {folder.name}"] += len(names)
                continue
            label_names[folder.name] = label
            if config.classes and label not in config.classes:
                left_out[f"emotion outside data.classes: {label}"] += len(names)
                continue
            if not names:
                raise DataError(
                    f"{folder}: the class folder holds no image "
                    f"({', '.join(IMAGE_SUFFIXES)}); fill it or remove it."
                )
            samples += [Sample(name, name, label, split) for name in names]
    if not samples and not config.classes:
        raise DataError(
            f"{root}: no class folder found; expected folders named after emotions "
            f"({', '.join(EMOTIONS)}), or train and test folders with such folders inside."
        )
    emotions = label_order(samples, config, where=str(root))
    return Listing(root, tuple(samples), emotions, dict(left_out), label_names=label_names)


def files_below(folder: Path, closed: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Yield the files below a folder at any depth, sorted, without hidden ones.

    Links are followed. A folder that may not be read comes itself, so that it ends as a file that
    cannot be read, not in silence.

    Args:
        closed: real paths of folders that are not searched. Those above a folder join them,
            so that a link that leads back up is no endless search.
    """
    real = os.path.realpath(folder)
    if real in closed:
        return
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208  Paths of a million files fill the memory
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
    """Tell whether a path of `files_below` is an image by its name, or a folder, which fails."""
    return has_image_suffix(path) or os.path.isdir(path)  # noqa: PTH112  as above


def _folders(parent: Path) -> list[Path]:
    return sorted(
        path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def _direct_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.is_dir()]
