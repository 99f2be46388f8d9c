"""Tests of whether accuracies differ by more than chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binom

SIGNIFICANT = 0.05
DRAWS = 9999
DRAWS_AT_ONCE = 100  # their signs take 90 MB for 100,000 groups
SEED = 0


def paired_accuracy_p(gains: np.ndarray, groups: np.ndarray) -> float:
    """Return the two-sided p-value that two models are equally accurate on the same images.

    Exact: how often the difference is as large if each group of images is as likely to favour one
    model as the other, by as much as it does (sign-flip test, Fisher 1935). If each image is a
    group of its own, this is McNemar's exact test (McNemar 1947).

    Args:
        gains: (n,) int: 1 for an image that only the second model classifies correctly, -1 if only
            the first does, else 0.
        groups: (n,) int, see `Predictions.groups`.

    Examples:
        >>> paired_accuracy_p(np.array([1, 1, 1, 1, 1, -1]), np.arange(6))
        0.21875
    """
    _, numbers = np.unique(groups, return_inverse=True)
    sums = np.bincount(numbers, gains).astype(np.int64)
    sizes, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    chances = np.ones(1)  # of each sum of the groups that favour the second model
    for size, count in zip(sizes, counts, strict=True):
        of_size = np.zeros(size * count + 1)
        of_size[::size] = binom.pmf(np.arange(count + 1), count, 0.5)
        chances = np.convolve(chances, of_size)
    total = len(chances) - 1
    as_large = np.abs(2 * np.arange(total + 1) - total) >= abs(sums.sum())
    return float(min(1.0, chances[as_large].sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for multiple comparisons (Holm 1979), in the order given."""
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


def equal_accuracy_p(correct: np.ndarray, subsets: np.ndarray, groups: np.ndarray) -> float:
    """Return the p-value of the chi-squared test that all subsets have the same accuracy.

    It comes from random tables with the same totals (Hope 1968) instead of the chi-squared
    distribution, which is wrong for few mistakes. If images share groups, it comes from random
    signs of the groups' deviations from the common accuracy (Kline and Santos 2012). The seed is
    fixed. At least 1 / (DRAWS + 1).

    Args:
        correct: (n,) bool.
        subsets: (n,) int, the subset of each image.
        groups: (n,) int, see `Predictions.groups`.

    Examples:
        >>> equal_accuracy_p(np.tile([True, False], 40), np.repeat([0, 1], 40), np.arange(80))
        1.0
    """
    _, subset = np.unique(subsets, return_inverse=True)
    _, group = np.unique(groups, return_inverse=True)
    sizes, right = np.bincount(subset), np.bincount(subset, correct).astype(np.int64)
    generator = np.random.default_rng(SEED)
    if len(group) == group.max() + 1:
        drawn = generator.multivariate_hypergeometric(sizes, right.sum(), DRAWS, method="marginals")
        # With fixed totals, the chi-squared statistic grows with this sum alone.
        statistics, observed = (drawn**2 / sizes).sum(axis=1), (right**2 / sizes).sum()
    else:
        deviations = np.zeros((group.max() + 1, len(sizes)))
        np.add.at(deviations, (group, subset), correct - correct.mean())
        drawn = _randomly_signed_sums(deviations, generator)
        drawn -= drawn.sum(axis=1, keepdims=True) * sizes / sizes.sum()
        statistics = (drawn**2 / sizes).sum(axis=1)
        observed = (deviations.sum(axis=0) ** 2 / sizes).sum()
    as_large = statistics >= observed * (1 - 1e-12)  # equal ones differ by rounding
    return float((1 + as_large.sum()) / (1 + DRAWS))


def _randomly_signed_sums(rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return DRAWS sums of the rows, each of which counts with a random sign."""
    sums = []
    for start in range(0, DRAWS, DRAWS_AT_ONCE):
        shape = min(DRAWS_AT_ONCE, DRAWS - start), len(rows)
        signs = generator.integers(2, size=shape, dtype=np.uint8).astype(np.float64)
        signs *= 2
        signs -= 1
        sums.append(signs @ rows)
    return np.concatenate(sums)
