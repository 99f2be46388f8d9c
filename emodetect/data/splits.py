"""Train, validation and test: who belongs where."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import train_test_split

from emodetect.errors import DataError


def assign_splits(
    labels: np.ndarray,
    digests: np.ndarray,
    given: Sequence[str | None],
    *,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
) -> np.ndarray:
    """Return "train", "val" or "test" for each image.

    Splits that the source gives are kept. Missing test and validation splits are taken out of
    the images of train (all, where the source gives no splits), stratified by label, identical
    images on one side. A given split is never taken from.

    Args:
        labels: (n,) int class of each image.
        digests: (n,) hash of each image's pixels.
        given: the source's own split of each image, or None.
    """
    splits = np.array([split or "train" for split in given], dtype="U5")
    if "test" not in splits:
        _carve(splits, "test", test_fraction, labels, digests, seed)
    if "val" not in splits:
        # The share is meant of all that train and validation have together.
        _carve(splits, "val", validation_fraction, labels, digests, seed)
    return splits


def _carve(
    splits: np.ndarray,
    name: str,
    fraction: float,
    labels: np.ndarray,
    digests: np.ndarray,
    seed: int,
) -> None:
    members = np.flatnonzero(splits == "train")
    # One vote a group of identical images: its first label decides the stratum.
    _, first, group = np.unique(digests[members], return_index=True, return_inverse=True)
    strata = labels[members][first]
    try:
        _, chosen = train_test_split(
            np.arange(len(first)), test_size=fraction, stratify=strata, random_state=seed
        )
    except ValueError:
        fewest = np.bincount(strata).min() if len(strata) else 0
        raise DataError(
            f"cannot take a {name} split of {fraction:g} out of {len(first)} different images, "
            f"{fewest} of the rarest emotion: each emotion needs at least 2, and the split one "
            f"for each emotion. Add images, or change data."
            f"{'test' if name == 'test' else 'validation'}_fraction."
        ) from None
    splits[members[np.isin(group, chosen)]] = name
