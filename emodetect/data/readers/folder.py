"""Class folders of images, with or without train, val and test folders above them."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emodetect.config import DataConfig
from emodetect.data.labels import (
    PUBLIC_TEST,
    SPLIT_NAMES,
    UnknownLabelError,
    all_unknown,
    emotion_of,
    public_test_split,
    split_named,
)
from emodetect.data.listing import Listing, Sample
from emodetect.data.readers.listing_builder import ListingBuilder
from emodetect.emotions import EMOTIONS, canonical_emotion
from emodetect.errors import DataError
from emodetect.images.folders import (
    LISTED_AT_MOST,
    direct_files,
    has_direct_photos,
    levels_below,
    photos_below,
    several_folders,
)
from emodetect.images.formats import (
    OTHER_FILE,
    READ_FORMATS,
    has_image_suffix,
    is_junk,
    why_not_read,
)

# Enough for any download, and few enough that a search of a whole disk ends soon.
SEARCHED_AT_MOST = 10_000
# What links have that lead to themselves, through a file, or to no possible name.
LEADS_NOWHERE = (errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG)


def read_folder(config: DataConfig) -> Listing:
    """List class folders of images, with or without train, val and test folders above them.

    The folders may be anywhere below `data.path`, as downloads nest them, if they are one data set.
    """
    root = config.data_path
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; data.path must be the folder of class folders.")
    return list_class_folders(
        root,
        config,
        emotion=lambda folder: emotion_of(folder.name, config, where=str(folder)),
        is_class=None if config.labels == "emotions" else has_direct_photos,
    )


def list_class_folders(
    root: Path,
    config: DataConfig,
    *,
    emotion: Callable[[Path], str | None],
    is_class: Callable[[Path], bool] | None = None,
) -> Listing:
    """List the images in the class folders of the data set at or below `root`.

    Args:
        emotion: returns the emotion of a class folder; None if it is left out, and counted.
            Raises DataError for other folders.
        is_class: returns whether a folder shows that those beside it are class folders; by
            default, those of which `emotion` returns something.

    Raises:
        DataError: if no class folders are found, those of several data sets, or folders of
            unknown names among them.
    """
    found = ListingBuilder(config)

    def has_emotion(folder: Path) -> bool:
        try:
            emotion(folder)
        except DataError:
            return False
        return True

    places, above = _search(root, is_class or has_emotion)
    hint = " A class folder of your own labels has images directly in it." if is_class else ""
    top = _only_top(root, places, hint)
    if any(place.folder.parent != root for place in places if place.folder != root):
        taken = (f"{place.folder}{f' ({place.split})' * bool(place.split)}" for place in places)
        found.notes.append(f"{root}: using the class folders in {', '.join(taken)}")
    label_names: dict[str, str] = {}
    _count_files_beside(above, found)
    labelled = _labelled(root, places, emotion, found, by_images=bool(is_class))
    # Of labels of one's own, a folder "happy" in "female" may well be meant.
    classes = {} if is_class else {name: name for name in EMOTIONS}
    classes |= {name.casefold(): label for name, label in config.label_names.items()}
    classes |= {folder.name.casefold(): label for folder, label, _ in labelled if label}
    for folder, label, split in labelled:
        names = _image_names(top, folder, found)
        if label is None:
            found.left_out[f"label that is not an emotion: {folder.name}"] += len(names)
            continue
        start = len(f"{folder.relative_to(top).as_posix()}/")
        inner = {name.rpartition("/")[0][start:] for name in names} - {""}
        _refuse_nested(folder, label, inner, classes)
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
            f"{root}: no class folder found; expected folders "
            + (f"named after emotions ({', '.join(EMOTIONS)})" if is_class is None else "of images")
            + ", or train and test folders with such folders inside."
        )
    return found.listing(top, where=root, label_names=label_names)


def _labelled(
    root: Path,
    places: Sequence[_Place],
    emotion: Callable[[Path], str | None],
    found: ListingBuilder,
    *,
    by_images: bool,
) -> list[tuple[Path, str | None, str | None]]:
    """Return the class folders, their emotions and splits; note the folders without images.

    Args:
        by_images: a class folder is told by its images, whatever `emotion` returns.

    Raises DataError for folders of images whose names `emotion` does not know.
    """
    labelled: list[tuple[Path, str | None, str | None]] = []
    ignored: list[Path] = []
    unknown: dict[str, DataError] = {}
    for place in places:
        for folder in _folders(place.folder):
            # Such as code. A label of one's own is told by its images alone.
            if by_images and not _has_photos(folder):
                ignored.append(folder)
                continue
            try:
                labelled.append((folder, emotion(folder), place.split))
            except DataError as error:
                if _has_photos(folder):
                    unknown.setdefault(folder.name, error)
                else:
                    ignored.append(folder)
    if unknown:
        labels = [one for one in unknown.values() if isinstance(one, UnknownLabelError)]
        refused = all_unknown(labels) if labels else next(iter(unknown.values()))
        refused.args = (f"{refused} Move away folders that are not classes.",)
        raise refused
    if ignored:
        named = ", ".join(folder.name for folder in ignored[:LISTED_AT_MOST])
        more = len(ignored) - LISTED_AT_MOST
        found.notes.append(
            f"{root}: ignored folders without images: {named}"
            f"{f' and {more:,} more' if more > 0 else ''}"
        )
    return labelled


def _refuse_nested(
    folder: Path, label: str, places: Collection[str], classes: Mapping[str, str]
) -> None:
    """Raise DataError for images of a class folder in an inner folder named after another class.

    They would get the label of the outer folder, and those of a split folder would lose their
    split.

    Args:
        places: the folders of the images, below `folder`.
        classes: the labels by the names of their folders, in lower case.
    """
    for place in sorted(places):
        inner = folder
        for part in place.split("/"):
            inner /= part
            other = classes.get(part.casefold(), label)
            if other != label and not part.isdecimal():  # a number may be that of a person
                raise DataError(
                    f"{inner}: its images would count as {label}, as all in {folder}. If they are "
                    f"{other}, move the folder next to {folder.name!r}; if not, rename it."
                )
            # Val and Dev may be people, whose images have folders of their own.
            if (split := split_named(part)) and part.casefold() not in ("val", "dev"):
                raise DataError(
                    f"{inner}: the class folders must be in the split folders, not the split "
                    f"folders in the class folders; expected {split}/{folder.name}."
                )


def _count_files_beside(folders: Sequence[Path], found: ListingBuilder) -> None:
    """Count the images and videos that lie next to the class folders, which nothing reads."""
    for folder in folders:
        for path in direct_files(folder):
            if has_image_suffix(path):
                found.left_out["image next to the class folders, not in one"] += 1
            elif (kind := why_not_read(path)) != OTHER_FILE:
                found.left_out[kind] += 1


@dataclass(frozen=True)
class _Place:
    """A folder of class folders.

    Attributes:
        top: the folder of the data set, which contains the split folders if there are any.
        split: None if no folder of the data set names one.
    """

    folder: Path
    top: Path
    split: str | None


def _search(root: Path, is_class: Callable[[Path], bool]) -> tuple[list[_Place], list[Path]]:
    """Return the folders of class folders at or below `root`, and all folders above the classes.

    A place where class folders were expected is returned, too, so that its folders are named in
    the error: a split folder, or `root` if no others were found.
    """
    places: list[_Place] = []
    in_splits: list[_Place] = []
    above: list[Path] = []
    seen: set[str] = set()
    queue = deque([_Place(root, root, None)])
    while queue:
        place = queue.popleft()
        real = os.path.realpath(place.folder)
        if real in seen:  # a link to a folder above
            continue
        seen.add(real)
        if len(seen) > SEARCHED_AT_MOST:
            raise DataError(
                f"{root}: no data set found in the first {SEARCHED_AT_MOST:,} folders; data.path "
                "must be the folder with train and test, or with the class folders."
            )
        above.append(place.folder)
        folders = _folders(place.folder)
        splits = _splits(folders)
        others = [folder for folder in folders if folder not in splits]
        has_classes = any(map(is_class, others))
        if splits:
            _refuse_others(place.folder, next(iter(splits)), others, is_class)
        if has_classes:
            places.append(place)
            continue
        for folder, split in splits.items():
            # Of nested splits, as in training/val, the inner one counts.
            top = place.folder if place.split is None else place.top
            in_splits.append(_Place(folder, top, split))
            queue.append(in_splits[-1])
        for folder in others:
            top = folder if place.split is None else place.top
            queue.append(_Place(folder, top, place.split))
    # Unknown names below a split, whose images would be lost.
    known = {folder for place in (*places, *in_splits) for folder in place.folder.parents}
    known |= {place.folder for place in places}
    places += [
        place
        for place in in_splits
        if place.folder not in known and any(map(_has_photos, _folders(place.folder)))
    ]
    return places or in_splits[:1] or [_Place(root, root, None)], above


def _splits(folders: Sequence[Path]) -> dict[Path, str]:
    """Return the split of each of the folders side by side that is named after one."""
    splits = {folder: split for folder in folders if (split := split_named(folder.name))}
    public = public_test_split(splits.values())
    return {folder: public if split == PUBLIC_TEST else split for folder, split in splits.items()}


def _refuse_others(
    parent: Path, split: Path, others: Sequence[Path], is_class: Callable[[Path], bool]
) -> None:
    """Raise DataError for a class folder, or another folder of images, beside a split folder."""
    names = ", ".join(SPLIT_NAMES)
    for folder in others:
        if is_class(folder):
            raise DataError(
                f"{parent}: expected either split folders ({names}) or class folders, found both: "
                f"{folder.name!r} is next to {split.name!r}. Move one of them away."
            )
    for folder in others:
        photo = next(photos_below(folder), None)
        if photo is not None and photo.is_dir():
            raise DataError(
                f"{photo}: the folder cannot be read, and it is next to {split.name!r} or in a "
                "folder that is. Make it readable, or move it away."
            )
        if photo is not None:
            raise DataError(
                f"{parent}: {folder.name!r} contains images next to {split.name!r}, but is not the "
                f"name of a split ({names}). Rename it, or move it away."
            )


def _only_top(root: Path, places: Sequence[_Place], hint: str) -> Path:
    """Return the folder of the data set.

    Raises DataError, which ends with the hint, if the places are not one data set."""
    tops = list(dict.fromkeys(place.top for place in places))
    splits = [place.split for place in places]
    if len(tops) == 1 and len(splits) == len(set(splits)):
        return tops[0]
    raise several_folders(root, tops if len(tops) > 1 else [place.folder for place in places], hint)


def _has_photos(folder: Path) -> bool:
    return next(photos_below(folder), None) is not None


def has_class_folders(root: Path) -> bool:
    """Return whether folders named after emotions are below a folder, nested as in downloads."""
    return any(is_emotion(folder.name) for level in levels_below(root) for folder in level)


def is_emotion(label: str) -> bool:
    """Return whether a label is the name of an emotion, or an alias."""
    try:
        canonical_emotion(label)
    except DataError:
        return False
    return True


def _image_names(root: Path, folder: Path, found: ListingBuilder) -> list[str]:
    """Return the paths of a class folder's images below the root, and count other files."""
    closed = frozenset([os.path.realpath(root)])
    photos = photos_below(folder, closed, left_out=found.left_out)
    return [path.relative_to(root).as_posix() for path in photos]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno in LEADS_NOWHERE:
            return False
        raise DataError(
            f"{entry.path}: the folder that it leads to cannot be read: {error.strerror}."
        ) from None


def _folders(parent: Path) -> list[Path]:
    try:
        with os.scandir(parent) as entries:
            return sorted(
                parent / entry.name
                for entry in entries
                if not entry.name.startswith(".") and not is_junk(entry.name) and _is_folder(entry)
            )
    except OSError as error:
        raise DataError(f"{parent}: the folder cannot be read: {error.strerror}.") from None
