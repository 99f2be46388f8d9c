"""Results of photos as text: a table to read, or JSON, JSON Lines and CSV to pipe.

Each writer yields the complete text of a photo, without the final line break, as soon as it is
ready.

An uncertain face has the emotion "uncertain" and otherwise the same keys and columns as any other
face: its guesses are the highest of its scores.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from emodetect.emotions import UNCERTAIN
from emodetect.machine.csv_files import csv_line
from emodetect.machine.terminal_text import on_one_line
from emodetect.number_format import percent
from emodetect.recognition.face import Face
from emodetect.recognition.face_rows import image_columns, image_record, image_rows
from emodetect.recognition.photos.analysis import PhotoResult


def photo_record(result: PhotoResult) -> dict[str, Any]:
    """Return a photo's result as plain, JSON-ready values."""
    return image_record(result.path, result.width, result.height, result.faces, result.error)


def as_table(results: Iterable[PhotoResult], emotions: tuple[str, ...]) -> Iterator[str]:
    """Yield a line for each face."""
    longest = max(8, *map(len, emotions))
    for result in results:
        path = on_one_line(result.path)
        lines = []
        if result.error is not None:
            lines.append(f"{path}  error: {result.error}")
        elif not result.faces:
            dropped = f"with enough confidence ({result.unsure} below the minimum)"
            lines.append(f"{path}  no face {dropped if result.unsure else 'found'}")
        for face in result.faces:
            x, y, width, height = face.box
            lines.append(f"{path}  {_verdict(face, longest)}  at {x},{y} {width}x{height}")
        yield "\n".join(lines)


def as_json(results: Iterable[PhotoResult], emotions: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines of one JSON list."""
    opening = "["
    for result in results:
        yield opening + json.dumps(photo_record(result))
        opening = ","
    yield "]" if opening == "," else "[]"


def as_jsonl(results: Iterable[PhotoResult], emotions: tuple[str, ...]) -> Iterator[str]:
    """Yield a JSON object for each photo."""
    for result in results:
        yield json.dumps(photo_record(result))


def as_csv(results: Iterable[PhotoResult], emotions: tuple[str, ...]) -> Iterator[str]:
    """Yield a header, then a row for each face; a photo without faces has one row without a box."""
    yield csv_line(image_columns(emotions))
    for result in results:
        size = result.width, result.height
        rows = image_rows(result.path, *size, result.faces, emotions, result.error)
        yield "\n".join(map(csv_line, rows))


WRITERS: dict[str, Callable[[Iterable[PhotoResult], tuple[str, ...]], Iterator[str]]] = {
    "table": as_table,
    "json": as_json,
    "jsonl": as_jsonl,
    "csv": as_csv,
}


def _verdict(face: Face, longest: int) -> str:
    if face.emotion != UNCERTAIN:
        return f"{face.emotion:<{longest}} {percent(face.confidence):>6}"
    guesses = ", ".join(f"{emotion} {percent(score)}" for emotion, score in face.guesses)
    return f"{UNCERTAIN}: {guesses}"
