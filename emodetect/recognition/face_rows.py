"""A face as plain values, for JSON and for CSV columns."""

from __future__ import annotations

from typing import Any

from emodetect.recognition.face import Face

FACE_COLUMNS = ("x", "y", "box_width", "box_height", "emotion", "confidence")


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
