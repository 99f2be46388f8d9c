"""The faces of an image or of a frame: a list that can be drawn, saved and converted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from emodetect.emotions import UNCERTAIN
from emodetect.errors import EmodetectError, ImageError
from emodetect.images.conversion import AnyImage, ChannelOrder, check_color, to_bgr
from emodetect.images.formats import WRITTEN_SUFFIXES
from emodetect.images.resizing import reduced
from emodetect.machine.output_folder import file_keys, writing
from emodetect.notebook import lines, picture, table
from emodetect.number_format import percent
from emodetect.recognition.face import Face
from emodetect.recognition.face_rows import (
    FRAME_COLUMNS,
    frame_record,
    frame_rows,
    image_columns,
    image_record,
    image_rows,
)
from emodetect.recognition.overlay import draw_faces

if TYPE_CHECKING:
    import pandas as pd
    import supervision as sv

# Of the picture in a notebook, in pixels; a face crop is too small for its label.
SHOWN_SIDE, LEAST_SHOWN_SIDE = 800, 240
WHOLE_COLUMNS = ("width", "height", "frame", "face", "x", "y", "box_width", "box_height")


class Result(list[Face]):
    """The faces of an image, largest first, with ways to draw, save and convert them.

    It is a list of `Face`, so that it can be iterated and indexed; in a notebook, it shows the
    annotated photo.

    Attributes:
        emotions: those of the model, in its label order.
        path: of the image; "" if it was not given as a path.
        width: of the image, in pixels, after turning it upright.
        height: the same.

    Examples:
        >>> from emodetect import EmotionRecognizer
        >>> result = EmotionRecognizer().analyze("docs/scene.jpg")
        >>> [face.emotion for face in result]
        ['neutral', 'angry', 'happy', 'surprise', 'sad']
        >>> result.plot().shape
        (420, 960, 3)
        >>> list(result.to_df().columns[:5])
        ['path', 'width', 'height', 'x', 'y']
    """

    def __init__(
        self,
        faces: Iterable[Face],
        image: AnyImage,
        *,
        pixels: np.ndarray,
        emotions: tuple[str, ...],
        color: ChannelOrder = "bgr",
    ) -> None:
        """Keep what is needed to draw the faces later.

        Args:
            image: as it was given to be analysed. A file that is named by its path is read again to
                be drawn; an array is not copied.
            pixels: what was read from it, (height, width, 3) uint8 BGR.
            color: the order of the channels if `image` is an array.
        """
        super().__init__(faces)
        self.emotions = emotions
        self.height, self.width = pixels.shape[:2]
        self.path = os.fsdecode(image) if isinstance(image, str | os.PathLike) else ""
        self._image = image
        if self.path:
            self._image = Path(self.path).absolute()
        elif hasattr(image, "read"):  # only once
            self._image = pixels
        elif isinstance(image, memoryview):  # which cannot be pickled
            self._image = bytes(image)
        self._color = color

    @property
    def faces(self) -> list[Face]:
        """The faces as a plain list."""
        return list(self)

    @property
    def image(self) -> np.ndarray:
        """The image, (height, width, 3) uint8 BGR.

        Raises ImageError if its file can no longer be read.
        """
        return to_bgr(self._image, color=self._color)

    def plot(self, *, color: ChannelOrder = "bgr") -> np.ndarray:
        """Return a copy of the image with each face's box, emotion and confidence.

        Args:
            color: "rgb" for Matplotlib and Pillow; "bgr" for OpenCV.

        Returns:
            (height, width, 3) uint8.

        Raises:
            ImageError: if the file of the image can no longer be read, or for another color.
        """
        check_color(color)
        drawn = draw_faces(self.image, self)
        return drawn if color == "bgr" else np.ascontiguousarray(drawn[:, :, ::-1])

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the image of `plot`, in the format of the path's suffix; return the path.

        An existing file is replaced, but not the image that was analysed.

        Raises:
            ImageError: for another suffix, and a file that cannot be written or read.
        """
        out = Path(path)
        if out.suffix.lower() not in WRITTEN_SUFFIXES:
            raise ImageError(
                f"{out}: expected a file name ending in {', '.join(WRITTEN_SUFFIXES)}."
            )
        if self.path and file_keys(out) & file_keys(str(self._image)):
            raise ImageError(f"{out}: would overwrite the analysed image; choose another name.")
        done, encoded = cv2.imencode(out.suffix, self.plot())
        if not done:  # WebP allows at most 16,383 pixels per side
            raise ImageError(f"{out}: the image is too large for this format; use .png.")
        with writing(out, ImageError):
            # OpenCV's own file writing fails on some Unicode paths.
            out.write_bytes(encoded.tobytes())
        return out

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-ready values, as `emodetect predict --format json` prints them."""
        return image_record(self.path, self.width, self.height, self)

    def to_df(self) -> pd.DataFrame:
        """Return a data frame with a row for each face; for no faces, one without a box.

        The columns are those of `emodetect predict --format csv`.

        Raises:
            EmodetectError: if pandas is not installed.
        """
        rows = image_rows(self.path, self.width, self.height, self, self.emotions)
        return data_frame(rows, image_columns(self.emotions), self.emotions)

    def to_supervision(self) -> sv.Detections:
        """Return the faces as detections for annotators and trackers of supervision.

        `class_id` is the position in `emotions` ("uncertain" comes after the last), `class_name`
        and `scores` are in `data`, and faces of a video have their ID as `tracker_id`.

        Raises:
            EmodetectError: if supervision is not installed.
        """
        detections: type[sv.Detections] = _library("supervision").Detections
        names = (*self.emotions, UNCERTAIN)
        boxes = np.array([face.box for face in self], np.float32).reshape(-1, 4)
        ids = [face.id for face in self if face.id is not None]
        return detections(
            xyxy=np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]),
            confidence=np.array([face.confidence for face in self], np.float32),
            class_id=np.array([names.index(face.emotion) for face in self], int),
            tracker_id=np.array(ids, int) if self and len(ids) == len(self) else None,
            data={
                "class_name": np.array([face.emotion for face in self], str),
                "scores": np.array(
                    [[face.scores[name] for name in self.emotions] for face in self], np.float32
                ).reshape(-1, len(self.emotions)),
            },
        )

    def _repr_html_(self) -> str:
        columns = ("face", "emotion", "confidence", "box (x, y, width, height)")
        rows = [
            (
                str(number if face.id is None else face.id),
                face.emotion,
                percent(face.confidence),
                ", ".join(map(str, face.box)),
            )
            for number, face in enumerate(self, start=1)
        ]
        found = table(columns, rows) if rows else lines(["no face found"])
        try:
            shown = picture(self._picture(".jpg"), kind="jpeg", alt=self.path or "image")
        except ImageError as error:  # the faces are still of use
            shown = lines([str(error)])
        return shown + found

    def _repr_png_(self) -> bytes | None:
        try:
            return self._picture(".png")
        except ImageError:
            return None

    def _picture(self, suffix: str) -> bytes:
        """Return the drawn image as a file, its longer side of LEAST_SHOWN_SIDE to SHOWN_SIDE."""
        image = self.image
        side = max(image.shape[:2])
        faces: Sequence[Face] = self
        if side < LEAST_SHOWN_SIDE:  # enlarged before drawing, for readable labels
            scale = LEAST_SHOWN_SIDE / side
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
            faces = [_scaled(face, scale) for face in self]
        drawn = reduced(draw_faces(image, faces), side / SHOWN_SIDE)
        data: bytes = cv2.imencode(suffix, drawn)[1].tobytes()
        return data


def _scaled(face: Face, scale: float) -> Face:
    x, y, width, height = (round(scale * value) for value in face.box)
    return replace(face, box=(x, y, width, height))


class FrameResult(Result):
    """The faces of a frame of a video, longest tracked first; see `Result`.

    Attributes:
        frame: number of the frame, from 0.
        time_s: from the start of the video, in seconds.
    """

    def __init__(
        self,
        faces: Iterable[Face],
        image: np.ndarray,
        *,
        emotions: tuple[str, ...],
        video: str,
        frame: int,
        time_s: float,
    ) -> None:
        super().__init__(faces, image, pixels=image, emotions=emotions)
        self.video, self.frame, self.time_s = video, frame, time_s

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-ready values, as in the .jsonl of `emodetect video --log`."""
        return frame_record(self.video, self.frame, self.time_s, self)

    def to_df(self) -> pd.DataFrame:
        """Return a data frame with a row for each face; for no faces, one without a box.

        The columns are those of the .csv of `emodetect video --log`: "time_s" is the time, "face"
        the number of the face.

        Raises:
            EmodetectError: if pandas is not installed.
        """
        rows = frame_rows(self.video, self.frame, self.time_s, self, self.emotions)
        return data_frame(rows, [*FRAME_COLUMNS, *self.emotions], self.emotions)


def data_frame(
    rows: list[list[Any]], columns: list[str], emotions: tuple[str, ...]
) -> pd.DataFrame:
    """Return rows as a data frame, in which numbers are numbers even where some are missing.

    Raises EmodetectError if pandas is not installed.
    """
    types = {
        **dict.fromkeys(WHOLE_COLUMNS, "Int64"),
        **dict.fromkeys(("time_s", "confidence", *emotions), "float64"),
    }
    frame = _library("pandas").DataFrame(rows, columns=columns)
    return frame.astype({name: kind for name, kind in types.items() if name in columns})


def _library(name: str) -> ModuleType:
    """Import a library that the extra of the same name installs. Raises EmodetectError."""
    try:
        return import_module(name)
    except ImportError:
        raise EmodetectError(
            f"this needs {name}, which is not installed. Install it: "
            f'pip install "emodetect[{name}]"'
        ) from None
