"""The photos of a job, from folders, patterns, lists, manifests and URLs, one name at a time."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emodetect.data.readers.manifest import path_in_list
from emodetect.errors import EmodetectError, first_line
from emodetect.machine.csv_files import open_table
from emodetect.recognition.cluster.remote_files import is_url, photos_at
from emodetect.recognition.photos.file_search import (
    LIST,
    find_photos,
    listed_names,
    names_on_stdin,
)

LIST_SUFFIXES = (".txt", ".lst")
MANIFEST_SUFFIXES = (".csv", ".tsv", ".parquet")


def is_list_file(source: Path | str) -> bool:
    """Return whether a source is a file that names photos: a list, or a manifest."""
    return (
        isinstance(source, Path)
        and source.suffix.lower() in (*LIST_SUFFIXES, *MANIFEST_SUFFIXES)
        and source.is_file()
    )


def list_photos(
    sources: tuple[Path | str, ...], *, null: bool, not_read: Counter[str], seen: Any
) -> Iterator[str]:
    """Yield the path or URL of each photo, as the user gave it, in the order of the sources.

    Args:
        sources: files, folders and patterns (see `find_photos`), list files, manifests, Path("-")
            for the list on standard input, and URLs (see `photos_at`) as text.
        null: the paths on standard input end with NUL instead of a line break.
        not_read: gets the number of other files in the folders, by kind.
        seen: a hash that is updated with what standard input lists.

    Raises:
        EmodetectError: if a source cannot be read as what it is, or lists nothing.
    """
    for source in sources:
        if source != LIST and not is_list_file(source):
            yield from _photos_of(source, not_read, patterns=True)
            continue
        empty = True
        for name in _from_stdin(null, seen) if source == LIST else _from_file(Path(source)):
            empty = False
            entry = name if is_url(name) else Path(name)
            yield from _photos_of(entry, not_read, patterns=False)
        if empty:
            raise EmodetectError(f"{source}: the list is empty; expected paths or URLs of photos.")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file. Raises EmodetectError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise EmodetectError(f"{path}: cannot be read: {error.strerror}.") from None


def hash_stdin(*, null: bool, seen: Any) -> None:
    """Read the list on standard input to its end, and update a hash as `list_photos` does."""
    for _ in _from_stdin(null, seen):
        pass


def _photos_of(source: Path | str, not_read: Counter[str], *, patterns: bool) -> Iterator[str]:
    if isinstance(source, str):
        yield from photos_at(source, not_read, patterns=patterns)
        return
    for photo in find_photos([source], not_read=not_read):
        if photo is not None:
            yield str(photo.path)


def _from_stdin(null: bool, seen: Any) -> Iterator[str]:
    for name in names_on_stdin(null=null):
        if name is not None:
            seen.update(os.fsencode(name) + b"\0")
            yield name


def _from_file(path: Path) -> Iterator[str]:
    if path.suffix.lower() in LIST_SUFFIXES:
        yield from _lines(path)
        return
    names = _parquet_paths(path) if path.suffix.lower() == ".parquet" else _csv_paths(path)
    for name in names:
        # As for training, paths are relative to the manifest.
        yield name if is_url(name) else str(path.parent / path_in_list(name, path.parent))


def _lines(path: Path) -> Iterator[str]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise EmodetectError(f"{path}: cannot be read: {error.strerror}.") from None
    with file:
        names = listed_names(file.fileno(), name=path)
        yield from (name for name in names if name is not None)


def _csv_paths(path: Path) -> Iterator[str]:
    with open_table(path, ("path",)) as table:
        column = table.columns.index("path")
        for values in table:
            if len(values) <= column or not values[column].strip():
                raise EmodetectError(f"{path}, line {table.line}: expected a path, got none.")
            yield values[column]


def _parquet_paths(path: Path) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            if "path" not in file.schema_arrow.names:
                raise EmodetectError(
                    f"{path}: expected a column path, got {', '.join(file.schema_arrow.names)}."
                )
            for batch in file.iter_batches(columns=["path"]):
                for name in batch.column(0).to_pylist():
                    if not isinstance(name, str) or not name:
                        raise EmodetectError(f"{path}: expected a path in each row, got {name!r}.")
                    yield name
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise EmodetectError(f"{path}: expected a Parquet file: {first_line(error)}.") from None
