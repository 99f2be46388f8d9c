"""Arithmetic on face boxes."""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels; x and y are the top left corner."""

# Two boxes are of the same face if more than this share of the smaller is inside the larger.
SAME_FACE_SHARE = 0.6


def overlap(a: Box, b: Box) -> int:
    """Return the number of pixels that two boxes share."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(0, width) * max(0, height)


def iou(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes, 0 to 1."""
    shared = overlap(a, b)
    return shared / max(1, a[2] * a[3] + b[2] * b[3] - shared)


def same_face(a: Box, b: Box) -> bool:
    """Return whether two boxes are of one face, or one is of a part of it, such as its mouth."""
    return overlap(a, b) > SAME_FACE_SHARE * min(a[2] * a[3], b[2] * b[3])


def distance(a: Box, b: Box) -> float:
    """Return the distance between the centres of two boxes, in mean sides."""
    x = (a[0] + a[2] / 2) - (b[0] + b[2] / 2)
    y = (a[1] + a[3] / 2) - (b[1] + b[3] / 2)
    return hypot(x, y) / max(1.0, sum((*a[2:], *b[2:])) / 4)


def clip(box: Sequence[float], width: int, height: int) -> Box:
    """Round a box to whole pixels inside an image of this size; at least one pixel."""
    left = max(0, min(round(box[0]), width - 1))
    top = max(0, min(round(box[1]), height - 1))
    right = max(left + 1, min(round(box[0] + box[2]), width))
    bottom = max(top + 1, min(round(box[1] + box[3]), height))
    return left, top, right - left, bottom - top


def merge(boxes: Sequence[Box]) -> list[Box]:
    """Return the boxes, largest first, without those of the same face as a larger one."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda box: (-box[2] * box[3], box)):
        if not any(same_face(box, larger) for larger in kept):
            kept.append(box)
    return kept
