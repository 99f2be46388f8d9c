"""Option types for numbers within bounds, such as counts and shares."""

from __future__ import annotations

import math
from typing import Any

import click


class NumberRange(click.FloatRange):
    """A number within bounds; nan, which no range check rejects, is not allowed."""

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> float:
        """Return the number. Raises click.BadParameter."""
        number: float = super().convert(value, param, context)
        if math.isnan(number):
            self.fail("expected a number, got nan", param, context)
        return number


class WholeNumber(click.IntRange):
    """A whole number within bounds, which an error names in words."""

    def __init__(self, least: int, most: int | None = None) -> None:
        super().__init__(least, most)

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> int:
        """Return the number. Raises click.BadParameter."""
        try:
            number: int = super().convert(value, param, context)
        except click.BadParameter:
            upwards = self.max is None
            bounds = f"of at least {self.min}" if upwards else f"from {self.min} to {self.max}"
            self.fail(f"expected a whole number {bounds}, got {value}", param, context)
        return number


class Probability(NumberRange):
    """A number from 0 to 1."""

    name = "probability"

    def __init__(self) -> None:
        super().__init__(0, 1)
