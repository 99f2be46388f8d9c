"""Results of photos as text: a table to read, or JSON, JSON lines and CSV to pipe.

An uncertain face has "uncertain" for its emotion everywhere, and the columns and keys of any
other face: its guesses are the highest of its scores.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from emodetect.inference.photos import PhotoResult
from emodetect.inference.recognizer import UNCERTAIN, Face
from emodetect.text import on_one_line


def face_record(face: Face) -> dict[str, Any]:
    """Return a face as plain, JSON-ready values."""
    return {
        "box": list(face.box),
        "emotion": face.emotion,
        "confidence": round(face.confidence, 6),
        "scores": {emotion: round(score, 6) for emotion, score in face.scores.items()},
    }


def photo_record(result: PhotoResult) -> dict[str, Any]:
    """Return a photo's result as plain, JSON-ready values."""
    return {
        "path": result.path,
        "width": result.width,
        "height": result.height,
        "faces": [face_record(face) for face in result.faces],
        "error": result.error,
    }


def as_table(results: Iterable[PhotoResult], emotions: tuple[str, ...]) -> Iterator[str]:
    """Yield a line for each face."""
    for result in results:
        path = on_one_line(result.path)
        if result.error is not None:
            yield f"{path}  error: {result.error}"
        elif not result.faces:
            unsure = f" sure enough ({result.unsure} below the confidence)" if result.unsure else ""
            yield f"{path}  no face found{unsure}"
        for face in result.faces:
            x, y, width, height = face.box
            yield f"{path}  {_verdict(face)}  at {x},{y} {width}x{height}"


def as_json(results: Iterable[PhotoResult], emotions: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines of one JSON list, each photo as soon as it is there."""
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
    """Yield a header, then a row for each face; a photo without faces has a row without a box."""
    columns = ["path", "width", "height", "x", "y", "box_width", "box_height"]
    yield _csv_line([*columns, "emotion", "confidence", *emotions, "error"])
    for result in results:
        start = [_printable(result.path), result.width, result.height]
        for face in result.faces:
            record = face_record(face)
            scores = [record["scores"][emotion] for emotion in emotions]
            yield _csv_line(
                [*start, *face.box, face.emotion, record["confidence"], *scores, result.error]
            )
        if not result.faces:
            yield _csv_line([*start, *[None] * (6 + len(emotions)), result.error])


WRITERS: dict[str, Callable[[Iterable[PhotoResult], tuple[str, ...]], Iterator[str]]] = {
    "table": as_table,
    "json": as_json,
    "jsonl": as_jsonl,
    "csv": as_csv,
}


def _csv_line(values: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()


def _verdict(face: Face) -> str:
    if face.emotion != UNCERTAIN:
        return f"{face.emotion:<8} {face.confidence:>6.1%}"
    guesses = ", ".join(f"{emotion} {score:.1%}" for emotion, score in face.guesses)
    return f"{UNCERTAIN}: {guesses}"


def _printable(path: str) -> str:
    # A name that is not Unicode holds lone surrogates, which no terminal or file takes.
    return path.encode("utf-8", "replace").decode("utf-8")
