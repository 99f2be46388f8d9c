"""Calibration: whether a model's confidence matches its accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 15  # as in Guo et al. 2017


@dataclass(frozen=True)
class ReliabilityBin:
    """The images whose confidence is above `low` and at most `high`.

    Attributes:
        images: their number.
        mean_confidence: None without images.
        accuracy: the share classified correctly; None without images.
    """

    low: float
    high: float
    images: int
    mean_confidence: float | None
    accuracy: float | None


def reliability_bins(confidence: np.ndarray, correct: np.ndarray) -> list[ReliabilityBin]:
    """Return 15 bins of equal width from 0 to 1.

    Args:
        confidence: (n,) float, the highest probability of each image.
        correct: (n,) bool, whether the prediction is correct.
    """
    edges, positions = _edges(), _positions(confidence)
    bins = []
    for number in range(BINS):
        inside = positions == number
        images = int(inside.sum())
        bins.append(
            ReliabilityBin(
                low=float(edges[number]),
                high=float(edges[number + 1]),
                images=images,
                mean_confidence=float(confidence[inside].mean()) if images else None,
                accuracy=float(correct[inside].mean()) if images else None,
            )
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
