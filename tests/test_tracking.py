"""Following faces: the same number for the same face, steady labels, nothing that is not there."""

from __future__ import annotations

import pickle
import subprocess
import sys
from copy import deepcopy
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from emodetect.data.synthetic import draw_film, draw_scene
from emodetect.errors import EmodetectError, OptionsError
from emodetect.faces.boxes import Box, clip, iou, merge
from emodetect.faces.detectors.haar import HaarDetector
from emodetect.faces.detectors.whole_image import WholeImage
from emodetect.faces.template import FaceTemplate
from emodetect.faces.tracking import FaceTracker, FrameByFrame, TrackingOptions
from emodetect.faces.tracks import Tracks, cost_of
from emodetect.recognition.recognizer import EmotionRecognizer, EmotionTracker

FPS = 25.0


class BrightSquares:
    """Stands in for a detector: every bright square is a face."""

    def detect(self, image: np.ndarray) -> list[Box]:
        bright = (image[:, :, 0] > 127).astype(np.uint8)
        rows = cv2.connectedComponentsWithStats(bright)[2][1:]
        return merge([(int(x), int(y), int(w), int(h)) for x, y, w, h, _ in rows])

    scan = detect

    def locate(self, patch: np.ndarray, side: float) -> list[Box]:
        return [box for box in self.detect(patch) if 0.9 < box[2] / side < 1.1]


def update(
    tracker: FaceTracker | FrameByFrame, image: np.ndarray, time_s: float
) -> list[tuple[int, Box]]:
    """The numbers and boxes of a frame's confirmed faces."""
    found = tracker.update(image, time_s)
    return [(track.id, box) for track, box in found if track.id is not None]


def confirm(tracker: FaceTracker, image: np.ndarray, *, start_s: float = 0.0) -> float:
    """Show the tracker a scene until its faces are confirmed; return the time of the last frame."""
    for frame in range(4):
        tracker.update(image, start_s + frame / FPS)
    return start_s + 3 / FPS


def squares(*boxes: Box) -> np.ndarray:
    """A dark picture with bright squares, (200, 400, 3)."""
    image = np.zeros((200, 400, 3), np.uint8)
    for x, y, width, height in boxes:
        image[y : y + height, x : x + width] = 255
    return image


def test_faces_of_a_film_keep_their_numbers() -> None:
    """In a film of two moving people each is found on all frames, always with one number."""
    for seed in (1, 7):
        tracker = FaceTracker(HaarDetector())
        numbers: dict[str, set[int]] = {"happy": set(), "surprise": set()}
        film = draw_film(["happy", "surprise"], np.random.default_rng(seed), frames=40)
        for index, scene in enumerate(film):
            found = tracker.update(scene.image, index / FPS)
            assert len(found) == 2
            for face in scene.faces:
                track, box = max(found, key=lambda item: iou(item[1], face.box))
                assert iou(box, face.box) >= 0.5
                if index >= 3:
                    assert track.id is not None
                    numbers[face.emotion].add(track.id)
        assert sorted(numbers.values(), key=min) == [{1}, {2}]


def test_a_fast_face_keeps_its_number() -> None:
    """A face that leaves the searched region between two frames is found by a scan."""
    tracker = FaceTracker(BrightSquares())
    last_s = confirm(tracker, squares((20, 50, 60, 60)))
    places = [(x, last_s + x / 500) for x in (78, 136, 194)]
    found = [update(tracker, squares((x, 50, 60, 60)), time_s) for x, time_s in places]
    assert [number for ((number, _),) in found] == [1, 1, 1]
    assert iou(found[-1][0][1], (194, 50, 60, 60)) > 0.5


def test_two_faces_side_by_side_are_not_exchanged() -> None:
    """Where either of two faces could be either of two before, the nearest overall pairs hold."""
    tracker = FaceTracker(BrightSquares())
    last_s = confirm(tracker, squares((20, 50, 60, 60), (100, 50, 60, 60)))
    # Both jump out of the region searched, so that only the scan's pairs tell who is who.
    found = dict(update(tracker, squares((58, 50, 60, 60), (138, 50, 60, 60)), last_s + 0.2))
    assert found[1][0] < found[2][0]
    assert found.keys() == {1, 2}


def test_a_lost_face_stays_for_a_moment_and_comes_back_as_another() -> None:
    """A face not found keeps its place for `keep_s`; who comes later gets a new number."""
    tracker = FaceTracker(BrightSquares(), TrackingOptions(keep_s=0.4))
    box = (20, 50, 60, 60)
    last_s = confirm(tracker, squares(box))
    assert [number for number, _ in update(tracker, squares(), last_s + 0.3)] == [1]
    assert update(tracker, squares(), last_s + 0.5) == []
    last_s = confirm(tracker, squares(box), start_s=last_s + 0.7)
    assert [number for number, _ in update(tracker, squares(box), last_s + 0.04)] == [2]


def test_a_cut_to_another_scene_makes_new_faces() -> None:
    """Who stands in the same place after a cut is somebody else."""
    dark, box = squares((20, 50, 60, 60)), (20, 50, 60, 60)
    light = np.full_like(dark, 100)
    light[50:110, 20:80] = 255
    tracker = FaceTracker(BrightSquares())
    last_s = -1 / FPS
    for image, expected in ((dark, 1), (light, 2)):
        last_s = confirm(tracker, image, start_s=last_s + 1 / FPS) + 1 / FPS
        ((number, found),) = update(tracker, image, last_s)
        assert number == expected
        assert iou(found, box) > 0.9


def test_a_face_far_apart_in_time_stays_the_same() -> None:
    """Where few frames are looked at, a changed picture and a miss do not end a face.

    In the frame that misses it, seconds after it was seen, it is not shown.
    """
    dark, box = squares((20, 50, 60, 60)), (20, 50, 60, 60)
    changed = dark.copy()
    changed[:, 200:330] = 100  # between neighbouring frames, this would be a cut
    tracker = FaceTracker(BrightSquares())
    frames = (dark, changed, changed - dark, changed)
    found = [update(tracker, image, 2.0 * index) for index, image in enumerate(frames)]
    # The first frame's face is confirmed by the second, which says that frames are far apart.
    assert [[number for number, _ in faces] for faces in found[1:]] == [[1], [], [1]]
    assert iou(found[-1][0][1], box) > 0.9


def test_a_face_that_walked_on_is_not_counted_twice() -> None:
    """In frames seconds apart, each shows who is there, not who was there before."""
    tracker = FaceTracker(BrightSquares())
    places = [(20, 50, 60, 60), (200, 50, 60, 60), (20, 50, 60, 60), None, (200, 50, 60, 60)]
    frames = [squares(place) if place else squares() for place in places]
    found = [update(tracker, image, 2.0 * index) for index, image in enumerate(frames)]
    assert [len(faces) for faces in found[1:]] == [1, 1, 0, 1]


def test_a_cut_is_found_however_few_frames_are_looked_at() -> None:
    """In each scene of a film it is somebody else, in frames a second apart too."""
    scenes = [
        scene.image
        for seed in (1, 2, 3)
        for scene in list(draw_film(["happy"], np.random.default_rng(seed), frames=51))[::25]
    ]
    tracker = FaceTracker(HaarDetector())
    found = [update(tracker, image, float(second)) for second, image in enumerate(scenes)]
    numbers = [{number for number, _ in faces} for faces in found]
    assert numbers[1:] == [{1}] * 2 + [{2}] * 3 + [{3}] * 3


def test_a_new_face_is_found_by_the_next_scan() -> None:
    """While one face is followed, another one is found after the interval, not before."""
    tracker = FaceTracker(BrightSquares(), TrackingOptions(scan_interval_s=0.5))
    one, two = squares((20, 50, 60, 60)), squares((20, 50, 60, 60), (250, 50, 60, 60))
    last_s = confirm(tracker, one)
    assert len(tracker.update(two, last_s + 0.25)) == 1
    assert len(tracker.update(two, last_s + 0.5)) == 2


def test_a_new_face_is_no_face_before_it_is_seen_again() -> None:
    """What is found in one frame only is never a face; a face is one from its fourth frame on."""
    tracker = FaceTracker(BrightSquares(), TrackingOptions(scan_interval_s=0))
    one, two = squares((20, 50, 60, 60)), squares((20, 50, 60, 60), (250, 50, 60, 60))
    shown = [update(tracker, image, index / FPS) for index, image in enumerate([one] * 4)]
    assert [len(found) for found in shown] == [0, 0, 0, 1]
    frames = [two, *[one] * 6]
    shown = [update(tracker, image, (4 + index) / FPS) for index, image in enumerate(frames)]
    assert {number for found in shown for number, _ in found} == {1}


def test_a_face_found_now_and_then_is_in_each_frame_where_it_is_found() -> None:
    """What is found too rarely to be a face is still there to be blurred."""
    tracker = FaceTracker(BrightSquares(), TrackingOptions(scan_interval_s=0))
    for index in range(20):
        there = index % 5 in (0, 1, 4)
        image = squares((20, 50, 60, 60)) if there else squares()
        found = tracker.update(image, index / FPS)
        assert found or not there


def test_without_tracking_a_new_face_must_be_seen_again_too() -> None:
    """A hit of one frame is no face, and a face that a single frame misses is one."""
    tracker = FrameByFrame(BrightSquares())
    face, light = (20, 50, 60, 60), (250, 50, 60, 60)
    frames = [(face, light), (), (face,), (face,)]
    shown = [
        [box for _, box in update(tracker, squares(*boxes), index / FPS)]
        for index, boxes in enumerate(frames)
    ]
    assert shown == [[], [], [face], [face]]


def test_a_mouth_seen_before_its_face_gives_way_to_it() -> None:
    """Where a part of a face was taken for one, the whole face takes its place."""
    face, mouth = (100, 20, 150, 150), (150, 110, 50, 50)

    class MouthFirst(BrightSquares):
        def detect(self, image: np.ndarray) -> list[Box]:
            found = super().detect(image)
            return [box for box in found if box[2] > 100] or found

        scan = detect

    tracker = FaceTracker(MouthFirst(), TrackingOptions(scan_interval_s=0))
    last_s = confirm(tracker, squares(mouth))
    assert update(tracker, squares(mouth), last_s + 1 / FPS) == [(1, mouth)]
    last_s = confirm(tracker, squares(face), start_s=last_s + 2 / FPS)
    ((number, box),) = update(tracker, squares(face), last_s + 1 / FPS)
    assert number == 2
    assert iou(box, face) > 0.9


def test_small_faces_side_by_side_are_found_from_the_first_frame_on() -> None:
    """In a wide picture, two people are found without waiting for a search of all sizes."""
    film = draw_film(
        ["happy", "surprise"], np.random.default_rng(5), frames=4, width=1800, height=400
    )
    tracker = FaceTracker(HaarDetector())
    found = [tracker.update(scene.image, index / FPS) for index, scene in enumerate(film)]
    assert [len(faces) for faces in found] == [2] * 4


def test_another_scene_is_a_cut_and_a_brighter_lamp_is_none() -> None:
    """Films that follow each other have faces of their own; light that changes slowly has not."""
    tracker, numbers = FaceTracker(HaarDetector()), []
    frames = []
    for seed in (1, 2, 3):
        film = draw_film(["happy"], np.random.default_rng(seed), frames=8)
        frames += [scene.image for scene in film]
    for index, image in enumerate(frames):
        numbers += [number for number, _ in update(tracker, image, index / FPS)]
    assert sorted(set(numbers)) == [1, 2, 3]
    tracker, numbers = FaceTracker(HaarDetector()), []
    for index in range(20):
        brighter = cv2.convertScaleAbs(frames[0], alpha=1 + 0.02 * index)
        numbers += [number for number, _ in update(tracker, brighter, index / FPS)]
    assert set(numbers) == {1}


def test_a_part_of_a_face_is_no_face() -> None:
    """A box inside a face, such as its mouth, does not become a face of its own."""
    face, mouth = (20, 20, 150, 150), (70, 110, 50, 50)

    class WithMouth(BrightSquares):
        def detect(self, image: np.ndarray) -> list[Box]:
            return [face, mouth]

        scan = detect

        def locate(self, patch: np.ndarray, side: float) -> list[Box]:
            return [(0, 0, patch.shape[1], patch.shape[0])]

    tracker = FaceTracker(WithMouth(), TrackingOptions(scan_interval_s=0))
    for index in range(10):
        found = tracker.update(squares(face), index / FPS)
    assert len(found) == 1


def test_with_no_interval_every_frame_is_scanned() -> None:
    """With `scan_interval_s` 0 a face is found on its first frame, also where there was none."""
    tracker = FaceTracker(BrightSquares(), TrackingOptions(scan_interval_s=0))
    for index in range(3):
        assert tracker.update(squares(), index / FPS) == []
    assert len(tracker.update(squares((20, 50, 60, 60)), 3 / FPS)) == 1


def test_what_is_no_face_close_up_is_none() -> None:
    """What a scan takes for a face and a closer look does not is left out."""

    class Hasty(BrightSquares):
        def locate(self, patch: np.ndarray, side: float) -> list[Box]:
            return []

    assert FaceTracker(Hasty()).update(squares((20, 50, 60, 60)), 0) == []


def test_frames_may_change_their_size() -> None:
    """A stream that changes its size gives boxes inside each frame."""
    tracker = FaceTracker(BrightSquares())
    sizes = [(400, 200), (80, 40), (1600, 800), (3, 2), (400, 200)]
    found = set()
    for index, size in enumerate(size for size in sizes for _ in range(5)):
        image = cv2.resize(squares((20, 50, 60, 60)), size)
        for _, (x, y, width, height) in update(tracker, image, index / FPS):
            assert min(x, y) >= 0
            assert x + width <= size[0]
            assert y + height <= size[1]
            found.add(size)
    assert {(400, 200), (1600, 800)} <= found


def test_whole_images_are_one_face() -> None:
    """With the detector `none` each frame is the same one face."""
    tracker = FaceTracker(WholeImage())
    last_s = confirm(tracker, squares())
    for later_s in (0.04, 1.0):
        assert update(tracker, squares(), last_s + later_s) == [(1, (0, 0, 400, 200))]


def test_boxes_over_one_face_are_one() -> None:
    """Of boxes that overlap much, or lie inside another, the largest stays; others all stay."""
    face = (100, 100, 100, 100)
    assert merge([(110, 110, 95, 95), face, (120, 120, 40, 40)]) == [face]
    apart = [face, (190, 100, 90, 90), (300, 0, 20, 20)]
    assert merge(apart) == apart
    assert clip((-10.4, 5.6, 30, 300), 40, 50) == (0, 6, 20, 44)


@pytest.fixture
def recognizer(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> EmotionRecognizer:
    """A recogniser of three emotions whose answers a test sets in `answers`."""
    made = EmotionRecognizer(artifact, detector="none")
    made.answers = []  # type: ignore[attr-defined]
    monkeypatch.setattr(
        made,
        "classify",
        lambda crops: np.array([made.answers.pop(0) for _ in crops], np.float32).reshape(-1, 3),
    )
    return made


HAPPY, SAD = (0.6, 0.3, 0.1), (0.3, 0.6, 0.1)


def test_labels_do_not_flicker(recognizer: EmotionRecognizer) -> None:
    """Single other frames do not change a label, a lasting change does within a second."""
    recognizer.answers = [*[HAPPY, HAPPY, SAD] * 8, *[SAD] * 25]
    shown = [faces[0] for faces in recognizer.track([squares()] * 49, fps=FPS)]
    assert {face.emotion for face in shown[:24]} == {"happy"}
    assert shown[-1].emotion == "sad"
    assert [face.id for face in shown] == [1] * 49
    for face in shown:
        assert sum(face.scores.values()) == pytest.approx(1, abs=1e-5)
        assert face.confidence == face.scores[face.emotion]


def test_smoothing_has_its_time_constant(recognizer: EmotionRecognizer) -> None:
    """After a jump of the answers the scores have gone 1 - 1/e of the way in one constant."""
    for step_s in (0.04, 0.2):
        frames = round(0.4 / step_s)
        recognizer.answers = [(1, 0, 0), *[(0, 1, 0)] * frames]
        tracker = EmotionTracker(recognizer, TrackingOptions(score_smoothing_s=0.4))
        for index in range(frames + 1):
            faces = tracker.look(squares(), index * step_s).everything
        assert faces[0].scores["sad"] == pytest.approx(1 - np.exp(-1), abs=1e-4)


@pytest.mark.parametrize("time_s", [0.5, float("nan"), float("inf"), "1"])
def test_time_that_goes_back_is_refused(recognizer: EmotionRecognizer, time_s: Any) -> None:
    """The average would have weights above 1, and the face probabilities below 0."""
    tracker = EmotionTracker(recognizer)
    recognizer.answers = [HAPPY] * 4
    tracker.look(squares(), 1.0)
    with pytest.raises(OptionsError, match=r"previous one \(1\), got"):
        tracker.look(squares(), time_s)
    assert tracker.look(squares(), Fraction(26, 25)).everything
    with pytest.raises(EmodetectError, match="fps"):
        next(recognizer.track([squares()], fps=float("inf")))


def test_a_face_is_uncertain_by_its_highest_probability(recognizer: EmotionRecognizer) -> None:
    """A label that is kept while another leads by little is certain if the other one is."""
    recognizer.uncertain_below = 0.5
    options = TrackingOptions(score_smoothing_s=0, hysteresis=0.1)
    recognizer.answers = [HAPPY, (0.44, 0.53, 0.03), (0.44, 0.48, 0.08)]
    shown = [faces[0] for faces in recognizer.track([squares()] * 3, tracking=options)]
    assert [face.emotion for face in shown] == ["happy", "happy", "uncertain"]
    assert [face.confidence for face in shown] == pytest.approx([0.6, 0.44, 0.44])


def test_a_lost_face_keeps_its_scores(recognizer: EmotionRecognizer) -> None:
    """What is seen where a face was does not count as its emotion."""
    recognizer.detector = BrightSquares()
    face = squares((20, 50, 60, 60))
    recognizer.answers = [HAPPY] * 4
    tracker = EmotionTracker(recognizer, TrackingOptions(keep_s=0.4))
    for index in range(4):
        shown = tracker.update(face, index / FPS)
    recognizer.answers = [SAD] * 5
    assert [tracker.update(squares(), index / FPS) for index in range(4, 9)] == [shown] * 5


def test_a_miss_between_frames_far_apart_keeps_scores_and_blur(
    recognizer: EmotionRecognizer,
) -> None:
    """A face that one of few frames misses goes on with its average, and is blurred meanwhile."""
    recognizer.detector = BrightSquares()
    face = squares((20, 50, 60, 60))
    recognizer.answers = [HAPPY, HAPPY, SAD]
    tracker = EmotionTracker(recognizer, TrackingOptions(score_smoothing_s=60))
    _, (shown,) = [tracker.update(face, 2.0 * index) for index in range(2)]
    missed = tracker.look(squares(), 4.0)
    assert missed.faces == []
    assert [one.box for one in missed.everything] == [shown.box]
    (after,) = tracker.update(face, 6.0)
    assert after.emotion == shown.emotion == "happy"


def test_a_face_that_comes_back_has_the_scores_of_now(recognizer: EmotionRecognizer) -> None:
    """What was seen before it was lost counts as little as after the same time without a gap."""
    recognizer.detector = BrightSquares()
    face = squares((20, 50, 60, 60))
    recognizer.answers = [HAPPY] * 4 + [SAD]
    tracker = EmotionTracker(recognizer, TrackingOptions(keep_s=0.4, score_smoothing_s=0.4))
    for index in range(4):
        tracker.update(face, index * 0.02)
    tracker.update(squares(), 0.26)
    (back,) = tracker.update(face, 0.06 + 0.4)
    share = np.exp(-1)
    expected = share * HAPPY[0] + (1 - share) * SAD[0]
    assert back.id == 1
    assert back.scores["happy"] == pytest.approx(expected, abs=1e-4)


def test_without_smoothing_each_frame_speaks_for_itself(recognizer: EmotionRecognizer) -> None:
    """With both options at 0 labels and scores are those of the frame."""
    recognizer.answers = [HAPPY, SAD, HAPPY]
    options = TrackingOptions(score_smoothing_s=0, hysteresis=0)
    faces = [found[0] for found in recognizer.track([squares()] * 3, tracking=options)]
    assert [face.emotion for face in faces] == ["happy", "sad", "happy"]
    assert list(faces[1].scores.values()) == pytest.approx(SAD)


@pytest.mark.parametrize(
    ("name", "value"),
    [("keep_s", -1), ("hysteresis", float("nan")), ("scan_side", 0), ("scan_interval_s", "fast")],
)
def test_impossible_options_are_told(name: str, value: Any) -> None:
    """At once, and not from within the first frame or as wrong labels."""
    with pytest.raises(OptionsError, match=f"^{name}: expected a number, at least"):
        TrackingOptions(**{name: value})
    TrackingOptions(**{name: np.float32(1)})  # NumPy's numbers are numbers


def test_one_face_is_followed_without_scipy(artifact: Path) -> None:
    """SciPy, half a second to import, is not needed while faces stand apart."""
    code = f"""
import sys
sys.modules["scipy"] = None
import numpy as np
from emodetect.data.synthetic import draw_film
from emodetect.recognition.recognizer import EmotionRecognizer
film = draw_film(["happy", "sad"], np.random.default_rng(1), frames=3)
recognizer = EmotionRecognizer({str(artifact)!r})
print([len(faces) for faces in recognizer.track(scene.image for scene in film)])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[2, 2, 2]\n"


def test_a_face_is_followed_between_searches() -> None:
    """Most frames need no search, and the face is still where it is, on every frame."""

    class Counting(HaarDetector):
        searches = 0

        def locate(self, patch: np.ndarray, side: float) -> list[Box]:
            self.searches += 1
            return super().locate(patch, side)

    detector = Counting()
    tracker = FaceTracker(detector)
    for index, scene in enumerate(draw_film(["sad"], np.random.default_rng(4), frames=40)):
        ((_, box),) = tracker.update(scene.image, index / FPS)
        assert iou(box, scene.faces[0].box) >= 0.5
    assert 5 < detector.searches < 25


def test_a_face_that_is_covered_is_not_followed() -> None:
    """Who turns away or is covered is lost at once, not carried on with the background."""
    scene = draw_scene(["happy"], np.random.default_rng(3))
    (face,) = scene.faces
    template = FaceTemplate(scene.image, face.box)
    x, y, width, height = face.box
    moved = np.roll(scene.image, (width // 8, height // 10), axis=(1, 0))
    found = template.find(moved, face.box)
    assert found is not None
    assert iou(found, (x + width // 8, y + height // 10, width, height)) > 0.9
    covered = scene.image.copy()
    covered[y : y + height, x : x + width] = 128
    assert template.find(covered, face.box) is None


def test_a_copy_of_a_tracker_goes_on_with_the_same_faces() -> None:
    """As a session of a web app is copied, or sent to another process."""
    film = list(draw_film(["happy", "sad"], np.random.default_rng(3), frames=12))
    first = EmotionTracker(EmotionRecognizer())
    for number, scene in enumerate(film[:8]):
        first.update(scene.image, number / 10)
    copies = [deepcopy(first), pickle.loads(pickle.dumps(first))]
    for number, scene in enumerate(film[8:], start=8):
        expected = first.update(scene.image, number / 10)
        assert [face.id for face in expected]
        for one in copies:
            assert one.update(scene.image, number / 10) == expected


def test_faces_one_above_the_other_stay_apart() -> None:
    """As those side by side do, when both move by half their height."""
    tracker = FaceTracker(BrightSquares())
    last_s = confirm(tracker, squares((20, 5, 45, 45), (20, 75, 45, 45)))
    found = dict(update(tracker, squares((20, 38, 45, 45), (20, 108, 45, 45)), last_s + 0.2))
    assert found.keys() == {1, 2}
    assert found[1][1] < found[2][1]


def test_a_face_is_not_taken_for_one_of_another_size() -> None:
    """Neither for one of twice its size nor for one of half."""
    small, large = (0, 0, 50, 50), (0, 0, 100, 100)
    assert cost_of(small, large) == cost_of(large, small) == np.inf


def test_a_part_found_in_the_same_frame_is_no_face_of_its_own() -> None:
    """Such as a mouth, before either has an ID."""
    tracks = Tracks(sightings=2)
    tracks.begin(0.0)
    tracks.add((150, 110, 50, 50))
    whole = tracks.add((100, 20, 150, 150))
    assert tracks.end(0.5) == [whole]


def test_a_box_at_the_edge_stays_inside() -> None:
    """Of one pixel, in the last corner."""
    assert clip((9, 9, 1, 1), 10, 10) == (9, 9, 1, 1)
