"""Face detectors and the framing of a face."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from emodetect.data.synthetic import draw_scene
from emodetect.emotions import EMOTIONS
from emodetect.errors import EmodetectError, ImageError
from emodetect.faces.boxes import Box, clip, merge
from emodetect.faces.detectors import haar as haar_module
from emodetect.faces.detectors.haar import SCAN_SIDE, HaarDetector
from emodetect.faces.detectors.registry import open_detector
from emodetect.faces.detectors.whole_image import WholeImage
from emodetect.faces.framing import crop_face


@pytest.fixture(scope="module")
def haar() -> HaarDetector:
    """One detector for all tests."""
    return HaarDetector()


def _overlap(first: Box, second: Box) -> float:
    """Intersection over union."""
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (first[2] * first[3] + second[2] * second[3] - shared)


def _assert_found(boxes: list[Box], drawn: list[Box]) -> None:
    assert len(boxes) == len(drawn)
    for face in drawn:
        assert max(_overlap(face, box) for box in boxes) >= 0.5


def test_haar_finds_drawn_faces(haar: HaarDetector) -> None:
    """Of the faces of 20 drawn scenes at least 95 in 100 are found, with next to nothing else."""
    rng = np.random.default_rng(11)
    found = drawn = extra = 0
    for index in range(20):
        emotions = [EMOTIONS[(index + step) % len(EMOTIONS)] for step in range(1 + index % 3)]
        scene = draw_scene(emotions, rng)
        boxes = haar.detect(scene.image)
        hits = sum(
            max((_overlap(face.box, box) for box in boxes), default=0) >= 0.5
            for face in scene.faces
        )
        found, drawn, extra = found + hits, drawn + len(emotions), extra + len(boxes) - hits
    assert found / drawn >= 0.95
    assert extra <= 1


def test_boxes_of_a_large_photo_are_in_its_own_pixels(haar: HaarDetector) -> None:
    """A 3840-pixel photo, scanned smaller, still gets boxes where its faces are."""
    scene = draw_scene(["happy", "sad"], np.random.default_rng(5))
    large = cv2.resize(scene.image, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    assert large.shape[1] > 3000
    drawn = [tuple(6 * value for value in face.box) for face in scene.faces]
    _assert_found(haar.detect(large), drawn)


def test_boxes_are_whole_numbers_inside_the_image_largest_first(haar: HaarDetector) -> None:
    """Boxes are plain ints, lie within the picture, and the largest face comes first."""
    scene = draw_scene(["happy", "fear", "sad"], np.random.default_rng(6))
    # A size that the scan does not divide evenly.
    image = cv2.resize(scene.image, (SCAN_SIDE + 333, 1201), interpolation=cv2.INTER_LINEAR)
    boxes = haar.detect(image)
    assert len(boxes) == 3
    areas = [width * height for _, _, width, height in boxes]
    assert areas == sorted(areas, reverse=True)
    for x, y, width, height in boxes:
        assert all(type(value) is int for value in (x, y, width, height))
        assert x >= 0
        assert y >= 0
        assert width > 0
        assert height > 0
        assert x + width <= image.shape[1]
        assert y + height <= image.shape[0]


def test_a_face_that_fills_a_small_picture_is_found(haar: HaarDetector) -> None:
    """A thumbnail of 96 pixels with one face is not too small for the detector."""
    scene = draw_scene(["neutral"], np.random.default_rng(8), width=200, height=200)
    small = cv2.resize(scene.image, (96, 96), interpolation=cv2.INTER_AREA)
    drawn = [tuple(round(value * 0.48) for value in face.box) for face in scene.faces]
    _assert_found(haar.detect(small), drawn)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_blank_image_has_no_face(haar: HaarDetector, value: int) -> None:
    """A plain picture gives an empty list, not a false face and not None."""
    assert haar.detect(np.full((240, 320, 3), value, np.uint8)) == []


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 2000), (2000, 1), (3, 3), (10, 10), (23, 25), (24, 24), (5, 4000)]
)
@pytest.mark.parametrize("name", ["haar", "none"])
def test_tiny_and_thin_images_do_no_harm(name: str, shape: tuple[int, int]) -> None:
    """Pictures smaller than any face, or as thin as a line, are scanned without an error."""
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    boxes = open_detector(name).detect(image)
    for x, y, width, height in boxes:
        assert crop_face(image, (x, y, width, height)).size > 0


def test_detecting_leaves_the_image_alone(haar: HaarDetector) -> None:
    """The picture that was searched is not changed."""
    image = draw_scene(["happy"], np.random.default_rng(9)).image
    before = image.copy()
    haar.detect(image)
    assert np.array_equal(image, before)


def test_the_whole_image_is_one_face() -> None:
    """The detector `none` takes a crop as it is, whatever its shape."""
    assert WholeImage().detect(np.zeros((30, 50, 3), np.uint8)) == [(0, 0, 50, 30)]
    image = _ramp()
    crop = crop_face(image, WholeImage().detect(image)[0], margin=0.5)
    assert np.array_equal(crop, image)
    assert not np.shares_memory(crop, image)


def _ramp() -> np.ndarray:
    """(20, 30, 3): blue is the column, green the row."""
    image = np.zeros((20, 30, 3), np.uint8)
    image[..., 0] = np.arange(30)
    image[..., 1] = np.arange(20)[:, None]
    return image


def test_a_crop_is_the_box() -> None:
    """A box inside the picture is cut out pixel by pixel, as a copy."""
    image = _ramp()
    crop = crop_face(image, (5, 7, 10, 8))
    assert np.array_equal(crop, image[7:15, 5:15])
    crop[:] = 0
    assert np.array_equal(image, _ramp())


def test_a_margin_grows_the_box_on_all_sides() -> None:
    """A margin of 0.5 adds a quarter of the side left, right, above and below."""
    image = _ramp()
    assert np.array_equal(crop_face(image, (10, 8, 8, 4), margin=0.5), image[7:13, 8:20])


def test_outside_the_image_the_edge_is_repeated() -> None:
    """A box that leaves the picture is filled up with the nearest pixel of its edge."""
    crop = crop_face(_ramp(), (-3, -2, 40, 30))
    assert crop.shape == (30, 40, 3)
    assert (crop[:, :4, 0] == 0).all()
    assert (crop[:3, :, 1] == 0).all()
    assert (crop[:, 33:, 0] == 29).all()
    assert (crop[22:, :, 1] == 19).all()
    assert np.array_equal(crop[2:22, 3:33], _ramp())


def test_a_margin_at_the_corner_is_filled_up_too() -> None:
    """A face in the corner with a margin keeps its size and its place in the crop."""
    crop = crop_face(_ramp(), (0, 0, 10, 10), margin=0.4)
    assert crop.shape == (14, 14, 3)
    assert np.array_equal(crop[2:, 2:], _ramp()[:12, :12])
    assert (crop[:2, 2:, 1] == 0).all()
    assert (crop[2:, :2, 0] == 0).all()


@pytest.mark.parametrize("box", [(30, 0, 5, 5), (-40, -40, 20, 20), (5, 5, 0, 10), (5, 5, -3, 4)])
def test_a_box_without_a_pixel_is_told(box: Box) -> None:
    """A box outside the picture, or without a side, is an error, and does not end the process."""
    with pytest.raises(ImageError, match=r"overlaps the 30x20 image, got \("):
        crop_face(_ramp(), box, margin=0.2)


def test_coarse_to_fine_finds_what_the_whole_search_finds(
    haar: HaarDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the faces of all sizes, all but one are found again, and none is made up."""
    exhaustive, rng = open_detector("haar_exhaustive"), np.random.default_rng(11)
    monkeypatch.setattr(exhaustive, "_coarse_to_fine", None)
    wanted = again = false = 0
    for number in range(16):
        scene = draw_scene(["happy", "sad", "fear"], rng, width=960, height=720)
        # Three sizes of the same people: faces from 40 pixels up.
        width = (960, 720, 548)[number % 3]
        image = cv2.resize(scene.image, (width, width * 3 // 4), interpolation=cv2.INTER_AREA)
        ours, usual = haar.detect(image), exhaustive.detect(image)
        wanted += len(usual)
        again += sum(any(_overlap(face, box) >= 0.5 for box in ours) for face in usual)
        false += len(ours) - len(usual)
    assert wanted >= 40
    assert again >= wanted - 1
    assert false <= 0


def test_a_second_look_finds_a_face_in_the_corner(
    haar: HaarDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A face with few hits is found again where the picture leaves it no margin."""
    monkeypatch.setattr(haar_module, "SURE_HITS", np.inf)
    scene = draw_scene(["happy"], np.random.default_rng(4))
    x, y, width, height = scene.faces[0].box
    _assert_found(haar.detect(scene.image[y:, x:]), [(0, 0, width, height)])


@pytest.mark.parametrize(("step", "faces"), [(20, 1), (24, 2)])
def test_places_that_overlap_much_are_one_face(
    monkeypatch: pytest.MonkeyPatch, step: int, faces: int
) -> None:
    """Of two places with many hits, half of each inside the other, only one is a face."""
    places = [(0, 0, 40, 40), (step, 0, 40, 40)]

    class Hits:
        def detectMultiScale(self, image: np.ndarray, *_: Any, **__: Any) -> Any:  # noqa: N802
            return [place for place in places for _ in range(20)] if len(image) == 200 else ()

    haar = HaarDetector()
    monkeypatch.setattr(haar, "cascade", Hits())
    assert haar.detect(np.zeros((200, 200, 3), np.uint8)) == places[:faces]


@pytest.mark.parametrize(("width", "faces"), [(10, 2), (14, 1)])
def test_a_box_mostly_inside_a_larger_one_is_of_the_same_face(width: int, faces: int) -> None:
    """A box of which half lies inside another is a second face, one of which 7 in 10 is a part."""
    boxes = [(100 - width, 30, 20, 20), (0, 0, 100, 100)]
    assert merge(boxes) == boxes[::-1][:faces]


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ((50, 5, 10, 10), (29, 5, 1, 10)),
        ((5, 50, 10, 10), (5, 19, 10, 1)),
        ((-20, 5, 10, 10), (0, 5, 1, 10)),
        ((5, -20, 10, 10), (5, 0, 10, 1)),
        ((5, 5, 0, 0), (5, 5, 1, 1)),
        ((-3, -3, 50, 50), (0, 0, 30, 20)),
    ],
)
def test_a_clipped_box_has_at_least_a_pixel_of_the_image(box: Box, clipped: Box) -> None:
    """A box is cut to the picture; one beside it becomes the nearest pixels of the edge."""
    assert clip(box, 30, 20) == clipped


def test_the_faces_do_not_depend_on_the_number_of_threads(haar: HaarDetector) -> None:
    """OpenCV's threads return the hits in any order; the faces are the same, in the same order."""
    image = draw_scene(EMOTIONS[:5], np.random.default_rng(12)).image
    threads, found = cv2.getNumThreads(), []
    try:
        for number in (1, 4, 4):
            cv2.setNumThreads(number)
            found.append(haar.detect(image))
    finally:
        cv2.setNumThreads(threads)
    assert found[0] == found[1] == found[2] != []


def test_a_box_larger_than_any_image_is_refused() -> None:
    """What lies outside the image is repeated, for which there may be no memory."""
    with pytest.raises(ImageError, match="expected a box of at most 200,000,000 pixels"):
        crop_face(_ramp(), (0, 0, 10**6, 10**6))


@pytest.mark.parametrize("box", [(1.5, 2, 4, 4), (2, 4, 4), (2, 4, 4, 4, 1)])
def test_what_is_no_box_of_whole_numbers_is_refused(box: Any) -> None:
    """Other detectors give fractions and scores; what becomes of them is their users' to decide."""
    with pytest.raises(ImageError, match=rf"four whole numbers, got {re.escape(str(box))}"):
        crop_face(np.zeros((9, 9, 3), np.uint8), box)


@pytest.mark.parametrize("content", [None, b"", b"no cascade", b"\xff\xfe", b"<opencv_storage/>"])
def test_a_damaged_cascade_says_how_to_get_another(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenCV's own errors about it are no help."""
    if content is not None:
        (tmp_path / "haarcascade_frontalface_default.xml").write_bytes(content)
    monkeypatch.setattr(cv2.data, "haarcascades", str(tmp_path))
    with pytest.raises(EmodetectError, match=r"cannot be read; reinstall OpenCV: pip install"):
        HaarDetector()


def test_the_cascade_may_be_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows OpenCV opens no path with an umlaut, so it gets the content instead."""
    name = "haarcascade_frontalface_default.xml"
    folder = tmp_path / "Jürgen 困"
    folder.mkdir()
    (folder / name).write_bytes((Path(cv2.data.haarcascades) / name).read_bytes())
    monkeypatch.setattr(cv2.data, "haarcascades", str(folder))
    given: list[Any] = []
    plain = cv2.CascadeClassifier
    monkeypatch.setattr(cv2, "CascadeClassifier", lambda *words: given.append(words) or plain())
    assert not HaarDetector().cascade.empty()
    assert given == [()]
