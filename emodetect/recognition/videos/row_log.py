"""Write and read the log of a video: the faces of each frame, as JSON Lines or CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from emodetect.errors import VideoError
from emodetect.machine.csv_files import csv_text
from emodetect.machine.locks import locked
from emodetect.machine.output_folder import writing
from emodetect.machine.terminal_text import on_one_line
from emodetect.recognition.face import Face
from emodetect.recognition.face_rows import FRAME_COLUMNS, frame_record, frame_rows
from emodetect.recognition.videos.reading.capture import Frame

LOG_SUFFIXES = (".jsonl", ".csv")
TAIL_BYTES = 2**20


class RowLog:
    """Writes the faces of frames; the rows of each frame are on disk before the next frame.

    The file is opened with its first row: a run that has none leaves no file.

    JSON Lines has an object for each frame. CSV has a row for each face, and one row for a frame
    without faces.

    Args:
        path: ends in .jsonl or .csv.
        emotions: emotions of the model, in its label order.
        append: continue a file that contains complete rows.

    Attributes:
        file: None before the first row.
    """

    def __init__(self, path: Path, emotions: Sequence[str], *, append: bool = False) -> None:
        self.path, self.emotions, self.append = path, tuple(emotions), append
        self.file: io.FileIO | None = None
        self.opened = ExitStack()

    def __enter__(self) -> RowLog:
        return self

    def __exit__(self, *error: object) -> None:
        self.opened.close()

    def write(self, video: str, frame: Frame, faces: Sequence[Face]) -> None:
        """Write the rows of a frame.

        Raises:
            VideoError: if the file cannot be written, or another run has it open.
        """
        if self.file is None:
            self.file = self._open()
            if self.path.suffix.lower() == ".csv" and self.file.tell() == 0:
                self._write(self.file, csv_text([[*FRAME_COLUMNS, *self.emotions]]))
        shown = (on_one_line(video), frame.index, frame.time_s, faces)
        if self.path.suffix.lower() != ".csv":
            self._write(self.file, json.dumps(frame_record(*shown)) + "\n")
        else:
            self._write(self.file, csv_text(frame_rows(*shown, self.emotions)))

    def _open(self) -> io.FileIO:
        path = self.path
        with writing(path, VideoError), ExitStack() as stack:
            # Unbuffered, so that every row is complete however the run ends.
            file = stack.enter_context(path.open("ab", buffering=0))
            if stack.enter_context(locked(path, wait=False)) == "taken":
                raise VideoError(f"{path}: another run is writing to it; choose another file.")
            if not self.append and path.is_file():
                file.truncate(file.seek(0))
            self.opened = stack.pop_all()
        return file

    def _write(self, file: io.FileIO, text: str) -> None:
        data = text.encode("utf-8", "replace")
        with writing(self.path, VideoError):
            whole = file.write(data) == len(data)
        if not whole:
            raise VideoError(f"{self.path}: the disk is full; the last row is incomplete.")


def drop_cut_row(path: Path, *, doubtful: float = math.inf) -> None:
    """Remove an incomplete last line, left by a crash or a full disk.

    In a CSV, the rows of the last frame are removed too if there is such a line, which may have
    been another face of it, or if a crash may have cut them off between two faces.

    Args:
        doubtful: number of the first frame to which that may have happened.
    """
    with path.open("rb+") as file:
        end = file.seek(0, io.SEEK_END)
        start = max(0, end - TAIL_BYTES)
        file.seek(start)
        lines = file.read().splitlines(keepends=True)
        dropped = [lines.pop()] if lines and not lines[-1].endswith(b"\n") else []
        if dropped and start and not lines:
            raise VideoError(
                f"{path}: the last line is too long for a log of emodetect; the file is unchanged."
            )
        if path.suffix.lower() == ".csv" and lines and (dropped or doubtful < math.inf):
            last = _place(lines[-1])
            if dropped or (last[1:] and last[1].isdecimal() and float(last[1]) >= doubtful):
                while lines and _place(lines[-1]) == last != list(FRAME_COLUMNS[:2]):
                    dropped.append(lines.pop())
        if dropped:
            file.truncate(end - sum(map(len, dropped)))


def check_beginning(path: Path, emotions: Sequence[str]) -> None:
    """Raise VideoError if a file does not begin like a log of a model with these emotions."""
    csv_header = csv_text([[*FRAME_COLUMNS, *emotions]]).encode()
    beginning = csv_header if path.suffix.lower() == ".csv" else b'{"video": '
    with path.open("rb") as file:
        found = file.read(len(beginning))
    if not beginning.startswith(found):
        raise _other_rows(path)


def _other_rows(path: Path) -> VideoError:
    return VideoError(
        f"{path}: expected rows of this model, got others; choose another file for --log, or "
        "overwrite this one with --force."
    )


def _place(line: bytes) -> list[str]:
    """Return the video and frame of a CSV line."""
    return next(csv.reader([line.decode("utf-8", "replace")]))[:2]


def read_rows(path: Path, emotions: Sequence[str]) -> Iterator[tuple[str, int, float, list[Face]]]:
    """Yield the video, frame number, time in seconds and faces of each frame in a log.

    Raises VideoError if the file is not a log of a model with these emotions.
    """
    read = _read_csv if path.suffix.lower() == ".csv" else _read_jsonl
    try:
        with path.open(encoding="utf-8", newline="") as file:
            yield from read(file, tuple(emotions))
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, csv.Error):
        raise _other_rows(path) from None
    except OSError as error:
        raise VideoError(f"{path}: cannot be read: {error.strerror}.") from None


def _read_jsonl(
    file: io.TextIOWrapper, emotions: tuple[str, ...]
) -> Iterator[tuple[str, int, float, list[Face]]]:
    for line in file:
        row = json.loads(line)
        faces = []
        for face in row["faces"]:
            if tuple(face["scores"]) != emotions:
                raise ValueError
            x, y, width, height = map(int, face["box"])
            faces.append(
                Face(
                    (x, y, width, height),
                    str(face["emotion"]),
                    float(face["confidence"]),
                    {emotion: float(score) for emotion, score in face["scores"].items()},
                    face.get("id"),
                )
            )
        yield str(row["video"]), int(row["frame"]), float(row["time_s"]), faces


def _read_csv(
    file: io.TextIOWrapper, emotions: tuple[str, ...]
) -> Iterator[tuple[str, int, float, list[Face]]]:
    rows = csv.reader(file)
    if next(rows, None) not in (None, [*FRAME_COLUMNS, *emotions]):
        raise ValueError
    current: tuple[str, int, float, list[Face]] | None = None
    for row in rows:
        video, frame, time_s, face_id, x, y, width, height, emotion, confidence = row[:10]
        if current is None or current[:2] != (video, int(frame)):
            if current is not None:
                yield current
            current = video, int(frame), float(time_s), []
        if x:
            scores = dict(zip(emotions, map(float, row[10:]), strict=True))
            current[3].append(
                Face(
                    (int(x), int(y), int(width), int(height)),
                    emotion,
                    float(confidence),
                    scores,
                    int(face_id) if face_id else None,
                )
            )
    if current is not None:
        yield current
