"""The routes of the web page's files, and the security policy that is sent with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files

import cv2
import numpy as np
from fastapi import APIRouter, Response

from emodetect.data.synthetic.scenes import draw_scene

SCRIPTS = ("app", "attempts", "camera", "docs", "dom", "downloads", "faces", "photos", "requests")
SAMPLE = "/sample.jpg"
_NAMES = {
    "/": "index.html",
    "/app.css": "app.css",
    **{f"/{name}.js": f"{name}.js" for name in SCRIPTS},
}
PAGE_FILES = (*_NAMES, SAMPLE)
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
PAGE_HEADERS = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"}
SAMPLE_EMOTIONS = ("happy", "surprise", "sad", "neutral")


def page_router() -> APIRouter:
    """Return a route for each of PAGE_FILES."""
    router = APIRouter(include_in_schema=False)
    for path, name in _NAMES.items():
        router.add_api_route(path, _sender(name), methods=["GET", "HEAD"])
    router.add_api_route(SAMPLE, _send_sample, methods=["GET", "HEAD"])
    return router


def _sender(name: str) -> Callable[[], Awaitable[Response]]:
    text = (files("emodetect.serve.web") / name).read_bytes()
    kind = TYPES[name[name.index(".") :]]

    async def send() -> Response:
        return Response(text, media_type=kind, headers=PAGE_HEADERS)

    return send


def _send_sample() -> Response:
    return Response(draw_sample(), media_type="image/jpeg", headers=PAGE_HEADERS)


@cache
def draw_sample() -> bytes:
    """Return a drawn photo of several people, for those who want to try the page, as a JPEG."""
    scene = draw_scene(SAMPLE_EMOTIONS, np.random.default_rng(9), width=900, height=560)
    return cv2.imencode(".jpg", scene.image)[1].tobytes()
