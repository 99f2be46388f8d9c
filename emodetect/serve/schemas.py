"""Request and response bodies, as the API page documents them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from emodetect.serve.uploads import FIELD

ABOUT = """Finds faces in images and classifies their emotion: the label describes the expression,
not what the person feels. Images are processed in memory and not stored. If the server has a token,
everything under /v1 and /metrics needs the header Authorization: Bearer TOKEN. An overloaded server
responds with status 503 and Retry-After."""
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
    """A face: its box (x, y, width, height in pixels), its emotion, and all probabilities."""

    box: tuple[int, int, int, int]
    emotion: str
    confidence: float
    scores: dict[str, float]


class PhotoRow(BaseModel):
    """An image: its file name, its size in pixels and its faces, or why it could not be read."""

    path: str
    width: int | None
    height: int | None
    faces: list[FaceRow]
    error: str | None


class ModelAnswer(BaseModel):
    """The model: its emotions in output order, their colours, and its card in Markdown."""

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
    400: {"model": Refusal, "description": "No image in the body, or an invalid form"},
    401: {"model": Refusal, "description": "Missing or wrong token"},
    408: {"model": Refusal, "description": "The body arrived too slowly"},
    413: {"model": Refusal, "description": "Too many bytes or images in one request"},
    422: {"model": list[PhotoRow], "description": "None of the images could be read"},
    503: {"model": Refusal, "description": "Overloaded; see Retry-After"},
}
