"""The files of an audit: a page with pictures, a manifest of every image, all figures as JSON."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from emodetect.audit.audit import Audit
from emodetect.audit.findings import (
    across_sources,
    conflicts,
    leaks,
    manifest_rows,
    repeated,
    shown_name,
    summary,
)
from emodetect.data.cleaning import HELD_OUT, write_audit_rows
from emodetect.data.crops import read_sample
from emodetect.emotions import COLORS, EMOTIONS
from emodetect.errors import EmodetectError, ImageError
from emodetect.images.resizing import reduced
from emodetect.machine.atomic_files import atomic_write, write_text
from emodetect.machine.output_folder import check_output_folder, make_output_folder
from emodetect.reports.html import write_page

PAGE, MANIFEST, FIGURES = "audit.html", "manifest.csv", "audit.json"

SHOWN_AT_MOST = 24  # images or groups in a section
SHOWN_OF_A_GROUP = 4
SHOWN_SIDE = 96  # pixels
NAMED_AT_MOST = 50


@dataclass(frozen=True)
class Shown:
    """A picture of the page: (height, width, 3) uint8 BGR, and what stands below it."""

    image: np.ndarray
    name: str
    label: str
    split: str
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A finding of the page.

    Attributes:
        count: of images, or of groups where the title says so.
        serious: whether it makes figures wrong.
        groups: of pictures that belong together; single ones for most findings.
        total: how many groups there are; those beyond SHOWN_AT_MOST are not shown.
        advice: what to do, in words.
        lines: what to write into a config.
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


def check_audit_folder(out: Path, sources: Sequence[str], *, force: bool) -> None:
    """Raise EmodetectError for a folder that holds files; with `force`, other than an audit's.

    A manifest.csv that somebody made would be lost. Also for one inside a source, which would be
    taken for one of its folders.
    """
    for source in sources:
        place = source.partition(":")[2]
        if place and Path(os.path.realpath(out)).is_relative_to(os.path.realpath(place)):
            raise EmodetectError(
                f"{out}: lies in {source}, which is audited; name another folder with --out."
            )
    check_output_folder(out, force=force)
    if (out / MANIFEST).exists() and not (out / FIGURES).is_file():
        raise EmodetectError(
            f"{out}: holds a {MANIFEST} that no audit made ({FIGURES} is missing), which --force "
            "does not replace; name another folder."
        )


def write_audit(audit: Audit, out: Path, *, force: bool = False) -> dict[str, Any]:
    """Write audit.html, manifest.csv and audit.json to a folder; the figures are returned, too.

    Each file is there complete or not at all; audit.json comes last.

    Raises EmodetectError as `check_audit_folder`.
    """
    check_audit_folder(out, audit.sources, force=force)
    make_output_folder(out)
    try:
        for name in (FIGURES, MANIFEST, PAGE):
            (out / name).unlink(missing_ok=True)
        figures = summary(audit)
        with atomic_write(out / MANIFEST) as partial:
            write_audit_rows(partial, manifest_rows(audit))
        write_page(
            "audit.html",
            out / PAGE,
            title=f"Audit of {', '.join(audit.sources)}",
            audit=audit,
            figures=figures,
            sections=list(_sections(audit)),
            most=SHOWN_AT_MOST,
            unreadable=list(figures["unreadable"]["first"].items())[:NAMED_AT_MOST],
            config_lines=_config_lines(audit, out),
            colors={name: "#" + bytes(color).hex() for name, color in COLORS.items()},
        )
        write_text(out / FIGURES, json.dumps(figures, indent=1) + "\n")
    except OSError as error:
        raise EmodetectError(f"{out}: cannot be written: {error.strerror}.") from None
    return figures


def _config_lines(audit: Audit, out: Path) -> list[str]:
    first = audit.configs[0].model_dump(mode="json", exclude_unset=True)
    return [
        *tomli_w.dumps({"data": {**first, "manifest": (out / MANIFEST).as_posix()}}).splitlines(),
        "",
        "[data.cleaning]",
        "drop_leaks = true",
        "drop_conflicts = true",
        "keep_one_of_duplicates = true",
        "# false: pixel-identical images only",
        "near = true",
        '# such as ["blank", "no_face"]',
        "drop_flags = []",
    ]


def _sections(audit: Audit) -> Iterator[Section]:
    """Yield what was found, the worst first; what was not found is not there."""
    for section in (*_leak_sections(audit), *_same_sections(audit), *_flag_sections(audit)):
        if section.count:
            yield section


def _leak_sections(audit: Audit) -> Iterator[Section]:
    same, near = audit.duplicates.identical, audit.duplicates.near
    for of, into in (("test", "train"), ("test", "val"), ("val", "train")):
        exact = leaks(audit, same, of, into)
        nearly = leaks(audit, near, of, into) & ~exact
        for found, groups, how in ((exact, same, "pixel for pixel"), (nearly, near, "nearly")):
            numbers = np.unique(groups[found])
            yield Section(
                f"{'near-' if how == 'nearly' else ''}{of}-in-{into}",
                f"Images of {of} that stand in {into}, {how}",
                int(found.sum()),
                f"A model can learn these by heart: its figures on {of} come out too good."
                + (
                    ""
                    if how != "nearly"
                    else " The same picture was cut, lit, compressed or mirrored otherwise."
                ),
                f"drop_leaks leaves their copies out of the training images; {of} stays as it is."
                if into == "train"
                else "Neither split is cleaned; choose models by other images if this is much.",
                ("drop_leaks = true",) if into == "train" else (),
                _groups(audit, groups, numbers),
                len(numbers),
                serious=True,
            )


def _same_sections(audit: Audit) -> Iterator[Section]:
    same, near = audit.duplicates.identical, audit.duplicates.near
    conflicting = conflicts(audit, same)
    numbers = np.unique(same[conflicting])
    yield Section(
        "conflicts",
        "Groups of identical images with different labels",
        len(numbers),
        f"{int(conflicting.sum()):,} images. At most one label of each group can be right, and "
        "the others teach the opposite.",
        "drop_conflicts leaves them out of the training images.",
        ("drop_conflicts = true",),
        _groups(audit, same, numbers),
        len(numbers),
        serious=True,
    )
    near_conflicting = conflicts(audit, near) & ~conflicting
    numbers = np.setdiff1d(np.unique(near[near_conflicting]), np.unique(near[conflicting]))
    yield Section(
        "near-conflicts",
        "Groups of near-identical images with different labels",
        len(numbers),
        "The same picture, cut, lit or compressed otherwise, and labelled otherwise.",
        "drop_conflicts leaves them out as well, unless near = false.",
        ("drop_conflicts = true",),
        _groups(audit, near, numbers),
        len(numbers),
    )
    across = across_sources(audit, near)
    numbers = np.unique(near[across])
    yield Section(
        "across",
        "Images that stand in more than one source",
        int(across.sum()),
        f"{int(across_sources(audit, same).sum()):,} of them pixel for pixel. Figures on one "
        "source tell little about a model that was trained on the other.",
        "drop_leaks leaves out training images that are in val or test of any source here.",
        ("drop_leaks = true",),
        _groups(audit, near, numbers),
        len(numbers),
    )
    doubled = repeated(near)
    numbers = np.unique(near[doubled])
    yield Section(
        "duplicates",
        "Groups of the same picture",
        len(numbers),
        f"{int(doubled.sum()):,} images, {int(repeated(same).sum()):,} of them in "
        f"{len(np.unique(same[repeated(same)])):,} groups that are pixel for pixel the same; in "
        "any split. They count several times in training.",
        "keep_one_of_duplicates keeps the first of each group among the training images.",
        ("keep_one_of_duplicates = true",),
        _groups(audit, near, numbers),
        len(numbers),
    )


def _flag_sections(audit: Audit) -> Iterator[Section]:
    weak = audit.search is not None and audit.search.weak
    texts = {
        "votes_no_face": (
            "Images that the voters call no face",
            'More of the FER+ voters chose "no face" than any emotion.',
        ),
        "no_face": (
            "Images in which no face is found" + (" (a weak check)" if weak else ""),
            "Haar's cascade misses every sixth bare face crop, also with padding: most of these "
            "have a face. For a check worth acting on: emodetect models fetch yunet."
            if weak
            else "YuNet finds no face, not even with little certainty: drawings, hands before the "
            "face, strong profiles, or no face at all.",
        ),
        "blank": ("Blank images", "Nothing can be seen: contrast below 6 of 255 grey levels."),
        "tiny": ("Tiny images", "The shorter side is below 24 pixels."),
        "dark": ("Underexposed images", "Mean brightness below 30 of 255 grey levels."),
        "bright": ("Overexposed images", "Mean brightness above 220 of 255 grey levels."),
        "blurred": (
            "Blurred images",
            "At 48 pixels the variance of the Laplacian is below 0.125 of the image's own.",
        ),
    }
    for key, (title, meaning) in texts.items():
        rows = np.flatnonzero(audit.flags[key])
        yield _flag_section(audit, key, title, meaning, rows[_spread(len(rows))])
    against = np.flatnonzero(audit.flags["votes_contradict"])
    if len(against):
        own = [EMOTIONS.index(audit.pictures[row].sample.emotion) for row in against]
        lead = audit.votes[against].max(axis=1) - audit.votes[against, own]
        ordered = against[np.argsort(-lead, kind="stable")]
        # Of thousands that are equally clear not just those of the first emotion.
        equal = int((lead == lead.max()).sum())
        shown = ordered[_spread(max(equal, min(len(ordered), SHOWN_AT_MOST)))]
        yield _flag_section(
            audit,
            "votes_contradict",
            "Labels that the voters contradict",
            "Most of the FER+ voters chose another emotion. Shown: the clearest.",
            shown,
            [f"voted {audit.winners[row]}" for row in shown],
        )
    if audit.doubts is not None:
        yield from _doubt_sections(audit)


def _doubt_sections(audit: Audit) -> Iterator[Section]:
    doubts = audit.doubts
    assert doubts is not None  # who calls asks
    for unseen in (True, False):
        flagged = audit.flags["label_doubtful"] & (doubts.unseen == unseen)
        rows = np.flatnonzero(flagged)
        rows = rows[np.argsort(-doubts.confidence[rows], kind="stable")][:SHOWN_AT_MOST]
        section = _flag_section(
            audit,
            "label_doubtful",
            f"Labels that the model {audit.model} doubts, "
            + ("on images that count as unseen by it" if unseen else "which it may have learnt"),
            "Confident learning (Northcutt et al. 2021) counts an image to another class than its "
            "label. Model or label may be wrong: look before you drop. "
            + (
                ""
                if unseen
                else "Only a test split counts as unseen (or all, with --unseen): a "
                "model agrees with labels that it was taught, right or wrong, so that these are "
                "too few, and not out-of-fold. "
            )
            + "Shown: those it is surest of.",
            rows,
            [f"model: {doubts.suggested[row]} {doubts.confidence[row]:.0%}" for row in rows],
            flagged=flagged,
        )
        yield replace(section, key=f"doubtful-{'unseen' if unseen else 'seen'}")


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
    """Return the finding of a flag, or of some of the images that have it, (n,) bool `flagged`.

    Args:
        rows: those that are shown, with `notes` of each.
    """
    flagged = audit.flags[key] if flagged is None else flagged
    count = int(flagged.sum())
    trained_on = int((flagged & ~np.isin(audit.splits, HELD_OUT)).sum())
    shown = [
        _shown(audit, int(row), notes[number] if notes else "") for number, row in enumerate(rows)
    ]
    return Section(
        key.replace("_", "-"),
        title,
        count,
        meaning,
        f"Look at them; to leave out the {trained_on:,} of them that are training images:"
        if trained_on
        else "Look at them. All are of val or test, which stay as they are.",
        (f'drop_flags = ["{key}"]',) if trained_on else (),
        [[one] for one in shown],
        count,
    )


def _groups(audit: Audit, groups: np.ndarray, numbers: np.ndarray) -> list[list[Shown]]:
    """Return pictures of some of the groups, images of val and test first."""
    chosen = numbers[_spread(len(numbers))]
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], chosen)
    ends = np.searchsorted(groups[order], chosen, "right")
    shown = []
    for start, end in zip(starts, ends, strict=True):
        rows = _telling_first(audit, order[start:end].tolist())
        left = len(rows) - SHOWN_OF_A_GROUP
        group = [_shown(audit, row) for row in rows[:SHOWN_OF_A_GROUP]]
        if left > 0:
            last = group[-1]
            group[-1] = replace(last, note=f"and {left:,} more")
        shown.append(group)
    return shown


def _telling_first(audit: Audit, rows: list[int]) -> list[int]:
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
    """Return positions of up to SHOWN_AT_MOST of `count` things, from first to last."""
    positions: np.ndarray = np.linspace(0, count - 1, min(count, SHOWN_AT_MOST)).astype(int)
    return positions


def _shown(audit: Audit, row: int, note: str = "") -> Shown:
    picture = audit.pictures[row]
    try:
        image = read_sample(picture.root, picture.sample)
    except ImageError:  # it went away meanwhile
        image = np.full((SHOWN_SIDE, SHOWN_SIDE, 3), 127, np.uint8)
    sample = picture.sample
    return Shown(
        reduced(image, max(image.shape[:2]) / SHOWN_SIDE),
        shown_name(audit, row),
        sample.emotion,
        sample.split or "no split",
        note,
    )
