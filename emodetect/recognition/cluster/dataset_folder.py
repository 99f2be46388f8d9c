"""The output folder of a job: what the job is, the list of its photos, a Parquet file per part.

Every photo is analysed exactly once, however often a job is killed and resumed, because:

- the list of all photos is written, in one step, before the first is analysed, and never changes;
- row group n of the list is part n; all rows of its photos are in part-n.parquet, which appears
  in one step when they are complete;
- only the process that holds the folder's lock writes to it: workers on the cluster return rows;
- what remains to be done is the parts without a file.

Names that begin with an underscore are left out by readers of Parquet data sets.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emodetect.errors import EmodetectError, first_line
from emodetect.machine.atomic_files import PARTIAL_FILES, atomic_write, to_disk, write_json
from emodetect.machine.locks import locked
from emodetect.machine.output_folder import check_output_folder, make_output_folder

if TYPE_CHECKING:
    import pyarrow as pa

JOB = "_job.json"
LIST = "_list.parquet"
LOG = "_ray.log"
PARTS = "part-*.parquet"
OURS = (JOB, LIST, LOG, PARTS, PARTIAL_FILES)
# One file for each: so many that ten million photos are 10,000 files, and so few that little is
# done again after a kill.
PHOTOS_PER_PART = 1024


@dataclass(frozen=True)
class Part:
    """The photos whose rows make one Parquet file."""

    number: int
    photos: list[str]


class DatasetFolder:
    """An output folder whose lock this process holds; see `open_dataset`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def has_list(self) -> bool:
        """Whether the list of photos is complete."""
        return (self.path / LIST).is_file()

    def write_list(self, photos: Iterator[str], not_read: Counter[str], seen: Any) -> None:
        """Write the list of all photos, part by part, in one step.

        Args:
            photos: paths and URLs.
            not_read: kept with the list, as it is when `photos` has ended.
            seen: a hash whose value is kept with the list, as it is when `photos` has ended.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([("path", pa.binary())])  # names of files are bytes
        with _disk_errors(self.path), atomic_write(self.path / LIST) as partial:
            with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
                names: list[bytes] = []
                for photo in photos:
                    names.append(os.fsencode(photo))
                    if len(names) == PHOTOS_PER_PART:
                        writer.write_table(pa.table([names], schema=schema))
                        names = []
                if names:
                    writer.write_table(pa.table([names], schema=schema))
                writer.add_key_value_metadata(
                    {"not_read": json.dumps(not_read), "standard_input": seen.hexdigest()}
                )
            to_disk(partial)

    @contextmanager
    def open_list(self) -> Iterator[PhotoList]:
        """Open the complete list. Raises EmodetectError for a damaged one."""
        import pyarrow.parquet as pq

        with _reading(self.path / LIST):
            file = pq.ParquetFile(self.path / LIST)
        with file:
            yield PhotoList(self, file)

    def write_part(self, number: int, rows: pa.Table) -> None:
        """Write all rows of a part, in one step."""
        import pyarrow.parquet as pq

        with _disk_errors(self.path), atomic_write(self._part(number)) as partial:
            pq.write_table(rows, partial, compression="zstd")
            to_disk(partial)

    def has_part(self, number: int) -> bool:
        """Return whether all rows of a part are written."""
        return self._part(number).is_file()

    def _part(self, number: int) -> Path:
        return self.path / f"part-{number:07d}.parquet"


class PhotoList:
    """The list of the photos of a job, read part by part."""

    def __init__(self, folder: DatasetFolder, file: Any) -> None:
        self.folder, self.file, self.path = folder, file, folder.path / LIST

    def __len__(self) -> int:
        """Return the number of photos."""
        return int(self.file.metadata.num_rows)

    @property
    def not_read(self) -> Counter[str]:
        """The number of files in the folders that are not photos, by kind."""
        with _reading(self.path):
            return Counter(json.loads(self.file.metadata.metadata[b"not_read"]))

    @property
    def standard_input(self) -> str:
        """The hash of what standard input listed."""
        with _reading(self.path):
            text: bytes = self.file.metadata.metadata[b"standard_input"]
            return text.decode()

    def done(self) -> int:
        """Return the number of photos in the parts that are written."""
        metadata = self.file.metadata
        return sum(
            metadata.row_group(number).num_rows
            for number in range(metadata.num_row_groups)
            if self.folder.has_part(number)
        )

    def remaining(self) -> Iterator[Part]:
        """Yield the parts that have no file yet."""
        for number in range(self.file.metadata.num_row_groups):
            if not self.folder.has_part(number):
                yield Part(number, self._photos(number))

    def ends(self) -> list[str]:
        """Return the first and the last photo."""
        groups = self.file.metadata.num_row_groups
        if not groups:
            return []
        return [self._photos(0)[0], self._photos(groups - 1)[-1]]

    def _photos(self, number: int) -> list[str]:
        with _reading(self.path):
            return [os.fsdecode(name) for name in self.file.read_row_group(number)[0].to_pylist()]


@contextmanager
def open_dataset(
    path: Path, job: dict[str, Any], *, resume: bool, force: bool
) -> Iterator[DatasetFolder]:
    """Create or continue an output folder, and lock it.

    Args:
        job: what must be the same in all runs that write to the folder: values by name, as JSON
            can hold them.
        resume: continue the job in the folder, if there is one.
        force: delete the job in the folder, if there is one; other files stay.

    Raises:
        EmodetectError: if the folder cannot be written, contains files without `resume` or
            `force`, is being written by another run, or is of another job.
    """
    if path.is_dir() and (path / JOB).is_file() and not resume and not force:
        raise EmodetectError(
            f"{path}: already contains results; add --resume to continue them, --force to "
            "overwrite them, or choose another folder."
        )
    check_output_folder(path, force=force or (resume and (path / JOB).is_file()))
    make_output_folder(path)
    with locked(path, wait=False) as lock:
        if lock == "taken":
            raise EmodetectError(f"{path}: another run is writing to it; choose another folder.")
        with _disk_errors(path):
            for pattern in OURS if force else (PARTIAL_FILES,):
                for file in path.glob(pattern):
                    file.unlink()
            if (path / JOB).is_file():
                _check_same_job(path, job)
            else:
                write_json(path / JOB, job)
        yield DatasetFolder(path)


def _check_same_job(path: Path, job: dict[str, Any]) -> None:
    try:
        begun = json.loads((path / JOB).read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        begun = None
    if not isinstance(begun, dict):
        raise EmodetectError(
            f"{path}: cannot be resumed: {JOB} is damaged; choose another folder."
        ) from None
    for name in dict.fromkeys([*begun, *job]):
        if begun.get(name) != job.get(name):
            raise EmodetectError(
                f"{path}: cannot be resumed: it was started with {name} "
                f"{_short(begun.get(name))}, not {_short(job.get(name))}; use the same, or another "
                "folder."
            )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, LookupError, OSError, TypeError, ValueError) as error:
        if isinstance(error, OSError) and error.errno:  # pyarrow gives none for damaged content
            raise EmodetectError(
                f"{path}: cannot be read: {os.strerror(error.errno)}; once it can be, continue "
                "with --resume."
            ) from None
        raise EmodetectError(
            f"{path}: is damaged ({first_line(error)}); this job cannot be continued: start a new "
            "one."
        ) from None


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise EmodetectError(
            f"{path}: cannot be written: {why}; fix this and continue with --resume."
        ) from None
