"""What was seen in a video: its faces, how long each was visible, and with which emotions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from emodetect.recognition.recognizer import Face

Key = TypeVar("Key")


@dataclass(frozen=True)
class SeenFace:
    """A face of a video.

    Attributes:
        id: its ID; None without tracking, for all faces of the video together.
        visible_s: how long it was visible, in seconds.
        shares: emotions with their shares of that time, largest first; they add up to 1.
    """

    id: int | None
    visible_s: float
    shares: dict[str, float]


@dataclass(frozen=True)
class SeenFaces:
    """The faces of a video.

    Attributes:
        seconds: the length of the video.
        faces: longest visible first.
        left_out: IDs of the faces that were visible for less than was asked for.
    """

    seconds: float
    faces: tuple[SeenFace, ...]
    left_out: frozenset[int] = frozenset()


class FaceTimes:
    """Adds up how long each face of a video was visible.

    What is seen in a frame counts until the next one, so frames may come at any times.
    """

    def __init__(self) -> None:
        self.visible_s: dict[int | None, float] = {}
        self.emotions_s: dict[int | None, dict[str, float]] = {}
        self.faces: Sequence[Face] = ()
        self.time_s = self.last_step_s = 0.0

    def add(self, time_s: float, faces: Sequence[Face]) -> None:
        """Add the faces of a frame, whose time is later than that of the last one."""
        self._count(time_s - self.time_s)
        self.last_step_s = time_s - self.time_s
        self.time_s, self.faces = time_s, faces

    def total(self, *, frame_s: float, min_seconds: float = 0.0) -> SeenFaces:
        """Return the faces so far.

        Args:
            min_seconds: leave out faces with an ID that were visible for less.
            frame_s: how long an only frame counts, in seconds; the last of several counts as long
                as the one before it.
        """
        last_s = self.last_step_s or frame_s
        self._count(last_s)
        faces, left_out = [], set()
        for number, visible_s in _largest_first(self.visible_s).items():
            # 1e-6 s: the sum of the frames' times must not miss it due to rounding.
            if number is not None and visible_s < min_seconds - 1e-6:
                left_out.add(number)
                continue
            emotions_s = _largest_first(self.emotions_s[number])
            whole_s = sum(emotions_s.values())
            shares = {emotion: part_s / whole_s for emotion, part_s in emotions_s.items()}
            faces.append(SeenFace(number, visible_s, shares))
        return SeenFaces(self.time_s + last_s, tuple(faces), frozenset(left_out))

    def _count(self, seconds: float) -> None:
        for number in {face.id for face in self.faces}:
            self.visible_s[number] = self.visible_s.get(number, 0.0) + seconds
        for face in self.faces:
            emotions_s = self.emotions_s.setdefault(face.id, {})
            emotions_s[face.emotion] = emotions_s.get(face.emotion, 0.0) + seconds
        self.faces = ()


def _largest_first(times_s: dict[Key, float]) -> dict[Key, float]:
    return dict(sorted(times_s.items(), key=lambda item: -item[1]))
