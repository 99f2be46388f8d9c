"""How the server ends: it answers open requests, refuses new ones and closes its streams."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emodetect.serve.limits import RefusedError


class Drain:
    """The state of a server that may be draining; only used on its event loop.

    Attributes:
        begun: set once the server drains.
        in_work: a time limit for each request and stream in progress; none ends before a drain.
        cut_off: number of requests and streams that did not end within the time to drain.
    """

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.in_work: set[asyncio.Timeout] = set()
        self.cut_off = 0

    def begin(self, seconds: float) -> None:
        """Begin to drain; what is in progress has this many seconds left."""
        self.begun.set()
        end_s = asyncio.get_running_loop().time() + seconds
        for limit in self.in_work:
            limit.reschedule(end_s)

    @property
    def is_over(self) -> bool:
        """Whether the server drains and nothing is in progress any more."""
        return self.begun.is_set() and not self.in_work


class DrainedRequests:
    """Middleware that notes requests and streams in progress, and refuses new ones in a drain.

    Args:
        open_paths: paths that are served during a drain, and do not prolong it.
    """

    def __init__(self, app: ASGIApp, drain: Drain, open_paths: Collection[str]) -> None:
        self.app, self.drain, self.open_paths = app, drain, frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request or a WebSocket."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in self.open_paths:
            await self.app(scope, receive, send)
            return
        has_answered = False

        async def noting(message: Message) -> None:
            nonlocal has_answered
            has_answered = True
            if message["type"] == "http.response.start" and self.drain.begun.is_set():
                # So that a proxy does not send its next request over this connection.
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        if not self.drain.begun.is_set() and await self._is_in_time(scope, receive, noting):
            return
        if not has_answered:
            error = RefusedError(503, "the server is shutting down; try again later")
            # A WebSocket gets it instead of being opened, so that a proxy can try another server.
            answer = JSONResponse({"detail": error.reason}, error.status, error.headers)
            await answer(scope, receive, send)

    async def _is_in_time(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Run the application; return False if the drain has cut it off."""
        limit = asyncio.timeout(None)
        self.drain.in_work.add(limit)
        try:
            async with limit:
                await self.app(scope, receive, send)
        except TimeoutError:
            if not limit.expired():
                raise
            self.drain.cut_off += 1
            return False
        finally:
            self.drain.in_work.remove(limit)
        return True
