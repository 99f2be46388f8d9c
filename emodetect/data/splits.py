"""Assigning images to train, validation and test."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from emodetect.errors import DataError
from emodetect.machine.terminal_text import on_one_line
from emodetect.number_format import quantity


def assign_splits(
    labels: np.ndarray,
    digests: np.ndarray,
    given: Sequence[str | None],
    *,
    validation_fraction: float | None,
    test_fraction: float,
    seed: int,
    groups: np.ndarray | None = None,
    fold: tuple[int, int] | None = None,
    names: Sequence[str] | np.ndarray | None = None,
) -> np.ndarray:
    """Return "train", "val" or "test" for each image.

    Test and validation splits given by the source are kept; images without a split that are
    identical to theirs, or belong to their groups, join them. A missing split is drawn from the
    training images (from all images if the source gives no splits), stratified by label. Identical
    images that are drawn, and groups, stay in one split.

    Args:
        labels: (n,) int class of each image.
        digests: (n,) hash of each image's pixels.
        given: the source's own split of each image, or None.
        validation_fraction: of train and validation together; None for `usual_fraction`.
        groups: (n,) int; images with the same number stay in one split.
        fold: (k, n): the k-th of n folds of train and validation together becomes the validation
            split, whatever the source gives.
        names: n names for errors; by default the images' places.

    Raises:
        DataError: for too few images to split, or an image without a split whose group has
            images in two given splits. Of folds, all n must be possible.
    """
    splits = np.array([split or "train" for split in given], dtype="U5")
    _follow_given(splits, given, digests, groups, names)
    if "test" not in splits:
        _carve(splits, "test", test_fraction, labels, digests, groups, seed)
    if fold is not None:
        _fold(splits, fold, labels, digests, groups, seed, names)
    elif "val" not in splits:
        fraction = validation_fraction or usual_fraction(int(np.sum(splits == "train")))
        _carve(splits, "val", fraction, labels, digests, groups, seed)
    return splits


def usual_fraction(count: int) -> float:
    """Return the fraction of `count` images to validate on, if the config gives none.

    A tenth, or more for at least 50 images, but a fifth at most: with 10 images, the choice of the
    epoch would be by chance.
    """
    return max(0.1, min(0.2, 50 / max(count, 1)))


def connect(columns: Sequence[Sequence[str] | np.ndarray]) -> np.ndarray:
    """Number the images so that those that share a value in any column get the same number.

    A person may appear in several videos, and a video may show several people: both must stay in
    one split. Empty values connect nothing.

    Args:
        columns: of n texts each.

    Returns:
        (n,) int.
    """
    count = len(columns[0])
    rows, keys = [], []
    first_key = count
    for column in columns:
        values, key = np.unique(np.array(column), return_inverse=True)
        named = np.flatnonzero(np.array(column) != "")
        rows.append(named)
        keys.append(first_key + key[named])
        first_key += len(values)
    edges = np.concatenate(rows), np.concatenate(keys)
    graph = coo_array((np.ones(len(edges[0]), bool), edges), shape=(first_key, first_key))
    numbers: np.ndarray = connected_components(graph, directed=False)[1][:count]
    return numbers


def _follow_given(
    splits: np.ndarray,
    given: Sequence[str | None],
    digests: np.ndarray,
    groups: np.ndarray | None,
    names: Sequence[str] | np.ndarray | None,
) -> None:
    """Assign images without a split to the given split of their group."""
    own = np.array([split is not None for split in given], bool)
    if own.all() or not own.any():
        return
    _, group = np.unique(digests if groups is None else groups, return_inverse=True)
    taken: dict[int, set[str]] = {}
    for number, split in zip(group[own].tolist(), splits[own].tolist(), strict=True):
        taken.setdefault(number, set()).add(split)
    for row in np.flatnonzero(~own).tolist():
        sides = taken.get(int(group[row]), set())
        if len(sides) == 1:
            splits[row] = next(iter(sides))
        # Copies that the source itself has in two splits are left as they are.
        elif sides and groups is not None:
            raise DataError(
                f"{_name(names, row, len(splits))} has no split, but shares groups with images "
                f"in {' and in '.join(sorted(sides))}; a group must stay in one split. Change "
                "their splits, or remove the split column to draw the splits."
            )


def _name(names: Sequence[str] | np.ndarray | None, row: int, count: int) -> str:
    return f"image {row + 1} of {count}" if names is None else on_one_line(names[row])


def _carve(
    splits: np.ndarray,
    name: str,
    fraction: float,
    labels: np.ndarray,
    digests: np.ndarray,
    groups: np.ndarray | None,
    seed: int,
) -> None:
    drawn_from = splits == "train"
    if name == "test":  # not copies of given validation images, which choose an epoch
        together = digests if groups is None else groups
        copies = drawn_from & np.isin(digests, digests[splits == "val"])
        rest = drawn_from & ~np.isin(together, together[copies])
        drawn_from = rest if rest.any() else drawn_from  # if all are copies, that is told later
    members = np.flatnonzero(drawn_from)
    if not len(members):
        raise DataError(f"no image is left to train on, or to draw a {name} split from.")
    if groups is None:
        chosen = _draw_images(labels[members], digests[members], name, fraction, seed)
    else:
        # Sorted by pixels, so that the order of the images does not matter.
        members = members[np.argsort(digests[members], kind="stable")]
        chosen = _draw_groups(labels[members], groups[members], name, fraction, seed)
    splits[members[chosen]] = name


def _fold(
    splits: np.ndarray,
    fold: tuple[int, int],
    labels: np.ndarray,
    digests: np.ndarray,
    groups: np.ndarray | None,
    seed: int,
    names: Sequence[str] | np.ndarray | None,
) -> None:
    """Make a fold of the training and validation images the validation split.

    Raises DataError if any of the folds is impossible, so that no other is trained in vain.
    """
    # Here, because it takes more than a second, and few commands draw splits.
    from sklearn.model_selection import LeaveOneGroupOut, StratifiedGroupKFold, StratifiedKFold

    number, count = fold
    members = np.flatnonzero(splits != "test")
    # Sorted by pixels, so that the order of the images does not matter.
    members = members[np.argsort(digests[members], kind="stable")]
    together = (digests if groups is None else groups)[members]
    _, first, group = np.unique(together, return_index=True, return_inverse=True)
    # Identical images count once, with the label of the first.
    counted = labels[members][first] if groups is None else labels[members]
    present = np.unique(counted, return_counts=True)[1]
    if len(first) < count or present.min() < count:
        raise DataError(
            f"cannot make {count} folds of {len(first)} different images or groups, "
            f"{quantity(int(present.min()), 'image')} of the rarest emotion: each fold needs one. "
            "Add images, or change training.folds."
        )
    if groups is None:
        folds = StratifiedKFold(count, shuffle=True, random_state=seed).split(first, counted)
        chosen = [np.isin(group, part) for _, part in folds]
    else:
        # With as many groups as folds, StratifiedGroupKFold may leave a fold empty.
        splitter = (
            LeaveOneGroupOut()
            if len(first) == count
            else StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        )
        folds = splitter.split(members, counted, group)
        chosen = [np.isin(np.arange(len(members)), part) for _, part in folds]
    for part in chosen:
        lost = members[~np.isin(labels[members], labels[members][~part])]
        if len(lost):
            raise DataError(
                f"cannot make {count} folds: one would hold all {len(lost)} images of an emotion "
                f"(such as {_name(names, lost[0], len(splits))}), and leave none to train on. Add "
                "different images or groups of it, or change training.folds."
            )
    splits[members] = np.where(chosen[number - 1], "val", "train")


def _draw_images(
    labels: np.ndarray, digests: np.ndarray, name: str, fraction: float, seed: int
) -> np.ndarray:
    from sklearn.model_selection import train_test_split  # here, because it takes a second

    # Identical images count once, with the label of the first.
    _, first, group = np.unique(digests, return_index=True, return_inverse=True)
    strata = labels[first]
    try:
        _, chosen = train_test_split(
            np.arange(len(first)), test_size=fraction, stratify=strata, random_state=seed
        )
    except ValueError:
        raise DataError(
            f"cannot draw a {name} split of {fraction:g} from {len(first)} different images: "
            f"{_why_not(strata, name, fraction)}."
        ) from None
    return np.isin(group, chosen)


def _why_not(strata: np.ndarray, name: str, fraction: float) -> str:
    """Return why the split cannot hold, or leave, an image of each emotion, and what would do."""
    counts = np.unique(strata, return_counts=True)[1]
    if counts.min() < 2:
        return "the rarest emotion has only 1, but needs 2 or more; add images of it"
    images, emotions = len(strata), len(counts)
    smallest = math.ceil(1000 * emotions / images) / 1000
    if fraction < smallest:
        lacks, limit = "the split", f"{smallest:g} or more"
    else:
        lacks = "the rest"
        limit = f"{math.floor(1000 * (images - emotions) / images) / 1000:g} or less"
    return (
        f"{lacks} would be too small for an image of each of the {emotions} emotions; set "
        f"{_setting(name)} to {limit}, or add images"
    )


def _draw_groups(
    labels: np.ndarray, groups: np.ndarray, name: str, fraction: float, seed: int
) -> np.ndarray:
    """Draw whole groups in random order, keeping those that bring the class counts nearer."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    group = np.argsort(np.argsort(first))[group]  # numbered by their first image
    counts = np.zeros((group.max() + 1, labels.max() + 1))
    np.add.at(counts, (group, labels), 1)
    missing = fraction * counts.sum(axis=0)
    # Relative counts, so that a rare class matters as much as a common one.
    scale = 1 / np.maximum(counts.sum(axis=0), 1)
    chosen = np.zeros(len(counts), bool)
    for candidate in np.random.default_rng(seed).permutation(len(counts)):
        left = missing - counts[candidate]
        if np.sum(np.abs(left) * scale) < np.sum(np.abs(missing) * scale):
            chosen[candidate] = True
            missing = left
    if not chosen.any():  # every group is larger than the split: take the best fit
        chosen[np.argmin(np.abs(missing - counts) @ scale)] = True
    if chosen.all():
        raise DataError(
            f"cannot draw a {name} split of {fraction:g} from {len(counts)} groups that must stay "
            f"together. Add groups, or change {_setting(name)}."
        )
    return chosen[group]


def _setting(name: str) -> str:
    """Return what sets the fraction of a split, in a config and for `data split`."""
    if name == "test":
        return "data.test_fraction (data split: --test)"
    return "data.validation_fraction (data split: --validation)"
