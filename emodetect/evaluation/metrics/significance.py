"""Tests of whether accuracies differ by more than chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest

SIGNIFICANT = 0.05
DRAWS = 9999
SEED = 0


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Return the two-sided p-value of the exact McNemar test (McNemar 1947).

    Args:
        only_first: the number of images that only the first model classifies correctly.
        only_second: the number that only the second does.
    """
    total = only_first + only_second
    return float(binomtest(only_first, total).pvalue) if total else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for multiple comparisons (Holm 1979), in the order given."""
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


def equal_accuracy_p(right: Sequence[int], images: Sequence[int]) -> float:
    """Return the p-value of the chi-squared test that all subsets have the same accuracy.

    It comes from random tables with the same totals (Hope 1968) instead of the chi-squared
    distribution, which is wrong for few mistakes; the seed is fixed. At least 1 / (DRAWS + 1).

    Args:
        right: the number of images of each subset that are classified correctly.
        images: the number of images of each subset, at least 1.

    Examples:
        >>> equal_accuracy_p([40, 40], [40, 40])
        1.0
    """
    sizes = np.array(images)
    generator = np.random.default_rng(SEED)
    drawn = generator.multivariate_hypergeometric(sizes, sum(right), DRAWS, method="marginals")
    # With fixed totals, the chi-squared statistic grows with this sum alone.
    statistics = (drawn**2 / sizes).sum(axis=1)
    observed = (np.array(right) ** 2 / sizes).sum()
    as_large = statistics >= observed * (1 - 1e-12)  # equal ones differ by rounding
    return float((1 + as_large.sum()) / (1 + DRAWS))
