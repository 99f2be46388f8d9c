"""FER+ (Barsoum et al. 2016): ten votes for each image of FER2013."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from reprlib import repr as brief
from typing import NoReturn

from emodetect.config import DataConfig
from emodetect.data.listing import Listing, Sample, SkippedFile
from emodetect.data.readers.fer2013_csv import labelled_rows, read_fer2013_csv, usage_split
from emodetect.data.readers.folder import has_class_folders, read_folder
from emodetect.data.readers.listing_builder import ListingBuilder
from emodetect.emotions import EMOTIONS
from emodetect.errors import DataError
from emodetect.images.folders import photos_below
from emodetect.machine.csv_files import open_table

VOTE_COLUMNS = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "sad": "sadness",
    "surprise": "surprise",
    "contempt": "contempt",
}
# Votes for something other than an emotion.
OTHER_VOTES = {"unknown": "unknown", "NF": "no face"}
VOTES_FILE = "fer2013new.csv"


def read_ferplus(config: DataConfig) -> Listing:
    """List images with FER+ votes; the label is the emotion with strictly the most votes.

    Images whose votes tie, or that have the most votes for "unknown" or "no face", are left out
    and counted. `data.path` is a folder of PNGs, matched to the votes by file name, or
    fer2013.csv, matched by row.
    """
    found = ListingBuilder(config)
    where, votes, images = _matched(config, found.left_out)
    usages: set[str | None] = set()
    for row, image in zip(votes, images.of_row, strict=True):
        if image is None:
            found.left_out[_why_no_image(row)] += 1
        elif isinstance(image, SkippedFile):
            found.skipped.append(image)
        elif isinstance(row, SkippedFile):
            found.skipped.append(row)
        else:
            usages.add(row.usage)
            if row.winner not in EMOTIONS:
                found.left_out[f"votes: {row.winner}"] += 1
            elif found.wants(row.winner):
                found.samples.append(
                    replace(image, emotion=row.winner, split=row.usage, votes=row.votes)
                )
    found.settle_public_test(usages)
    found.left_out["image without votes"] = images.without_votes
    if not found.samples:
        _refuse_all(where, images, found)
    emotion_of_column = {column: emotion for emotion, column in VOTE_COLUMNS.items()}
    return found.listing(images.root, where=where, label_names=emotion_of_column)


def _why_no_image(row: _Votes | SkippedFile) -> str:
    # FER+ has no name for an image in which all voters saw no face.
    if isinstance(row, _Votes) and not row.image_name and row.winner not in EMOTIONS:
        return f"votes: {row.winner}"
    return "votes without an image"


def _refuse_unmatched(where: str, images: _Images) -> None:
    """Raise DataError if no image has votes."""
    if any(images.of_row):
        return
    table = images.root / "fer2013.csv"
    if not images.without_votes and table.is_file():
        raise DataError(
            f"{images.root}: contains no images; name the file that does, ferplus:{table}."
        )
    if images.without_votes:
        raise DataError(
            f"{where}: none of the {images.without_votes:,} images has votes; they are matched by "
            "file name, such as fer0000000.png. If your files have other names, set data.path to "
            "fer2013.csv, which is matched by row."
        )


def _refuse_all(where: str, images: _Images, found: ListingBuilder) -> NoReturn:
    _refuse_unmatched(where, images)
    reasons = [f"{reason}: {count:,}" for reason, count in (+found.left_out).items()]
    if found.skipped:
        reasons.append(f"invalid rows: {len(found.skipped):,}, the first: {found.skipped[0]}")
    raise DataError(f"{where}: no images are left ({'; '.join(reasons) or 'there are no votes'}).")


def read_unvoted(config: DataConfig) -> Listing:
    """List the images of the `ferplus` source with the labels that they have without the votes.

    These are the labels in fer2013.csv or of class folders. PNGs outside of class folders have
    none, so their labels are the votes'.
    """
    path = config.data_path
    plain = {"votes": None, "soft_labels": False}
    if not path.is_dir():
        return read_fer2013_csv(config.model_copy(update={"source": "fer2013_csv", **plain}))
    if has_class_folders(path):
        listing = read_folder(config.model_copy(update={"source": "folder", **plain}))
        # Named from `path` on, as the votes are, however deep the class folders are nested.
        above = listing.root.relative_to(path)
        samples = (
            replace(sample, name=(name := (above / sample.name).as_posix()), file=name)
            for sample in listing.samples
        )
        return replace(listing, root=path, samples=tuple(samples))
    return read_ferplus(config)


def read_winners(config: DataConfig) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return what the voters of the `ferplus` source chose, by image name.

    The first value is the emotion, "unknown" or "no face" with strictly the most votes, or "tie";
    the second is the votes for EMOTIONS, in that order. Raises DataError if no image has votes.
    """
    where, votes, images = _matched(config, Counter())
    _refuse_unmatched(where, images)
    return {
        image.name: (row.winner, row.votes)
        for row, image in zip(votes, images.of_row, strict=True)
        if isinstance(row, _Votes) and isinstance(image, Sample)
    }


@dataclass(frozen=True, slots=True)
class _Votes:
    """A row of fer2013new.csv.

    Attributes:
        winner: what has strictly the most votes, or "tie".
        votes: those for EMOTIONS, in that order.
    """

    image_name: str
    usage: str
    winner: str
    votes: tuple[int, ...]


@dataclass(frozen=True)
class _Images:
    """The image of each row of votes, None if there is none; its label is not that of the votes."""

    root: Path
    of_row: list[Sample | SkippedFile | None]
    without_votes: int = 0


def _matched(
    config: DataConfig, left_out: Counter[str]
) -> tuple[str, list[_Votes | SkippedFile], _Images]:
    """Return where the images and votes are, in words, the rows of votes, and their images."""
    path = config.data_path
    votes_path = votes_file(config)
    votes = list(_vote_rows(votes_path))
    if path.is_dir():
        images = _images_by_name(path, votes, left_out)
    else:
        images = _images_by_row(path, votes)
    return f"{path} with {votes_path}", votes, images


def _images_by_name(
    folder: Path, votes: list[_Votes | SkippedFile], left_out: Counter[str]
) -> _Images:
    files: dict[str, str] = {}
    for file in photos_below(folder, left_out=left_out):
        relative = file.relative_to(folder).as_posix()
        if file.name in files:
            raise DataError(
                f"{folder}: two images have the same name, by which votes are matched: "
                f"{files[file.name]} and {relative}. Remove one."
            )
        files[file.name] = relative
    of_row: list[Sample | SkippedFile | None] = []
    for row in votes:
        if isinstance(row, SkippedFile):  # only its line is known
            of_row.append(row)
            continue
        name = files.pop(row.image_name, None)
        of_row.append(None if name is None else Sample(name, name, "", None))
    return _Images(folder, of_row, without_votes=len(files))


def _images_by_row(path: Path, votes: list[_Votes | SkippedFile]) -> _Images:
    rows: list[Sample | SkippedFile | None] = [*labelled_rows(path)]
    if len(rows) != len(votes):
        raise DataError(
            f"{path}: has {len(rows):,} rows, but the votes have {len(votes):,}; they are matched "
            "row by row, so both files must be complete."
        )
    for row, vote in zip(rows, votes, strict=True):
        if isinstance(row, Sample) and isinstance(vote, _Votes) and vote.usage != row.split:
            raise DataError(
                f"{row.name}: has the Usage {row.split}, but its votes have {vote.usage}; the two "
                "files do not belong together."
            )
    return _Images(path.parent, rows)


def votes_file(config: DataConfig) -> Path:
    """Return `data.votes`, or the file in or next to `data.path`. Raises DataError without one."""
    if config.votes is not None:
        return config.votes
    path = config.data_path
    if not path.exists():
        raise DataError(
            f"{path}: no such file or folder; expected FER2013 as a folder of images or a CSV file."
        )
    places = [path / VOTES_FILE, path.parent / VOTES_FILE]
    for place in places:
        if place.is_file():
            return place
    raise DataError(
        f"no {VOTES_FILE} in or next to {path}; set data.votes to the file of FER+ votes."
    )


def _vote_rows(path: Path) -> Iterator[_Votes | SkippedFile]:
    columns = ("Usage", "Image name", *VOTE_COLUMNS.values(), *OTHER_VOTES)
    with open_table(path, columns) as table:
        for values in table:
            try:
                yield _read_votes(table.named(values))
            except ValueError as error:
                yield SkippedFile(f"{path.name}:{table.line}", str(error))


def _read_votes(row: Mapping[str, str]) -> _Votes:
    counts = {emotion: _vote_count(row[column]) for emotion, column in VOTE_COLUMNS.items()}
    others = {name: _vote_count(row[column]) for column, name in OTHER_VOTES.items()}
    ranked = sorted((counts | others).items(), key=lambda item: -item[1])
    winner = ranked[0][0] if ranked[0][1] > ranked[1][1] else "tie"
    votes = tuple(counts[emotion] for emotion in EMOTIONS)
    return _Votes(row["Image name"].strip(), usage_split(row["Usage"].strip()), winner, votes)


def _vote_count(value: str) -> int:
    # Not int(), which accepts "1_0" and negative numbers.
    if not (value.strip().isascii() and value.strip().isdigit()):
        raise ValueError(f"expected whole numbers of votes, got {brief(value)}")
    return int(value)
