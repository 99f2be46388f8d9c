"""The routes of the web page's files, and the security policy that is sent with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files

from fastapi import APIRouter, Response

PAGE_FILES = {"/": "index.html", "/app.css": "app.css", "/app.js": "app.js"}
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def page_router() -> APIRouter:
    """Return a route for each of PAGE_FILES."""
    router = APIRouter(include_in_schema=False)
    for path, name in PAGE_FILES.items():
        router.add_api_route(path, _sender(name), methods=["GET", "HEAD"])
    return router


def _sender(name: str) -> Callable[[], Awaitable[Response]]:
    text = (files("emodetect.serve.web") / name).read_bytes()
    kind = TYPES[name[name.index(".") :]]

    async def send() -> Response:
        headers = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"}
        return Response(text, media_type=kind, headers=headers)

    return send
