"""The routes of the API."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response, WebSocket
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import HTTPConnection

from emodetect import __version__
from emodetect.emotions import hex_colors
from emodetect.model_file.model_cards import model_card
from emodetect.model_file.shipped_models import shipped_models
from emodetect.recognition.photos.output_formats import photo_record
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.serve.drain import Drain
from emodetect.serve.limits import Clients, Limits
from emodetect.serve.prometheus import Metrics
from emodetect.serve.request_analysis import Analysis, AnalyzedImage
from emodetect.serve.stream import Streams
from emodetect.serve.uploads import Upload, UploadReader
from emodetect.serve.web.api_page import api_page
from emodetect.serve.web.card_html import card_html
from emodetect.serve.web.page_files import PAGE_HEADERS
from emodetect.serve.web.schemas import (
    ANALYZE_ANSWERS,
    BODY,
    CLASSIFY_ANSWERS,
    HEALTH_ANSWERS,
    METRICS_ANSWERS,
    MODEL_ANSWERS,
    PREVIEW,
    AnalyzedRow,
    ModelAnswer,
    PhotoRow,
)

DOCS, OPENAPI, HEALTH, METRICS = "/docs", "/openapi.json", "/healthz", "/metrics"
ANALYZE, CLASSIFY, STREAM, MODEL = "/v1/analyze", "/v1/classify", "/v1/stream", "/v1/model"
PATHS = (DOCS, OPENAPI, HEALTH, METRICS, ANALYZE, CLASSIFY, STREAM, MODEL)
# Without the token: nothing about the model or its use.
OPEN_PATHS = (DOCS, OPENAPI, HEALTH)

router = APIRouter()


@dataclass(frozen=True)
class Services:
    """What the routes use; an application keeps it in `app.state.services`.

    `about` is the answer of /v1/model: the model's file may be replaced while the server runs.
    """

    analysis: Analysis
    metrics: Metrics
    drain: Drain
    streams: Streams
    reader: UploadReader
    clients: Clients
    about: dict[str, Any]


@router.post(
    ANALYZE, response_model=list[AnalyzedRow], responses=ANALYZE_ANSWERS, openapi_extra=BODY
)
async def analyze(
    request: Request, preview: Annotated[bool, Query(description=PREVIEW, examples=[True])] = False
) -> Response:
    """Find the faces in photos and classify their emotions; returns a row per photo, in order."""
    analysis = _services(request).analysis
    if not preview:
        return await _rows(request, analysis.photos)
    return await _rows(request, analysis.previewed_photo, _with_preview)


@router.post(
    CLASSIFY, response_model=list[PhotoRow], responses=CLASSIFY_ANSWERS, openapi_extra=BODY
)
async def classify(request: Request) -> Response:
    """Classify the emotions of face crops: each image is one face."""
    return await _rows(request, _services(request).analysis.crops)


@router.websocket(STREAM)
async def stream(socket: WebSocket) -> None:
    """See `Streams`."""
    await _services(socket).streams.serve(socket)


@router.get(MODEL, response_model=ModelAnswer, responses=MODEL_ANSWERS)
async def model(request: Request) -> Response:
    """Describe the model."""
    return JSONResponse(_services(request).about)


@router.head(HEALTH, include_in_schema=False)
@router.get(HEALTH, responses=HEALTH_ANSWERS)
async def healthz(request: Request) -> Response:
    """Report that the server is running, or that it is about to end."""
    if _services(request).drain.begun.is_set():
        return JSONResponse({"status": "draining"}, 503)
    return JSONResponse({"status": "ok"})


@router.get(METRICS, response_class=Response, responses=METRICS_ANSWERS)
async def metrics_text(request: Request) -> Response:
    """Return metrics for Prometheus."""
    return Response(_services(request).metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.api_route(DOCS, methods=["GET", "HEAD"], include_in_schema=False)
async def docs(request: Request) -> Response:
    """Show the API's description as a page."""
    return HTMLResponse(api_page(request.app.openapi()), headers=PAGE_HEADERS)


def _services(connection: HTTPConnection) -> Services:
    services: Services = connection.app.state.services
    return services


async def _rows(
    request: Request,
    analyze: Callable[[Sequence[Upload]], Awaitable[list[AnalyzedImage]]],
    row_of: Callable[[AnalyzedImage], dict[str, Any]] = lambda one: photo_record(one.result),
) -> Response:
    services = _services(request)
    client = request.client.host if request.client else ""
    # Until its body is there, a request counts as one image.
    async with (
        services.clients.hold(client, 1),
        services.reader.read(request) as uploads,
        services.clients.hold(client, len(uploads) - 1),
    ):
        images = await analyze(uploads)
    for image in images:
        services.metrics.count(image.result)
    readable = any(image.result.error is None for image in images)
    return JSONResponse([row_of(image) for image in images], 200 if readable else 422)


def _with_preview(image: AnalyzedImage) -> dict[str, Any]:
    preview = None if image.preview is None else b64encode(image.preview).decode()
    return {**photo_record(image.result), "preview": preview}


def describe(recognizer: EmotionRecognizer, limits: Limits) -> dict[str, Any]:
    """Return what /v1/model says. Raises ModelError if the model's file is damaged."""
    metadata = recognizer.metadata
    shipped = {path: name for name, path in shipped_models().items()}
    card = model_card(shipped.get(recognizer.path, str(recognizer.path)))
    return {
        "name": metadata.name,
        "emotions": list(recognizer.emotions),
        "colors": hex_colors(recognizer.emotions),
        "image_size": metadata.image_size,
        "color": metadata.color,
        "detector": recognizer.detector_name,
        "version": __version__,
        "card": card,
        "card_html": card_html(card),
        "max_body_bytes": limits.body_bytes,
    }
