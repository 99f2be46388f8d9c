"""The emotions of every face in every analysed frame of a video, without the images."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from emodetect.emotions import UNCERTAIN
from emodetect.recognition.face import Face


@dataclass
class _Rows:
    frames: array[int] = field(default_factory=lambda: array("l"))
    labels: array[int] = field(default_factory=lambda: array("h"))
    scores: array[float] = field(default_factory=lambda: array("f"))


@dataclass(frozen=True)
class FaceRows:
    """A face of a video in the n frames that show it.

    Attributes:
        frames: (n,) positions of the frames, ascending.
        labels: (n,) positions of the shown emotions in `FaceRecord.labels`.
        scores: (n, emotions) float32 probabilities.
    """

    frames: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


class FaceRecord:
    """Collects the faces of a video's frames; about 40 bytes for a face in a frame.

    Attributes:
        emotions: those of the model, in its label order.
        labels: what a face can be called: the emotions, then "uncertain".
        tracked: whether faces have IDs.
    """

    def __init__(self, emotions: Sequence[str], *, tracked: bool = True) -> None:
        self.emotions = tuple(emotions)
        self.labels = (*self.emotions, UNCERTAIN)
        self.tracked = tracked
        self._position = {label: place for place, label in enumerate(self.labels)}
        self._times_s = array("d")
        self._rows: dict[int, _Rows] = {}

    def add(self, time_s: float, faces: Sequence[Face]) -> None:
        """Add the faces of a frame, whose time is later than that of the previous one."""
        frame = len(self._times_s)
        self._times_s.append(time_s)
        for place, face in enumerate(faces, start=1):
            self.tracked = self.tracked and face.id is not None
            rows = self._rows.setdefault(place if face.id is None else face.id, _Rows())
            rows.frames.append(frame)
            rows.labels.append(self._position[face.emotion])
            rows.scores.extend(face.scores[emotion] for emotion in self.emotions)

    @property
    def times_s(self) -> np.ndarray:
        """(frames,) float64, in seconds."""
        return np.array(self._times_s, np.float64)

    @property
    def faces(self) -> dict[int, FaceRows]:
        """The faces by ID; without tracking, by their place in the frame, from 1."""
        return {
            number: FaceRows(
                np.array(rows.frames, np.int64),
                np.array(rows.labels, np.int64),
                np.array(rows.scores, np.float32).reshape(-1, len(self.emotions)),
            )
            for number, rows in self._rows.items()
        }
