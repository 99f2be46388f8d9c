"""Connections that end: none waits for ever, and an idle one makes room for a new one."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# From the connection, or the last response, to the end of a request's header. Clients keep a
# connection for less (httpx for 5 s), and so do not send a request while it is being ended.
HEADER_S = 10.0
# A connection on which a request has been answered counts as this much younger when another must
# make room: a client that asks again and again is not ended between two requests.
ANSWERED_S = 2.0


class JoinedWrites:
    """A transport that sends all that is written in one step of the event loop in one piece.

    Between the header and the body of a response, which uvicorn writes one after the other, other
    threads may run. A proxy that has received only the header when the server dies has begun its
    own response, and cannot ask another server any more.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport, self.parts = transport, list[bytes]()

    def write(self, data: bytes) -> None:
        """Send at the end of the step."""
        if not self.parts:
            asyncio.get_running_loop().call_soon(self.flush)
        self.parts.append(data)

    def flush(self) -> None:
        """Send now."""
        data, self.parts = b"".join(self.parts), []
        self.transport.write(data)

    def close(self) -> None:
        """Send the rest, then close."""
        self.flush()
        self.transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


class LimitedConnection(H11Protocol):
    """A connection that neither waits for a request's header, nor responds, for ever.

    Args:
        response_s: time in seconds to receive a request's body and to respond.
        most: connections at a time.
    """

    def __init__(self, *, response_s: float, most: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.most = most
        self.response_s = response_s
        self.limit: asyncio.TimerHandle | None = None
        self.limited: object = self

    @property
    def in_work(self) -> object | None:
        """The request that is in progress, None between two."""
        return None if self.cycle is None or self.cycle.response_complete else self.cycle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room for the connection: the one that has waited longest for a request ends."""
        super().connection_made(cast(asyncio.Transport, JoinedWrites(transport)))
        self.waits_since_s, self.answered = self.loop.time(), False
        if len(self.connections) >= self.most:
            idle = [
                one
                for one in self.connections
                if isinstance(one, LimitedConnection) and one.in_work is None and one is not self
            ]
            if idle:
                oldest = min(idle, key=lambda one: one.waits_since_s + ANSWERED_S * one.answered)
                self.connections.discard(oldest)
                oldest.transport.abort()
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Handle what arrived, which may begin a request."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request, or begin it if it is there already."""
        super().on_response_complete()
        self.answered = True
        self._watch()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Leave the connection to the WebSocket, which has limits of its own.

        One that cannot begin, such as with a body or too many header lines, is refused here:
        uvicorn would neither answer nor end it.
        """
        self._end_limit()
        # Long ones, of other programs on this host, would exceed the limit of a line.
        self.headers = [(name, value) for name, value in self.headers if name != b"cookie"]
        super().handle_websocket_upgrade(event)
        protocol = cast(WebSocketsSansIOProtocol, self.transport.get_protocol())
        if not protocol.handshake_initiated:
            self.send_400_response(
                "expected a GET request without a body, of at most 128 header lines of 8 KB"
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """End the limit with the connection."""
        self._end_limit()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Begin a time limit whenever a request begins or ends; single bytes do not prolong it."""
        if self.limited is not self.in_work and self in self.connections:
            self._end_limit()
            self.limited = self.in_work
            self.waits_since_s = self.loop.time()
            seconds = HEADER_S if self.in_work is None else self.response_s
            self.limit = self.loop.call_later(seconds, self.transport.abort)

    def _end_limit(self) -> None:
        if self.limit is not None:
            self.limit.cancel()
