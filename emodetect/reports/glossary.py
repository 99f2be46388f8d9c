"""The names of the metrics, and what they and other technical words mean, in a line each.

Pages and terminal tables print the meaning where the word appears.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from emodetect.evaluation.metrics.calibration import BINS
from emodetect.number_format import decimal, percent, quantity

ECE = "calibration error (ECE)"
# The keys of metrics.json and their names.
METRIC_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log-loss",
    "expected_calibration_error": ECE,
}
SHARES = ("accuracy", "balanced_accuracy", "macro_f1")

MEANINGS = {
    "accuracy": "share of the images classified correctly",
    "balanced accuracy": "mean of the recalls; rare emotions count as much as frequent ones",
    "macro F1": "mean of the F1 of all emotions",
    "log-loss": "punishes low probability for the true emotion; 0 is perfect",
    ECE: f"mean gap between confidence and accuracy ({BINS} bins); 0 is perfect",
    "recall": "share of an emotion's images that are recognised",
    "precision": "share of the predictions of an emotion that are correct",
    "F1": "harmonic mean of precision and recall; high only if both are",
    "macro average": "every emotion counts the same",
    "weighted average": "every image counts the same",
    "95% interval": "range of values that fit these images; fewer images, wider range",
    "bootstrap": "repeats the measurement on images drawn again from these, with repeats",
    "points": "percentage points; from 65.0% to 70.0% is +5.0 points",
    "p": "chance of a difference at least this large if the accuracies are really equal",
    "gains": "images that only this model gets right, not the first",
    "losses": "images that only the first model gets right",
    "McNemar's test": "uses only the images that one of the two models gets right",
    "sign-flip test": "asks how often groups that favour either model by chance differ as much",
    "Holm's method": "raises p, as with several comparisons one may look real by chance",
    "temperature": "divides the network's outputs (logits) to make confidence match accuracy; "
    "above 1 lowers confidence",
    "corrupted copies": "the same images, changed; how much accuracy do they cost?",
    "AUC": "area under the ROC curve; 1 is perfect, 0.5 is guessing",
    "AP": "average precision, the area under the curve; 1 is perfect, guessing gives the emotion's "
    "share of the images",
    "val": "validation images, used in training to choose the best epoch",
    "unseen": "not used to train the model, so its judgement is independent",
    "near-identical": "so similar that they may be crops, or re-lit, recompressed or mirrored "
    "copies of one picture; look at the pairs",
}


def independence(figures: Mapping[str, Any]) -> str:
    """Return a sentence on the groups of the images, or "" if each image counts on its own.

    Args:
        figures: with the numbers of "images" and "groups".
    """
    images, groups = figures["images"], figures["groups"]
    if groups == images:
        return ""
    if groups == 1:
        return (
            f"The {quantity(images, 'image')} are in one group, such as of one person: they say "
            "nothing about others, so there are no intervals."
        )
    return (
        f"The {quantity(images, 'image')} are in {quantity(groups, 'group')}, such as of one person"
        " each: intervals and p-values count the images of a group together."
    )


def metric_form(key: str) -> Callable[[float], str]:
    """Return how a metric is written: a percentage if it is a share, else three decimals."""
    return percent if key in SHARES else decimal
