"""Calibration: whether a model's confidence matches its accuracy."""

from __future__ import annotations

import numpy as np

BINS = 15  # as in Guo et al. 2017


def reliability_bins(
    confidence: np.ndarray, correct: np.ndarray
) -> list[dict[str, int | float | None]]:
    """Return 15 bins of equal width from 0 to 1.

    Args:
        confidence: (n,) float, the highest probability of each image.
        correct: (n,) bool, whether the prediction is correct.

    Returns:
        For each bin `low` and `high`: its images have a confidence above the one and at most the
        other; `images`, their number; `mean_confidence` and `accuracy`, the share that is
        classified correctly, both None without images.
    """
    edges, positions = _edges(), _positions(confidence)
    bins = []
    for number in range(BINS):
        inside = positions == number
        images = int(inside.sum())
        bins.append(
            {
                "low": float(edges[number]),
                "high": float(edges[number + 1]),
                "images": images,
                "mean_confidence": float(confidence[inside].mean()) if images else None,
                "accuracy": float(correct[inside].mean()) if images else None,
            }
        )
    return bins


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Return the mean gap between confidence and accuracy over the bins, weighted by images.

    Naeini et al. 2015; Guo et al. 2017. Arguments as in `reliability_bins`, at least one image.
    """
    gaps = np.bincount(_positions(confidence), weights=correct - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def _edges() -> np.ndarray:
    return np.linspace(0, 1, BINS + 1)


def _positions(confidence: np.ndarray) -> np.ndarray:
    # Without the outer edges, so that rounding cannot put a value outside.
    positions: np.ndarray = np.digitize(confidence, _edges()[1:-1], right=True)
    return positions
