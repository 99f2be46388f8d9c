"""The manifest that an audit writes, and how it excludes training images."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from functools import cache
from pathlib import Path
from unicodedata import normalize

from emodetect.config import CleaningConfig, DataConfig
from emodetect.data.listing import Listing, Sample
from emodetect.data.readers.manifest import relative_path
from emodetect.errors import DataError
from emodetect.machine.csv_files import csv_line, open_table, printable
from emodetect.number_format import quantity

HELD_OUT = ("val", "test")
FLAG_SEPARATOR = " "
# What an audit finds a flag with.
NEEDS = {
    "no_face": "; it needs a detector",
    "votes_no_face": "; it needs FER+ votes",
    "votes_contradict": "; it needs FER+ votes",
    "label_doubtful": "; it needs `data audit --model`",
}


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A row of an audit's manifest.csv, all text.

    Attributes:
        source: the data set as SOURCE:PATH.
        path: the image's name in its source.
        hash: `crops.pixel_digest` of its pixels; empty if it cannot be read.
        label: its emotion.
        split: "train", "val", "test", or empty if the source gives none.
        duplicate_group: a number that identical and near-identical images share; else empty.
        flags: the findings, separated by spaces.
    """

    source: str
    path: str
    hash: str
    label: str
    split: str
    duplicate_group: str
    flags: str


COLUMNS = tuple(field.name for field in fields(AuditRow))


def write_audit_rows(path: Path, rows: Iterable[AuditRow]) -> None:
    """Write an audit's manifest; relative paths of sources become relative to its folder."""

    @cache
    def from_here(source: str) -> str:
        kind, _, place = source.partition(":")
        if not place or Path(place).is_absolute():
            return source
        return f"{kind}:{relative_path(Path(place), path.parent).as_posix()}"

    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        file.write(csv_line(COLUMNS) + "\n")
        for row in rows:
            row = replace(row, source=from_here(row.source))
            file.write(csv_line(astuple(row)) + "\n")


def read_audit_rows(path: Path) -> list[AuditRow]:
    """Read an audit's manifest; paths of sources become real paths.

    Raises DataError for any other file.
    """

    @cache
    def real(source: str) -> str:
        kind, _, place = source.partition(":")
        return f"{kind}:{os.path.realpath(path.parent / place)}" if place else source

    found = []
    with open_table(path, COLUMNS) as table:
        for values in table:
            try:
                row = table.named(values)
                source = real(row["source"])
            except ValueError as error:  # real: a NUL
                raise DataError(
                    f"{path}, line {table.line}: {error}; audit the data again."
                ) from None
            of_columns = {name: row[name] for name in COLUMNS}
            found.append(AuditRow(**{**of_columns, "source": source}))
    return found


def clean(listing: Listing, whole: Listing, config: DataConfig) -> Listing:
    """Exclude training images by the rules of `config.cleaning` and the flags in `config.manifest`.

    Images are matched by name, in which a copy may have changed é from one character to two or
    back; those that are kept get the hash that their pixels must have.
    Images without a split count as training images. Val and test images are always kept.

    Args:
        whole: the data set including the images that data.classes excludes: they count as copies.

    Raises DataError for a manifest that is missing, damaged, or of other data.
    """
    path, rules = config.manifest, config.cleaning
    assert path is not None  # checked by list_samples
    rows = read_audit_rows(path)
    source = _source_of(path, rows, config)
    own = {row.path: row for row in rows if row.source == source}
    row_of = {normalize("NFC", path): row for path, row in own.items()} | own
    names = [_name_in(row_of, sample) for sample in listing.samples]
    if unknown := [name for name in names if name not in row_of]:
        raise DataError(
            f"{path}: does not match the data: {len(unknown):,} of {len(names):,} images are not "
            f"in it, the first: {unknown[0]}. They were moved or added later, or their rows were "
            "deleted; audit the data again (emodetect data audit)."
        )
    others = [row for row in rows if row.source != source]
    reason_to_drop = _reasons(rules, *_held_out_and_labels(whole, row_of, others, rules))
    kept: list[Sample] = []
    left_out = Counter(listing.left_out)
    for name, sample in zip(names, listing.samples, strict=True):
        row = row_of[name]
        reason = None if sample.split in HELD_OUT else reason_to_drop(row)
        if reason is None:
            # Without a hash, the image could not be read, and no pixels match.
            kept.append(replace(sample, digest=row.hash))
        else:
            left_out[reason] += 1
    if names and not kept:
        raise DataError(
            f"{path}: data.cleaning excludes all {len(names):,} images; relax its rules or remove "
            "data.manifest."
        )
    notes = [
        f"{path}: no image has the flag {flag} of data.cleaning.drop_flags{NEEDS.get(flag, '')}"
        for flag in rules.drop_flags
        if not any(flag in row.flags.split(FLAG_SEPARATOR) for row in rows)
    ]
    given = {sample.split for sample in listing.samples} - ({"val"} if config.fold else set())
    drawn = [split for split in HELD_OUT if split not in given]
    if drawn and (doubtful := left_out[_flagged("label_doubtful")]):
        notes.append(
            f"{path}: {quantity(doubtful, 'image')} whose label the audit's model doubts left out "
            f"before {' and '.join(drawn)} {'is' if len(drawn) == 1 else 'are'} drawn, so what is "
            "drawn is easier than new images, and figures on it are too good; draw the splits "
            "first (emodetect data split, or data convert), and audit those"
        )
    edited = sum(
        (row_of[name].label, row_of[name].split) != (sample.emotion, sample.split or "")
        for name, sample in zip(names, listing.samples, strict=True)
    )
    if edited and config.source != "ferplus":  # whose audit has FER2013's labels, not the votes'
        notes.append(
            f"{path}: {quantity(edited, 'row')} with another label or split than the data; those "
            "of the data are used"
        )
    return replace(
        listing,
        samples=tuple(kept),
        left_out=dict(left_out),
        notes=(*listing.notes, *notes),
    )


def _reasons(
    rules: CleaningConfig, held_out: set[str], labels: Mapping[str, set[str]]
) -> Callable[[AuditRow], str | None]:
    """Return a function that says why a training image is excluded; None if it is kept.

    Call it once for each image, in order: the first of several duplicates is kept.
    """
    seen: set[str] = set()

    def reason(row: AuditRow) -> str | None:
        same = _same(row, rules)
        if flagged := set(row.flags.split(FLAG_SEPARATOR)) & set(rules.drop_flags):
            return _flagged(min(flagged))
        if rules.drop_leaks and same in held_out:
            return "training image that also appears in val or test"
        if rules.drop_conflicts and len(labels.get(same, ())) > 1:
            return "training image with a different label elsewhere"
        if rules.keep_one_of_duplicates and same in seen:
            return "duplicate of another training image"
        if same:
            seen.add(same)
        return None

    return reason


def _flagged(flag: str) -> str:
    return f"flagged by the audit: {flag}"


def _name_in(row_of: Mapping[str, AuditRow], sample: Sample) -> str:
    name = printable(sample.name)
    return name if name in row_of else normalize("NFC", name)


def _same(row: AuditRow, rules: CleaningConfig) -> str:
    """Return a key that copies of an image share; empty if there are no copies."""
    return row.duplicate_group if rules.near else row.hash


def _held_out_and_labels(
    whole: Listing,
    row_of: Mapping[str, AuditRow],
    others: Iterable[AuditRow],
    rules: CleaningConfig,
) -> tuple[set[str], dict[str, set[str]]]:
    """Return the images that appear in val or test, and the labels of each image.

    For the config's own data set, the images that exist now count, with their current labels and
    splits; for other sources, the audited ones.
    """
    held_out: set[str] = set()
    labels: defaultdict[str, set[str]] = defaultdict(set)

    def count(row: AuditRow, split: str | None, label: str) -> None:
        if same := _same(row, rules):
            labels[same].add(label)
            if split in HELD_OUT:
                held_out.add(same)

    for sample in whole.samples:
        row = row_of.get(_name_in(row_of, sample))
        if row is not None:
            count(row, sample.split, sample.emotion)
    for row in others:
        count(row, row.split, row.label)
    return held_out, labels


def _source_of(path: Path, rows: Sequence[AuditRow], config: DataConfig) -> str:
    """Return the source that is the config's data set; an audit may cover several.

    It is found by its path or, if the data was moved, by its reader and name.
    """
    sources = list(dict.fromkeys(row.source for row in rows))
    if len(sources) == 1:
        return sources[0]
    place = os.path.realpath(config.path) if config.path else ""
    own = f"{config.source}:{place}"
    at_place = [source for source in sources if source.partition(":")[2] == place]
    by_name = [source for source in sources if _reader_and_name(source) == _reader_and_name(own)]
    for found in ([own] if own in sources else [], at_place, by_name):
        if len(found) == 1:
            return found[0]
    raise DataError(
        f"{path}: is an audit of {', '.join(sources) or 'no images'}, not of {own}; audit that "
        "(emodetect data audit)."
    )


def _reader_and_name(source: str) -> tuple[str, str]:
    kind, _, place = source.partition(":")
    return kind, Path(place).name
