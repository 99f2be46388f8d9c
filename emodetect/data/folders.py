"""Class folders of images, with or without train, val and test folders above them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from emodetect.config import DataConfig
from emodetect.data.labels import SPLIT_NAMES, emotion_of, label_order
from emodetect.data.listing import Listing, Sample
from emodetect.emotions import EMOTIONS
from emodetect.errors import DataError
from emodetect.preprocessing import IMAGE_SUFFIXES, has_image_suffix


def read_folder(config: DataConfig) -> Listing:
    """List class folders of images, with or without train, val and test folders above them."""
    root = config.path
    assert root is not None  # the schema requires it for this source
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; data.path is the folder of the class folders.")
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
    for top in {root, *split_folders}:
        beside = sum(map(has_image_suffix, _direct_files(top)))
        if beside:
            left_out["image beside the class folders, not in one"] += beside
    tops: dict[Path, str | None] = {**split_folders} if split_folders else {root: None}
    for top, split in tops.items():
        for folder in _folders(top):
            emotion = emotion_of(folder.name, config.label_names, where=str(folder))
            files = list(files_below(folder))
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
            for path in images:
                name = path.relative_to(root).as_posix()
                samples.append(Sample(name, name, emotion, split))
    if not samples and not config.classes:
        raise DataError(
            f"{root}: no class folder found; expected folders named after emotions "
            f"({', '.join(EMOTIONS)}), or train and test folders with such folders inside."
        )
    emotions = label_order(samples, config, where=str(root))
    return Listing(root, tuple(samples), emotions, dict(left_out))


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder at any depth, sorted, without hidden ones."""
    # Not is_file(): a broken link must end as a file that cannot be read, not in silence.
    for path in sorted(folder.rglob("*")):
        if not path.is_dir() and not path.name.startswith("."):
            yield path


def _folders(parent: Path) -> list[Path]:
    return sorted(
        path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def _direct_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.is_dir()]
