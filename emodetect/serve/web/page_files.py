"""The routes of the web page's files, and the security policy that is sent with them.

The page about responsible use is that of the documentation, so that whoever opens the server's page
can read it without internet access.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from fastapi import APIRouter, Response

from emodetect.data.synthetic.scenes import draw_scene
from emodetect.serve.web.card_html import document_html

SCRIPTS = ("app", "attempts", "camera", "docs", "dom", "downloads", "faces", "photos", "requests")
SAMPLE = "/sample.jpg"
RESPONSIBLE_USE = "/responsible-use"
_NAMES = {
    "/": "index.html",
    "/app.css": "app.css",
    **{f"/{name}.js": f"{name}.js" for name in SCRIPTS},
}
PAGE_FILES = (*_NAMES, SAMPLE, RESPONSIBLE_USE)
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
        text = (files("emodetect.serve.web") / name).read_bytes()
        sender = _sender(text, TYPES[name[name.index(".") :]])
        router.add_api_route(path, sender, methods=["GET", "HEAD"])
    page = _sender(responsible_use_page().encode(), "text/html")
    router.add_api_route(RESPONSIBLE_USE, page, methods=["GET", "HEAD"])
    router.add_api_route(SAMPLE, _send_sample, methods=["GET", "HEAD"])
    return router


def responsible_use_page() -> str:
    """Return the documentation's page about responsible use as a page of the server."""
    text = files("emodetect.serve.web") / "responsible_use.md"
    # An editable install has no packaged copy; the documentation is next to the package.
    if not text.is_file():
        text = Path(__file__).parents[3] / "docs" / "responsible_use.md"
    page = (files("emodetect.serve.web") / "responsible_use.html").read_text(encoding="utf-8")
    return page.replace("CONTENT", document_html(text.read_text(encoding="utf-8")))


def _sender(text: bytes, kind: str) -> Callable[[], Awaitable[Response]]:
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
