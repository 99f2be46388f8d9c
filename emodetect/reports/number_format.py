"""How pages, plots and tables print metrics: their names, shares, differences and p-values."""

from __future__ import annotations

# The keys of metrics.json and their names.
FIGURE_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log-loss",
    "expected_calibration_error": "calibration error",
}


def percent(share: float) -> str:
    """Return a share (0-1) as a percentage, such as "69.4%"."""
    return f"{100 * share:.1f}%"


def points(difference: float) -> str:
    """Return a difference of shares in percentage points, such as "+1.2"."""
    return f"{100 * difference:+.1f}"


def p_value(p: float) -> str:
    """Return a p-value with four decimals, or "< 0.0001"."""
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"
