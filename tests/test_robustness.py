"""Altered copies of images: what is done to the pixels, and how answers to them are counted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from emodetect.evaluation.metrics.robustness import CORRUPTIONS, corrupted_accuracies
from emodetect.evaluation.predictions import ImagePredictions


def _noise(size: int, channels: int) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (size, size, channels), dtype=np.uint8)


def _square(*, size: int, side: int) -> np.ndarray:
    """Return a white square on black, in the middle."""
    image = np.zeros((size, size, 1), np.uint8)
    start = (size - side) // 2
    image[start : start + side, start : start + side] = 255
    return image


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize(("size", "channels"), [(48, 1), (33, 1), (96, 3)])
def test_a_copy_is_a_model_input_as_before(name: str, size: int, channels: int) -> None:
    """Every altered copy differs from the image, has its shape and type, and leaves it alone."""
    image = _noise(size, channels)
    before = image.copy()
    copy = CORRUPTIONS[name](image)
    assert copy.shape == image.shape
    assert copy.dtype == np.uint8
    assert not np.array_equal(copy, image)
    np.testing.assert_array_equal(image, before)


CHANGING_GREY = ("darker", "noise of 10 grey levels")


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name not in CHANGING_GREY])
def test_an_image_of_one_colour_stays_so(name: str) -> None:
    """No copy has black borders or another brightness, but the darker one."""
    image = np.full((48, 48, 1), 128, np.uint8)  # the grey that JPEG keeps exactly
    np.testing.assert_array_equal(CORRUPTIONS[name](image), image)


def test_noise_scatters_grey_by_what_its_name_says() -> None:
    """The copy of a grey image has that grey on average, and a standard deviation of 10."""
    copy = CORRUPTIONS["noise of 10 grey levels"](np.full((48, 48, 1), 128, np.uint8))
    assert copy.mean() == pytest.approx(128, abs=1)
    assert copy.std() == pytest.approx(10, abs=0.5)


@pytest.mark.parametrize(("name", "side"), [("25% tighter", 20), ("25% wider", 12.8)])
def test_framing_scales_about_the_centre(name: str, side: float) -> None:
    """A square of 16 pixels becomes one of 20 or 12.8, still in the middle."""
    copy = CORRUPTIONS[name](_square(size=48, side=16)).astype(float) / 255
    # Of interpolated edges the sum is the area.
    assert math.sqrt(copy.sum()) == pytest.approx(side, abs=0.2)
    np.testing.assert_allclose(copy, copy[::-1, ::-1], atol=0.05)


def test_what_lies_beyond_a_wider_crop_is_its_edge() -> None:
    """The corners that a wider copy adds have the colour of the image's corner."""
    image = _square(size=48, side=40)
    image[:5, :5] = 200
    copy = CORRUPTIONS["25% wider"](image)
    assert np.all(copy[:4, :4] == 200)


def test_shifts_move_by_a_tenth_of_the_side() -> None:
    """Of 40 pixels a tenth is 4: the one copy moves right and down, the other left and up."""
    image = _noise(40, 1)
    down = CORRUPTIONS["shifted 10% right and down"](image)
    np.testing.assert_array_equal(down[4:, 4:], image[:-4, :-4])
    np.testing.assert_array_equal(down[:4, 4:], np.repeat(image[:1, :-4], 4, axis=0))
    up = CORRUPTIONS["shifted 10% left and up"](image)
    np.testing.assert_array_equal(up[:-4, :-4], image[4:, 4:])


def test_darker_halves_and_mirrored_turns() -> None:
    """A darker copy has half of each value, a mirrored one its columns the other way round."""
    image = _noise(48, 3)
    darker = CORRUPTIONS["darker"](image).astype(float)
    assert np.abs(darker - image / 2).max() <= 0.5
    np.testing.assert_array_equal(CORRUPTIONS["mirrored"](image)[:, 0], image[:, -1])


@pytest.mark.parametrize(("size", "sigma"), [(48, 1), (96, 2)])
def test_blur_grows_with_the_image(size: int, sigma: float) -> None:
    """A white point is spread by a Gaussian of 1 pixel at 48 pixels, and of 2 at 96."""
    image = np.zeros((size, size, 1), np.uint8)
    image[20, 20] = 255
    peak = 255 / (2 * math.pi * sigma**2)  # of the two-dimensional Gaussian
    assert CORRUPTIONS["blurred"](image).max() == pytest.approx(peak, abs=1.5)


def test_sharper_overshoots_at_an_edge() -> None:
    """Along an edge from 100 to 150 the dark side gets darker and the bright side brighter."""
    image = np.full((48, 48, 1), 100, np.uint8)
    image[:, 24:] = 150
    row = CORRUPTIONS["sharper"](image)[10, :, 0].astype(int)
    assert (row[0], row[-1]) == (100, 150)
    # Of a pixel's blur 0.3989 is itself, and half of the rest, 0.3, comes from beyond the edge.
    assert (row[23], row[24]) == pytest.approx((100 - 50 * 0.3, 150 + 50 * 0.3), abs=1)


def test_jpeg_loses_detail_but_no_brightness() -> None:
    """A JPEG copy of noise has another pixel nearly everywhere, and the same mean."""
    image = _noise(48, 1)
    copy = CORRUPTIONS["JPEG 30"](image)
    assert np.mean(copy != image) > 0.5
    assert copy.mean() == pytest.approx(image.mean(), abs=3)


class _ReadsTheLeft:
    """A recognizer that calls images happy (1) whose left edge is bright, others sad (0)."""

    emotions = ("sad", "happy")

    def classify_inputs(self, inputs: np.ndarray) -> np.ndarray:
        bright = inputs[:, 24, 0, 0] > 100
        return np.stack([~bright, bright], axis=1).astype(np.float32)


def test_the_accuracies_are_those_on_the_copies() -> None:
    """Where only the left half of happy faces is bright, mirrored and darker lose all of them."""
    # Three happy and one sad; all are answered rightly as they are.
    images = np.zeros((4, 48, 48, 1), np.uint8)
    images[:3, :, :24] = 180
    labels = np.array([1, 1, 1, 0])
    probabilities = _ReadsTheLeft().classify_inputs(images)
    predictions = ImagePredictions(
        emotions=("sad", "happy"),
        labels=labels,
        probabilities=probabilities,
        images=images,
        paths=np.empty(4, str),
        crops=np.array(["1/1"] * 4),
        groups=np.arange(4),
    )
    accuracies = corrupted_accuracies(_ReadsTheLeft(), predictions)
    assert list(accuracies) == list(CORRUPTIONS)
    assert accuracies["25% tighter"] == {"accuracy": 1, "difference_points": 0}
    for name in ("mirrored", "darker"):
        assert accuracies[name] == {"accuracy": 0.25, "difference_points": -75}
