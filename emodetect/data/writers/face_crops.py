"""Face crops as files: to look at, to sort by hand, and to train on."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2

from emodetect.config import DataConfig, validate_data
from emodetect.data.crops import find_faces, read_photo
from emodetect.data.listing import NAMED_AT_MOST, SkippedFile
from emodetect.data.readers.folder import files_below, is_photo
from emodetect.errors import DataError, ImageError
from emodetect.faces.boxes import Box
from emodetect.faces.framing import crop_face
from emodetect.images.formats import IMAGE_SUFFIXES
from emodetect.machine.csv_files import open_csv
from emodetect.machine.output_folder import check_output_folder
from emodetect.machine.progress import track
from emodetect.machine.threads import bounded_map

TABLE = "faces.csv"
COLUMNS = ("photo", "face", "x", "y", "width", "height", "crop", "error")

# A face's box, and the PNG file of its crop.
_Crop = tuple[Box, bytes]


@dataclass(frozen=True)
class CropCounts:
    """What `crop_photos` did.

    Attributes:
        images: how many images there were.
        faces: how many crops were written.
        faceless: how many images have no face that the detector finds.
        unreadable: how many images could not be read.
        others: how many files were left out because their names are no images'.
        named: the first of the unreadable images; the table names all.
    """

    images: int
    faces: int
    faceless: int
    unreadable: int
    others: int
    named: tuple[SkippedFile, ...]

    def describe(self) -> list[str]:
        """Say in lines what was left out and why; the last one counts everything."""
        lines = [f"skipped {file}" for file in self.named]
        if (more := self.unreadable - len(self.named)) > 0:
            lines.append(f"skipped {more:,} more, named in {TABLE}")
        if self.others:
            lines.append(f"left out {self.others:,}: not an image file (by its suffix)")
        lines.append(
            f"images: {self.images:,}; faces: {self.faces:,}; images with no face: "
            f"{self.faceless:,}; unreadable: {self.unreadable:,}"
        )
        return lines


@dataclass(frozen=True)
class CropOptions:
    """Which faces `crop_photos` cuts out, and how.

    Attributes:
        faces_per_image: "largest" or "all".
        margin: by how much of its side a found box is grown; 0-10.
        force: write into a folder that holds files; the crops that an earlier table in it lists
            are removed first.
    """

    faces_per_image: str = "largest"
    margin: float = 0.0
    force: bool = False


def crop_photos(folder: Path, out: Path, options: CropOptions | None = None) -> CropCounts:
    """Write the face crops of all images below a folder, found and framed as `predict` does.

    The crop of face 1 (the largest) of `happy/a.jpg` becomes `happy/a.jpg_1.png` in `out`, at
    its own resolution and without loss, so that class folders stay class folders; a folder of
    `folder` is there even if no face was found in it. `faces.csv` in `out` has a row for each
    face and for each image without one, with the box in pixels of the upright photo and the
    reason why an image could not be read.

    Links to folders are followed; hidden files and folders are left out, and so is `out`.

    Raises:
        ConfigError: for another `faces_per_image` or `margin`.
        DataError: for a folder that is missing, holds no image, or lies in `out`.
        EmodetectError: for an `out` that holds files, without `force`.
    """
    options = options or CropOptions()
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
    # Searched twice, because the paths of a million images would fill the memory.
    is_image = Counter(map(is_photo, files_below(folder, closed)))
    if not is_image[True]:
        raise DataError(f"{folder}: holds no image ({', '.join(IMAGE_SUFFIXES)}).")

    def crop(photo: Path) -> tuple[str, list[_Crop] | str]:
        return photo.relative_to(folder).as_posix(), _crop_photo(photo, config)

    out.mkdir(parents=True, exist_ok=True)
    _remove_earlier(out)
    counts: Counter[str] = Counter()
    named: list[SkippedFile] = []
    with (
        # Line by line and before the crops, so that the table of an interrupted run lists them;
        # with "replace", because a file's name may be no Unicode.
        (out / TABLE).open("w", 1, encoding="utf-8", errors="replace", newline="") as file,
        ThreadPoolExecutor() as pool,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        photos = filter(is_photo, files_below(folder, closed))
        results = bounded_map(pool, crop, photos, at_once=64)
        bar = track(results, description="finding faces", total=is_image[True])
        for name, found in bar:
            counts["images"] += 1
            # Also without a face: a class of which nothing is left must not vanish in silence.
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(found, str):
                table.writerow([name, *[""] * 6, found])
                counts["unreadable"] += 1
                if len(named) < NAMED_AT_MOST:
                    named.append(SkippedFile(str(folder / name), found))
            else:
                _write_crops(out, name, found, table.writerow)
                counts["faces"] += len(found)
                counts["faceless"] += not found
    return CropCounts(
        counts["images"],
        counts["faces"],
        counts["faceless"],
        counts["unreadable"],
        is_image[False],
        tuple(named),
    )


def _check_folders(folder: Path, out: Path, *, force: bool) -> None:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected one with images in it.")
    if Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(out)):
        raise DataError(
            f"{folder}: lies in {out}, which is written to; name another folder to write to."
        )
    check_output_folder(out, force=force)


def _write_crops(
    out: Path, photo: str, crops: list[_Crop], write_row: Callable[[Sequence[object]], object]
) -> None:
    """Write the crops of a photo and their rows of the table; one row where there is no face."""
    if not crops:
        write_row([photo, *[""] * 7])
    for number, (box, png) in enumerate(crops, start=1):
        name = _crop_name(photo, number)
        write_row([photo, number, *box, name, ""])
        (out / name).write_bytes(png)


def _crop_photo(photo: Path, config: DataConfig) -> list[_Crop] | str:
    """Return the boxes and crops of a photo, or why it cannot be read."""
    if os.path.isdir(photo):  # noqa: PTH112  Path.is_dir raises for some names
        return "the folder may not be read"
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
    """Remove the crops that an earlier table lists: training would take them for new ones."""
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
        # The table may have been changed: nothing of the user's may go.
        if "\0" not in name and Path(os.path.realpath(out / name)).is_relative_to(inside):
            (out / name).unlink(missing_ok=True)


def _crop_name(photo: str, number: object) -> str:
    return f"{photo}_{number}.png"
