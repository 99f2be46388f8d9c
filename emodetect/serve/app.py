"""Build the web application from routes, middleware and error handlers."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from emodetect import __version__
from emodetect.errors import EmodetectError
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.serve.access import Guard, KnownHosts
from emodetect.serve.drain import Drain, DrainedRequests
from emodetect.serve.limits import Clients, Limits, RefusedError
from emodetect.serve.prometheus import CountedRequests, Metrics
from emodetect.serve.request_analysis import Analysis
from emodetect.serve.routes import (
    HEALTH,
    METRICS,
    OPEN_PATHS,
    OPENAPI,
    PATHS,
    Services,
    describe,
    router,
)
from emodetect.serve.stream import Streams
from emodetect.serve.uploads import UploadReader
from emodetect.serve.web.page_files import PAGE_FILES, page_router
from emodetect.serve.web.schemas import ABOUT


class _Application(FastAPI):
    """An application whose description has the examples as they are; FastAPI drops each null.

    Attributes:
        guarded: clients need a token.
    """

    guarded = False

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI description."""
        api = super().openapi()
        for route in router.routes:
            if not isinstance(route, APIRoute) or not route.include_in_schema:
                continue
            (about,) = api["paths"][route.path].values()
            for status, answer in route.responses.items():
                for kind, content in answer["content"].items():
                    about["responses"][str(status)]["content"][kind] |= content
            if self.guarded and route.path not in OPEN_PATHS:
                about["security"] = [{"token": []}]
        api["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        return api


def create_app(
    recognizer: EmotionRecognizer,
    *,
    limits: Limits | None = None,
    token: str | None = None,
    hosts: Sequence[str] | None = None,
    workers: int | None = None,
) -> FastAPI:
    """Return the application.

    Args:
        recognizer: must not be used elsewhere afterwards.
        token: what clients must send; None accepts every request.
        hosts: see `KnownHosts`; None accepts all.
        workers: see `Analysis`.
    """
    limits = limits or Limits()
    analysis = Analysis(recognizer, limits, workers=workers)
    metrics = Metrics(lambda: analysis.taken_on)
    drain = Drain()
    clients = Clients(limits.per_client)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        analysis.close()

    app = _Application(
        title="emodetect",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
        openapi_url=OPENAPI,
        # Behind a proxy that has the certificate, they would lead to http, with photo and token.
        redirect_slashes=False,
        docs_url=None,  # FastAPI's own pages load scripts from other sites
        redoc_url=None,
    )
    app.guarded = token is not None
    app.state.services = Services(
        analysis,
        metrics,
        drain,
        Streams(analysis, metrics, drain, clients),
        UploadReader(limits),
        clients,
        describe(recognizer, limits),
    )
    app.include_router(router)
    app.include_router(page_router())
    app.add_middleware(DrainedRequests, drain=drain, open_paths=(HEALTH, METRICS))
    app.add_middleware(Guard, token=token, open_paths=(*OPEN_PATHS, *PAGE_FILES))
    if hosts is not None:
        app.add_middleware(KnownHosts, names=hosts)
    app.add_middleware(CountedRequests, metrics=metrics, paths=(*PATHS, *PAGE_FILES))
    app.add_exception_handler(RefusedError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_parameter)
    app.add_exception_handler(EmodetectError, _fail)
    return app


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return JSONResponse({"detail": error.reason}, error.status, error.headers)


async def _refuse_parameter(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = error.errors()[0]
    name, given = wrong["loc"][-1], wrong["input"]
    return JSONResponse({"detail": f"{name}: expected true or false, got {given!r}"}, 400)


async def _fail(_: Request, error: Exception) -> Response:
    logging.getLogger(__name__).error("%s", error)
    return JSONResponse({"detail": "the server's model failed"}, 500)
