"""Smoothing a face's scores over time, so that its label does not flicker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SmoothedScores:
    """A face's moving average of probabilities, (emotions,), and the emotion that it shows."""

    average: np.ndarray
    shown: int


def smooth(
    before: SmoothedScores | None, scores: np.ndarray, *, keep: float, hysteresis: float
) -> SmoothedScores:
    """Average a face's new scores with those before.

    Args:
        scores: (emotions,) probabilities.
        keep: the share of the average that stays, 0 to 1.
        hysteresis: by how much another emotion must lead to be shown in the place of the last.
    """
    if before is None:
        return SmoothedScores(scores, int(np.argmax(scores)))
    average = keep * before.average + (1 - keep) * scores
    best = int(np.argmax(average))
    leads = average[best] - average[before.shown] >= hysteresis
    return SmoothedScores(average, best if leads else before.shown)
