"""What a reader finds in a data set: the labelled images, and those it left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

from emodetect.emotions import EMOTIONS
from emodetect.faces.boxes import Box
from emodetect.machine.terminal_text import on_one_line

# How many unusable images are named; the rest are only counted.
NAMED_AT_MOST = 10
# How pandas and databases write that a value is missing. Not R's NA, a person of JAFFE.
_MISSING = frozenset({"NaN", "nan", "<NA>", "N/A", "n/a", "None", "NULL", "null"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image. A data set may have a million of these, so they are kept small.

    Attributes:
        name: its name in the source, such as "train/happy/1.png" or "fer2013.csv:17".
        file: the file that contains it, relative to the listing's root or absolute.
        emotion: its canonical label.
        split: "train", "val" or "test"; None if the source gives none.
        offset: where its row begins in a file of many images, in bytes.
        groups: its values of the listing's groups; images with the same value stay in one split.
        traits: its values of the columns that results are broken down by.
        votes: how many people chose each emotion of the listing's `voted`, or other weights; None
            for a plain label.
        box: its face, if the source gives one; None for the whole image.
        digest: the `crops.pixel_digest` that its pixels must have; None if it is not known.
    """

    name: str
    file: str
    emotion: str
    split: str | None
    offset: int | None = None
    groups: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()
    votes: tuple[float, ...] | None = None
    box: Box | None = None
    digest: str | None = None


def known_group(value: str) -> str:
    """Return a value of a group's column; "" if it says that the group is not known, as NaN.

    The é of a Mac is two characters, that of others one; both are the same person's.
    """
    return "" if value in _MISSING else normalize("NFC", value)


@dataclass(frozen=True)
class SkippedFile:
    """An image that could not be used, and why."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def skipped_lines(files: Sequence[SkippedFile]) -> list[str]:
    """Return lines that name the first skipped files and count the rest."""
    lines = [f"skipped {on_one_line(str(file))}" for file in files[:NAMED_AT_MOST]]
    if (more := len(files) - NAMED_AT_MOST) > 0:
        lines.append(f"skipped {more:,} more")
    return lines


@dataclass(frozen=True)
class Listing:
    """What a reader found.

    Attributes:
        root: the folder that the samples' files are relative to.
        emotions: the label order.
        left_out: how many images were left out on purpose, by reason.
        skipped: invalid images, such as a row with 2,303 pixels.
        groups: what the samples' groups are, such as "person".
        label_names: the emotion of each of the source's own labels.
        notes: what the reader took for what, a line each, to be logged.
        voted: what the samples' votes are for, in their order.
    """

    root: Path
    samples: tuple[Sample, ...]
    emotions: tuple[str, ...]
    left_out: dict[str, int] = field(default_factory=dict)
    skipped: tuple[SkippedFile, ...] = ()
    groups: tuple[str, ...] = ()
    label_names: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    voted: tuple[str, ...] = EMOTIONS
