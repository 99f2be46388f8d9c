"""Calibrated probabilities: temperature scaling, wherever a softmax has been computed."""

from __future__ import annotations

import numpy as np


def at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Apply temperature scaling (Guo et al. 2017) to the outputs of a softmax.

    Args:
        probabilities: (n, classes) float.
        temperature: above 1 makes them less certain, below 1 more.
    """
    if temperature == 1:
        return probabilities
    scaled: np.ndarray = probabilities ** (1 / temperature)
    scaled /= scaled.sum(axis=1, keepdims=True)
    return scaled
