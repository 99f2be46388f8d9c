"""Run the server, from opening the socket to the last response."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import ipaddress
import logging
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any, cast

import cv2
import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import HANDLED_SIGNALS

from emodetect.errors import EmodetectError
from emodetect.machine.computer import usable_cores
from emodetect.machine.interrupts import HANGUPS, handled
from emodetect.machine.quiet_libraries import quiet_libraries
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.serve.access import TOKEN_VARIABLE, check_token
from emodetect.serve.app import create_app
from emodetect.serve.limits import FRAME_BYTES, Limits
from emodetect.serve.routes import Services

MOST_CONNECTIONS = 512
# asyncio accepts as many connections at once before it reads from any of them. Far fewer than there
# may be, or the first of a burst would make room before the request that they sent is read.
ACCEPTED_AT_ONCE = 128
# Logged as errors by uvicorn, the first with a traceback.
CLIENTS_MESSAGES = (
    "Invalid UTF-8 sequence",
    "ASGI callable returned without completing",  # a response cut off, a WebSocket refused
    "Cancel ",  # and how many responses, which nobody reads
)
# From the connection, or the last response, to the end of a request's header. Clients keep a
# connection for less (httpx for 5 s), and so do not send a request while it is being ended.
HEADER_S = 10.0
# A connection on which a request has been answered counts as this much younger when another must
# make room: a client that asks again and again is not ended between two requests.
ANSWERED_S = 2.0
# A client that takes none of what is sent for so long is cut off. asyncio would wait for it even
# after it has closed the connection.
UNREAD_S = 30.0
# A shorter token could be guessed.
SHORT_TOKEN = 16
# glibc's names for two of its settings, and the size in bytes from which memory goes back.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, GIVEN_BACK_BYTES = -1, -3, 2**20
# What calling glibc raises with another system's C library; Windows gives no library by that name.
NOT_GLIBC = (OSError, AttributeError, TypeError)
# After large photos, the gaps between smaller blocks are given back too, once no request is open.
TRIM_EVERY_TICKS = 50  # of 0.1 s


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """What to serve, where, and with which limits.

    Attributes:
        host: the address to listen on; "0.0.0.0" for all addresses of this machine.
        port: 0 picks a free one.
        token: what clients must send; None accepts every request.
        without_token: accept every request even if other machines can reach the address.
        allow_hosts: names under which clients reach the server, besides numeric addresses, names
            without a dot, `host` and this machine's name; with a token, all are accepted.
        trusted_proxies: addresses or networks of proxies whose X-Forwarded-For names the client,
            for `limits.per_client`; from other addresses, the header is ignored.
        workers: see `Analysis`.
        limits: how much a request and a client may ask for.
        drain_s: time in seconds to finish what is in progress when the server ends; None for twice
            `limits.seconds`, in which every request within its limits is answered.

    Raises EmodetectError for a token that an HTTP header cannot carry, and for a proxy without an
    address.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    without_token: bool = False
    allow_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    workers: int | None = None
    limits: Limits = field(default_factory=Limits)
    drain_s: float | None = None

    def __post_init__(self) -> None:
        if self.token is not None:
            check_token(self.token)
        for proxy in self.trusted_proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError as error:
                raise EmodetectError(
                    f"--trusted-proxy: expected the address of a proxy, such as 10.0.0.2, or a "
                    f"network, such as 10.0.0.0/24; got {proxy!r}: {error}."
                ) from None


def spellings(proxy: str) -> list[str]:
    """Return the ways in which a proxy's address, or a network, may be that of a connection.

    On a socket for both versions of IP (`--host ::`), IPv4 addresses are mapped to IPv6.
    """
    network = ipaddress.ip_network(proxy)
    if network.version == 6:
        return [proxy]
    return [proxy, f"::ffff:{network.network_address}/{96 + network.prefixlen}"]


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address; port 0 picks a free port, "::" is all addresses.

    Raises EmodetectError for an address that is not available.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        dual = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        listening = socket.create_server(address[:2], family=family, dualstack_ipv6=dual)
    except (OSError, UnicodeError) as error:  # the latter for an invalid host name
        raise EmodetectError(
            f"{host}:{port}: cannot listen here: {getattr(error, 'strerror', None) or error}; "
            "choose another --host or --port."
        ) from None
    # Otherwise the body of a response waits about 40 ms until the client has acknowledged the
    # header. asyncio only does this for sockets that it creates.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * UNREAD_S))
    return listening


def serve(
    options: ServerOptions,
    open_recognizer: Callable[..., EmotionRecognizer] = EmotionRecognizer,
    *,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP, then drain (see `drain`) and return.

    A second signal ends the process at once.

    Args:
        open_recognizer: opens the recogniser, with a keyword `threads`.
        announce: called with a line that contains the server's address, once it is known,
            and with a line at the beginning of a drain if anything is in progress.

    Raises:
        EmodetectError: for an address that is not available, or that other machines can reach
            without a token although `without_token` is not set; and if something in progress had to
            be cut off because the time to drain was over.
        ModelError: for a model that cannot be used.
        KeyboardInterrupt: after a drain that SIGINT began.
    """
    with open_socket(options.host, options.port) as listening:
        loopback = ipaddress.ip_address(listening.getsockname()[0]).is_loopback
        if options.token is None and not options.without_token and not loopback:
            raise EmodetectError(
                f"{options.host}: other machines can reach this address, so clients need a token: "
                f"set {TOKEN_VARIABLE} or add --token-file FILE. To serve everyone, add "
                "--without-token."
            )
        # The workers need cores too.
        recognizer = open_recognizer(threads=max(1, usable_cores() // 2))
        app = create_app(
            recognizer,
            limits=options.limits,
            token=options.token,
            # Without a token, only the host name tells our page from one of another site. A
            # proxy's clients use other names, but have the token.
            hosts=None if options.token is not None else _own_names(options),
            workers=options.workers,
        )
        name = f"[{options.host}]" if ":" in options.host else options.host
        port = listening.getsockname()[1]
        announce(f"{recognizer.metadata.name} at http://{name}:{port} (Ctrl-C to stop)")
        if options.token is None and not loopback:
            announce(
                f"warning: everyone who can reach {options.host} can use this server, without a "
                "token; requests must name it by an address, a name without a dot, or --allow-host"
            )
        elif options.token is not None and len(options.token) < SHORT_TOKEN:
            announce(
                f"warning: a token of fewer than {SHORT_TOKEN} characters can be guessed; "
                "`openssl rand -hex 16` prints a better one"
            )
        _silence_what_clients_cause()
        _give_memory_back()
        connections = _allow_open_files()
        with quiet_libraries():  # where decoders print about each damaged image
            _run(app, listening, connections, options, announce)


def _own_names(options: ServerOptions) -> tuple[str, ...]:
    name = socket.gethostname()
    return (options.host, name, f"{name}.local", *options.allow_hosts)


def _allow_open_files() -> int:
    """Raise the limit of open files, which on macOS is 256, to twice that of connections.

    Returns how many connections there may be: half of what the system allows, at most
    MOST_CONNECTIONS. Without room for one more, none could be ended in favour of another.
    """
    if sys.platform == "win32":
        return MOST_CONNECTIONS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    least = 2 * MOST_CONNECTIONS
    if hard != resource.RLIM_INFINITY:
        least = min(least, hard)
    if soft != resource.RLIM_INFINITY and soft < least:
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, hard))
    return min(MOST_CONNECTIONS, max(1, least // 2))


def _give_memory_back() -> None:
    """Let glibc give large blocks back to the system when they are freed.

    By default it keeps blocks of up to 32 MB, and with several threads a heap for each.
    """
    with contextlib.suppress(*NOT_GLIBC):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, GIVEN_BACK_BYTES)
        library.mallopt(M_TRIM_THRESHOLD, GIVEN_BACK_BYTES)


def _trim_memory() -> None:
    """Let glibc give back all pages on which nothing is left."""
    with contextlib.suppress(*NOT_GLIBC):
        ctypes.CDLL(None).malloc_trim(0)


def _silence_what_clients_cause() -> None:
    """Do not log errors in requests: the client gets them, and the log would fill the disk."""
    for name in ("python_multipart", "PIL"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn.error").addFilter(_is_worth_logging)
    warnings.filterwarnings("ignore", module="PIL")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Filter out text of a WebSocket that is not UTF-8, and responses that a drain has cut off."""
    return not record.getMessage().startswith(CLIENTS_MESSAGES) and not (
        record.exc_info and record.exc_info[0] is asyncio.CancelledError
    )


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


class _LimitedConnection(H11Protocol):
    """A connection that neither waits for a request's header, nor responds, for ever.

    Args:
        response_s: time in seconds to receive a request's body and to respond.
        most: connections at a time.
    """

    def __init__(self, *, response_s: float, most: int = MOST_CONNECTIONS, **settings: Any) -> None:
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
                if isinstance(one, _LimitedConnection) and one.in_work is None and one is not self
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


class _DrainingServer(uvicorn.Server):
    """Drains after the first signal; the next one has its usual effect."""

    def __init__(
        self,
        config: uvicorn.Config,
        services: Services,
        seconds: float,
        announce: Callable[[str], None],
    ) -> None:
        super().__init__(config)
        self.drain, self.analysis = services.drain, services.analysis
        self.seconds, self.announce = seconds, announce
        self.signal: int | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, which knows no SIGHUP, that of a terminal that is closed."""
        with handled(HANGUPS, self.handle_exit), super().capture_signals():
            yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note the first signal, for the event loop."""
        self.signal = self.signal or sig
        for one in HANDLED_SIGNALS:
            signal.signal(one, signal.SIG_DFL)

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop; called every 0.1 s."""
        memory = self.analysis.memory
        if counter % TRIM_EVERY_TICKS == 0 and memory.was_large and not self.analysis.taken_on:
            memory.was_large = False
            await asyncio.to_thread(_trim_memory)
        if self.signal is not None and not self.drain.begun.is_set():
            if self.drain.in_work:
                self.announce(
                    "shutting down: requests and streams in progress: "
                    f"{len(self.drain.in_work)}, for at most {self.seconds:g} s "
                    "(a second signal stops at once)"
                )
            self.drain.begin(self.seconds)
        return await super().on_tick(counter) or self.drain.is_over


def _run(
    app: FastAPI,
    listening: socket.socket,
    connections: int,
    options: ServerOptions,
    announce: Callable[[str], None],
) -> None:
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="error",
        # Bodies and responses have limits of their own; this one is for clients that don't read.
        http=partial(  # type: ignore[arg-type]
            _LimitedConnection,
            response_s=3 * options.limits.seconds + HEADER_S,
            most=connections,
        ),
        ws="websockets-sansio",
        # uvicorn closes without a reason beyond this; `Streams` gives one beyond FRAME_BYTES.
        ws_max_size=2 * FRAME_BYTES,
        ws_per_message_deflate=False,
        limit_concurrency=connections,
        backlog=ACCEPTED_AT_ONCE,
        timeout_keep_alive=int(HEADER_S),
        server_header=False,
        proxy_headers=bool(options.trusted_proxies),
        forwarded_allow_ips=[
            spelling for proxy in options.trusted_proxies for spelling in spellings(proxy)
        ],
        # What is in progress has ended by then, except for clients that don't read.
        timeout_graceful_shutdown=1,
    )
    seconds = 2 * options.limits.seconds if options.drain_s is None else options.drain_s
    services: Services = app.state.services
    server = _DrainingServer(config, services, seconds, announce)
    server.run(sockets=[listening])
    cut_off = services.drain.cut_off
    if cut_off:
        raise EmodetectError(
            f"requests and streams cut off: {cut_off}, because they did not end within "
            f"{seconds:g} s of the signal. Allow more time with --drain-timeout."
        )
    if server.signal == signal.SIGINT:
        raise KeyboardInterrupt
