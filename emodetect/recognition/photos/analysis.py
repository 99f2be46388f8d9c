"""Analyse image files: one result per image."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from emodetect.errors import EmodetectError, ImageError
from emodetect.faces.boxes import Box
from emodetect.images.formats import READ_FORMATS, WRITTEN_SUFFIXES
from emodetect.images.reading import MOST_PIXELS, decode_image, image_memory_errors, read_image
from emodetect.machine.atomic_files import atomic_write, of_possible_length
from emodetect.machine.output_folder import FileKey, file_keys
from emodetect.recognition.face import Face
from emodetect.recognition.overlay import draw_faces
from emodetect.recognition.recognizer import EmotionRecognizer

# Faces are classified together until one of these limits is reached. More faces at once do not
# fit the processor's cache: with MobileNetV2 at 96 x 96, 8 to 16 take the least time per face.
FACES_AT_ONCE = 8
HELD_BYTES = 64 * 2**20
LONGEST_WAIT_S = 0.25


@dataclass(frozen=True)
class Photo:
    """An image file to analyse.

    Attributes:
        path: as the user gave it, joined with the path inside a given folder; text if it is not a
            file but something that `PhotoOptions.fetch` gets.
        inner: path of its results relative to an output folder.
    """

    path: Path | str
    inner: Path


class Explainer(Protocol):
    """Draws which parts of a face a prediction is based on."""

    def draw(self, crops: Sequence[np.ndarray], faces: Sequence[Face]) -> Iterator[np.ndarray]:
        """Yield a uint8 BGR image for each face crop, of which there is at least one."""
        ...


@dataclass(frozen=True)
class PhotoOptions:
    """What to do with the faces of photos.

    Attributes:
        min_confidence: drop faces below this confidence; 0 to 1.
        annotate: folder for copies with boxes and labels.
        save_crops: folder for face crops, in one folder per emotion.
        originals: the files that no result may overwrite; see `files_of`.
        explain: folder for the image that `explainer` draws of each face, named like its crop.
        explainer: runs in this process; no worker processes are started then.
        fetch: returns the bytes of a photo whose path is text, or raises ImageError.
        max_pixels: a photo with more of them by its header gets an error.
    """

    min_confidence: float = 0.0
    annotate: Path | None = None
    save_crops: Path | None = None
    originals: frozenset[FileKey] = frozenset()
    explain: Path | None = None
    explainer: Explainer | None = None
    fetch: Callable[[str], bytes] | None = None
    max_pixels: int = MOST_PIXELS

    @property
    def folders(self) -> list[Path]:
        """The folders to write images to."""
        folders = (self.annotate, self.save_crops, self.explain)
        return [folder for folder in folders if folder is not None]


@dataclass(frozen=True)
class PhotoResult:
    """The faces of a photo; `error` says why it could not be analysed, and is None otherwise.

    `width` and `height` are in pixels, after turning the image upright; None with an error.
    `unsure` counts the faces dropped for their low confidence.
    """

    path: str
    width: int | None = None
    height: int | None = None
    faces: tuple[Face, ...] = ()
    unsure: int = 0
    error: str | None = None


@dataclass(frozen=True)
class _Detected:
    """A photo whose faces are detected but not yet classified.

    `inputs` are the model inputs, one (size, size, channels) array per face. The image is kept
    only if it is drawn on or cut into crops.
    """

    photo: Photo
    size: tuple[int, int] | None
    boxes: list[Box]
    inputs: list[np.ndarray]
    image: np.ndarray | None
    error: str | None


def analyze_photos(
    photos: Iterable[Photo | None],
    recognizer: EmotionRecognizer,
    options: PhotoOptions | None = None,
) -> Iterator[PhotoResult]:
    """Analyse photos in this process, in order; faces of several photos are classified together.

    Args:
        photos: a None among them says that the next photo may take a while to arrive, so all
            results so far are yielded.

    Raises:
        EmodetectError: if a result would overwrite a photo or cannot be written.
    """
    options = options or PhotoOptions()
    waiting: list[_Detected] = []
    deadline = 0.0
    for photo in photos:
        if photo is not None:
            if not waiting:
                deadline = time.monotonic() + LONGEST_WAIT_S
            waiting.append(_detect(photo, recognizer, options))
        if photo is None or _is_full(waiting) or time.monotonic() > deadline:
            yield from _classify(waiting, recognizer, options)
            waiting = []
    yield from _classify(waiting, recognizer, options)


def files_of(photos: Iterable[Photo | None]) -> frozenset[FileKey]:
    """Return the files of photos, for `PhotoOptions.originals`."""
    return frozenset(key for photo in photos if photo is not None for key in file_keys(photo.path))


def is_pattern(path: Path) -> bool:
    """Return whether a path is a pattern; an existing file with `[` in its name is not."""
    return any(letter in str(path) for letter in "*?[") and not os.path.lexists(path)


def _detect(photo: Photo, recognizer: EmotionRecognizer, options: PhotoOptions) -> _Detected:
    try:
        with image_memory_errors():
            image = _read(photo.path, options)
            boxes = recognizer.detect(image)
            inputs = [recognizer.input_of(image, box) for box in boxes]
    except ImageError as error:
        return _Detected(photo, None, [], [], None, str(error))
    height, width = image.shape[:2]
    kept = image if options.folders else None
    return _Detected(photo, (width, height), boxes, inputs, kept, None)


def _is_full(waiting: list[_Detected]) -> bool:
    return (
        sum(len(photo.inputs) for photo in waiting) >= FACES_AT_ONCE
        or sum(photo.image.nbytes for photo in waiting if photo.image is not None) >= HELD_BYTES
    )


def _classify(
    waiting: list[_Detected], recognizer: EmotionRecognizer, options: PhotoOptions
) -> Iterator[PhotoResult]:
    inputs = [pixels for photo in waiting for pixels in photo.inputs]
    scores = iter(recognizer.classify_inputs(inputs))
    for photo in waiting:
        path = str(photo.photo.path)
        if photo.size is None:
            yield PhotoResult(path, error=photo.error)
            continue
        found = recognizer.faces(photo.boxes, islice(scores, len(photo.boxes)))
        faces = tuple(face for face in found if face.confidence >= options.min_confidence)
        if photo.image is not None:
            _write_images(photo.photo, photo.image, faces, recognizer, options)
        yield PhotoResult(path, *photo.size, faces, unsure=len(found) - len(faces))


def _read(path: Path | str, options: PhotoOptions) -> np.ndarray:
    if isinstance(path, str):
        assert options.fetch is not None
        return decode_image(options.fetch(path), max_pixels=options.max_pixels)
    try:
        return read_image(path, max_pixels=options.max_pixels)
    except ImageError:
        # Path.is_dir raises for some names. Without access, the error says so already.
        if os.path.isdir(path) and os.access(path, os.R_OK | os.X_OK):
            raise ImageError(f"the folder contains no images ({READ_FORMATS})") from None
        if is_pattern(path):
            raise ImageError("no such file, and no matching image") from None
        raise


def _write_images(
    photo: Photo,
    image: np.ndarray,
    faces: tuple[Face, ...],
    recognizer: EmotionRecognizer,
    options: PhotoOptions,
) -> None:
    if options.annotate is not None:
        place = options.annotate / photo.inner
        _write_image(place, draw_faces(image, faces), options.originals)
    crops = [recognizer.crop(image, face.box) for face in faces]
    for folder, pictures in (
        (options.save_crops, crops),
        (options.explain, options.explainer.draw(crops, faces) if options.explainer else ()),
    ):
        if folder is not None and faces:
            for number, (face, picture) in enumerate(zip(faces, pictures, strict=True), start=1):
                name = f"{photo.inner.name}_{number}.png"
                place = folder / face.emotion / photo.inner.parent / name
                _write_image(place, picture, options.originals)


def _write_image(path: Path, image: np.ndarray, originals: frozenset[FileKey]) -> None:
    path = of_possible_length(written_place(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Encoded in memory, because OpenCV's own file writing fails on some Unicode paths.
        whole, encoded = cv2.imencode(path.suffix, image)
        if not whole:  # WebP allows at most 16,383 pixels per side
            path = of_possible_length(_as_png(path))
            encoded = cv2.imencode(".png", image)[1]
        if file_keys(path) & originals:
            raise EmodetectError(
                f"{path}: a result would overwrite this photo; choose another folder."
            )
        with atomic_write(path) as partial:
            partial.write_bytes(encoded.tobytes())
    except OSError as error:
        raise EmodetectError(f"{path}: cannot be written: {error.strerror}.") from None


def written_place(path: Path) -> Path:
    """Return where a copy is written: `.png` is added to a format that is only read."""
    return path if path.suffix.lower() in WRITTEN_SUFFIXES else _as_png(path)


def _as_png(path: Path) -> Path:
    return path.with_name(path.name + ".png")
