"""Duplicates: images that are pixel-identical, or re-encoded, resized, re-lit or mirrored.

Images are identical if they have the same size and all decoded pixels are equal. Others are
near-identical if their perceptual hashes (see scan.py) share a band and differ in at most
MOST_DIFFERENT_BITS, and their thumbnails correlate by at least LEAST_CORRELATION; as they are, or
with one of them mirrored, because training mirrors images. Blank images are not compared.

Measured on FER2013's training split: of the 892 pairs found, the 144 least similar were inspected;
two show different people, the others the same photo with another crop, lighting or stamp. Of
corrupted copies of 1,500 of its images, the check finds: JPEG of quality 30 99.2%, of 60 and more
100%; resized to 32 or 224 pixels, blurred by 0.8 pixels, gamma 0.8, contrast 0.8 or mirrored 100%;
20 grey levels brighter 99.9%, 30 darker (with clipping) 99.5%. It finds 56% if shifted by one pixel
of 48, 55% if rotated by 3 degrees, and 2% if cropped by two pixels on each side: different crops
of a photo are not meant to be found.

Among 2,000 drawn faces, which have few lines and one background, 62 pairs of different faces are
found. Finer pixels do not tell them apart: of the correlations of the aligned details at 48 pixels,
90% of these pairs have at most 0.67, but so have about a quarter of FER2013's pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from emodetect.auditing.quality import BLANK_BELOW
from emodetect.auditing.scan import BANDS, Scan, mirror_mask

# Of 140 bits. Different faces that share a band differ in 33 or more.
MOST_DIFFERENT_BITS = 28
# Different faces reach 0.91, but not with hashes this close.
LEAST_CORRELATION = 0.9
# With how many of the images that share a band each image is compared: the next ones in the order
# of their hashes. More would only matter if thousands of images were almost the same; the limit
# keeps the work linear.
MOST_NEIGHBOURS = 64
IMAGES_AT_ONCE = 1024


@dataclass(frozen=True)
class Duplicates:
    """Which of n images are the same.

    Attributes:
        identical: (n,) int64, the same number for all pixel-identical images.
        near: (n,) int64, the same number for all images connected by chains of near-identical or
            identical ones.
        pairs: (m, 2) int64, the near-identical pairs, with one image for each identical group.
        mirrored: (m,) bool, which pairs are mirror images.
        pairs_left_out: how many pairs shared a band but were not compared; see MOST_NEIGHBOURS.
    """

    identical: np.ndarray
    near: np.ndarray
    pairs: np.ndarray
    mirrored: np.ndarray
    pairs_left_out: int


def find_duplicates(scan: Scan) -> Duplicates:
    """Find identical and near-identical images, without comparing all pairs."""
    count = len(scan.digests)
    # Unreadable images are never duplicates.
    keys = np.where(scan.readable, scan.digests, np.char.mod(b"unread %d", np.arange(count)))
    _, first, identical = np.unique(keys, return_index=True, return_inverse=True)
    compared = first[(scan.readable & (scan.contrast >= BLANK_BELOW))[first]]
    compared.sort()
    straight, left_out = _near_pairs(scan, compared, mirrored=False)
    mirrored, mirrored_left_out = _near_pairs(scan, compared, mirrored=True)
    # A symmetric face is near-identical to its mirror image, and so are its copies.
    new = ~np.isin(_as_keys(mirrored, count), _as_keys(straight, count))
    pairs = np.concatenate([straight, mirrored[new]])
    edges = identical[pairs]
    graph = coo_array(
        (np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(len(first), len(first))
    )
    near = connected_components(graph, directed=False)[1][identical]
    is_mirrored = np.arange(len(pairs)) >= len(straight)
    return Duplicates(
        identical.astype(np.int64),
        near.astype(np.int64),
        pairs,
        is_mirrored,
        left_out + mirrored_left_out,
    )


def _near_pairs(scan: Scan, members: np.ndarray, *, mirrored: bool) -> tuple[np.ndarray, int]:
    """Return the near-identical pairs among `members`, (m, 2), and how many were not compared."""
    hashes = scan.hashes[members]
    others = hashes ^ mirror_mask() if mirrored else hashes
    found, left_out = [], 0
    for band in range(BANDS):
        order = _sorted_by_hash(others, band)
        ordered = others[order]
        for rows, columns, dropped in _bucket_pairs(hashes, ordered, order, band, mirrored):
            left_out += dropped
            close = np.bitwise_count(hashes[rows] ^ others[columns]).sum(axis=1)
            kept = close <= MOST_DIFFERENT_BITS
            rows, columns = rows[kept], columns[kept]
            alike = _correlations(scan, members[rows], members[columns], mirrored=mirrored)
            kept = alike >= LEAST_CORRELATION
            found.append(np.stack([rows[kept], columns[kept]], axis=1))
    pairs = np.concatenate([*found, np.empty((0, 2), np.int64)])
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
    return members[pairs], left_out


def _as_keys(pairs: np.ndarray, count: int) -> np.ndarray:
    keys: np.ndarray = pairs[:, 0] * count + pairs[:, 1]
    return keys


def _sorted_by_hash(hashes: np.ndarray, band: int) -> np.ndarray:
    """Return the order by one band, then by the others, so that similar hashes are adjacent."""
    rest = [hashes[:, (band + step) % BANDS] for step in range(BANDS - 1, -1, -1)]
    return np.lexsort(rest)


def _bucket_pairs(
    hashes: np.ndarray, ordered: np.ndarray, order: np.ndarray, band: int, mirrored: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yield batches of pairs (rows, columns) that share a band, and how many are left out."""
    keys = ordered[:, band]
    if mirrored:
        rows = np.arange(len(hashes))
        starts = np.searchsorted(keys, hashes[:, band], "left")
        ends = np.searchsorted(keys, hashes[:, band], "right")
    else:  # each with those after it
        rows = order
        starts = np.arange(1, len(keys) + 1)
        ends = np.searchsorted(keys, keys, "right")
    counts = np.minimum(ends - starts, MOST_NEIGHBOURS)
    used = np.flatnonzero(counts)
    for low in range(0, len(used), IMAGES_AT_ONCE):
        some = used[low : low + IMAGES_AT_ONCE]
        sizes = counts[some]
        steps = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        left_out = int((ends[some] - starts[some] - sizes).sum())
        yield np.repeat(rows[some], sizes), order[np.repeat(starts[some], sizes) + steps], left_out


def _correlations(
    scan: Scan, first: np.ndarray, second: np.ndarray, *, mirrored: bool
) -> np.ndarray:
    """Return the normalised correlation of the thumbnails of pairs, (m,) float32."""
    values = []
    for thumbnails in (scan.thumbnails[first], scan.thumbnails[second]):
        pixels = thumbnails.astype(np.float32)
        pixels -= pixels.mean(axis=(1, 2), keepdims=True)
        length = np.sqrt((pixels**2).sum(axis=(1, 2), keepdims=True))
        values.append(pixels / np.maximum(length, 1e-6))
    one, other = values
    product: np.ndarray = (one * (other[:, :, ::-1] if mirrored else other)).sum(axis=(1, 2))
    return product
