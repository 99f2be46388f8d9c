"""CK+ (Lucey et al. 2010): posed expressions of 123 people, from neutral to the peak."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from emodetect.config import DataConfig
from emodetect.data.labels import CKPLUS_EMOTIONS, folder_emotion
from emodetect.data.listing import Listing, Sample
from emodetect.data.readers.folder import list_class_folders
from emodetect.data.readers.listing_builder import ListingBuilder
from emodetect.errors import DataError
from emodetect.images.folders import (
    files_below,
    levels_from,
    nested_folder,
    photos_below,
    subfolders,
)

FRAMES, LABELS = "cohn-kanade-images", "Emotion"
# A label describes the last frame of a sequence; the two before it show the expression too. The
# crops in circulation, 981 from 327 sequences, are these three.
PEAK_FRAMES = 3
GROUP = "person"
_PERSON = re.compile(r"S\d+")
# Those of other data may be as S1_2_3.png.
_USUAL_NAME = re.compile(r"S\d{3}_\d{3}_\d{8}\.")
# `data crop` adds the number of the face and a suffix: S010_004_00000017.png_1.png.
_NAME = re.compile(r"(?P<person>S\d+)_\d+_\d+(\.\w+){1,2}", re.IGNORECASE)


def read_ckplus(config: DataConfig) -> Listing:
    """List the peak frames of CK+, as published or in class folders.

    As published, `cohn-kanade-images/S005/001/*.png` are the frames of sequence 001 of person
    S005, and `Emotion/S005/001/*_emotion.txt` is its label. Class folders contain crops with the
    same names, such as `anger/S010_004_00000017.png`. All images of a person stay in one split.
    """
    root = config.data_path
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; data.path must be the CK+ folder.")
    if published := ckplus_folder(levels_from(root)):
        listing = _read_sequences(published, config)
    else:
        refuse_half(root, levels_from(root))
        listing = _read_crops(root, config)
    return replace(
        listing,
        samples=tuple(
            replace(sample, groups=(person_of(listing.root / sample.name),))
            for sample in listing.samples
        ),
        groups=(GROUP,),
    )


def ckplus_folder(levels: Iterable[Sequence[Path]]) -> Path | None:
    """Return the nearest folder with CK+ as published, or None; see `nested_folder`."""
    return nested_folder(
        levels, lambda folder: all((folder / name).is_dir() for name in (FRAMES, LABELS))
    )


def notes_on_people(listing: Listing) -> tuple[str, ...]:
    """Return a line if all images of class folders have the names of CK+, which tell people."""
    names = (Path(sample.name).name for sample in listing.samples)
    if not listing.samples or not all(map(_USUAL_NAME.match, names)):
        return ()
    return (
        f"{listing.root}: the names are those of CK+, which tell who is shown; as "
        f"ckplus:{listing.root}, each person stays in one split",
    )


def refuse_half(root: Path, levels: Iterable[Sequence[Path]]) -> None:
    """Raise DataError for one half of CK+ as published, if the other is missing or elsewhere.

    Args:
        levels: the folders from `root` on, as of `levels_from`.
    """
    folders = [one for level in levels for one in level]
    frames = [one for one in folders if one.name == FRAMES]
    labels = [
        one
        for one in folders
        if one.name == LABELS
        and (frames or any(_PERSON.fullmatch(inner.name) for inner in subfolders(one)))
    ]
    if parts := frames + labels:
        raise DataError(
            f"{root}: expected {FRAMES} and {LABELS} side by side, found only "
            f"{' and '.join(map(str, parts))}; name, or make, the folder that has both in it."
        )


def _read_crops(root: Path, config: DataConfig) -> Listing:
    layout = f"{FRAMES} and {LABELS}, or class folders named after emotions"
    # No numbers: the copies in circulation do not agree on them.
    return list_class_folders(
        root, config, emotion=partial(folder_emotion, numbers={}, layout=layout)
    )


def person_of(file: Path) -> str:
    """Return whom an image of CK+ shows, by its name. Raises DataError for another name."""
    match = _NAME.fullmatch(file.name)
    if match is None:
        raise DataError(
            f"{file}: expected a name that begins with the person and the sequence, such "
            "as S010_004_00000017.png, so that each person stays in one split. For other names, "
            "use data.source = 'folder'."
        )
    return match["person"].upper()


def _read_sequences(root: Path, config: DataConfig) -> Listing:
    found = ListingBuilder(config)
    sequences: dict[Path, list[Path]] = {}
    for frame in photos_below(root / FRAMES, left_out=found.left_out):
        sequences.setdefault(frame.parent, []).append(frame)
    for folder, frames in sequences.items():
        labels = root / LABELS / folder.relative_to(root / FRAMES)
        texts = [path for path in files_below(labels) if path.suffix == ".txt"]
        if not texts:
            found.left_out["frame of a sequence without a label"] += len(frames)
            continue
        try:
            emotion = _label(texts)
        except ValueError as error:
            found.skip(str(texts[0]), error)
            continue
        if not found.wants(emotion, images=len(frames)):
            continue
        found.left_out["frame before the peak of its sequence"] += len(frames[:-PEAK_FRAMES])
        names = [frame.relative_to(root).as_posix() for frame in frames[-PEAK_FRAMES:]]
        found.samples += [Sample(name, name, emotion, None) for name in names]
    numbers = {str(number): name for number, name in enumerate(CKPLUS_EMOTIONS)}
    return found.listing(root, where=root, label_names=numbers)


def _label(files: list[Path]) -> str:
    """Return the emotion of a sequence. Raises ValueError for a label that cannot be used."""
    if len(files) > 1:
        raise ValueError(f"expected one label file for the sequence, got {len(files)}")
    try:
        with files[0].open(encoding="ascii") as file:
            text = file.read(100).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read: {error}") from None
    # Written as 3.0000000e+00.
    if not re.fullmatch(r"[0-7](\.0*(e\+0+)?)?", text):
        raise ValueError(f"expected a number from 0 to 7, got {text!r}")
    return CKPLUS_EMOTIONS[int(text[0])]
