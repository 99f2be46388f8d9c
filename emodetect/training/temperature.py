"""Fitting the temperature at which probabilities mean what they say."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from emodetect.calibration import at_temperature

# Beyond these a temperature says that there was too little to fit it on.
LOWEST, HIGHEST = 0.25, 4.0
# Fewer images give a temperature that is off by a tenth and more.
FEWEST_IMAGES = 100


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature with the lowest log-loss (Guo et al. 2017), from 0.25 to 4.

    Args:
        probabilities: (n, classes) float, a softmax's outputs on images not trained on.
        labels: (n,) int, the true classes.

    Returns:
        1.0 for fewer than 100 images, which tell too little.
    """
    if len(labels) < FEWEST_IMAGES:
        return 1.0
    classes = np.arange(probabilities.shape[1])
    # In double precision, so that a probability that is 0 as a float32 can be tempered, too.
    known = np.clip(probabilities.astype(np.float64), 1e-30, None)
    best = minimize_scalar(
        lambda log_t: log_loss(labels, at_temperature(known, np.exp(log_t)), labels=classes),
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
    )
    return float(np.exp(best.x))
