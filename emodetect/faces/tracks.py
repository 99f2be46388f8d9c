"""The faces of a video that are known at a moment; a new one is confirmed by later sightings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emodetect.faces.boxes import Box, distance, iou, same_face
from emodetect.faces.template import FaceTemplate

# Costs above this are not a match: no overlap, and centres one side apart.
MAX_COST = 2.0
# A face whose side is this many times larger or smaller is another face.
MAX_SIZE_RATIO = 1.8
# A new face must be found again within this many frames, which callers hold in memory, together
# with those between them that are not analysed.
CONFIRMING_FRAMES = 4
# In frames further apart than this, a face moves too far to be recognised by its place: nothing
# can confirm it, so the first sighting is enough.
CONFIRMING_S = 0.5


@dataclass(eq=False)
class Track:
    """A face of a video.

    Attributes:
        key: counts all tracks, including those that were never confirmed.
        box: where it was last found.
        shown: moving average of its boxes over time, (4,) float.
        seen_s: when it was last found.
        template: how it looked when the detector last found it; None before, and once it missed it.
        template_s: when that was.
        id: from 1, never reused; None until the face is confirmed.
        sightings: number of frames in which it was found.
        frames: number of frames since the first of these.
    """

    key: int
    box: Box
    shown: np.ndarray
    seen_s: float
    template: FaceTemplate | None = None
    template_s: float = -np.inf
    id: int | None = None
    sightings: int = 1
    frames: int = 0


class Tracks:
    """The known faces, longest known first.

    Call `begin` with each frame, then `see` and `add` with what was found in it, then `end`.

    Args:
        sightings: number of frames in which a new face must be found, among its first
            1 + CONFIRMING_FRAMES, to be confirmed.

    Attributes:
        known: confirmed faces, and new ones that may still be confirmed.
        confirmed: IDs of the tracks confirmed in the current frame, by key.
        dropped: keys of the unconfirmed tracks given up in the current frame.
    """

    def __init__(self, *, sightings: int) -> None:
        self.sightings = sightings
        self.known: list[Track] = []
        self.next_key = self.next_id = 1
        self.confirmed: dict[int, int] = {}
        self.dropped: set[int] = set()
        self.time_s = self.elapsed_s = -np.inf

    def begin(self, time_s: float) -> None:
        """Begin a frame.

        Args:
            time_s: time of the frame, later than that of the previous frame.
        """
        self.elapsed_s, self.time_s = time_s - self.time_s, time_s
        self.confirmed, self.dropped = {}, set()
        if self.stand_alone:
            for track in self.known:
                self._confirm(track)
        for track in self.known:
            track.frames += 1

    @property
    def stand_alone(self) -> bool:
        """Whether the frames are too far apart to confirm a face by its place."""
        return CONFIRMING_S < self.elapsed_s < np.inf

    def keep(self, tracks: Sequence[Track]) -> None:
        """Give up all other faces."""
        gone = set(self.known) - set(tracks)
        self.dropped |= {track.key for track in gone if track.id is None}
        self.known = list(tracks)

    def see(self, track: Track, box: Box) -> None:
        """Note where a known face was found in this frame, which may confirm it."""
        track.box, track.seen_s = box, self.time_s
        track.sightings += 1
        if track.sightings >= self.sightings:
            self._confirm(track)

    def add(self, box: Box) -> Track:
        """Add a new face that was found in this frame."""
        track = Track(self.next_key, box, np.array(box, float), self.time_s)
        self.next_key += 1
        self.known.append(track)
        if self.stand_alone:
            self._confirm(track)
        return track

    def end(self, keep_s: float) -> list[Track]:
        """Give up doubles, faces not found for `keep_s`, and new faces not found again in time.

        Returns the faces of this frame: those found in the last `keep_s`, but of the new ones given
        up only those that were found in it once more.
        """
        # If frames are further apart than that, a single miss must not end a track; but what it
        # misses is not there.
        longest_s = max(keep_s, 1.5 * self.elapsed_s)
        unseen_s = {track: self.time_s - track.seen_s for track in self._without_doubles()}
        left = [track for track, duration_s in unseen_s.items() if duration_s <= longest_s]
        self.keep(
            [track for track in left if track.id is not None or track.frames < CONFIRMING_FRAMES]
        )
        return [
            track
            for track in left
            if unseen_s[track] <= keep_s and (track in self.known or not unseen_s[track])
        ]

    def match(self, boxes: Sequence[Box]) -> list[tuple[Track, Box]]:
        """Return the pairs of known faces and boxes of minimum total cost.

        The cost of a pair is 1 - IoU plus the distance between the centres in sides; pairs above
        MAX_COST are left out. The assignment is Kuhn's (1955).
        """
        costs = np.array(
            [[cost_of(track.box, box) for box in boxes] for track in self.known]
        ).reshape(len(self.known), len(boxes))
        return [(self.known[row], boxes[column]) for row, column in _assign(costs)]

    def is_known(self, box: Box) -> bool:
        """Return whether a box is of a known face or a part of one."""
        return any(
            same_face(box, track.box) and not _is_part(track.box, box) for track in self.known
        )

    def _confirm(self, track: Track) -> None:
        if track.id is None:
            track.id = self.confirmed[track.key] = self.next_id
            self.next_id += 1

    def _without_doubles(self) -> list[Track]:
        """Return the known faces without parts of others and without those of the same place.

        Of two in one place, the one known for longer stays. A new face does not replace a part of
        it that is confirmed until it is confirmed too.
        """
        kept: list[Track] = []
        for track in self.known:
            whole = (
                other
                for other in self.known
                if _is_part(track.box, other.box) and (track.id is None or other.id is not None)
            )
            doubles = (other for other in kept if not _is_part(other.box, track.box))
            if not any(same_face(track.box, other.box) for other in (*whole, *doubles)):
                kept.append(track)
        return kept


def _is_part(box: Box, whole: Box) -> bool:
    """Return whether a box is so much smaller than another that it is at most a part of a face."""
    return box[2] * box[3] * MAX_SIZE_RATIO**2 < whole[2] * whole[3]


def cost_of(a: Box, b: Box) -> float:
    """Return the cost of matching two boxes; infinite if their sizes differ too much."""
    ratio = (a[2] * a[3]) / (b[2] * b[3])
    if not MAX_SIZE_RATIO**-2 < ratio < MAX_SIZE_RATIO**2:
        return np.inf
    return 1 - iou(a, b) + distance(a, b)


def _assign(costs: np.ndarray) -> list[tuple[int, int]]:
    """Return the (row, column) pairs of minimum total cost, without those above MAX_COST."""
    possible = costs < MAX_COST
    if (possible.sum(axis=0) <= 1).all() and (possible.sum(axis=1) <= 1).all():
        return [(int(row), int(column)) for row, column in np.argwhere(possible)]
    # Imported here because it takes half a second, and faces are rarely this close together.
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(np.where(possible, costs, 1e3))
    return [
        (int(row), int(column))
        for row, column in zip(rows, columns, strict=True)
        if possible[row, column]
    ]
