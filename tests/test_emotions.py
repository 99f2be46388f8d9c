"""Names and colours of emotions, and of labels of the user's own."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from emodetect.emotions import (
    COLORS,
    EMOTIONS,
    RESERVED,
    are_labels,
    emotion_colors,
    in_canonical_order,
    misspelt_emotion,
    plain_label,
)
from emodetect.errors import DataError
from emodetect.evaluation.predictions import COLUMNS
from emodetect.recognition.face_rows import FRAME_COLUMNS, image_columns
from emodetect.recognition.recognizer import UNCERTAIN


def test_emotions_keep_their_colours_among_labels_of_ones_own() -> None:
    """The eight have the colours that they always had; what else is there does not matter."""
    assert {**emotion_colors([*EMOTIONS, "bored"]), "bored": 0} == {**COLORS, "bored": 0}


def test_a_label_has_the_same_colour_in_any_order_and_with_any_emotions() -> None:
    """A page, a plot and a video colour a model's label alike."""
    colors = emotion_colors(["yawning", "happy", "bored"])
    again = emotion_colors(["bored", "angry", "yawning"])
    assert (colors["bored"], colors["yawning"]) == (again["bored"], again["yawning"])


def test_colours_can_be_told_apart() -> None:
    """Any two of eight emotions and eight labels differ by 25 in CIELAB, ten times what is seen."""
    colors = emotion_colors([*EMOTIONS, *"abcdefgh"])
    rgb = np.float32([list(colors.values())]) / 255
    places = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0]
    apart = [np.linalg.norm(one - other) for one, other in itertools.combinations(places, 2)]
    assert min(apart) > 25


def test_any_number_of_labels_has_different_colours() -> None:
    """No two of a hundred labels share a colour, nor have one of an emotion."""
    names = [f"label {number}" for number in range(100)]
    assert len({*emotion_colors(names).values(), *COLORS.values()}) == 108


def test_emotions_come_first_then_other_labels_by_name() -> None:
    """The order depends neither on that of the folders nor on that of the system."""
    assert in_canonical_order(["yawning", "sad", "bored", "angry"]) == (
        *("angry", "sad"),
        *("bored", "yawning"),
    )


@pytest.mark.parametrize(
    ("label", "name"),
    [
        (" Happy ", "happy"),
        ("Bored", "Bored"),
        ("calm", "calm"),  # an alias of neutral; of one's own, it is what it says
        ("mu\u0308de", "müde"),
        ('a, "b" <i>', 'a, "b" <i>'),
        ("退屈", "退屈"),
    ],
)
def test_labels_stay_as_they_are_written(label: str, name: str) -> None:
    """Only emotions lose their capitals, and accents are encoded in one way."""
    assert plain_label(label) == name


@pytest.mark.parametrize(
    "label",
    ["", " ", "a/b", "a\\b", "a\nb", "..", ".bored", "=1+1", "@x", "x" * 61, "a\x1b[2J", "Error"],
)
def test_labels_that_cannot_be_written_everywhere_are_refused(label: str) -> None:
    """No label leaves its folder, is a formula in a spreadsheet, or controls the terminal."""
    with pytest.raises(DataError, match=r"^here: a label must be "):
        plain_label(label, where="here")
    assert not are_labels(["happy", label])


def test_no_label_has_the_name_of_a_column() -> None:
    """Otherwise a table would have two columns of one name."""
    columns = {*image_columns(()), *FRAME_COLUMNS, *COLUMNS, UNCERTAIN}
    assert columns <= RESERVED


@pytest.mark.parametrize(
    ("label", "emotion"),
    [
        ("hapy", "happy"),
        ("Suprised", "surprised"),
        ("suprize", "surprise"),
        ("nuetral", "neutral"),
        ("agnry", "angry"),
        ("disgusst", "disgust"),
    ],
)
def test_misspelt_emotions_are_seen(label: str, emotion: str) -> None:
    """What looks like an emotion with a slip is taken for one."""
    assert misspelt_emotion(label) == emotion


@pytest.mark.parametrize(
    "label", ["bored", "yawning", "mad", "unhappy", "hungry", "natural", "calm", "tired", "müde"]
)
def test_other_words_are_not_misspelt(label: str) -> None:
    """Words that only rhyme with an emotion are left alone."""
    assert misspelt_emotion(label) == ""
