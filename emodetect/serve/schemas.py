"""What the server takes and answers, as its API page documents it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from emodetect.serve.uploads import FIELD

ABOUT = """Finds faces in pictures and names the emotion that each shows, as people would label it
(not what a person feels). Pictures are worked on in memory and not kept. Where the server has a
token, everything under /v1 and /metrics takes it as Authorization: Bearer TOKEN. Where it has no
room, it answers 503 with Retry-After."""
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {
                        FIELD: {"type": "array", "items": {"type": "string", "format": "binary"}}
                    },
                }
            },
            "image/*": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


class FaceRow(BaseModel):
    """A face: its box (x, y, width, height in pixels), its emotion, all probabilities."""

    box: tuple[int, int, int, int]
    emotion: str
    confidence: float
    scores: dict[str, float]


class PhotoRow(BaseModel):
    """An image: its file name, its size in pixels, its faces; or why it could not be read."""

    path: str
    width: int | None
    height: int | None
    faces: list[FaceRow]
    error: str | None


class ModelAnswer(BaseModel):
    """The model: its emotions in the order of its outputs, their colours, its card (Markdown)."""

    name: str
    emotions: list[str]
    colors: dict[str, str]
    image_size: int
    color: str
    detector: str
    version: str
    card: str


class Refusal(BaseModel):
    """Why a request was refused."""

    detail: str


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "No image in the body, or a damaged form"},
    401: {"model": Refusal, "description": "No token, or another one"},
    408: {"model": Refusal, "description": "The body came too slowly"},
    413: {"model": Refusal, "description": "More bytes or images than one request may have"},
    422: {"model": list[PhotoRow], "description": "None of the images could be read"},
    503: {"model": Refusal, "description": "No room; see Retry-After"},
}
