"""The findings of an audit as sections of its page, each with pictures and advice."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from emodetect.auditing import quality
from emodetect.auditing.audit import Audit
from emodetect.auditing.findings import (
    SPLIT_PAIRS,
    across_sources,
    conflicts,
    leaks,
    repeated,
    shown_name,
)
from emodetect.auditing.scan import SHARPNESS_SIDE
from emodetect.data.cleaning import HELD_OUT
from emodetect.data.crops import read_sample
from emodetect.emotions import EMOTIONS
from emodetect.errors import ImageError
from emodetect.images.resizing import reduced
from emodetect.number_format import percent

SHOWN_AT_MOST = 24  # images or groups in a section
SHOWN_OF_A_GROUP = 4
SHOWN_SIDE = 160  # pixels; enough to enlarge

# Among small faces framed alike, different ones can be this similar.
MAYBE_COPIES = (
    "They may be crops or re-lit, recompressed or mirrored copies, or only similar: look at the "
    "pairs."
)

# The title and the meaning of each flag.
FLAGS = {
    "votes_no_face": (
        'Images with "no face" votes',
        'More FER+ voters chose "no face" than any emotion.',
    ),
    "no_face": (
        "Images without a detected face",
        "YuNet detects no face, even at a low threshold: drawings, hands in front of the face, "
        "profile views, or no face at all.",
    ),
    "blank": (
        "Blank images",
        f"Almost no contrast: below {quality.BLANK_BELOW:g} of 255 grey levels.",
    ),
    "tiny": ("Tiny images", f"The shorter side is below {quality.TINY_BELOW} pixels."),
    "dark": ("Dark images", f"Mean brightness below {quality.DARK_BELOW:g} of 255 grey levels."),
    "bright": (
        "Bright images",
        f"Mean brightness above {quality.BRIGHT_ABOVE:g} of 255 grey levels.",
    ),
    "blurred": (
        "Blurred images",
        f"At {SHARPNESS_SIDE} pixels, the variance of the Laplacian is below "
        f"{quality.BLURRED_BELOW:g} of the variance of the image.",
    ),
}
WEAK_NO_FACE = (
    "Images without a detected face (unreliable check)",
    "The Haar cascade misses one in six tight face crops, even with padding, so most of these show "
    "a face. For a reliable check, run: emodetect models fetch yunet.",
)


@dataclass(frozen=True)
class Shown:
    """A picture of the page: (height, width, 3) uint8 BGR, and its caption."""

    image: np.ndarray
    name: str
    label: str
    split: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A finding.

    Attributes:
        count: the number of images, or of groups if the title says so.
        advice: what to do, in words.
        lines: what to add to a config.
        groups: pictures that belong together; groups of one for most findings.
        total: the number of groups; at most SHOWN_AT_MOST are shown.
        serious: whether it distorts metrics.
    """

    key: str
    title: str
    count: int
    meaning: str
    advice: str
    lines: tuple[str, ...]
    groups: list[list[Shown]]
    total: int
    serious: bool = False

    @property
    def heading(self) -> str:
        """The title; its first noun is singular if the count is 1."""
        if self.count != 1:
            return self.title
        title = re.sub(r"\b(group|image|label)s\b", r"\1", self.title, count=1, flags=re.I)
        return re.sub(r"\b(that (?:also )?(?:appear|contradict))\b", r"\1s", title)


def found_sections(audit: Audit) -> list[Section]:
    """Return the findings, the most serious first, without those that found nothing."""
    sections = (
        *_leak_sections(audit),
        *_conflict_sections(audit),
        *_duplicate_sections(audit),
        *_flag_sections(audit),
        *_vote_sections(audit),
        *_suspicious_label_sections(audit),
    )
    return [section for section in sections if section.count]


def _leak_sections(audit: Audit) -> Iterator[Section]:
    same, near = audit.duplicates.identical, audit.duplicates.near
    for of, into in SPLIT_PAIRS:
        exact = leaks(audit, same, of, into)
        nearly = leaks(audit, near, of, into) & ~exact
        meaning = f"A model can memorise these images, so its results on {of} are too optimistic."
        if into == "train":
            advice = f"drop_leaks removes their copies from the training images; {of} is unchanged."
        else:
            advice = "Neither split is cleaned. If there are many, use other images for validation."
        for found, groups, prefix in ((exact, same, ""), (nearly, near, "near-")):
            yield _group_section(
                audit,
                groups,
                found,
                count=int(found.sum()),
                key=f"{prefix}{of}-in-{into}",
                title=f"{of.capitalize()} images that also appear in {into} ({prefix}identical)",
                meaning=meaning + (f" {MAYBE_COPIES}" if prefix else ""),
                advice=advice,
                lines=("drop_leaks = true",) if into == "train" else (),
                serious=True,
            )


def _conflict_sections(audit: Audit) -> Iterator[Section]:
    same, near = audit.duplicates.identical, audit.duplicates.near
    conflicting = conflicts(audit, same)
    yield _group_section(
        audit,
        same,
        conflicting,
        key="conflicts",
        title="Groups of identical images with different labels",
        meaning=f"{int(conflicting.sum()):,} images. At most one label of each group can be "
        "correct; the others are noise in training.",
        advice="drop_conflicts removes these groups from the training images.",
        lines=("drop_conflicts = true",),
        serious=True,
    )
    yield _group_section(
        audit,
        near,
        conflicts(audit, near) & ~conflicting & ~np.isin(near, near[conflicting]),
        key="near-conflicts",
        title="Groups of near-identical images with different labels",
        meaning=f"One picture with different labels, if they are copies. {MAYBE_COPIES}",
        advice="drop_conflicts removes these groups too, unless near = false.",
        lines=("drop_conflicts = true",),
    )


def _duplicate_sections(audit: Audit) -> Iterator[Section]:
    same, near = audit.duplicates.identical, audit.duplicates.near
    across = across_sources(audit, near)
    yield _group_section(
        audit,
        near,
        across,
        count=int(across.sum()),
        key="across",
        title="Images that appear in more than one source",
        meaning=f"{int(across_sources(audit, same).sum()):,} of them are identical. Results on one "
        "source say little about a model trained on the other.",
        advice="drop_leaks removes training images that are in val or test of any source here.",
        lines=("drop_leaks = true",),
    )
    doubled = repeated(same)
    yield _group_section(
        audit,
        near,
        repeated(near),
        key="duplicates",
        title="Groups of duplicate images",
        meaning=f"{int(repeated(near).sum()):,} images in any split, {int(doubled.sum()):,} of "
        f"them in {len(np.unique(same[doubled])):,} groups of identical images; leaks and "
        "conflicts are counted here too. Duplicates get more weight in training.",
        advice="keep_one_of_duplicates keeps the first of each group among the training images.",
        lines=("keep_one_of_duplicates = true",),
    )


def _flag_sections(audit: Audit) -> Iterator[Section]:
    weak = audit.search is not None and audit.search.weak
    for key, texts in FLAGS.items():
        title, meaning = WEAK_NO_FACE if key == "no_face" and weak else texts
        rows = np.flatnonzero(audit.flags[key])
        yield _flag_section(audit, key, title, meaning, rows[_spread(len(rows))])


def _vote_sections(audit: Audit) -> Iterator[Section]:
    against = np.flatnonzero(audit.flags["votes_contradict"])
    if not len(against):
        return
    own = [EMOTIONS.index(audit.pictures[row].sample.emotion) for row in against]
    lead = audit.votes[against].max(axis=1) - audit.votes[against, own]
    ordered = against[np.argsort(-lead, kind="stable")]
    # If thousands are equally clear, not only those of the first emotion.
    equal = int((lead == lead.max()).sum())
    shown = ordered[_spread(max(equal, min(len(ordered), SHOWN_AT_MOST)))]
    yield _flag_section(
        audit,
        "votes_contradict",
        "Labels that contradict the votes",
        "Most FER+ voters chose another emotion. The clearest cases are shown.",
        shown,
        [f"votes: {audit.winners[row]}" for row in shown],
    )


def _suspicious_label_sections(audit: Audit) -> Iterator[Section]:
    doubts = audit.doubts
    if doubts is None:
        return
    for unseen in (True, False):
        flagged = audit.flags["label_doubtful"] & (doubts.unseen == unseen)
        rows = np.flatnonzero(flagged)
        rows = rows[np.argsort(-doubts.confidence[rows], kind="stable")][:SHOWN_AT_MOST]
        seen_note = (
            "Only a test split counts as unseen (or all images, with --unseen). A model tends to "
            "agree with its training labels, correct or not, so too few are found here. "
        )
        section = _flag_section(
            audit,
            "label_doubtful",
            f"Labels with which model {audit.model} disagrees, on images "
            + ("not used for its training" if unseen else "possibly used for its training"),
            "Confident learning (Northcutt et al. 2021) assigns these images to another class than "
            "their label. The model or the label may be wrong: look at them before you drop any. "
            + ("" if unseen else seen_note)
            + "The most confident cases are shown.",
            rows,
            [f"model: {doubts.suggested[row]} {percent(doubts.confidence[row])}" for row in rows],
            flagged=flagged,
        )
        yield replace(section, key=f"doubtful-{'unseen' if unseen else 'seen'}")


def _group_section(
    audit: Audit, groups: np.ndarray, found: np.ndarray, *, count: int | None = None, **texts: Any
) -> Section:
    """Return the finding of the groups that some images belong to.

    Args:
        groups: (n,) int, the group of each image.
        found: (n,) bool, the images.
        count: the number to report; the number of groups if None.
        texts: the other attributes of the section.
    """
    numbers = np.unique(groups[found])
    return Section(
        count=len(numbers) if count is None else count,
        groups=_pictures_of_groups(audit, groups, numbers),
        total=len(numbers),
        **texts,
    )


def _flag_section(
    audit: Audit,
    key: str,
    title: str,
    meaning: str,
    rows: np.ndarray,
    notes: Sequence[str] = (),
    *,
    flagged: np.ndarray | None = None,
) -> Section:
    """Return the finding of a flag, or of some of its images, (n,) bool `flagged`.

    Args:
        rows: the images to show, with `notes` on each.
    """
    flagged = audit.flags[key] if flagged is None else flagged
    count = int(flagged.sum())
    training = int((flagged & ~np.isin(audit.splits, HELD_OUT)).sum())
    return Section(
        key=key.replace("_", "-"),
        title=title,
        count=count,
        meaning=meaning,
        advice=f"Look at them. To exclude the training images among them ({training:,}):"
        if training
        else "Look at them. All are in val or test, which are not changed.",
        lines=(f'drop_flags = ["{key}"]',) if training else (),
        groups=[
            [_shown(audit, int(row), notes[number] if notes else "")]
            for number, row in enumerate(rows)
        ],
        total=count,
    )


def _pictures_of_groups(audit: Audit, groups: np.ndarray, numbers: np.ndarray) -> list[list[Shown]]:
    """Return pictures of some of the groups, with images of val and test first."""
    chosen = numbers[_spread(len(numbers))]
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], chosen)
    ends = np.searchsorted(groups[order], chosen, "right")
    shown = []
    for start, end in zip(starts, ends, strict=True):
        rows = _most_telling_first(audit, order[start:end].tolist())
        more = len(rows) - SHOWN_OF_A_GROUP
        group = [_shown(audit, row) for row in rows[:SHOWN_OF_A_GROUP]]
        if more > 0:
            group[-1] = replace(group[-1], note=f"and {more:,} more")
        shown.append(group)
    return shown


def _most_telling_first(audit: Audit, rows: list[int]) -> list[int]:
    """Sort images of a group: one of each label in val or test, of each in train, the others."""
    seen: Counter[tuple[bool, str]] = Counter()
    keys = {}
    for row in rows:
        sample = audit.pictures[row].sample
        kind = (sample.split not in HELD_OUT, sample.emotion)
        keys[row] = (seen[kind], kind)
        seen[kind] += 1
    return sorted(rows, key=keys.__getitem__)


def _spread(count: int) -> np.ndarray:
    """Return up to SHOWN_AT_MOST positions from 0 to `count` - 1, evenly spread."""
    positions: np.ndarray = np.linspace(0, count - 1, min(count, SHOWN_AT_MOST)).astype(int)
    return positions


def _shown(audit: Audit, row: int, note: str = "") -> Shown:
    picture = audit.pictures[row]
    try:
        image = read_sample(picture.root, picture.sample)
    except ImageError:  # it was removed during the audit
        image = np.full((SHOWN_SIDE, SHOWN_SIDE, 3), 127, np.uint8)
    sample = picture.sample
    return Shown(
        reduced(image, max(image.shape[:2]) / SHOWN_SIDE),
        shown_name(audit, row),
        sample.emotion,
        sample.split or "no split",
        note,
    )
