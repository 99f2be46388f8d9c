"""Smooth a face's scores over time, so that its label does not flicker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emodetect.faces.tracking import kept_share


@dataclass(frozen=True)
class SmoothedScores:
    """A face's probabilities, smoothed over time.

    Attributes:
        average: (emotions,) moving average.
        shown: index of the shown emotion.
        time_s: when the face was last seen, in seconds.
    """

    average: np.ndarray
    shown: int
    time_s: float


def smooth(
    before: SmoothedScores | None,
    scores: np.ndarray,
    *,
    time_s: float,
    constant_s: float,
    hysteresis: float,
) -> SmoothedScores:
    """Average a face's new scores with the previous ones.

    Args:
        scores: (emotions,) probabilities.
        time_s: when they were seen, in seconds.
        constant_s: time constant of the average, in seconds.
        hysteresis: lead that another emotion needs to replace the shown one.
    """
    if before is None:
        return SmoothedScores(scores, int(np.argmax(scores)), time_s)
    keep = kept_share(time_s - before.time_s, constant_s)
    average = keep * before.average + (1 - keep) * scores
    best = int(np.argmax(average))
    leads = average[best] - average[before.shown] >= hysteresis
    return SmoothedScores(average, best if leads else before.shown, time_s)
