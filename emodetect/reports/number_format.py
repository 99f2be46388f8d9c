"""How pages, plots and tables print shares, differences and p-values."""

from __future__ import annotations


def percent(share: float) -> str:
    """Return a share (0-1) as a percentage, such as "69.4%"."""
    return f"{100 * share:.1f}%"


def points(difference: float) -> str:
    """Return a difference of shares in percentage points, such as "+1.2"."""
    return f"{100 * difference:+.1f}"


def p_value(p: float) -> str:
    """Return a p-value with four decimals, or "< 0.0001"."""
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"
