"""AffectNet's manual labels (Mollahosseini et al. 2017): eight emotions, numbered 0 to 7."""

from __future__ import annotations

import io
import os
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path, PurePosixPath

import numpy as np

from emodetect.config import DataConfig
from emodetect.data.labels import AFFECTNET_EMOTIONS, folder_emotion, split_named
from emodetect.data.listing import Listing, Sample
from emodetect.data.readers.folder import list_class_folders
from emodetect.data.readers.listing_builder import ListingBuilder
from emodetect.errors import DataError
from emodetect.faces.boxes import Box
from emodetect.images.folders import levels_from, nested_folder, photos_below, subfolders
from emodetect.machine.csv_files import csv_rows, open_csv, spelt_as
from emodetect.machine.progress import track

# Labels that are not emotions.
OTHER_LABELS = {"8": "none", "9": "uncertain", "10": "no face"}
LISTS = {"training.csv": "train", "validation.csv": "val"}
LIST_FOLDERS = (
    ".",
    "Manually_Annotated_file_lists",
    "Manually_Annotated/Manually_Annotated_file_lists",
)
IMAGE_FOLDERS = (
    "Manually_Annotated_Images",
    "Manually_Annotated/Manually_Annotated_Images",
    "Manually_Annotated_compressed/Manually_Annotated_Images",
    ".",
)
COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
# What numpy raises for other content; SystemError for text that is not Unicode.
UNREADABLE = (
    ValueError,
    TypeError,
    SyntaxError,
    SystemError,
    MemoryError,
    RecursionError,
    OverflowError,
    tokenize.TokenError,
)
# An annotation is one number after numpy's header of 128 bytes.
LONGEST_ANNOTATION = 4096


def read_affectnet(config: DataConfig) -> Listing:
    """List AffectNet's faces, in any of the forms in which it is distributed.

    These are `training.csv` and `validation.csv` with the images in `Manually_Annotated_Images`,
    from which each face's box is cut out (unless `data.faces` is "detect"); `train_set` and
    `val_set` with `images/1.jpg` and `annotations/1_exp.npy`; and class folders, numbered or named,
    with or without splits. The labels none, uncertain and no face are left out. The second face
    listed for a photo is named "29a3.jpg#2".

    The published validation images are the test split, because the data set's own test images are
    not published; if there is a test split as well, they are validation.
    """
    root = config.data_path
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; data.path must be the AffectNet folder.")
    published = affectnet_folder(levels_from(root))
    if published and (lists := _lists(published)):
        listing = _read_lists(published, lists, config)
    elif published:
        listing = _read_annotations(published, _annotated_sets(published), config)
    else:
        _refuse_unlisted(root)
        listing = list_class_folders(root, config, emotion=_emotion_of_folder)
    if any(sample.split == "test" for sample in listing.samples):
        return listing
    return replace(
        listing,
        samples=tuple(
            replace(sample, split="test") if sample.split == "val" else sample
            for sample in listing.samples
        ),
    )


def affectnet_folder(levels: Iterable[Sequence[Path]]) -> Path | None:
    """Return the nearest folder with AffectNet's lists or annotations, or None."""
    return nested_folder(levels, _is_published)


def _is_published(folder: Path) -> bool:
    # Not the folder of the lists itself, whose photos are elsewhere.
    lists = not folder.name.casefold().endswith("_file_lists") and _lists(folder)
    return bool(lists or _annotated_sets(folder))


def _refuse_unlisted(root: Path) -> None:
    """Raise DataError for the folder of AffectNet's photos: its numbered folders are no classes."""
    names = {PurePosixPath(folder).name.casefold() for folder in IMAGE_FOLDERS} - {""}
    if photos := nested_folder(levels_from(root), lambda one: one.name.casefold() in names):
        raise DataError(
            f"{photos}: the photos of AffectNet, without its lists ({' and '.join(LISTS)}); put "
            "these into the folder above, or into Manually_Annotated_file_lists there."
        )


def _emotion_of_folder(folder: Path) -> str | None:
    label = folder.name.strip().lower().replace("-", " ").replace("_", " ")
    if label in OTHER_LABELS or label in OTHER_LABELS.values():
        return None
    return folder_emotion(
        folder,
        numbers=AFFECTNET_EMOTIONS,
        layout="training.csv, train_set/annotations, or class folders named 0 to 10 or after "
        "emotions",
    )


def _emotion_of_number(number: str, found: ListingBuilder) -> str | None:
    """Return the emotion of a number; None if its image is left out, and counted.

    Raises ValueError for other text.
    """
    if number in OTHER_LABELS:
        found.left_out[f"label that is not an emotion: {OTHER_LABELS[number]}"] += 1
        return None
    if number not in AFFECTNET_EMOTIONS:
        raise ValueError(f"expected an expression from 0 to 10, got {number[:100]!r}")
    emotion = AFFECTNET_EMOTIONS[number]
    return emotion if found.wants(emotion) else None


# --- lists of images


def _lists(root: Path) -> dict[Path, str]:
    """Return the lists in the first folder that has any, and their splits."""
    for folder in LIST_FOLDERS:
        places = {root / folder / name: split for name, split in LISTS.items()}
        if there := {path: split for path, split in places.items() if path.is_file()}:
            return there
    return {}


def _read_lists(root: Path, lists: Mapping[Path, str], config: DataConfig) -> Listing:
    images = next(folder for folder in IMAGE_FOLDERS if (root / folder).is_dir())
    found = ListingBuilder(config)
    faces: Counter[str] = Counter()
    for path, split in lists.items():
        for line, row in _rows(path):
            try:
                photo = _relative(row["subDirectory_filePath"])
                # Counted before any is left out, so that names do not depend on the config.
                faces[photo] += 1
                emotion = _emotion_of_number(row["expression"].strip(), found)
                if emotion is None:
                    continue
                box = _box(row)
            except ValueError as error:
                found.skip(f"{path.name}:{line}", error)
                continue
            name = photo if faces[photo] == 1 else f"{photo}#{faces[photo]}"
            file = (PurePosixPath(images) / photo).as_posix()
            # If faces are detected, the whole photo is read.
            cut = None if config.faces == "detect" else box
            found.samples.append(Sample(name, file, emotion, split, box=cut))
    if config.faces == "detect":  # whose labels these are is not known then
        several = {
            (PurePosixPath(images) / photo).as_posix() for photo in faces if faces[photo] > 1
        }
        kept = [sample for sample in found.samples if sample.file not in several]
        if more := len(found.samples) - len(kept):
            found.left_out["one of several labelled faces in a photo"] += more
        found.samples = kept
    return found.listing(root, where=root, label_names=AFFECTNET_EMOTIONS)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number and the values of each line; a header is optional."""
    with open_csv(path) as file:
        rows = csv_rows(file, COLUMNS)
        first: list[str] = next(rows, [])
        columns = spelt_as(first, COLUMNS)
        if COLUMNS[0] not in columns:  # a list without a header
            columns = list(COLUMNS)
        else:
            if missing := [name for name in COLUMNS[:7] if name not in columns]:
                raise DataError(f"{path}: expected the columns {', '.join(missing)} as well.")
            first = []
        for values in chain([first], rows):
            if any(values):
                if len(values) != len(columns):
                    raise DataError(
                        f"{path}, line {rows.line_num}: expected {len(columns)} values "
                        f"({', '.join(columns)}), got {len(values)}."
                    )
                yield rows.line_num, dict(zip(columns, values, strict=True))


def _relative(name: str) -> str:
    path = PurePosixPath(name.strip().replace("\\", "/"))  # lists are also made on Windows
    has_drive = name.strip()[1:2] == ":"
    if not path.name or path.is_absolute() or has_drive or ".." in path.parts or "\0" in name:
        raise ValueError(f"expected a path below the folder of the images, got {name[:100]!r}")
    return path.as_posix()


def _box(row: Mapping[str, str]) -> Box:
    texts = [row[name].strip() for name in COLUMNS[1:5]]
    try:
        x, y, width, height = (round(float(text)) for text in texts)
    except (ValueError, OverflowError):  # not a number, or infinite
        raise ValueError(f"expected a face box in pixels, got {', '.join(texts)}") from None
    if width < 1 or height < 1:
        raise ValueError(f"expected a face box with an area, got {', '.join(texts)}")
    return x, y, width, height


# --- one annotation a file


def has_annotations(folder: Path) -> bool:
    """Return whether a folder has a folder of annotations; False for one that cannot be read."""
    return os.path.isdir(folder / "annotations")


def _annotated_sets(root: Path) -> dict[Path, str]:
    """Return the folders with annotations, such as `val_set`, and their splits."""
    return {
        folder: split
        for folder in sorted(subfolders(root))
        if has_annotations(folder) and (split := split_named(folder.name))
    }


def _read_annotations(root: Path, sets: Mapping[Path, str], config: DataConfig) -> Listing:
    found = ListingBuilder(config)
    for folder, split in sets.items():
        if not (folder / "images").is_dir():
            raise DataError(f"{folder}: expected a folder named images next to annotations.")
        images = list(photos_below(folder / "images", left_out=found.left_out))
        labels = {path.name for path in (folder / "annotations").glob("*_exp.npy")}
        for image in track(images, description="reading labels", total=len(images)):
            label = f"{image.stem}_exp.npy"
            if label not in labels:
                found.left_out["image without an annotation"] += 1
                continue
            labels.remove(label)
            path = folder / "annotations" / label
            try:
                emotion = _emotion_of_number(_annotation(path), found)
            except ValueError as error:
                found.skip(str(path), error)
                continue
            if emotion is not None:
                name = image.relative_to(root).as_posix()
                found.samples.append(Sample(name, name, emotion, split))
        found.left_out["annotation without an image"] += len(labels)
    return found.listing(root, where=root, label_names=AFFECTNET_EMOTIONS)


def _annotation(path: Path) -> str:
    """Return the one value of a .npy file as text. Raises ValueError for any other file."""
    try:
        with path.open("rb") as file:
            content = io.BytesIO(file.read(LONGEST_ANNOTATION))
        # Never pickled objects, which may contain code.
        value = np.lib.format.read_array(content, allow_pickle=False).item()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UNREADABLE:
        raise ValueError("expected a .npy file with one number, got other content") from None
    # Some are stored as text.
    return str(value).strip().removesuffix(".0")
