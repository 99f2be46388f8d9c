"""Temperature scaling (Guo et al. 2017): fitting the temperature, and applying it."""

from __future__ import annotations

import numpy as np

# At these the images do not tell how sure the model may be: all are named rightly, say.
LOWEST, HIGHEST = 0.25, 4.0
# Fewer images give a temperature that is off by a tenth and more.
FEWEST_IMAGES = 100


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


def fit_temperature(
    probabilities: np.ndarray, labels: np.ndarray, *, otherwise: float = 1.0
) -> float:
    """Return the temperature with the lowest log-loss (Guo et al. 2017) between 0.25 and 4.

    Args:
        probabilities: (n, classes) float, a softmax's outputs on images not trained on.
        labels: (n,) int, the true classes.

    Returns:
        `otherwise` for fewer than 100 images, and where the lowest lies at a limit: both tell too
        little.
    """
    # Not above, because using a model must not load them.
    from scipy.optimize import minimize_scalar
    from sklearn.metrics import log_loss

    if len(labels) < FEWEST_IMAGES:
        return otherwise
    classes = np.arange(probabilities.shape[1])
    # In double precision, so that a probability that is 0 as a float32 can be tempered, too.
    known = np.clip(probabilities.astype(np.float64), 1e-30, None)
    best = minimize_scalar(
        lambda log_t: log_loss(labels, at_temperature(known, np.exp(log_t)), labels=classes),
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
    )
    temperature = float(np.exp(best.x))
    at_limit = min(temperature / LOWEST, HIGHEST / temperature) < 1.02
    return otherwise if at_limit else temperature
