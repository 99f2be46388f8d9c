"""Drawn faces and scenes: what the tests and the demo rely on."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest

from emodetect.data.synthetic import Scene, draw_dataset, draw_face, draw_scene
from emodetect.data.synthetic.geometry import GEOMETRIES, vary_geometry
from emodetect.emotions import EMOTIONS

Box = tuple[int, int, int, int]


def overlap(first: Box, second: Box) -> float:
    """Intersection over union of two (x, y, width, height) boxes."""
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (first[2] * first[3] + second[2] * second[3] - shared)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """60 scenes of 1 to 4 faces, 150 faces in all, every emotion in turn."""
    rng = np.random.default_rng(20240)
    drawn, start = [], 0
    for index in range(60):
        count = 1 + index % 4
        emotions = [EMOTIONS[(start + step) % len(EMOTIONS)] for step in range(count)]
        drawn.append(draw_scene(emotions, rng))
        start += count
    return drawn


@pytest.fixture(scope="module")
def detections(scenes: list[Scene]) -> list[list[Box]]:
    """What OpenCV's frontal-face cascade finds in each scene."""
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    found = []
    for scene in scenes:
        grey = cv2.cvtColor(scene.image, cv2.COLOR_BGR2GRAY)
        boxes = cascade.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(40, 40))
        found.append([(int(x), int(y), int(w), int(h)) for x, y, w, h in boxes])
    return found


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_every_emotion_gives_a_square_colour_face(emotion: str) -> None:
    """Any emotion and size comes back as a BGR picture of that size that is not blank."""
    for size in (48, 64, 97):
        face = draw_face(emotion, np.random.default_rng(1), size=size)
        assert face.shape == (size, size, 3)
        assert face.dtype == np.uint8
        assert face.std() > 10


def test_same_random_state_gives_same_picture() -> None:
    """A failing picture can be drawn again from its seed, and another seed gives another."""
    first = draw_face("happy", np.random.default_rng(3))
    assert np.array_equal(first, draw_face("happy", np.random.default_rng(3)))
    assert not np.array_equal(first, draw_face("happy", np.random.default_rng(4)))
    scene = draw_scene(["sad", "fear"], np.random.default_rng(3))
    again = draw_scene(["sad", "fear"], np.random.default_rng(3))
    assert np.array_equal(scene.image, again.image)
    assert scene.faces == again.faces


def test_unknown_emotion_is_refused_by_name(tmp_path: Path) -> None:
    """A misspelt emotion is named with the choices, and no half-written data set is left."""
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"contempt.*'joyful'"):
        draw_face("joyful", rng)
    with pytest.raises(ValueError, match=r"contempt.*'joyful'"):
        draw_scene(["happy", "joyful"], rng)
    with pytest.raises(ValueError, match=r"contempt.*'joyful'"):
        draw_dataset(tmp_path, counts={"train": 1}, emotions=["happy", "joyful"], seed=0)
    assert list(tmp_path.iterdir()) == []


def test_bad_size_and_count_are_refused(tmp_path: Path) -> None:
    """A size or count that cannot be drawn is refused with the value that came."""
    with pytest.raises(ValueError, match="got 0"):
        draw_face("happy", np.random.default_rng(0), size=0)
    with pytest.raises(ValueError, match="got -1"):
        draw_dataset(tmp_path, counts={"train": -1}, emotions=["happy"], seed=0)


def test_faces_that_do_not_fit_are_refused() -> None:
    """A scene too small for its faces is refused instead of drawn with faces cut off."""
    with pytest.raises(ValueError, match="do not fit"):
        draw_scene(["happy"], np.random.default_rng(0), width=80, height=80)
    with pytest.raises(ValueError, match="do not fit"):
        draw_scene(["happy"] * 40, np.random.default_rng(0))


def test_empty_scene_has_no_faces() -> None:
    """A scene without people is a picture of the asked size, for tests of "no face found"."""
    scene = draw_scene([], np.random.default_rng(0), width=320, height=200)
    assert scene.image.shape == (200, 320, 3)
    assert scene.faces == ()


def test_scene_boxes_are_square_inside_and_apart(scenes: list[Scene]) -> None:
    """Cutting a box out of a scene gives one whole face and nothing of another."""
    for scene in scenes:
        assert scene.image.shape == (480, 640, 3)
        assert scene.image.dtype == np.uint8
        for face in scene.faces:
            x, y, width, height = face.box
            assert width == height >= 70
            assert 0 <= x <= 640 - width
            assert 0 <= y <= 480 - height
        for first, second in combinations(scene.faces, 2):
            assert overlap(first.box, second.box) == 0.0


def test_scene_faces_keep_the_asked_order() -> None:
    """The n-th box belongs to the n-th emotion, so a test can check each face's label."""
    asked = ["surprise", "angry", "happy"]
    scene = draw_scene(asked, np.random.default_rng(5))
    assert [face.emotion for face in scene.faces] == asked


def test_face_detector_finds_the_faces_and_little_else(
    scenes: list[Scene], detections: list[list[Box]]
) -> None:
    """The stock detector finds at least 95% of the faces, framed alike, and few other things."""
    best = [
        max((overlap(face.box, box) for box in boxes), default=0.0)
        for scene, boxes in zip(scenes, detections, strict=True)
        for face in scene.faces
    ]
    hits = [value for value in best if value >= 0.5]
    assert len(best) == 150
    assert len(hits) >= 0.95 * len(best)
    assert np.mean(hits) >= 0.75
    found = sum(len(boxes) for boxes in detections)
    assert found - len(hits) < 0.05 * found


def normal_grey(image: np.ndarray) -> np.ndarray:
    """(48, 48) grey with mean 0 and deviation 1, so that light does not count."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (48, 48), interpolation=cv2.INTER_AREA).astype(np.float64)
    return (small - small.mean()) / small.std()


def test_face_crops_are_framed_like_scene_boxes(scenes: list[Scene]) -> None:
    """The average drawn face lines up with the average scene crop, not shifted or scaled."""
    rng = np.random.default_rng(8)
    crops, faces = [], []
    for scene in scenes:
        for face in scene.faces:
            x, y, width, height = face.box
            crops.append(normal_grey(scene.image[y : y + height, x : x + width]))
            faces.append(normal_grey(draw_face(face.emotion, rng)))
    crop, drawn = np.mean(crops, axis=0), np.mean(faces, axis=0)

    def likeness(scale: float, right: float, down: float) -> float:
        move = np.array(
            [[scale, 0.0, 23.5 * (1 - scale) + right], [0.0, scale, 23.5 * (1 - scale) + down]]
        )
        moved = cv2.warpAffine(drawn, move, (48, 48), borderMode=cv2.BORDER_REPLICATE)
        return float(np.corrcoef(moved[6:-6, 6:-6].ravel(), crop[6:-6, 6:-6].ravel())[0, 1])

    aligned = likeness(1.0, 0.0, 0.0)
    assert aligned > 0.9
    for moved in [(1.0, 2, 0), (1.0, -2, 0), (1.0, 0, 2), (1.0, 0, -2), (1.1, 0, 0), (0.9, 0, 0)]:
        assert likeness(*moved) < aligned


def test_brightness_alone_does_not_tell_the_emotion() -> None:
    """A model cannot score by the mean grey level, which would make a demo meaningless."""
    rng = np.random.default_rng(9)
    levels = {name: [draw_face(name, rng, size=48).mean() for _ in range(40)] for name in EMOTIONS}
    means = [np.mean(values) for values in levels.values()]
    spread_within = np.mean([np.std(values) for values in levels.values()])
    assert np.std(means) < 0.35 * spread_within


def test_dataset_has_the_asked_folders_and_counts(tmp_path: Path) -> None:
    """The class folders hold exactly the asked pictures, readable, and no two splits share one."""
    counts = {"train": 3, "test": 2}
    draw_dataset(tmp_path, counts=counts, emotions=EMOTIONS[:7], seed=1, size=48)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["test", "train"]
    for split, count in counts.items():
        assert sorted(folder.name for folder in (tmp_path / split).iterdir()) == sorted(
            EMOTIONS[:7]
        )
        for emotion in EMOTIONS[:7]:
            files = sorted(path.name for path in (tmp_path / split / emotion).iterdir())
            assert files == [f"{emotion}_{index:05d}.png" for index in range(count)]
    picture = cv2.imread(str(tmp_path / "train" / "happy" / "happy_00000.png"))
    assert picture is not None
    assert picture.shape == (48, 48, 3)
    contents = [path.read_bytes() for path in tmp_path.rglob("*.png")]
    assert len(set(contents)) == len(contents) == 35


def test_dataset_depends_on_the_seed_alone(tmp_path: Path) -> None:
    """The same seed writes the same bytes even when other classes or splits are asked for."""
    draw_dataset(tmp_path / "a", counts={"train": 2}, emotions=["happy"], seed=1)
    draw_dataset(tmp_path / "b", counts={"test": 1, "train": 2}, emotions=["sad", "happy"], seed=1)
    draw_dataset(tmp_path / "c", counts={"train": 2}, emotions=["happy"], seed=2)
    name = Path("train") / "happy" / "happy_00001.png"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert (tmp_path / "a" / name).read_bytes() != (tmp_path / "c" / name).read_bytes()


def test_weak_expressions_look_like_neutral_ones() -> None:
    """`weakest` draws faces between neutral and the full expression, and strong ones as before."""
    smiles = {
        weakest: [
            vary_geometry("happy", np.random.default_rng(seed), weakest=weakest).mouth_smile
            for seed in range(200)
        ]
        for weakest in (0.0, 0.85)
    }
    full = GEOMETRIES["happy"][0].mouth_smile
    assert min(smiles[0.85]) > 0.6 * full
    assert min(smiles[0.0]) < 0.2 * full
    assert max(smiles[0.0]) > 0.9 * full
    faces = [
        draw_face("happy", np.random.default_rng(3), **{"weakest": weakest} if weakest else {})
        for weakest in (None, 0.85, 0.1)
    ]
    assert np.array_equal(faces[0], faces[1])
    assert not np.array_equal(faces[0], faces[2])
