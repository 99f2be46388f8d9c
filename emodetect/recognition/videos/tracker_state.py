"""What the tracker of a video knows, in a file beside the log, for a run that is resumed.

The file holds no pictures: how the faces looked is taken from the video again. Otherwise it tells
of one frame what the log tells of all, with more digits.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from emodetect.errors import VideoError
from emodetect.faces.template import FaceTemplate
from emodetect.faces.tracking import FaceTracker
from emodetect.faces.tracks import Track
from emodetect.machine.atomic_files import write_text
from emodetect.recognition.recognizer import EmotionTracker
from emodetect.recognition.smoothing import SmoothedScores
from emodetect.recognition.videos.reading.capture import Frame

LONGEST_FILE = 2**20  # bytes; a face takes about 500
# Two runs may round the time of a frame differently, if they read others in between.
ROUNDING_S = 1e-6
# Settings that may differ in a resumed run: no row of the log depends on the last, and a log may be
# gone on with after an update.
NOT_IN_ROWS = ("emodetect", "min_seconds")

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, lt=2**53)]
Place = Annotated[int, Field(ge=0, lt=2**16)]
Side = Annotated[int, Field(gt=0, lt=2**16)]
StoredBox = tuple[Place, Place, Side, Side]
Pixels = Annotated[float, Field(ge=0, lt=2**16)]
Probability = Annotated[float, Field(ge=0, le=1.01)]  # averages are rounded


class _Stored(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class _Template(_Stored):
    """Where and when the appearance of a face was noted."""

    box: StoredBox
    time_s: Seconds


class _Smoothed(_Stored):
    """See `SmoothedScores`."""

    average: list[Probability]
    shown: Count


class _Face(_Stored):
    """A confirmed `Track`, and its scores if it is in the last frame."""

    key: Count
    id: Count
    box: StoredBox
    shown: tuple[Pixels, Pixels, Pixels, Pixels]
    seen_s: Seconds
    sightings: Count
    frames: Count
    template: _Template | None
    scores: _Smoothed | None


class _Search(_Stored):
    """When a `FaceTracker` last searched whole frames."""

    scanned_s: Seconds
    searched_s: Seconds
    full_interval_s: Seconds


class TrackerState(_Stored):
    """What an `EmotionTracker` knows after a frame that leaves no new face unconfirmed.

    Attributes:
        made_by: the digest of the video and the settings; see `StateFile`.
        settings: the digest of the settings that rows depend on.
        frames: number of frames analysed; 0 if only the settings are of use.
        search: None without tracking.
    """

    made_by: str
    settings: str
    frames: Count
    next_key: Count
    next_id: Count
    faces: list[_Face]
    search: _Search | None
    _templates: dict[int, FaceTemplate] = PrivateAttr(default_factory=dict)

    @classmethod
    def of(cls, tracker: EmotionTracker, file: StateFile, *, frames: int) -> TrackerState | None:
        """Return the state of a tracker; None while a new face is unconfirmed."""
        finder, tracks = tracker.faces, tracker.faces.tracks
        faces = [
            _face(track, track.id, tracker.smoothed.get(track.key))
            for track in tracks.known
            if track.id is not None
        ]
        if len(faces) < len(tracks.known):
            return None
        search = None
        if isinstance(finder, FaceTracker):
            search = _Search(
                scanned_s=finder.scanned_s,
                searched_s=finder.searched_s,
                full_interval_s=finder.full_interval_s,
            )
        return cls(
            made_by=file.made_by,
            settings=file.settings,
            frames=frames,
            next_key=tracks.next_key,
            next_id=tracks.next_id,
            faces=faces,
            search=search,
        )

    def show(self, frame: Frame) -> None:
        """Take from a frame how faces looked, if that was noted in it."""
        height, width = frame.image.shape[:2]
        for face in self.faces:
            noted = face.template
            if noted is not None and abs(noted.time_s - frame.time_s) < ROUNDING_S:
                x, y, w, h = noted.box
                if x + w <= width and y + h <= height:
                    self._templates[face.key] = FaceTemplate(frame.image, noted.box)

    def restore(self, tracker: EmotionTracker, frame: Frame) -> None:
        """Bring a new tracker into this state, once `show` was called with each frame.

        Args:
            frame: the last one that was analysed.
        """
        finder, tracks = tracker.faces, tracker.faces.tracks
        tracks.next_key, tracks.next_id = self.next_key, self.next_id
        tracks.time_s = tracker.last_s = frame.time_s
        tracks.known = [
            Track(
                face.key,
                face.box,
                np.array(face.shown),
                face.seen_s,
                template=self._templates.get(face.key),
                template_s=-np.inf if face.template is None else face.template.time_s,
                id=face.id,
                sightings=face.sightings,
                frames=face.frames,
            )
            for face in self.faces
        ]
        tracker.smoothed = {
            face.key: SmoothedScores(
                np.array(face.scores.average, np.float32), face.scores.shown, face.seen_s
            )
            for face in self.faces
            if face.scores is not None
        }
        if isinstance(finder, FaceTracker) and self.search is not None:
            finder.scanned_s = self.search.scanned_s
            finder.searched_s = self.search.searched_s
            finder.full_interval_s = self.search.full_interval_s
            finder.cuts.is_cut(frame.image, np.inf)  # the next frame is compared with this one


def _face(track: Track, number: int, scores: SmoothedScores | None) -> _Face:
    return _Face(
        key=track.key,
        id=number,
        box=track.box,
        shown=tuple(track.shown.tolist()),
        seen_s=track.seen_s,
        sightings=track.sightings,
        frames=track.frames,
        template=None
        if track.template is None
        else _Template(box=track.template.box, time_s=track.template_s),
        scores=None
        if scores is None
        else _Smoothed(average=scores.average.tolist(), shown=scores.shown),
    )


class StateFile:
    """The file of a log's last `TrackerState`.

    Args:
        log: the log.
        video: a video file; the state of another, or of one that was changed, is not used.
        settings: those of the analysis; a state made with others is not used.
    """

    def __init__(self, log: Path, video: str, settings: Mapping[str, Any]) -> None:
        self.path = _beside(log)
        try:
            found = Path(video).stat()
            identity = [video, found.st_size, found.st_mtime_ns]
        except (OSError, ValueError):  # an address, whose video may change unnoticed
            identity = [video, time.time_ns()]
        made_by = json.dumps([*identity, cv2.__version__, settings], sort_keys=True)
        self.made_by = hashlib.sha256(made_by.encode("utf-8", "replace")).hexdigest()
        self.settings = _digest(settings)

    def read(self, *, frames: int, emotions: int) -> TrackerState | None:
        """Return the state, or None if there is none that can be used.

        Args:
            frames: number of frames of the video in the log; a state after more is not used.
            emotions: how many the model has.
        """
        state = self._of_this_video()
        if state is None or not 0 < state.frames <= frames:
            return None
        scores = [face.scores for face in state.faces if face.scores is not None]
        return state if all(len(one.average) == emotions > one.shown for one in scores) else None

    def _of_this_video(self) -> TrackerState | None:
        state = _stored(self.path)
        return state if state is not None and state.made_by == self.made_by else None

    def begin(self) -> None:
        """Note the settings of a video's first row."""
        self.write(
            TrackerState(
                made_by=self.made_by,
                settings=self.settings,
                frames=0,
                next_key=0,
                next_id=0,
                faces=[],
                search=None,
            )
        )

    def write(self, state: TrackerState) -> None:
        """Replace the file; a disk that does not take it costs time when resuming, no more."""
        with suppress(OSError):
            write_text(self.path, state.model_dump_json())

    def remove(self, *, whose: Literal["any", "own"]) -> None:
        """Remove the file, which nothing needs once its video is finished.

        Args:
            whose: "own" leaves that of another video.
        """
        if whose == "any" or self._of_this_video() is not None:
            with suppress(OSError):
                self.path.unlink()


def check_settings(log: Path, settings: Mapping[str, Any]) -> None:
    """Raise VideoError if a log that is resumed was interrupted in a run of other settings."""
    state = _stored(_beside(log))
    if state is not None and state.settings != _digest(settings):
        raise VideoError(
            f"{log}: cannot be resumed: its last rows come from another model or other options; "
            "use the same, or start over with --force."
        )


def certain_frames(log: Path) -> float:
    """Return of how many analysed frames of an unfinished video all rows are in its log.

    Infinite without a state, which a finished video leaves none of.
    """
    state = _stored(_beside(log))
    return math.inf if state is None else state.frames


def _beside(log: Path) -> Path:
    return log.with_name(f"{log.name}.resume")


def _stored(path: Path) -> TrackerState | None:
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return TrackerState.model_validate_json(file.read(LONGEST_FILE))
    except (OSError, ValueError):
        return None


def _digest(settings: Mapping[str, Any]) -> str:
    rows_depend_on = {key: settings[key] for key in settings if key not in NOT_IN_ROWS}
    return hashlib.sha256(json.dumps(rows_depend_on, sort_keys=True).encode()).hexdigest()
