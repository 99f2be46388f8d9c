"""Request and response bodies, as the API page documents them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from emodetect.serve.uploads import FIELD

ABOUT = """Finds faces in images and classifies their emotion: the label describes the expression,
not what the person feels. Images are processed in memory and not stored. If the server has a token,
everything under /v1 and /metrics needs the header Authorization: Bearer TOKEN. A server that is
overloaded or shutting down responds with status 503 and Retry-After, and to a client that has too
many images in progress with 429."""
PREVIEW = """With preview=true, the row also has a preview: the photo as a JPEG in base64, upright
and of at most 1280 pixels a side, for browsers that cannot show HEIC or TIFF. Such a request takes
one image."""
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


class AnalyzedRow(PhotoRow):
    """A photo: as PhotoRow, and a preview if it was asked for."""

    preview: str | None = Field(
        None,
        description="only with preview=true: null for an error, or else a JPEG in base64",
        examples=["/9j/4AAQSkZJRgABAQAAAQABAAD ..."],
    )


class ModelAnswer(BaseModel):
    """The model: its emotions in output order, their colours, its card in Markdown and HTML, and
    the largest body that the server accepts."""

    name: str
    emotions: list[str]
    colors: dict[str, str]
    image_size: int
    color: str
    detector: str
    version: str
    card: str
    card_html: str
    max_body_bytes: int


class Refusal(BaseModel):
    """Why a request was refused."""

    detail: str


def _answer(description: str, example: Any, kind: str = "application/json") -> dict[str, Any]:
    return {"description": description, "content": {kind: {"example": example}}}


def _refusal(description: str, detail: str) -> dict[str, Any]:
    return {"model": Refusal, **_answer(description, {"detail": detail})}


_SCORES = {
    "angry": 0.004112,
    "disgust": 0.000105,
    "fear": 0.007021,
    "happy": 0.960342,
    "neutral": 0.021208,
    "sad": 0.002117,
    "surprise": 0.005095,
}
_FACE = {"box": [212, 96, 180, 180], "emotion": "happy", "confidence": 0.960342, "scores": _SCORES}
_PHOTO = {"path": "photo.jpg", "width": 1280, "height": 853, "faces": [_FACE], "error": None}
_BAD_PHOTO: dict[str, Any] = {
    "path": "broken.jpg",
    "width": None,
    "height": None,
    "faces": [],
    "error": "the image is cut short (its end is missing)",
}
_CROP = {
    "path": "face.jpg",
    "width": 96,
    "height": 96,
    "faces": [{**_FACE, "box": [0, 0, 96, 96]}],
    "error": None,
}
STREAM_EXAMPLE = {
    "frame": 0,
    "time_s": 0.0132,
    "width": 640,
    "height": 480,
    "faces": [{"id": 1, **_FACE}],
    "error": None,
}

TOKEN_REFUSAL: dict[int | str, dict[str, Any]] = {
    401: _refusal(
        "Missing or wrong token",
        "expected the header Authorization: Bearer with this server's token",
    ),
    403: _refusal("Sent by a page of another site", "requests from other sites are refused"),
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    **TOKEN_REFUSAL,
    400: _refusal(
        "No image in the body, or an invalid form or query parameter",
        "the multipart form was cut short",
    ),
    408: _refusal("The body arrived too slowly", "the body did not arrive within 30 s"),
    413: _refusal(
        "Too many bytes or images in one request",
        "expected at most 16 images in a request; send fewer",
    ),
    422: {
        "model": list[PhotoRow],
        **_answer("None of the images could be read", [_BAD_PHOTO]),
    },
    429: _refusal(
        "Too many images of this client in progress; see Retry-After",
        "expected at most 16 unfinished images of one client; try again later",
    ),
    503: _refusal(
        "Overloaded or shutting down; see Retry-After", "the queue is full; try again later"
    ),
}
ANALYZE_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: _answer("A row for each photo, in order", [_PHOTO, _BAD_PHOTO]),
    **REFUSALS,
}
CLASSIFY_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: _answer("A row for each crop, in order", [_CROP]),
    **REFUSALS,
}
MODEL_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: _answer(
        "The model",
        {
            "name": "fer2013",
            "emotions": list(_SCORES),
            "colors": {"angry": "#d55e00", "happy": "#e69f00", "sad": "#0072b2"},
            "image_size": 48,
            "color": "gray",
            "detector": "haar",
            "version": "0.1.0",
            "card": "# fer2013 ...",
            "card_html": "<h2>fer2013</h2> ...",
            "max_body_bytes": 33554432,
        },
    ),
    **TOKEN_REFUSAL,
}
HEALTH_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: _answer("The server is running", {"status": "ok"}),
    503: _answer(
        "The server is shutting down: it finishes the requests in progress and refuses new ones",
        {"status": "draining"},
    ),
}
METRICS_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: _answer(
        "Metrics in Prometheus' text format",
        'emodetect_requests_total{path="/v1/analyze",status="200"} 3.0\n'
        'emodetect_images_total{outcome="read"} 5.0\n'
        "emodetect_faces_total 8.0\n",
        "text/plain",
    ),
    **TOKEN_REFUSAL,
}
