"""How numbers are written for people: in text, tables, pages and plots.

Shares are percentages with one decimal, differences of shares are percentage points, and other
figures have three decimals. A value that rounds to 0 has no sign. Files for programs (JSON, CSV)
keep shares as fractions from 0 to 1. Labels drawn on pictures, and the server's page beside them,
have whole percentages, because there is little room. Counts have commas.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence


def percent(share: float) -> str:
    """Return a share (0-1) as a percentage, such as "69.4%"."""
    return f"{100 * share:z.1f}%"


def decimal(value: float) -> str:
    """Return a figure that is not a share, such as a log-loss, with three decimals."""
    return f"{value:z.3f}"


def points(difference: float) -> str:
    """Return a difference of shares (0-1) in percentage points, such as "+1.2 points"."""
    return f"{_signed(100 * difference, 1)} points"


def points_apart(difference: float) -> str:
    """Return the size of a difference of shares (0-1) without its sign: "1.2 points"."""
    return points(difference).lstrip("+-")


def points_between(limits: Sequence[float] | None) -> str:
    """Return the interval [low, high] of a difference of shares, such as "-0.8 to +3.2 points".

    "" if there is none.
    """
    if not limits:
        return ""
    low, high = (_signed(100 * limit, 1) for limit in limits)
    return f"{low} to {high} points"


def signed_decimal(difference: float) -> str:
    """Return a difference of figures that are not shares, such as "-0.012"."""
    return _signed(difference, 3)


def between(limits: Sequence[float] | None, form: Callable[[float], str]) -> str:
    """Return an interval [low, high], such as "80.0% to 87.4%", or "" if there is none."""
    return " to ".join(form(limit) for limit in limits or ())


def with_interval(
    value: float, limits: Sequence[float] | None, form: Callable[[float], str]
) -> str:
    """Return a figure and its interval, if any, such as "83.9% (80.0% to 87.4%)"."""
    return f"{form(value)} ({between(limits, form)})" if limits else form(value)


def file_size(count: int) -> str:
    """Return a number of bytes, such as "31 kB" or "4.5 MB"."""
    if count < 1000:
        return quantity(count, "byte")
    return f"{count / 1e3:,.0f} kB" if count < 999_500 else f"{count / 1e6:,.1f} MB"


def quantity(count: int, noun: str, plural: str | None = None) -> str:
    """Return a count and its noun, such as "1 face" or "1,234 faces"; `plural` if not with s."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def p_value(p: float) -> str:
    """Return a p-value with two significant digits, or "< 0.0001"."""
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}"


def p_equals(p: float) -> str:
    """Return a p-value for a sentence, such as "p = 0.015" or "p < 0.0001"."""
    text = p_value(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def _signed(value: float, decimals: int) -> str:
    # A difference that rounds to 0 is neither a gain nor a loss.
    text = f"{value:+z.{decimals}f}"
    return text if float(text) else text.lstrip("+")
