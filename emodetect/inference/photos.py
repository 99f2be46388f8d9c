"""Still images: from files and folders to one result an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from emodetect.errors import EmodetectError, ImageError
from emodetect.inference.overlay import draw_faces
from emodetect.inference.recognizer import EmotionRecognizer, Face
from emodetect.preprocessing import IMAGE_SUFFIXES, read_image


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
    """

    path: str
    width: int | None
    height: int | None
    faces: tuple[Face, ...]
    error: str | None


def find_photos(named: Iterable[Path]) -> Iterator[Photo]:
    """Yield named files as they are, and the images inside named folders, sorted, at any depth.

    A folder without images is yielded itself, so that it ends as an error and not in silence.
    Results of files of the same name, from different folders, get a number.
    """
    seen: Counter[Path] = Counter()
    for photo in _all_photos(named):
        seen[photo.inner] += 1
        if (number := seen[photo.inner]) > 1:
            inner = photo.inner.with_name(f"{photo.inner.stem}-{number}{photo.inner.suffix}")
            yield Photo(photo.path, inner)
        else:
            yield photo


def _all_photos(named: Iterable[Path]) -> Iterator[Photo]:
    for path in named:
        if not path.is_dir():
            yield Photo(path, Path(path.name))
            continue
        inside = sorted(
            file
            for file in path.rglob("*")
            if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()
        )
        for file in inside:
            yield Photo(file, file.relative_to(path))
        if not inside:
            yield Photo(path, Path(path.name))


def analyze_photos(
    photos: Iterable[Photo],
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
        EmodetectError: where an annotated copy would overwrite the photo itself, or an output
            cannot be written.
    """
    for photo in photos:
        try:
            image = _read(photo.path)
        except ImageError as error:
            yield PhotoResult(str(photo.path), None, None, (), str(error))
            continue
        faces = tuple(
            face for face in recognizer.analyze(image) if face.confidence >= min_confidence
        )
        if annotate is not None:
            _write_image(annotate / photo.inner, draw_faces(image, faces), keep=photo.path)
        if save_crops is not None:
            for number, face in enumerate(faces, start=1):
                name = "_".join(photo.inner.with_suffix("").parts)
                place = save_crops / face.emotion / f"{name}_{number}.png"
                _write_image(place, recognizer.crop(image, face.box), keep=photo.path)
        height, width = image.shape[:2]
        yield PhotoResult(str(photo.path), width, height, faces, None)


def _read(path: Path) -> np.ndarray:
    if path.is_dir():
        raise ImageError(f"the folder holds no image ({', '.join(IMAGE_SUFFIXES)})")
    return read_image(path)


def _write_image(path: Path, image: np.ndarray, *, keep: Path) -> None:
    if path.exists() and path.samefile(keep):
        raise EmodetectError(
            f"{path}: an annotated copy would overwrite the photo; name another folder."
        )
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        path = path.with_name(path.name + ".png")
    # Encoded in memory, because OpenCV's own file writing fails on some Unicode paths.
    encoded = cv2.imencode(path.suffix, image)[1]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded.tobytes())
    except OSError as error:
        raise EmodetectError(f"{path}: cannot be written: {error.strerror}.") from None
