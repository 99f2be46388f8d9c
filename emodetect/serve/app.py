"""The server's addresses, and what each answers."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.middleware.trustedhost import TrustedHostMiddleware

from emodetect import __version__
from emodetect.emotions import COLORS
from emodetect.errors import EmodetectError
from emodetect.model_file.model_cards import model_card
from emodetect.model_file.shipped_models import shipped_models
from emodetect.recognition.photos.analysis import PhotoResult
from emodetect.recognition.photos.output_formats import photo_record
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.reports.html import render_page
from emodetect.serve.access import Guard
from emodetect.serve.analysis import Analysis
from emodetect.serve.limits import Limits, RefusedError
from emodetect.serve.prometheus import CountedRequests, Metrics
from emodetect.serve.schemas import ABOUT, BODY, REFUSALS, ModelAnswer, PhotoRow
from emodetect.serve.stream import Streams
from emodetect.serve.uploads import Upload, UploadReader

# The page's files: what they may do, a browser is told with them.
WEB = {"/": "index.html", "/app.css": "app.css", "/app.js": "app.js"}
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
DOCS_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
DOCS, OPENAPI, HEALTH, METRICS = "/docs", "/openapi.json", "/healthz", "/metrics"
ANALYZE, CLASSIFY, STREAM, MODEL = "/v1/analyze", "/v1/classify", "/v1/stream", "/v1/model"
PATHS = (*WEB, DOCS, OPENAPI, HEALTH, METRICS, ANALYZE, CLASSIFY, STREAM, MODEL)
# Nothing of the model or of what it is used for.
OPEN_PATHS = (*WEB, DOCS, OPENAPI, HEALTH)
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]", "::1")
Analyze = Callable[[Sequence[Upload]], Awaitable[list[PhotoResult]]]


def create_app(
    recognizer: EmotionRecognizer,
    *,
    limits: Limits | None = None,
    token: str | None = None,
    hosts: Sequence[str] = ("*",),
    workers: int | None = None,
) -> FastAPI:
    """Return the application.

    Args:
        recognizer: for the application alone from now on.
        token: what clients must know; None lets everybody ask.
        hosts: the names by which it may be addressed; others are another site's attempt to get
            at it through a visitor's browser (DNS rebinding).
        workers: see `Analysis`.
    """
    limits = limits or Limits()
    analysis = Analysis(recognizer, limits, workers=workers)
    metrics = Metrics(lambda: analysis.taken_on)
    streams, reader = Streams(analysis, metrics), UploadReader(limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        analysis.close()

    app = FastAPI(
        title="emodetect",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
        openapi_url=OPENAPI,
        docs_url=None,  # FastAPI's own pages load their scripts from elsewhere
        redoc_url=None,
    )
    app.add_middleware(Guard, token=token, open_paths=OPEN_PATHS)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    app.add_middleware(CountedRequests, metrics=metrics, paths=PATHS)

    @app.exception_handler(RefusedError)
    async def refuse(_: Request, error: RefusedError) -> Response:
        return JSONResponse({"detail": error.reason}, error.status, error.headers)

    @app.exception_handler(EmodetectError)
    async def fail(_: Request, error: EmodetectError) -> Response:
        logging.getLogger(__name__).error("%s", error)
        return JSONResponse({"detail": "the server's model failed"}, 500)

    async def answer(request: Request, analyze: Analyze) -> Response:
        async with reader.read(request) as uploads:
            results = await analyze(uploads)
        metrics.count_photos(results)
        readable = any(result.error is None for result in results)
        return JSONResponse([photo_record(one) for one in results], 200 if readable else 422)

    @app.post(ANALYZE, response_model=list[PhotoRow], responses=REFUSALS, openapi_extra=BODY)
    async def analyze(request: Request) -> Response:
        """Find the faces in photos and name their emotions; a row for each photo, in order."""
        return await answer(request, analysis.photos)

    @app.post(CLASSIFY, response_model=list[PhotoRow], responses=REFUSALS, openapi_extra=BODY)
    async def classify(request: Request) -> Response:
        """Name the emotions of images that are one face each, already cut out."""
        return await answer(request, analysis.crops)

    @app.websocket(STREAM)
    async def stream(socket: WebSocket) -> None:
        await streams.serve(socket)

    @app.get(MODEL, response_model=ModelAnswer)
    async def model() -> Response:
        """Tell which model answers, and what is known about it."""
        return JSONResponse(_about(recognizer))

    @app.head(HEALTH, include_in_schema=False)
    @app.get(HEALTH)
    async def healthz() -> dict[str, str]:
        """Tell that the server runs."""
        return {"status": "ok"}

    @app.get(METRICS, response_class=Response)
    async def metrics_text() -> Response:
        """Tell what was counted, for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.api_route(DOCS, methods=["GET", "HEAD"], include_in_schema=False)
    async def docs() -> Response:
        page = render_page("api.html", title="emodetect: the API", api=app.openapi())
        return HTMLResponse(page, headers={"Content-Security-Policy": DOCS_POLICY})

    for path, name in WEB.items():
        app.add_api_route(path, _page_file(name), methods=["GET", "HEAD"], include_in_schema=False)
    return app


def _page_file(name: str) -> Callable[[], Awaitable[Response]]:
    file = files("emodetect.serve") / "web" / name
    text, kind = file.read_bytes(), TYPES[name[name.index(".") :]]

    async def send() -> Response:
        headers = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"}
        return Response(text, media_type=kind, headers=headers)

    return send


def _about(recognizer: EmotionRecognizer) -> dict[str, Any]:
    metadata = recognizer.metadata
    shipped = {path: name for name, path in shipped_models().items()}
    return {
        "name": metadata.name,
        "emotions": list(recognizer.emotions),
        "colors": {name: f"#{bytes(COLORS[name]).hex()}" for name in recognizer.emotions},
        "image_size": metadata.image_size,
        "color": metadata.color,
        "detector": recognizer.detector_name,
        "version": __version__,
        "card": model_card(shipped.get(recognizer.path, str(recognizer.path))),
    }
