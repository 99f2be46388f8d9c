"""The options that take a probability."""

from __future__ import annotations

import math
from typing import Any

import click


class Probability(click.FloatRange):
    """A number from 0 to 1; nan, which lies outside no range, is none."""

    name = "probability"

    def __init__(self) -> None:
        super().__init__(0, 1)

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> float:
        """Return the number. Raises click.BadParameter."""
        number: float = super().convert(value, param, context)
        if math.isnan(number):
            self.fail("expected a number from 0 to 1, got nan", param, context)
        return number


uncertain_option = click.option(
    "--uncertain-below",
    type=Probability(),
    default=0.0,
    metavar="P",
    help="Call a face whose best probability is below this uncertain, with its two best guesses.",
)
