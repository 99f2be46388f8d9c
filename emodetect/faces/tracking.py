"""Track faces through a video: search near each last position, and scan the frame at times.

A scan looks at a much reduced frame; a hit becomes a face once the detector confirms it close up.
Detections are assigned to faces at minimum total cost (Kuhn 1955); the cost of a pair is 1 - IoU
plus the distance between the centres in sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from emodetect.faces.boxes import SAME_FACE_IOU, Box, clip, distance, iou
from emodetect.faces.detectors.registry import Detector
from emodetect.images.resizing import reduced

# Side to which a face is reduced for the search near its last position. At 40 the cascade loses
# some faces; at 56 it keeps them, with boxes as accurate as at full size.
FACE_SIDE = 56
# The searched region, in sides of the face: a face may move half a side between two frames.
REGION = 2.0
# Costs above this are not a match: no overlap, and centres one side apart.
MAX_COST = 2.0
# A face whose side is this many times larger or smaller is another face.
MAX_SIZE_RATIO = 1.8
# Mean difference of two frames' thumbnails (0-255) that indicates a cut to another scene; frames
# further apart than LONGEST_CUT_S can differ this much without a cut.
CUT_DIFFERENCE = 32.0
LONGEST_CUT_S = 0.2
THUMBNAIL = (32, 18)
# Time between full scans while a face is lost, or there is none.
SEARCH_INTERVAL_S = 0.1


@dataclass(frozen=True)
class TrackingOptions:
    """How faces are tracked.

    Attributes:
        scan_interval_s: seconds between full scans for new faces while all known ones are visible.
        scan_side: longer side, in pixels, to which a frame is reduced for a scan. The cascade finds
            faces of at least 24 of these pixels: at 320, of at least 7.5% of the longer side.
        keep_s: how long a face that is no longer found stays at its last position.
        box_smoothing_s: time constant of the moving average of boxes; 0 switches it off.
        score_smoothing_s: the same for the probabilities of the emotions.
        hysteresis: lead in probability that another emotion needs to change the label.
    """

    scan_interval_s: float = 0.5
    scan_side: int = 320
    keep_s: float = 0.4
    box_smoothing_s: float = 0.08
    score_smoothing_s: float = 0.4
    hysteresis: float = 0.1


@dataclass
class Track:
    """A tracked face.

    Attributes:
        id: from 1, never reused.
        box: where it was last found.
        shown: moving average of its boxes over time.
        seen_s: when it was last found.
    """

    id: int
    box: Box
    shown: np.ndarray
    seen_s: float


class FaceTracker:
    """Finds the faces in the frames of a video; each keeps its ID. Not thread-safe."""

    def __init__(
        self, detector: Detector, options: TrackingOptions | None = None, *, first_id: int = 1
    ) -> None:
        self.detector = detector
        self.options = options or TrackingOptions()
        self.tracks: list[Track] = []
        self.next_id = first_id
        self.scanned_s = -np.inf
        self.last_s = -np.inf
        self.thumbnail: np.ndarray | None = None

    def update(self, image: np.ndarray, time_s: float) -> list[tuple[int, Box]]:
        """Return the IDs and boxes of the faces in a frame, longest tracked first.

        Args:
            image: (height, width, 3) uint8 BGR; its size may differ from the previous frame's.
            time_s: time of the frame, later than that of the previous frame.
        """
        elapsed_s, self.last_s = time_s - self.last_s, time_s
        if self._is_cut(image) and elapsed_s <= LONGEST_CUT_S:
            self.tracks, self.scanned_s = [], -np.inf
        lost = [track for track in self.tracks if not self._follow(track, image, track.box, time_s)]
        wait_s = self.options.scan_interval_s
        if lost or not self.tracks:
            wait_s = min(wait_s, SEARCH_INTERVAL_S)
        # 1e-6 s: frames at equal steps must not miss a scan due to rounding.
        if time_s - self.scanned_s >= wait_s - 1e-6:
            self.scanned_s = time_s
            self._match(self._scan(image), image, time_s)
        # If frames are further apart than that, a single miss must not end a track.
        keep_s = max(self.options.keep_s, 1.5 * elapsed_s)
        self.tracks = [
            track for track in self._without_doubles() if time_s - track.seen_s <= keep_s
        ]
        height, width = image.shape[:2]
        keep = kept_share(elapsed_s, self.options.box_smoothing_s)
        found = []
        for track in self.tracks:
            track.shown = keep * track.shown + (1 - keep) * np.asarray(track.box)
            found.append((track.id, clip(track.shown.tolist(), width, height)))
        return found

    def _is_cut(self, image: np.ndarray) -> bool:
        small = cv2.resize(image, THUMBNAIL, interpolation=cv2.INTER_LINEAR).astype(np.int16)
        before, self.thumbnail = self.thumbnail, small
        return before is not None and float(np.abs(small - before).mean()) > CUT_DIFFERENCE

    def _follow(self, track: Track, image: np.ndarray, box: Box, time_s: float) -> bool:
        """Move a face to where it is found near a box; return whether it was found."""
        found = self._near(image, box)
        if found is not None:
            track.box, track.seen_s = found, time_s
        return found is not None

    def _near(self, image: np.ndarray, box: Box) -> Box | None:
        """Return the face that the detector finds near a box, the one that matches it best."""
        height, width = image.shape[:2]
        x, y, w, h = box
        grow = (REGION - 1) / 2
        region = clip((x - w * grow, y - h * grow, w * REGION, h * REGION), width, height)
        left, top, patch_width, patch_height = region
        patch = image[top : top + patch_height, left : left + patch_width]
        scale = max(1.0, (w + h) / 2 / FACE_SIDE)
        small = reduced(patch, scale)
        boxes = [
            clip((left + a, top + b, c, d), width, height)
            for a, b, c, d in _enlarged(
                self.detector.locate(small, (w + h) / 2 / scale), small, patch
            )
        ]
        likely = [(cost, found) for found in boxes if (cost := _cost(box, found)) < MAX_COST]
        return min(likely)[1] if likely else None

    def _scan(self, image: np.ndarray) -> list[Box]:
        height, width = image.shape[:2]
        small = reduced(image, max(height, width) / self.options.scan_side)
        return [
            clip(box, width, height) for box in _enlarged(self.detector.scan(small), small, image)
        ]

    def _match(self, boxes: Sequence[Box], image: np.ndarray, time_s: float) -> None:
        """Assign the boxes of a scan to known faces; confirmed others become new faces."""
        pairs = _assign([track.box for track in self.tracks], boxes)
        for row, column in pairs:
            track = self.tracks[row]
            if track.seen_s < time_s:  # not found near its last position
                self._follow(track, image, boxes[column], time_s)
        for column in set(range(len(boxes))) - {column for _, column in pairs}:
            found = self._near(image, boxes[column])
            if found is not None and not any(
                iou(found, track.box) > SAME_FACE_IOU for track in self.tracks
            ):
                self.tracks.append(Track(self.next_id, found, np.array(found, float), time_s))
                self.next_id += 1

    def _without_doubles(self) -> list[Track]:
        """Return the faces without those that now overlap an older one."""
        kept: list[Track] = []
        for track in self.tracks:
            if not any(iou(track.box, older.box) > SAME_FACE_IOU for older in kept):
                kept.append(track)
        return kept


def _enlarged(
    boxes: Sequence[Box], small: np.ndarray, image: np.ndarray
) -> list[tuple[float, float, float, float]]:
    """Convert boxes in a reduced image to pixels of the full image."""
    y_scale, x_scale = image.shape[0] / small.shape[0], image.shape[1] / small.shape[1]
    return [(x * x_scale, y * y_scale, w * x_scale, h * y_scale) for x, y, w, h in boxes]


def kept_share(elapsed_s: float, constant_s: float) -> float:
    """Return the weight of the previous value of an exponential moving average after a time."""
    return float(np.exp(-elapsed_s / constant_s)) if constant_s > 0 else 0.0


def _cost(a: Box, b: Box) -> float:
    """Return the cost of matching two boxes; infinite if their sizes differ too much."""
    ratio = (a[2] * a[3]) / (b[2] * b[3])
    if not MAX_SIZE_RATIO**-2 < ratio < MAX_SIZE_RATIO**2:
        return np.inf
    return 1 - iou(a, b) + distance(a, b)


def _assign(tracked: Sequence[Box], found: Sequence[Box]) -> list[tuple[int, int]]:
    """Return the pairs (tracked, found) of minimum total cost, without those above MAX_COST."""
    costs = np.array([[_cost(a, b) for b in found] for a in tracked]).reshape(
        len(tracked), len(found)
    )
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
