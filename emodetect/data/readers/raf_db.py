"""RAF-DB's single labels (Li, Deng and Du 2017): seven emotions, numbered 1 to 7."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import tee
from pathlib import Path

from emodetect.config import DataConfig
from emodetect.data.labels import RAF_DB_EMOTIONS, folder_emotion
from emodetect.data.listing import Listing, Sample
from emodetect.data.readers.folder import list_class_folders
from emodetect.data.readers.listing_builder import ListingBuilder
from emodetect.errors import DataError
from emodetect.images.folders import levels_from, nested_folder
from emodetect.machine.csv_files import open_text

LIST = Path("EmoLabel", "list_patition_label.txt")  # spelt so in the data set
IMAGES = {"aligned": Path("Image", "aligned"), "original": Path("Image", "original")}
COMPOUND = "compound"
# With these, 1 to 7 are compound, too.
COMPOUND_NUMBERS = frozenset({"8", "9", "10", "11"})
_NAME = re.compile(r"(?P<split>train|test)_\w+\.jpg")


def read_raf_db(config: DataConfig) -> Listing:
    """List RAF-DB's faces, from its list of labels or from class folders 1 to 7.

    The list, `EmoLabel/list_patition_label.txt`, is in `data.path` or nested in it, as in `basic`,
    with lines such as "train_00001.jpg 5". Its images are those in `Image/aligned` or, with
    `data.faces` "detect", in `Image/original` if there is one. Class folders are in `train` and
    `test`, at any depth.
    """
    root = config.data_path
    if listed := raf_db_folder(levels_from(root)):
        return _read_list(listed, config)
    if not root.is_dir():
        raise DataError(
            f"{root}: no such folder; data.path must be the RAF-DB folder, with {LIST}."
        )
    return list_class_folders(
        root,
        config,
        emotion=partial(
            folder_emotion,
            numbers=RAF_DB_EMOTIONS,
            layout=f"{LIST}, or class folders named 1 to 7 or after emotions",
        ),
    )


def raf_db_folder(levels: Iterable[Sequence[Path]]) -> Path | None:
    """Return the nearest folder with RAF-DB's list, or None; see `nested_folder`.

    That of the compound emotions, which is handed out beside it, only if there is no other.
    """
    levels, again = tee(levels)
    return nested_folder(levels, _is_basic) or nested_folder(again, _has_list)


def _is_basic(folder: Path) -> bool:
    return folder.name.casefold() != COMPOUND and _has_list(folder)


def _has_list(folder: Path) -> bool:
    return (folder / LIST).is_file()


def _read_list(root: Path, config: DataConfig) -> Listing:
    kind = _images(root, config)
    found = ListingBuilder(config)
    compound: set[str] = set()
    with open_text(root / LIST) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            compound |= {line.split()[-1]} & COMPOUND_NUMBERS
            try:
                name, split, emotion = _parse(line)
            except ValueError as error:
                found.skip(f"{LIST.name}:{number}", error)
                continue
            if found.wants(emotion):
                stem = name.removesuffix(".jpg")
                image = IMAGES[kind] / (f"{stem}_aligned.jpg" if kind == "aligned" else name)
                found.samples.append(Sample(name, image.as_posix(), emotion, split))
    if len(compound) > 1:  # one may be a mistake
        raise DataError(
            f"{root / LIST}: lists RAF-DB's compound emotions, numbered 1 to 11; only the single "
            "ones are read, which it has in another folder, `basic`."
        )
    return found.listing(root, where=root / LIST, label_names=RAF_DB_EMOTIONS)


def _images(root: Path, config: DataConfig) -> str:
    """Return which of IMAGES to use: crops, or photos to detect the faces in."""
    there = [kind for kind, folder in IMAGES.items() if (root / folder).is_dir()]
    if not there:
        raise DataError(
            f"{root}: expected the images in {' or '.join(map(str, IMAGES.values()))} next to "
            f"{LIST.parent}; found neither. Unpack them there."
        )
    if config.faces == "detect":
        return there[-1]
    if "aligned" not in there:
        raise DataError(
            f"{root}: contains whole photos only ({IMAGES['original']}), no crops "
            f"({IMAGES['aligned']}); detect the faces with data.faces = 'detect' (evaluate: "
            "--faces detect)."
        )
    return "aligned"


def _parse(line: str) -> tuple[str, str, str]:
    """Return name, split and emotion of a line such as "train_00001.jpg 5"."""
    fields = re.split(r"[\s,;]+", line.strip())  # commas in lists saved again as CSV
    name = _NAME.fullmatch(fields[0])
    if len(fields) != 2 or name is None or fields[1] not in RAF_DB_EMOTIONS:
        raise ValueError(
            "expected a name and a number from 1 to 7, such as 'train_00001.jpg 5', got "
            f"{line.strip()[:100]!r}"
        )
    return fields[0], name["split"], RAF_DB_EMOTIONS[fields[1]]
