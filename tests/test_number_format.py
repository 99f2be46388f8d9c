"""Numbers in text: one way to write a share, a difference, a figure, a p-value and a count."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import emodetect
from emodetect.number_format import (
    between,
    decimal,
    file_size,
    p_value,
    percent,
    points,
    points_apart,
    points_between,
    quantity,
    signed_decimal,
)


def test_shares_are_percentages_and_figures_have_three_decimals() -> None:
    """68.8% has no space and one decimal; an interval repeats the form of its figure."""
    assert percent(0.6877) == "68.8%"
    assert percent(1) == "100.0%"
    assert decimal(0.46375) == "0.464"
    assert between([0.8, 0.8743], percent) == "80.0% to 87.4%"


def test_differences_name_their_unit_and_sign() -> None:
    """A difference of shares is in points; a gap and an interval say so once."""
    assert points(0.012) == "+1.2 points"
    assert points(-0.0857) == "-8.6 points"
    assert points_apart(-0.05) == "5.0 points"
    assert points_between([-0.0083, 0.032]) == "-0.8 to +3.2 points"
    assert signed_decimal(-0.0123) == "-0.012"


@pytest.mark.parametrize("tiny", [0.0, -0.0, 0.0002, -0.0002])
def test_what_rounds_to_nothing_has_no_sign(tiny: float) -> None:
    """Neither -0.0 nor +0.0 is ever written."""
    assert points(tiny) == "0.0 points"
    assert points_apart(tiny) == "0.0 points"
    assert points_between([tiny, 0.01]) == "0.0 to +1.0 points"
    assert signed_decimal(tiny) == "0.000"
    assert percent(min(tiny, 0)) == "0.0%"


def test_p_values_have_two_digits() -> None:
    """Large and small ones are as exact as one reads them; tiny ones are only bounded."""
    assert [p_value(p) for p in (1.0, 0.1701, 0.00312)] == ["1", "0.17", "0.0031"]
    assert p_value(0.00001) == "< 0.0001"


def test_no_page_puts_a_space_before_a_percent_sign() -> None:
    """Documentation, model cards and the templates of all pages write 68.8%, never 68.8 %."""
    package = Path(emodetect.__file__).parent
    files = [*package.parent.glob("*.md"), *package.parent.glob("docs/*.md")]
    files += [*package.rglob("*.md"), *package.rglob("*.html"), *package.rglob("*.js")]
    assert len(files) > 20
    spaced = [
        file for file in files if re.search(r"[0-9}] %(?!})", file.read_text(encoding="utf-8"))
    ]
    assert spaced == []


@pytest.mark.parametrize(
    ("count", "words", "text"),
    [
        (0, ("face",), "0 faces"),
        (1, ("face",), "1 face"),
        (1234, ("face",), "1,234 faces"),
        (1, ("batch", "batches"), "1 batch"),
        (2, ("batch", "batches"), "2 batches"),
    ],
)
def test_a_count_and_its_noun_agree(count: int, words: tuple[str, ...], text: str) -> None:
    """One thing is not "1 things"."""
    assert quantity(count, *words) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (31_280, "31 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (4_512_345_678, "4,512.3 MB"),
    ],
)
def test_a_small_file_is_not_0_mb(count: int, text: str) -> None:
    """The unit fits the file."""
    assert file_size(count) == text
