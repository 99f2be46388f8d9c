"""The findings of an audit: leaks, conflicts, duplicates, and a summary of all figures."""

from __future__ import annotations

from typing import Any

import numpy as np

from emodetect.auditing.audit import Audit
from emodetect.auditing.sources import name_in
from emodetect.data.cleaning import FLAG_SEPARATOR, AuditRow
from emodetect.data.dataset import SPLITS
from emodetect.machine.csv_files import printable

NAMED_UNREADABLE = 100
# Images of the first split that also appear in the second are leaks.
SPLIT_PAIRS = (("test", "train"), ("test", "val"), ("val", "train"))


def leaks(audit: Audit, groups: np.ndarray, of: str, into: str) -> np.ndarray:
    """Return the images of the split `of` that also appear in the split `into`: (n,) bool.

    Args:
        groups: (n,) int64, the same number for all images that count as the same.
    """
    # As in training, images without a split count as train.
    splits = np.where(audit.splits == "", "train", audit.splits)
    there = np.unique(groups[splits == into])
    found: np.ndarray = (splits == of) & np.isin(groups, there)
    return found


def across_sources(audit: Audit, groups: np.ndarray) -> np.ndarray:
    """Return the images that also appear in another source: (n,) bool."""
    return _in_mixed_groups(groups, audit.origins)


def conflicts(audit: Audit, groups: np.ndarray) -> np.ndarray:
    """Return the images with a copy under a different label: (n,) bool."""
    return _in_mixed_groups(groups, np.unique(audit.labels.astype(str), return_inverse=True)[1])


def _in_mixed_groups(groups: np.ndarray, values: np.ndarray) -> np.ndarray:
    size = groups.max(initial=-1) + 1
    least, most = np.full(size, np.iinfo(np.int64).max), np.full(size, -1)
    np.minimum.at(least, groups, values)
    np.maximum.at(most, groups, values)
    mixed: np.ndarray = (least != most)[groups]
    return mixed


def repeated(groups: np.ndarray) -> np.ndarray:
    """Return the images with a copy: (n,) bool."""
    several: np.ndarray = (np.bincount(groups) > 1)[groups]
    return several


def summary(audit: Audit) -> dict[str, Any]:
    """Return all figures as plain values, as written to audit.json."""
    same, near = audit.duplicates.identical, audit.duplicates.near
    figures: dict[str, Any] = {
        "sources": [str(source) for source in audit.sources],
        "images": len(audit.pictures),
        "classes": class_counts(audit),
        "leaks": _leak_counts(audit),
        "across_sources": {
            "identical": int(across_sources(audit, same).sum()),
            "identical_or_near": int(across_sources(audit, near).sum()),
        },
        "duplicates": {
            **_group_counts(repeated(same), same, repeated(near), near),
            "near_pairs": len(audit.duplicates.pairs),
            "mirrored_pairs": int(audit.duplicates.mirrored.sum()),
            "pairs_not_compared": audit.duplicates.pairs_left_out,
        },
        "conflicts": _group_counts(conflicts(audit, same), same, conflicts(audit, near), near),
        "unreadable": _unreadable(audit),
        "quality": {
            name: int(audit.flags[name].sum())
            for name in ("tiny", "blank", "dark", "bright", "blurred")
        },
        "no_face": {
            "images": int(audit.flags["no_face"].sum()),
            "detector": audit.search.detector if audit.search else None,
            "weak": bool(audit.search and audit.search.weak),
        },
        "left_out": audit.left_out,
    }
    if (audit.winners != "").any():
        figures["votes"] = {
            "voted": int((audit.winners != "").sum()),
            "contradict": int(audit.flags["votes_contradict"].sum()),
            "no_face": int(audit.flags["votes_no_face"].sum()),
        }
    if audit.doubts is not None:
        doubtful = audit.flags["label_doubtful"]
        figures["model"] = {
            "name": audit.model,
            "asked": int(audit.doubts.asked.sum()),
            "unseen": int(audit.doubts.unseen.sum()),
            "doubtful_unseen": int((doubtful & audit.doubts.unseen).sum()),
            "doubtful_maybe_seen": int((doubtful & ~audit.doubts.unseen).sum()),
        }
    return figures


def _leak_counts(audit: Audit) -> dict[str, int]:
    same, near = audit.duplicates.identical, audit.duplicates.near
    counts, near_counts = {}, {}
    for of, into in SPLIT_PAIRS:
        identical = leaks(audit, same, of, into)
        counts[f"{of}_in_{into}"] = int(identical.sum())
        near_counts[f"near_{of}_in_{into}"] = int((leaks(audit, near, of, into) & ~identical).sum())
    return counts | near_counts


def _group_counts(
    members: np.ndarray, groups: np.ndarray, near_members: np.ndarray, near_groups: np.ndarray
) -> dict[str, int]:
    return {
        "groups": len(np.unique(groups[members])),
        "images": int(members.sum()),
        "groups_with_near": len(np.unique(near_groups[near_members])),
        "images_with_near": int(near_members.sum()),
    }


def _unreadable(audit: Audit) -> dict[str, Any]:
    rows = np.flatnonzero(audit.flags["unreadable"]).tolist()
    first = {file.path: file.reason for file in audit.skipped[:NAMED_UNREADABLE]}
    first |= {shown_name(audit, row): audit.scan.errors[row] for row in rows[:NAMED_UNREADABLE]}
    return {"images": len(rows) + len(audit.skipped), "first": first}


def shown_name(audit: Audit, row: int) -> str:
    """Return the name of an image, with its source if there are several."""
    picture = audit.pictures[row]
    return name_in(audit.sources, picture.source, picture.sample.name)


def class_counts(audit: Audit) -> dict[str, dict[str, int]]:
    """Return the number of images per split and emotion; empty splits are left out."""
    splits, labels = audit.splits, audit.labels
    return {
        split or "no split": {
            emotion: int(((splits == split) & (labels == emotion)).sum())
            for emotion in audit.emotions
        }
        for split in (*SPLITS, "")
        if (splits == split).any()
    }


def manifest_rows(audit: Audit) -> list[AuditRow]:
    """Return the rows of manifest.csv, one per image."""
    same, near = audit.duplicates.identical, audit.duplicates.near
    held_out = leaks(audit, same, "train", "test") | leaks(audit, same, "train", "val")
    nearly = leaks(audit, near, "train", "test") | leaks(audit, near, "train", "val")
    flags = {
        "leak": held_out,
        "near_leak": nearly & ~held_out,
        "duplicate": repeated(same),
        "near_duplicate": repeated(near) & ~repeated(same),
        "conflict": conflicts(audit, same),
        "near_conflict": conflicts(audit, near) & ~conflicts(audit, same),
        **audit.flags,
    }
    table = np.stack(list(flags.values()))
    names = list(flags)
    grouped = repeated(near)
    return [
        AuditRow(
            source=str(audit.sources[picture.source]),
            path=printable(picture.sample.name),
            hash=audit.scan.digests[row].decode(),
            label=picture.sample.emotion,
            split=picture.sample.split or "",
            duplicate_group=str(near[row]) if grouped[row] else "",
            flags=FLAG_SEPARATOR.join(names[flag] for flag in np.flatnonzero(table[:, row])),
        )
        for row, picture in enumerate(audit.pictures)
    ]
