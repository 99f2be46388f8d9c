"""A file of results that grows photo by photo, and that a later run can go on with."""

from __future__ import annotations

import csv
import json
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from io import FileIO
from pathlib import Path
from typing import IO, Any

import numpy as np

from emodetect.errors import EmodetectError
from emodetect.machine.csv_files import csv_line, printable
from emodetect.machine.locks import locked
from emodetect.recognition.photos.output_formats import csv_columns

RECORD_KEYS = ["path", "width", "height", "faces", "error"]


class HeldPaths:
    """The photos whose rows a file holds: a 64-bit hash and a count for each, 12 bytes.

    With ten million in the file and ten million new ones, the chance that any of these is taken
    for one of those is 1 in 100,000.
    """

    def __init__(self, form: str) -> None:
        self.form = form
        self.hashes = array("Q")
        self.used = array("I")

    def __len__(self) -> int:
        return len(self.hashes)

    def add(self, path: str) -> None:
        """Add a photo; not after `finish`."""
        self.hashes.append(self._hash(path))

    def finish(self) -> None:
        """Make the added photos ready for `take`."""
        if self.hashes:
            np.frombuffer(self.hashes, np.uint64).sort()  # in place
        self.used = array("I", bytes(self.used.itemsize * len(self.hashes)))

    def take(self, path: str) -> bool:
        """Tell whether the file holds the photo, and more often than it was taken before.

        So of a photo that is listed twice and has one row, the other one is made.
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
        # As the file has it: CSV cannot hold a path that is no Unicode.
        written = printable(path) if self.form == "csv" else path
        digest = blake2b(written.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "little")


class PhotoRows:
    """A file of results that is open for more.

    Attributes:
        held: the photos whose rows an earlier run left in it.
        has_header: whether the CSV's header is there.
    """

    def __init__(self, file: FileIO, held: HeldPaths, *, has_header: bool) -> None:
        self.file = file
        self.held = held
        self.has_header = has_header

    def write(self, text: str) -> None:
        """Write the text of a photo, as a writer yields it, whole and at once."""
        rest = text.encode() + b"\n"
        try:
            while rest:
                rest = rest[self.file.write(rest) :]
        except OSError as error:
            raise EmodetectError(
                f"{self.file.name}: cannot be written: {error.strerror}; "
                "make room and go on with --resume."
            ) from None


@contextmanager
def open_photo_rows(
    path: Path, form: str, emotions: tuple[str, ...], *, resume: bool, force: bool
) -> Iterator[PhotoRows]:
    """Open a file for results, and lock it.

    Args:
        form: "jsonl" or "csv".
        emotions: the model's.
        resume: keep the rows that the file holds, but for a last one that was cut off. Of a CSV
            the last photo is made again, since rows of further faces may be missing.
        force: replace what the file holds.

    Raises:
        EmodetectError: for a file that is there without `resume` or `force`, that another run
            writes to, or that cannot be resumed because it holds something else.
    """
    if path.is_file() and not resume and not force:
        raise EmodetectError(
            f"{path}: exists already; add --resume to go on with it, --force to replace it, or "
            "name another file."
        )
    held = HeldPaths(form)
    # Appending creates the file and leaves what it holds until that is checked. Without a buffer,
    # since nothing may be left to write where the disk is full.
    with path.open("ab", buffering=0) as file, locked(path, wait=False) as lock:
        if lock == "taken":
            raise EmodetectError(f"{path}: another run is writing to it; name another file.")
        end = 0
        if resume and path.is_file():
            end = _read_held(path, form, emotions, held)
        if path.is_file():
            file.truncate(end)
        held.finish()
        yield PhotoRows(file, held, has_header=form == "csv" and end > 0)


def _read_held(path: Path, form: str, emotions: tuple[str, ...], held: HeldPaths) -> int:
    """Add the photos that a file holds whole, and return the bytes up to the end of the last."""
    beginning = (csv_line(csv_columns(emotions)) + "\n" if form == "csv" else '{"path": ').encode()
    with path.open("rb") as file:
        found = file.read(len(beginning))
        if len(found) < len(beginning) and beginning.startswith(found):
            return 0  # empty, or cut off at once
        if found != beginning:
            raise EmodetectError(
                f"{path}: cannot be resumed: it does not begin like {form} of predict with this "
                f"model ({', '.join(emotions)}); name the model that it was made with, or "
                "another file."
            )
        if form == "csv":
            return _read_csv(path, file, emotions, held)
        file.seek(0)
        return _read_jsonl(path, file, emotions, held)


def _read_jsonl(path: Path, file: IO[bytes], emotions: tuple[str, ...], held: HeldPaths) -> int:
    end = 0
    for number, line in enumerate(file, start=1):
        if not line.endswith(b"\n"):
            break
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not _is_record(record):
            raise _unfit(path, f"line {number} is no row of predict")
        for face in record["faces"]:
            if tuple(face["scores"]) != emotions:
                raise _unfit(path, f"line {number} has the emotions of another model")
        held.add(record["path"])
        end += len(line)
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
    columns = len(csv_columns(emotions))
    end = file.tell()
    last: list[str] | None = None  # the first row of the photo whose rows are being read
    for start, line in _csv_records(file):
        try:
            (row,) = csv.reader([line.decode()], strict=True)
        except (ValueError, csv.Error):
            row = []
        if len(row) != columns:
            raise _unfit(path, f"no row of predict at byte {start:,}")
        # A photo has no box twice; where a box comes again, the photo was listed twice.
        if last is None or row[0] != last[0] or row == last:
            if last is not None:
                held.add(last[0])
            last, end = row, start
    return end


def _csv_records(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the rest of a CSV's whole rows, and where each begins; a path may hold line breaks."""
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
        f"{path}: cannot be resumed: {why}; name the model that it was made with, or another file."
    )
