"""The figures of a video: how long each face shows each emotion, in episodes and transitions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emodetect.emotions import UNCERTAIN
from emodetect.recognition.videos.summary.face_record import FaceRecord, FaceRows

Transitions = dict[tuple[str, str], int]


@dataclass(frozen=True)
class Episode:
    """A time in which a face shows one emotion without interruption.

    Attributes:
        start_s: from the start of the video, in seconds.
        seconds: how long it lasts.
    """

    start_s: float
    seconds: float


@dataclass(frozen=True)
class EmotionFigures:
    """An emotion of a face, or "uncertain".

    Attributes:
        seconds: how long the face was given this label.
        share: the share of the face's visible time, 0 to 1.
        mean_probability: the mean over the whole visible time, whatever the label; None for
            "uncertain", which has no probability.
        episodes: in order of time; None without tracking, which cannot tell faces apart.
    """

    seconds: float
    share: float
    mean_probability: float | None
    episodes: tuple[Episode, ...] | None

    @property
    def episode_count(self) -> int | None:
        """The number of episodes; None without tracking."""
        return None if self.episodes is None else len(self.episodes)

    @property
    def mean_episode_s(self) -> float | None:
        """The mean length of the episodes in seconds; None if there is none."""
        lengths = [episode.seconds for episode in self.episodes or ()]
        return sum(lengths) / len(lengths) if lengths else None

    @property
    def longest_episode_s(self) -> float | None:
        """The length of the longest episode in seconds; None if there is none."""
        return max((episode.seconds for episode in self.episodes or ()), default=None)


@dataclass(frozen=True)
class FaceFigures:
    """A face of a video, or all its faces together.

    Attributes:
        id: its ID; None for all faces together.
        first_s: when it is first seen, in seconds; None for no face.
        visible_s: how long it is visible; for all faces, how long at least one is.
        face_s: the same for one face; for all faces, the sum of their times.
        frames: number of analysed frames that show it; for all faces, at least one.
        uncertain_frames: number of those in which it is uncertain; for all faces, at least one.
        emotions: the model's emotions in its label order, then "uncertain"; shares add up to 1.
        transitions: how often one label directly followed another; None without tracking.
    """

    id: int | None
    first_s: float | None
    visible_s: float
    face_s: float
    frames: int
    uncertain_frames: int
    emotions: dict[str, EmotionFigures]
    transitions: Transitions | None

    @property
    def episode_count(self) -> int | None:
        """The number of episodes of all labels; None without tracking."""
        counts = [figures.episode_count for figures in self.emotions.values()]
        return None if None in counts else sum(count or 0 for count in counts)

    @property
    def shares(self) -> dict[str, float]:
        """The labels that it has with their shares of the visible time, largest first."""
        shares = {name: figures.share for name, figures in self.emotions.items() if figures.share}
        return dict(sorted(shares.items(), key=lambda share: -share[1]))


@dataclass(frozen=True)
class VideoFigures:
    """What a video shows.

    Attributes:
        seconds: the length of what was analysed.
        frames: number of analysed frames.
        faces: longest visible first; empty without tracking.
        whole: all these faces together.
        left_out: IDs of the faces that were visible for less than was asked for; they count
            nowhere else.
    """

    seconds: float
    frames: int
    faces: tuple[FaceFigures, ...]
    whole: FaceFigures
    left_out: frozenset[int] = frozenset()

    @property
    def no_face_frame_share(self) -> float:
        """The share of the analysed frames without a face, 0 to 1."""
        return 1 - self.whole.frames / self.frames

    @property
    def uncertain_frame_share(self) -> float:
        """The share of the analysed frames with at least one uncertain face, 0 to 1."""
        return self.whole.uncertain_frames / self.frames


def video_figures(
    record: FaceRecord, *, frame_s: float, min_seconds: float = 0.0, end_s: float = math.inf
) -> VideoFigures | None:
    """Return the figures of a video; None if it has no frames.

    What a frame shows counts until the next one, so frames may come at any times. An episode ends
    when the label changes or the face is not in the next analysed frame.

    Args:
        frame_s: how long an only frame counts, in seconds; the last of several counts as long as
            the one before it.
        min_seconds: leave out tracked faces that were visible for less.
        end_s: when the video ends, in seconds: the last frame counts no longer.
    """
    times_s = record.times_s
    if not len(times_s):
        return None
    steps_s = np.diff(times_s)
    lengths_s = np.append(steps_s, steps_s[-1] if len(steps_s) else frame_s)
    lengths_s[-1] = min(lengths_s[-1], max(0.0, end_s - times_s[-1]))
    kept, left_out = {}, set()
    for number, rows in record.faces.items():
        # 1e-6 s: the sum of the frames' times must not miss it due to rounding.
        if record.tracked and lengths_s[rows.frames].sum() < min_seconds - 1e-6:
            left_out.add(number)
        else:
            kept[number] = rows
    count = _Counter(record, times_s, lengths_s)
    faces = [count.face(rows, number) for number, rows in kept.items()] if record.tracked else []
    return VideoFigures(
        seconds=float(times_s[-1] + lengths_s[-1]),
        frames=len(times_s),
        faces=tuple(sorted(faces, key=lambda face: -face.visible_s)),
        whole=count.together(list(kept.values()), faces),
        left_out=frozenset(left_out),
    )


@dataclass(frozen=True)
class _Counter:
    """Counts in a record whose frames are at `times_s` and count for `lengths_s`."""

    record: FaceRecord
    times_s: np.ndarray
    lengths_s: np.ndarray

    def face(self, rows: FaceRows, number: int) -> FaceFigures:
        """Return the figures of a face."""
        starts = np.flatnonzero(
            np.r_[True, (np.diff(rows.frames) != 1) | (np.diff(rows.labels) != 0)]
        )
        seconds = np.add.reduceat(self.lengths_s[rows.frames], starts)
        episodes: dict[str, list[Episode]] = {label: [] for label in self.record.labels}
        for start, length_s in zip(starts, seconds, strict=True):
            label = self.record.labels[rows.labels[start]]
            start_s = float(self.times_s[rows.frames[start]])
            episodes[label].append(Episode(start_s, float(length_s)))
        changes = np.flatnonzero((np.diff(rows.frames) == 1) & (np.diff(rows.labels) != 0))
        transitions: Transitions = {}
        for place in changes:
            before, after = (self.record.labels[label] for label in rows.labels[place : place + 2])
            transitions[before, after] = transitions.get((before, after), 0) + 1
        return self._figures([rows], number, episodes, transitions)

    def together(self, kept: Sequence[FaceRows], faces: Sequence[FaceFigures]) -> FaceFigures:
        """Return the figures of all faces; `faces` are theirs, if they are tracked."""
        if not self.record.tracked:
            return self._figures(kept, None, None, None)
        episodes: dict[str, list[Episode]] = {label: [] for label in self.record.labels}
        transitions: Transitions = {}
        for face in faces:
            for label, figures in face.emotions.items():
                episodes[label] += figures.episodes or ()
            for change, times in (face.transitions or {}).items():
                transitions[change] = transitions.get(change, 0) + times
        for of_label in episodes.values():
            of_label.sort(key=lambda episode: episode.start_s)
        return self._figures(kept, None, episodes, transitions)

    def _figures(
        self,
        of_faces: Sequence[FaceRows],
        number: int | None,
        episodes: dict[str, list[Episode]] | None,
        transitions: Transitions | None,
    ) -> FaceFigures:
        labels = self.record.labels
        frames = np.concatenate([np.empty(0, np.int64), *(rows.frames for rows in of_faces)])
        given = np.concatenate([np.empty(0, np.int64), *(rows.labels for rows in of_faces)])
        seconds = np.bincount(given, self.lengths_s[frames], minlength=len(labels))
        face_s = float(seconds.sum())
        sums = sum(
            (self.lengths_s[rows.frames] @ rows.scores.astype(np.float64) for rows in of_faces),
            np.zeros(len(self.record.emotions)),
        )
        emotions = {
            label: EmotionFigures(
                seconds=float(seconds[place]),
                share=float(seconds[place] / face_s) if face_s else 0.0,
                mean_probability=float(sums[place] / face_s)
                if face_s and label != UNCERTAIN
                else None,
                episodes=None if episodes is None else tuple(episodes[label]),
            )
            for place, label in enumerate(labels)
        }
        seen = np.unique(frames)
        return FaceFigures(
            id=number,
            first_s=float(self.times_s[seen[0]]) if len(seen) else None,
            visible_s=float(self.lengths_s[seen].sum()),
            face_s=face_s,
            frames=len(seen),
            uncertain_frames=len(np.unique(frames[given == labels.index(UNCERTAIN)])),
            emotions=emotions,
            transitions=transitions,
        )
