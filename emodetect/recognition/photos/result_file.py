"""A results file that grows photo by photo, and that a later run can resume."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from io import FileIO
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

import numpy as np

from emodetect.errors import EmodetectError
from emodetect.machine.csv_files import csv_line, printable
from emodetect.machine.locks import locked
from emodetect.machine.output_folder import how_to_write_on
from emodetect.machine.terminal_text import on_one_line
from emodetect.recognition.face_rows import image_columns

RECORD_KEYS = ["path", "width", "height", "faces", "error"]
MOST_LATEST = 8
Held = TypeVar("Held")


@dataclass(frozen=True)
class HeldPhoto:
    """A photo in a results file, with the emotion and the scores of each of its faces."""

    path: str
    faces: list[tuple[str, list[float]]]


class _Latest(Generic[Held]):
    """Photos that were read without an error: the last few, and the last one with a face."""

    def __init__(self) -> None:
        self.few = deque[Held](maxlen=MOST_LATEST)
        self.with_face: Held | None = None

    def add(self, photo: Held, *, has_face: bool) -> None:
        self.few.append(photo)
        if has_face:
            self.with_face = photo

    def all(self) -> list[Held]:
        one = self.with_face
        others = list(self.few)
        return others if one is None or any(one is other for other in others) else [one, *others]


class HeldPaths:
    """The photos in a results file, as a 64-bit hash and a count each, 12 bytes per photo.

    With ten million photos in the file and ten million new ones, the probability that a new one
    is mistaken for an old one is 1 in 100,000.

    Attributes:
        latest: the last photos that could be read, at least one of them with a face if any is.
        last: the last photo of a CSV, which is not held, because rows of it may be missing, and the
            offsets of its rows and after them; None if there is none.
    """

    def __init__(self) -> None:
        self.latest: list[HeldPhoto] = []
        self.last: tuple[str, int, int] | None = None
        self.hashes = array("Q")
        self.used = array("I")

    def __len__(self) -> int:
        return len(self.hashes)

    def add(self, path: str) -> None:
        """Add a photo; must not be called after `finish`."""
        self.hashes.append(self._hash(path))

    def finish(self) -> None:
        """Prepare the added photos for `take`."""
        if self.hashes:
            np.frombuffer(self.hashes, np.uint64).sort()  # in place
        self.used = array("I", bytes(self.used.itemsize * len(self.hashes)))

    def take(self, path: str) -> bool:
        """Return whether the file contains the photo more often than it was taken before.

        So if a photo is listed twice but is in the file once, its second result is still written.
        """
        key = self._hash(path)
        first = bisect_left(self.hashes, key)
        if first == len(self.hashes):
            return False
        place = first + self.used[first]
        if place == len(self.hashes) or self.hashes[place] != key:
            return False
        self.used[first] += 1
        return True

    def _hash(self, path: str) -> int:
        # As in the file, which cannot hold a path that is not Unicode.
        digest = blake2b(printable(path).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little")


class PhotoRows:
    """A results file that is open for appending.

    Attributes:
        held: photos that an earlier run wrote to it.
        has_header: whether it already has the CSV header.
    """

    def __init__(self, file: FileIO, held: HeldPaths, *, has_header: bool) -> None:
        self.file = file
        self.held = held
        self.has_header = has_header

    def write(self, text: str) -> None:
        """Write the complete text of a photo, as a writer yields it, unbuffered.

        The rows of the last photo that an earlier run wrote are replaced, in case some are missing.
        """
        rows = text.encode() + b"\n"
        last = self.held.last
        if last is not None and next(csv.reader(io.StringIO(text, newline="")))[0] == last[0]:
            self.held.last = None
            _, start, end = last
            with Path(self.file.name).open("rb") as file:
                file.seek(start)
                if file.read(end - start) == rows:
                    return
                rows = file.read() + rows
            self.file.truncate(start)
        self._append(rows)

    def _append(self, rest: bytes) -> None:
        try:
            while rest:
                rest = rest[self.file.write(rest) :]
        except OSError as error:
            raise EmodetectError(
                f"{self.file.name}: cannot be written: {error.strerror}; "
                f"{how_to_write_on(error)} and continue with --resume."
            ) from None


@contextmanager
def open_photo_rows(
    path: Path,
    form: str,
    emotions: tuple[str, ...],
    *,
    resume: bool,
    force: bool,
    check: Callable[[list[HeldPhoto]], None] = lambda latest: None,
) -> Iterator[PhotoRows]:
    """Open and lock a results file.

    Args:
        form: "jsonl" or "csv".
        emotions: emotions of the model.
        resume: keep the rows in the file, except an incomplete last one. The last photo of a CSV
            is analysed again if it is among the photos, because rows for more of its faces may be
            missing.
        force: overwrite the file.
        check: gets the last photos that are kept, see `HeldPaths`, before the file is changed.

    Raises:
        EmodetectError: if the file exists without `resume` or `force`, if another run is writing
            to it, or if it cannot be resumed because its content does not fit.
    """
    if path.is_file() and not resume and not force:
        raise EmodetectError(
            f"{path}: already exists; add --resume to continue it, --force to overwrite it, or "
            "choose another file."
        )
    held = HeldPaths()
    # Appending creates the file and leaves what it holds until that is checked. Without a buffer,
    # since nothing may be left to write where the disk is full.
    with path.open("ab", buffering=0) as file, locked(path, wait=False) as lock:
        if lock == "taken":
            raise EmodetectError(f"{path}: another run is writing to it; choose another file.")
        end = 0
        if resume and path.is_file():
            end = _read_held(path, form, emotions, held)
            check(held.latest)
        if path.is_file():
            file.truncate(end)
        held.finish()
        yield PhotoRows(file, held, has_header=form == "csv" and end > 0)
        if not _is_kept(file, path):
            raise EmodetectError(
                f"{path}: was moved or removed during the run, and the results with it."
            )


def _is_kept(file: IO[bytes], path: Path) -> bool:
    """Return whether a file is still at its path; a pipe need not be."""
    status = os.fstat(file.fileno())
    try:
        return not stat.S_ISREG(status.st_mode) or os.path.samestat(status, path.stat())
    except OSError:
        return False


def _read_held(path: Path, form: str, emotions: tuple[str, ...], held: HeldPaths) -> int:
    """Add the photos that are complete in a file; return the offset after its last complete row."""
    beginning = (
        csv_line(image_columns(emotions)) + "\n" if form == "csv" else '{"path": '
    ).encode()
    with path.open("rb") as file:
        found = file.read(len(beginning))
        if len(found) < len(beginning) and beginning.startswith(found):
            return 0  # empty, or cut off at once
        if found != beginning:
            raise EmodetectError(
                f"{path}: cannot be resumed: expected {form} output of predict with this model "
                f"({', '.join(emotions)}), got something else; use the model that it was created "
                "with, or another file."
            )
        if form == "csv":
            return _read_csv(path, file, emotions, held)
        file.seek(0)
        return _read_jsonl(path, file, emotions, held)


def _read_jsonl(path: Path, file: IO[bytes], emotions: tuple[str, ...], held: HeldPaths) -> int:
    end = 0
    latest = _Latest[dict[str, Any]]()
    for number, line in enumerate(file, start=1):
        if not line.endswith(b"\n"):
            break
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not _is_record(record):
            raise _unfit(path, f"line {number} is not from predict")
        for face in record["faces"]:
            if tuple(face["scores"]) != emotions:
                raise _unfit(path, f"line {number} is from a model with other emotions")
        held.add(record["path"])
        end += len(line)
        if record["error"] is None:
            latest.add(record, has_face=bool(record["faces"]))
    for record in latest.all():
        faces = [(face.get("emotion"), face["scores"].values()) for face in record["faces"]]
        held.latest.append(_held_photo(path, record["path"], faces))
    return end


def _is_record(record: Any) -> bool:
    return (
        isinstance(record, dict)
        and list(record) == RECORD_KEYS
        and isinstance(record["path"], str)
        and isinstance(record["faces"], list)
        and all(
            isinstance(face, dict) and isinstance(face.get("scores"), dict)
            for face in record["faces"]
        )
    )


def _read_csv(path: Path, file: IO[bytes], emotions: tuple[str, ...], held: HeldPaths) -> int:
    names = image_columns(emotions)
    emotion = names.index("emotion")
    scores = slice(-1 - len(emotions), -1)  # by place: a label may have the name of a column
    begin = end = file.tell()  # of the rows of the last photo
    rows: list[list[str]] = []  # of the photo that is being read
    latest = _Latest[list[list[str]]]()
    for start, line in _csv_records(file):
        try:
            (row,) = csv.reader([line.decode()], strict=True)
        except (ValueError, csv.Error):
            row = []
        if len(row) != len(names):
            raise _unfit(path, f"the row at byte {start:,} is not from predict")
        # A photo has each box once; if a box repeats, the photo was listed twice.
        if not rows or row[0] != rows[0][0] or row == rows[0]:
            if rows:
                held.add(rows[0][0])
                if not rows[0][-1]:  # the error
                    latest.add(rows, has_face=bool(rows[0][emotion]))
            rows, begin = [], start
        rows.append(row)
        end = start + len(line) + 1
        held.last = rows[0][0], begin, end
    for rows in latest.all():
        faces = [(row[emotion], row[scores]) for row in rows if row[emotion]]
        held.latest.append(_held_photo(path, rows[0][0], faces))
    return end


def _held_photo(path: Path, photo: str, faces: Iterable[tuple[Any, Iterable[Any]]]) -> HeldPhoto:
    try:
        return HeldPhoto(
            photo, [(str(emotion), list(map(float, scores))) for emotion, scores in faces]
        )
    except (TypeError, ValueError):
        raise _unfit(path, f"the scores of {on_one_line(photo)} are not numbers") from None


def _csv_records(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the offset and text of each remaining complete row; paths can contain line breaks."""
    start = file.tell()
    record = b""
    for line in file:
        record += line
        if record.count(b'"') % 2 == 0 and line.endswith(b"\n"):
            yield start, record.removesuffix(b"\n")
            start += len(record)
            record = b""


def _unfit(path: Path, why: str) -> EmodetectError:
    return EmodetectError(
        f"{path}: cannot be resumed: {why}; use the model that it was created with, or another "
        "file."
    )
