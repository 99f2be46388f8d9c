"""Temperature scaling (Guo et al. 2017): fit and apply a temperature."""

from __future__ import annotations

import numpy as np

# At these limits the images cannot calibrate the model: for example, all may be correct.
LOWEST, HIGHEST = 0.25, 4.0
# With fewer images, the temperature has an error of 10% or more.
FEWEST_IMAGES = 100


def at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Apply temperature scaling (Guo et al. 2017) to softmax outputs.

    Args:
        probabilities: (n, classes) float.
        temperature: above 1 lowers the confidence, below 1 raises it.
    """
    if temperature == 1:
        return probabilities
    scaled: np.ndarray = probabilities ** (1 / temperature)
    scaled /= scaled.sum(axis=1, keepdims=True)
    return scaled


def fit_temperature(
    probabilities: np.ndarray, labels: np.ndarray, *, otherwise: float = 1.0
) -> float:
    """Return the temperature between 0.25 and 4 with the lowest log loss (Guo et al. 2017).

    Args:
        probabilities: (n, classes) float, softmax outputs for images not used in training.
        labels: (n,) int, the true classes.

    Returns:
        `otherwise` for fewer than 100 images, or if the lowest log loss is at a limit.
    """
    # Imported here, because using a model must not load them.
    from scipy.optimize import minimize_scalar
    from sklearn.metrics import log_loss

    if len(labels) < FEWEST_IMAGES:
        return otherwise
    classes = np.arange(probabilities.shape[1])
    # In double precision, so that a probability of 0 in float32 can be scaled too.
    known = np.clip(probabilities.astype(np.float64), 1e-30, None)
    best = minimize_scalar(
        lambda log_t: log_loss(labels, at_temperature(known, np.exp(log_t)), labels=classes),
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
    )
    temperature = float(np.exp(best.x))
    at_limit = min(temperature / LOWEST, HIGHEST / temperature) < 1.02
    return otherwise if at_limit else temperature


def why_not_fitted(count: int) -> str:
    """Return why `fit_temperature` fits none to that many images."""
    if count < FEWEST_IMAGES:
        return f"{count} validation images are too few to fit one"
    return f"none from {LOWEST:g} to {HIGHEST:g} is the best for the validation images"
