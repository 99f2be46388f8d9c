"""Faces as plain values, for JSON and for the rows and columns of CSV files and data frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emodetect.machine.csv_files import printable
from emodetect.recognition.face import Face

FACE_COLUMNS = ("x", "y", "box_width", "box_height", "emotion", "confidence")
FRAME_COLUMNS = ("video", "frame", "time_s", "face", *FACE_COLUMNS)


def face_record(face: Face) -> dict[str, Any]:
    """Return a face as plain, JSON-ready values."""
    return {
        "box": list(face.box),
        "emotion": face.emotion,
        "confidence": round(face.confidence, 6),
        "scores": {emotion: round(score, 6) for emotion, score in face.scores.items()},
    }


def csv_face(face: Face, emotions: tuple[str, ...]) -> list[Any]:
    """Return a face's values for FACE_COLUMNS, followed by its scores."""
    record = face_record(face)
    scores = [record["scores"][emotion] for emotion in emotions]
    return [*face.box, face.emotion, record["confidence"], *scores]


def image_record(
    path: str,
    width: int | None,
    height: int | None,
    faces: Sequence[Face],
    error: str | None = None,
) -> dict[str, Any]:
    """Return an image and its faces as plain, JSON-ready values."""
    return {
        "path": printable(path),
        "width": width,
        "height": height,
        "faces": [face_record(face) for face in faces],
        "error": error,
    }


def image_columns(emotions: tuple[str, ...]) -> list[str]:
    """Return the names of the columns of `image_rows`."""
    return ["path", "width", "height", *FACE_COLUMNS, *emotions, "error"]


def image_rows(
    path: str,
    width: int | None,
    height: int | None,
    faces: Sequence[Face],
    emotions: tuple[str, ...],
    error: str | None = None,
) -> list[list[Any]]:
    """Return a row for each face of an image; for one without faces, a row without a box."""
    start = [printable(path), width, height]
    if not faces:
        return [[*start, *[None] * (len(FACE_COLUMNS) + len(emotions)), error]]
    return [[*start, *csv_face(face, emotions), error] for face in faces]


def frame_record(video: str, frame: int, time_s: float, faces: Sequence[Face]) -> dict[str, Any]:
    """Return a frame of a video and its faces as plain, JSON-ready values."""
    return {
        "video": video,
        "frame": frame,
        "time_s": round(time_s, 4),
        "faces": list(map(tracked_record, faces)),
    }


def tracked_record(face: Face) -> dict[str, Any]:
    """Return a face of a video as plain, JSON-ready values; "id" only if it has one."""
    return ({} if face.id is None else {"id": face.id}) | face_record(face)


def frame_rows(
    video: str, frame: int, time_s: float, faces: Sequence[Face], emotions: tuple[str, ...]
) -> list[list[Any]]:
    """Return a row for each face of a frame; for one without faces, a row without a box.

    The columns are FRAME_COLUMNS and the emotions.
    """
    start = [video, frame, round(time_s, 4)]
    if not faces:
        return [[*start, *[None] * (1 + len(FACE_COLUMNS) + len(emotions))]]
    return [[*start, face.id, *csv_face(face, emotions)] for face in faces]
