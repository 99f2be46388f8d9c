"""Still images: from files and folders to one result an image."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from emodetect.errors import EmodetectError, ImageError
from emodetect.inference.overlay import draw_faces
from emodetect.inference.recognizer import EmotionRecognizer, Face
from emodetect.preprocessing import IMAGE_SUFFIXES, has_image_suffix, read_image


@dataclass(frozen=True)
class Photo:
    """An image file to analyse.

    Attributes:
        path: as the user named it, joined with the place inside a named folder.
        inner: where results of it go below an output folder.
    """

    path: Path
    inner: Path


@dataclass(frozen=True)
class PhotoResult:
    """What was found in a photo; `error` says why nothing could be, and is else None.

    `width` and `height` are in pixels, after turning the image upright; None with an error.
    `unsure` counts the faces left out for their low confidence.
    """

    path: str
    width: int | None
    height: int | None
    faces: tuple[Face, ...]
    unsure: int
    error: str | None


def find_photos(named: Iterable[Path], *, leave_out: Iterable[Path | None] = ()) -> Iterator[Photo]:
    """Yield named files as they are, and the images inside named folders, sorted, at any depth.

    A folder without images, or one that cannot be read, is yielded itself, so that it ends as an
    error and not in silence. Photos that would have the same place among the results, because
    they come from different folders, get a number.

    Args:
        leave_out: folders that are not searched, such as those of an earlier run's results.

    Raises:
        EmodetectError: for a named folder that is to be left out.
    """
    closed = {os.path.realpath(folder) for folder in leave_out if folder is not None}
    taken: set[Path] = set()
    for path in named:
        for photo in _photos_of(path, closed):
            inner, number = photo.inner, 1
            while inner in taken:
                number += 1
                inner = photo.inner.with_name(f"{photo.inner.stem}-{number}{photo.inner.suffix}")
            taken.add(inner)
            yield Photo(photo.path, inner)


def _photos_of(path: Path, closed: set[str]) -> Iterator[Photo]:
    if not os.path.isdir(path):  # noqa: PTH112  Path.is_dir raises for some names
        yield Photo(path, Path(path.name or "photo"))
        return
    if os.path.realpath(path) in closed:
        raise EmodetectError(
            f"{path}: is both searched for photos and written to; name another folder to write to."
        )
    found: list[Path] = []
    unreadable: list[Path] = []
    for folder, folders, files in os.walk(
        path, onerror=lambda error: unreadable.append(Path(error.filename))
    ):
        folders[:] = [
            name for name in folders if os.path.realpath(Path(folder, name)) not in closed
        ]
        found += filter(has_image_suffix, (Path(folder, name) for name in files))
    for file in sorted([*found, *unreadable]):
        yield Photo(file, file.relative_to(path))
    if not found and not unreadable:
        yield Photo(path, Path(path.name or "photo"))


def analyze_photos(
    photos: Sequence[Photo],
    recognizer: EmotionRecognizer,
    *,
    min_confidence: float = 0.0,
    annotate: Path | None = None,
    save_crops: Path | None = None,
) -> Iterator[PhotoResult]:
    """Analyse photos one by one, in order.

    Args:
        min_confidence: faces below this confidence are left out.
        annotate: folder for copies with boxes and labels drawn.
        save_crops: folder for face crops, in one folder for each emotion.

    Raises:
        EmodetectError: where a result would overwrite a photo, or cannot be written.
    """
    originals = {os.path.realpath(photo.path) for photo in photos}
    for photo in photos:
        try:
            image = _read(photo.path)
        except ImageError as error:
            yield PhotoResult(str(photo.path), None, None, (), 0, str(error))
            continue
        found = recognizer.analyze(image)
        faces = tuple(face for face in found if face.confidence >= min_confidence)
        if annotate is not None:
            _write_image(annotate / photo.inner, draw_faces(image, faces), originals)
        if save_crops is not None:
            for number, face in enumerate(faces, start=1):
                name = f"{photo.inner.name}_{number}.png"
                place = save_crops / face.emotion / photo.inner.parent / name
                _write_image(place, recognizer.crop(image, face.box), originals)
        height, width = image.shape[:2]
        unsure = len(found) - len(faces)
        yield PhotoResult(str(photo.path), width, height, faces, unsure, None)


def _read(path: Path) -> np.ndarray:
    if os.path.isdir(path):  # noqa: PTH112  Path.is_dir raises for some names
        if not os.access(path, os.R_OK | os.X_OK):
            raise ImageError("the folder may not be read")
        raise ImageError(f"the folder holds no image ({', '.join(IMAGE_SUFFIXES)})")
    return read_image(path)


def _write_image(path: Path, image: np.ndarray, originals: set[str]) -> None:
    if not has_image_suffix(path):
        path = path.with_name(path.name + ".png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.realpath(path) in originals:
            raise EmodetectError(
                f"{path}: a result would overwrite this photo; name another folder."
            )
        # Encoded in memory, because OpenCV's own file writing fails on some Unicode paths.
        whole, encoded = cv2.imencode(path.suffix, image)
        if not whole:  # WebP ends at 16,383 pixels a side
            path = path.with_name(path.name + ".png")
            encoded = cv2.imencode(".png", image)[1]
        path.write_bytes(encoded.tobytes())
    except OSError as error:
        raise EmodetectError(f"{path}: cannot be written: {error.strerror}.") from None
