"""Find the faces of a video: near each last position, and by scanning the frame at times.

Between two searches, a face is followed by its appearance.

The first frame of a scene is searched like a photo. Later scans look at a reduced frame, in which
faces of the sizes that are known can still be found. A hit becomes a face once the detector finds
it close up, in several frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from numbers import Real

import numpy as np

from emodetect.errors import OptionsError
from emodetect.faces.boxes import Box, clip
from emodetect.faces.cuts import CutFinder
from emodetect.faces.detectors.registry import Detector
from emodetect.faces.template import FaceTemplate
from emodetect.faces.tracks import CONFIRMING_S, MAX_COST, Track, Tracks, cost_of
from emodetect.images.resizing import reduced

# Side to which a face is reduced for the search near its last position, and at least left in a
# scan. At 40 the cascade loses some faces; at 56 it keeps them, with boxes as accurate as at full
# size.
FACE_SIDE = 56
# A new face must be as clear as a face in a photo in this many frames. In 46 altered copies of a
# video, no light passed for a face then; with one frame fewer, one did for 43 frames. Drawn videos
# lose none of their faces by it.
NEW_FACE_SIGHTINGS = 4
# The searched region, in sides of the face: a face may move half a side between two frames.
REGION = 2.0
# Time between searches near the last position; in between, a face is followed by its appearance.
FOLLOWING_S = 0.12
# Time between scans while a face is lost, or there is none.
SEARCH_INTERVAL_S = 0.1
# While there is no face, the frame is searched at full size again after this time at most; the time
# doubles from SEARCH_INTERVAL_S with each search.
LONGEST_FULL_INTERVAL_S = 5.0


@dataclass(frozen=True)
class TrackingOptions:
    """How faces are tracked.

    Attributes:
        scan_interval_s: seconds between full scans for new faces while all known ones are visible.
        scan_side: longer side, in pixels, to which a frame is reduced for a scan. The cascade finds
            faces of at least 24 of these pixels: at 320, of at least 7.5% of the longer side.
        keep_s: how long a face that is no longer found keeps its last position and scores.
        box_smoothing_s: time constant of the moving average of boxes; 0 switches it off.
        score_smoothing_s: the same for the probabilities of the emotions.
        hysteresis: lead in probability that another emotion needs to change the label.

    Raises:
        OptionsError: for a value that is negative or not a number, or a `scan_side` below 1.
    """

    scan_interval_s: float = 0.5
    scan_side: int = 320
    keep_s: float = 0.4
    box_smoothing_s: float = 0.08
    score_smoothing_s: float = 0.4
    hysteresis: float = 0.1

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 1 if name == "scan_side" else 0
            if not isinstance(value, Real) or not least <= float(value) < np.inf:
                raise OptionsError(f"{name}: expected a number, at least {least}; got {value!r}.")


class FaceTracker:
    """Finds the faces in the frames of a video; each keeps its ID. Not thread-safe."""

    def __init__(self, detector: Detector, options: TrackingOptions | None = None) -> None:
        self.detector = detector
        self.options = options or TrackingOptions()
        self.tracks = Tracks(sightings=NEW_FACE_SIGHTINGS)
        self.cuts = CutFinder()
        self._expect_anything()

    def _expect_anything(self) -> None:
        """Search the next frame at full size, because nothing is known about it."""
        self.scanned_s = self.searched_s = -np.inf
        self.full_interval_s = SEARCH_INTERVAL_S

    def update(self, image: np.ndarray, time_s: float) -> list[tuple[Track, Box]]:
        """Return the faces of a frame with their boxes, longest tracked first.

        Among them are unconfirmed ones, whose `id` is None; `tracks` says what became of those of
        previous frames.

        Args:
            image: (height, width, 3) uint8 BGR; its size may differ from the previous frame's.
            time_s: time of the frame, later than that of the previous frame.
        """
        self.tracks.begin(time_s)
        if self.cuts.is_cut(image, self.tracks.elapsed_s):
            self.tracks.keep([])
            self._expect_anything()
        lost = [track for track in self.tracks.known if not self._follow(track, image)]
        confirmed = [track for track in self.tracks.known if track.id is not None]
        wait_s = self.options.scan_interval_s
        if not confirmed or set(lost) & set(confirmed):
            wait_s = min(wait_s, SEARCH_INTERVAL_S)
        # 1e-6 s: frames at equal steps must not miss a scan due to rounding.
        if time_s - self.scanned_s >= wait_s - 1e-6:
            self.scanned_s = time_s
            self._match(self._scan(image, time_s), image)
        shown = self.tracks.end(self.options.keep_s)
        height, width = image.shape[:2]
        keep = kept_share(self.tracks.elapsed_s, self.options.box_smoothing_s)
        found = []
        for track in shown:
            track.shown = keep * track.shown + (1 - keep) * np.asarray(track.box)
            found.append((track, clip(track.shown.tolist(), width, height)))
        return found

    def _follow(self, track: Track, image: np.ndarray) -> bool:
        """Move a face to where it is found near its last position; return whether it was found."""
        recent = self.tracks.time_s - track.template_s < FOLLOWING_S - 1e-6
        if recent and track.id is not None and track.template is not None:
            found = track.template.find(image, track.box)
            if found is not None:
                self.tracks.see(track, found)
                return True
        return self._search(track, image, track.box)

    def _search(self, track: Track, image: np.ndarray, box: Box) -> bool:
        """Move a face to where the detector finds it near a box; return whether it did."""
        found = self._near(image, box, is_new=track.id is None)
        if found is None:
            track.template = None
            return False
        self.tracks.see(track, found)
        track.template, track.template_s = FaceTemplate(image, found), self.tracks.time_s
        return True

    def _near(self, image: np.ndarray, box: Box, *, is_new: bool = False) -> Box | None:
        """Return the face that the detector finds near a box, the one that matches it best."""
        height, width = image.shape[:2]
        x, y, w, h = box
        grow = (REGION - 1) / 2
        region = clip((x - w * grow, y - h * grow, w * REGION, h * REGION), width, height)
        left, top, patch_width, patch_height = region
        patch = image[top : top + patch_height, left : left + patch_width]
        scale = max(1.0, (w + h) / 2 / FACE_SIDE)
        small = reduced(patch, scale)
        if is_new:
            hits = self.detector.detect(small)
        else:
            hits = self.detector.locate(small, (w + h) / 2 / scale)
        boxes = [
            clip((left + a, top + b, c, d), width, height)
            for a, b, c, d in _enlarged(hits, small, patch)
        ]
        likely = [(cost, found) for found in boxes if (cost := cost_of(box, found)) < MAX_COST]
        return min(likely)[1] if likely else None

    def _scan(self, image: np.ndarray, time_s: float) -> list[Box]:
        """Return candidate faces in the whole frame."""
        known = [(track.box[2] + track.box[3]) / 2 for track in self.tracks.known]
        if not known and time_s - self.searched_s >= self.full_interval_s - 1e-6:
            if self.searched_s > -np.inf:
                self.full_interval_s = min(2 * self.full_interval_s, LONGEST_FULL_INTERVAL_S)
            self.searched_s = time_s
            return self.detector.detect(image)
        height, width = image.shape[:2]
        scale = max(height, width) / self.options.scan_side
        small = reduced(image, max(1.0, min([scale, *(side / FACE_SIDE for side in known)])))
        return [
            clip(box, width, height) for box in _enlarged(self.detector.scan(small), small, image)
        ]

    def _match(self, boxes: Sequence[Box], image: np.ndarray) -> None:
        """Assign the boxes of a scan to known faces; others found close up become new faces."""
        pairs = self.tracks.match(boxes)
        for track, box in pairs:
            if track.seen_s < self.tracks.time_s:  # not found near its last position
                self._search(track, image, box)
        for box in boxes:
            new = box not in [box for _, box in pairs]
            found = self._near(image, box) if new else None
            if found is not None and not self.tracks.is_known(found):
                self.tracks.add(found)


class FrameByFrame:
    """Finds the faces of each frame as in a photo: without IDs. Not thread-safe."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.tracks = Tracks(sightings=2)

    def update(self, image: np.ndarray, time_s: float) -> list[tuple[Track, Box]]:
        """Return the faces of a frame with their boxes, largest first; see `FaceTracker.update`."""
        self.tracks.begin(time_s)
        boxes = self.detector.detect(image)
        found = {box: track for track, box in self.tracks.match(boxes)}
        for box, track in found.items():
            self.tracks.see(track, box)
        for box in boxes:
            if box not in found:
                found[box] = self.tracks.add(box)
        self.tracks.end(CONFIRMING_S)
        return [(found[box], box) for box in boxes]


def _enlarged(
    boxes: Sequence[Box], small: np.ndarray, image: np.ndarray
) -> list[tuple[float, float, float, float]]:
    """Convert boxes in a reduced image to pixels of the full image."""
    y_scale, x_scale = image.shape[0] / small.shape[0], image.shape[1] / small.shape[1]
    return [(x * x_scale, y * y_scale, w * x_scale, h * y_scale) for x, y, w, h in boxes]


def kept_share(elapsed_s: float, constant_s: float) -> float:
    """Return the weight of the previous value of an exponential moving average after a time."""
    return float(np.exp(-elapsed_s / constant_s)) if constant_s > 0 else 0.0
