"""Smooth a face's scores over time, so that its label does not flicker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SmoothedScores:
    """Moving average of a face's probabilities, (emotions,), and the index of its shown emotion."""

    average: np.ndarray
    shown: int


def smooth(
    before: SmoothedScores | None, scores: np.ndarray, *, keep: float, hysteresis: float
) -> SmoothedScores:
    """Average a face's new scores with the previous ones.

    Args:
        scores: (emotions,) probabilities.
        keep: weight of the previous average, 0 to 1.
        hysteresis: lead that another emotion needs to replace the shown one.
    """
    if before is None:
        return SmoothedScores(scores, int(np.argmax(scores)))
    average = keep * before.average + (1 - keep) * scores
    best = int(np.argmax(average))
    leads = average[best] - average[before.shown] >= hysteresis
    return SmoothedScores(average, best if leads else before.shown)
