"""Face crops as files: to inspect, to sort by hand, and to train on."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2

from emodetect.config import DataConfig, validate_data
from emodetect.data.crops import find_faces, read_photo
from emodetect.data.listing import NAMED_AT_MOST, SkippedFile
from emodetect.errors import DataError, ImageError
from emodetect.faces.boxes import Box
from emodetect.faces.framing import crop_face
from emodetect.images.folders import photos_below
from emodetect.images.formats import READ_FORMATS, count_in_words
from emodetect.machine.atomic_files import atomic_write, of_possible_length
from emodetect.machine.csv_files import csv_line, open_csv, printable
from emodetect.machine.output_folder import check_output_folder
from emodetect.machine.progress import track
from emodetect.machine.threads import bounded_map

TABLE = "faces.csv"
COLUMNS = ("photo", "face", "x", "y", "width", "height", "crop", "error")

# A face's box, and the PNG file of its crop.
_Crop = tuple[Box, bytes]


@dataclass(frozen=True)
class CropCounts:
    """The counts of a `crop_photos` run.

    Attributes:
        images: how many images there were.
        faces: how many crops were written.
        faceless: in how many images no face was found.
        unreadable: how many images could not be read.
        others: how many other files there were, by kind.
        named: the first unreadable images; the table names all.
    """

    images: int
    faces: int
    faceless: int
    unreadable: int
    others: dict[str, int]
    named: tuple[SkippedFile, ...]

    def describe(self) -> list[str]:
        """Return lines that say what was left out and why; the last one is the summary."""
        lines = [f"skipped {file}" for file in self.named]
        if (more := self.unreadable - len(self.named)) > 0:
            lines.append(f"skipped {more:,} more, named in {TABLE}")
        lines += [f"left out {count:,}: {kind}" for kind, count in self.others.items()]
        lines.append(
            f"images: {self.images:,}; faces: {self.faces:,}; images with no face: "
            f"{self.faceless:,}; unreadable: {self.unreadable:,}"
        )
        return lines


@dataclass(frozen=True)
class CropOptions:
    """Which faces `crop_photos` crops, and how.

    Attributes:
        faces_per_image: "largest" or "all".
        margin: by which fraction of its side a detected box is enlarged; 0-10.
        force: write to a folder that contains files; the crops listed in its earlier table are
            removed first.
    """

    faces_per_image: str = "largest"
    margin: float = 0.0
    force: bool = False


def crop_photos(folder: Path, out: Path, options: CropOptions) -> CropCounts:
    """Write the face crops of all images below a folder, detected and framed as in `predict`.

    The crop of face 1 (the largest) of `happy/a.jpg` becomes `happy/a.jpg_1.png` in `out`, at its
    own resolution and without loss. Subfolders are kept, even if no face is found in them, so
    class folders stay class folders. `faces.csv` in `out` has a row for each face and each image
    without one, with the box in pixels of the upright photo, or why an image could not be read.
    Names that are not Unicode are written with escapes, and too long ones shortened.

    Links to folders are followed; hidden files and folders, and `out`, are left out.

    Raises:
        ConfigError: for an invalid `faces_per_image` or `margin`.
        DataError: for a folder that is missing, contains no images, or is inside `out`.
        EmodetectError: for an `out` that contains files, without `force`.
    """
    config = validate_data(
        {
            "path": str(folder),
            "faces": "detect",
            "faces_per_image": options.faces_per_image,
            "margin": options.margin,
        },
        origin="data crop",
    )
    _check_folders(folder, out, force=options.force)
    closed = frozenset([os.path.realpath(out)])
    # Searched twice, because the paths of a million images would take too much memory.
    others: Counter[str] = Counter()
    images = sum(1 for _ in photos_below(folder, closed, left_out=others))
    if not images:
        beside = f"; found {count_in_words(others)}" if others else ""
        raise DataError(f"{folder}: contains no images ({READ_FORMATS}){beside}.")
    out.mkdir(parents=True, exist_ok=True)
    _remove_earlier(out)
    counts = Counter(images=0, faces=0, faceless=0, unreadable=0)
    named: list[SkippedFile] = []
    # Line by line and before the crops, so that the table of an interrupted run lists them.
    with (out / TABLE).open("w", 1, encoding="utf-8", newline="") as file:

        def write_row(values: Sequence[object]) -> None:
            file.write(csv_line(values) + "\n")

        write_row(COLUMNS)
        for name, found in _crop_all(folder, closed, config, total=images):
            _write_photo(out, printable(name), found, write_row)
            counts["images"] += 1
            if not isinstance(found, str):
                counts["faces"] += len(found)
                counts["faceless"] += not found
                continue
            counts["unreadable"] += 1
            if len(named) < NAMED_AT_MOST:
                named.append(SkippedFile(str(folder / name), found))
    return CropCounts(**counts, others=dict(others), named=tuple(named))


def _crop_all(
    folder: Path, closed: frozenset[str], config: DataConfig, *, total: int
) -> Iterator[tuple[str, list[_Crop] | str]]:
    """Yield the name of each photo with its crops, or why it cannot be read."""

    def crop(photo: Path) -> tuple[str, list[_Crop] | str]:
        return photo.relative_to(folder).as_posix(), _crop_photo(photo, config)

    photos = photos_below(folder, closed)
    with ThreadPoolExecutor() as pool:
        results = bounded_map(pool, crop, photos, at_once=64)
        yield from track(results, description="finding faces", total=total)


def _check_folders(folder: Path, out: Path, *, force: bool) -> None:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected a folder of images.")
    if Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(out)):
        raise DataError(
            f"{folder}: is inside the output folder {out}; choose another folder for the crops."
        )
    check_output_folder(out, force=force)


def _write_photo(
    out: Path,
    photo: str,
    found: list[_Crop] | str,
    write_row: Callable[[Sequence[object]], object],
) -> None:
    """Write the crops of a photo and their rows; one row if it has no face or cannot be read."""
    # Also without a face, so that a class without any does not disappear unnoticed.
    (out / photo).parent.mkdir(parents=True, exist_ok=True)
    if isinstance(found, str) or not found:
        write_row([photo, *[""] * 6, found or ""])
        return
    for number, (box, png) in enumerate(found, start=1):
        name = _crop_name(photo, number)
        write_row([photo, number, *box, name, ""])
        with atomic_write(out / name) as partial:
            partial.write_bytes(png)


def _crop_photo(photo: Path, config: DataConfig) -> list[_Crop] | str:
    """Return the boxes and crops of a photo, or why it cannot be read."""
    if os.path.isdir(photo):
        return "the folder cannot be read"
    try:
        image = read_photo(photo)
    except ImageError as error:
        return str(error)
    crops = []
    for box in find_faces(image, faces_per_image=config.faces_per_image):
        # Encoded in memory, because OpenCV's own file writing fails on some Unicode paths.
        png = cv2.imencode(".png", crop_face(image, box, margin=config.margin))[1]
        crops.append((box, png.tobytes()))
    return crops


def _remove_earlier(out: Path) -> None:
    """Remove the crops listed in an earlier table, so that training does not use them."""
    if not (out / TABLE).is_file():
        return
    with open_csv(out / TABLE) as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != COLUMNS:
            return
        crops = [
            row["crop"] for row in rows if row["crop"] == _crop_name(row["photo"], row["face"])
        ]
    inside = os.path.realpath(out)
    for name in crops:
        # The table may have been edited: the user's own files must not be deleted.
        if "\0" not in name and Path(os.path.realpath(out / name)).is_relative_to(inside):
            (out / name).unlink(missing_ok=True)


def _crop_name(photo: str, number: object) -> str:
    return of_possible_length(Path(f"{photo}_{number}.png")).as_posix()
