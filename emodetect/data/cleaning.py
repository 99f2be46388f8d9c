"""The manifest that an audit writes, and the training images that it leaves out."""

from __future__ import annotations

import csv
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from functools import cache
from pathlib import Path

from emodetect.config import CleaningConfig, DataConfig
from emodetect.data.listing import Listing, Sample
from emodetect.data.readers.manifest import relative_path
from emodetect.errors import DataError
from emodetect.machine.csv_files import open_csv, require_columns

HELD_OUT = ("val", "test")
FLAG_SEPARATOR = " "


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A row of an audit's manifest.csv, all text.

    Attributes:
        source: the data set as SOURCE:PATH.
        path: the image, as its reader names it.
        hash: `crops.pixel_digest` of its pixels; empty where it cannot be read.
        label: its emotion.
        split: "train", "val", "test", or empty where the source does not say.
        duplicate_group: a number that identical and near-identical images share; else empty.
        flags: what the audit found, separated by spaces.
    """

    source: str
    path: str
    hash: str
    label: str
    split: str
    duplicate_group: str
    flags: str


COLUMNS = tuple(field.name for field in fields(AuditRow))


def written_name(name: str) -> str:
    """Return an image's name as a manifest holds it: bytes that are no Unicode are escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def write_audit_rows(path: Path, rows: Iterable[AuditRow]) -> None:
    """Write an audit's manifest, in which relative paths of sources begin at its folder."""

    @cache
    def from_here(source: str) -> str:
        kind, _, place = source.partition(":")
        if not place or Path(place).is_absolute():
            return source
        return f"{kind}:{relative_path(Path(place), path.parent).as_posix()}"

    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow(astuple(replace(row, source=from_here(row.source))))


def read_audit_rows(path: Path) -> list[AuditRow]:
    """Read an audit's manifest, whose sources then have real paths.

    Raises DataError for any other file.
    """

    @cache
    def real(source: str) -> str:
        kind, _, place = source.partition(":")
        return f"{kind}:{os.path.realpath(path.parent / place)}" if place else source

    with open_csv(path) as file:
        rows = csv.DictReader(file)
        require_columns(path, rows.fieldnames, COLUMNS)
        found = []
        for row in rows:
            if None in row or None in row.values():
                raise DataError(
                    f"{path}, line {rows.line_num}: expected {len(rows.fieldnames or ())} values, "
                    "got another number; audit the data again."
                )
            values = {name: row[name] for name in COLUMNS}
            found.append(AuditRow(**{**values, "source": real(row["source"])}))
    return found


def clean(listing: Listing, whole: Listing, config: DataConfig) -> Listing:
    """Leave out the training images that `config.cleaning` names, by `config.manifest`.

    Images are matched by name, and what is kept has the hash that its pixels must have. Images
    without a split count as training images. Images of val and test stay.

    Args:
        whole: the data set with the images that data.classes leaves out, which count as well.

    Raises DataError for a manifest that is missing, damaged, or of other data.
    """
    path, rules = config.manifest, config.cleaning
    assert path is not None  # list_samples asks
    rows = read_audit_rows(path)
    source = _source_of(path, rows, config)
    row_of = {row.path: row for row in rows if row.source == source}
    names = [written_name(sample.name) for sample in listing.samples]
    if unknown := [name for name in names if name not in row_of]:
        raise DataError(
            f"{path}: does not fit the data: {len(unknown):,} of {len(names):,} images are not in "
            f"it, the first: {unknown[0]}. They were moved or added since; audit the data again "
            "(emodetect data audit)."
        )
    others = [row for row in rows if row.source != source]
    reason_to_drop = _reasons(rules, *_held_out_and_labels(whole, row_of, others, rules))
    kept: list[Sample] = []
    left_out = Counter(listing.left_out)
    for name, sample in zip(names, listing.samples, strict=True):
        row = row_of[name]
        reason = None if sample.split in HELD_OUT else reason_to_drop(row)
        if reason is None:
            kept.append(replace(sample, digest=row.hash or None))
        else:
            left_out[reason] += 1
    if names and not kept:
        raise DataError(
            f"{path}: data.cleaning leaves none of {len(names):,} images; relax its rules, or "
            "leave data.manifest out."
        )
    return replace(listing, samples=tuple(kept), left_out=dict(left_out))


def _reasons(
    rules: CleaningConfig, held_out: set[str], labels: Mapping[str, set[str]]
) -> Callable[[AuditRow], str | None]:
    """Return what says of one training image after the other why it goes; None where it stays."""
    seen: set[str] = set()

    def reason(row: AuditRow) -> str | None:
        same = _same(row, rules)
        if flagged := set(row.flags.split(FLAG_SEPARATOR)) & set(rules.drop_flags):
            return f"flagged by the audit: {min(flagged)}"
        if rules.drop_leaks and same in held_out:
            return "training image that stands in val or test, too"
        if rules.drop_conflicts and len(labels.get(same, ())) > 1:
            return "training image that has another label elsewhere"
        if rules.keep_one_of_duplicates and same in seen:
            return "the same as another training image"
        if same:
            seen.add(same)
        return None

    return reason


def _same(row: AuditRow, rules: CleaningConfig) -> str:
    """Return what the rows of one and the same image share; empty for what is like no other."""
    return row.duplicate_group if rules.near else row.hash


def _held_out_and_labels(
    whole: Listing,
    row_of: Mapping[str, AuditRow],
    others: Iterable[AuditRow],
    rules: CleaningConfig,
) -> tuple[set[str], dict[str, set[str]]]:
    """Return which images stand in val or test, and the labels of each image.

    Of the config's own data set the images count that are there now, with the labels and splits
    that they have now; of other sources those that were audited.
    """
    held_out: set[str] = set()
    labels: defaultdict[str, set[str]] = defaultdict(set)

    def count(row: AuditRow, split: str | None, label: str) -> None:
        if same := _same(row, rules):
            labels[same].add(label)
            if split in HELD_OUT:
                held_out.add(same)

    for sample in whole.samples:
        row = row_of.get(written_name(sample.name))
        if row is not None:
            count(row, sample.split, sample.emotion)
    for row in others:
        count(row, row.split, row.label)
    return held_out, labels


def _source_of(path: Path, rows: Sequence[AuditRow], config: DataConfig) -> str:
    """Return the source of the rows that are of the config's data set; an audit may be of several.

    That of its place or, where it was moved, of its reader and name.
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
        f"{path}: is of {', '.join(sources) or 'no image'}, not of {own}; audit that (emodetect "
        "data audit)."
    )


def _reader_and_name(source: str) -> tuple[str, str]:
    kind, _, place = source.partition(":")
    return kind, Path(place).name
