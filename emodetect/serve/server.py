"""The HTTP server: its addresses, and its life from the socket to the last answer."""

from __future__ import annotations

import ipaddress
import logging
import math
import socket
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

import cv2
import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.middleware.trustedhost import TrustedHostMiddleware

from emodetect import __version__
from emodetect.emotions import COLORS
from emodetect.errors import EmodetectError
from emodetect.machine.quiet_libraries import quiet_libraries
from emodetect.model_file.model_cards import model_card
from emodetect.model_file.shipped_models import shipped_models
from emodetect.recognition.photos.analysis import PhotoResult
from emodetect.recognition.photos.output_formats import photo_record
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.reports.html import render_page
from emodetect.serve.access import Guard
from emodetect.serve.analysis import Analysis
from emodetect.serve.limits import FRAME_BYTES, Limits, RefusedError
from emodetect.serve.prometheus import CountedRequests, Metrics
from emodetect.serve.stream import Streams
from emodetect.serve.uploads import FIELD, Upload, UploadReader

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
MOST_CONNECTIONS = 512
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


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address; port 0 takes a free one.

    Raises EmodetectError for an address that cannot be had.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:  # the latter for a name that no host may have
        raise EmodetectError(
            f"{host}:{port}: cannot be listened on: {getattr(error, 'strerror', None) or error}; "
            "choose another with --host or --port."
        ) from None
    # Else an answer's body waits some 40 ms until the client has acknowledged its header. asyncio
    # does this for sockets of its own making only.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def is_loopback(listening: socket.socket) -> bool:
    """Tell whether only this machine's own programs can reach a bound socket."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


def serve(
    recognizer: EmotionRecognizer,
    listening: socket.socket,
    *,
    host: str,
    limits: Limits,
    token: str | None,
    workers: int | None,
) -> None:
    """Serve until SIGINT or SIGTERM, which finish the requests that were taken, and take no more.

    Args:
        listening: of `open_socket`.
        host: by which alone it is reached, beside the names of this machine, where it is loopback
            and has no token.
    """
    app = create_app(
        recognizer,
        limits=limits,
        token=token,
        # A page that gets here under another name knows no token; a proxy's clients do.
        hosts=(host, *LOOPBACK_NAMES) if token is None and is_loopback(listening) else ("*",),
        workers=workers,
    )
    # What clients send wrongly is told to them; in a log it would only fill the disk.
    for name in ("python_multipart", "PIL"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn.error").addFilter(_is_not_of_a_clients_text)
    warnings.filterwarnings("ignore", module="PIL")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    with quiet_libraries():  # decoders complain there of each damaged image
        _run(app, listening, limits)


def _is_not_of_a_clients_text(record: logging.LogRecord) -> bool:
    """Leave out a WebSocket's text that is not UTF-8, for which uvicorn logs a traceback."""
    return not record.getMessage().startswith("Invalid UTF-8 sequence")


def _run(app: FastAPI, listening: socket.socket, limits: Limits) -> None:
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="error",
        http="h11",
        ws="websockets-sansio",
        ws_max_size=2 * FRAME_BYTES,  # beyond it nobody is told why; beyond FRAME_BYTES one is
        ws_per_message_deflate=False,
        limit_concurrency=MOST_CONNECTIONS,
        server_header=False,
        proxy_headers=False,
        # Whoever was taken has been read and answered by then; who does not listen is let go.
        timeout_graceful_shutdown=math.ceil(2 * limits.seconds) + 1,
    )
    uvicorn.Server(config).run(sockets=[listening])
