"""Run the server, from opening the socket to the last response."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import cv2
import uvicorn
from fastapi import FastAPI

from emodetect.errors import EmodetectError
from emodetect.machine.computer import usable_cores
from emodetect.machine.quiet_libraries import quiet_libraries
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.serve.access import TOKEN_VARIABLE, check_host_name, check_token
from emodetect.serve.app import create_app
from emodetect.serve.limits import FRAME_BYTES, Limits
from emodetect.serve.process.connections import HEADER_S, LimitedConnection
from emodetect.serve.process.draining_server import DrainingServer
from emodetect.serve.process.listening import allow_open_files, open_socket, spellings
from emodetect.serve.process.memory import give_memory_back
from emodetect.serve.routes import Services

# asyncio accepts as many connections at once before it reads from any of them. Far fewer than there
# may be, or the first of a burst would make room before the request that they sent is read.
ACCEPTED_AT_ONCE = 128
# Logged as errors by uvicorn, the first with a traceback.
CLIENTS_MESSAGES = (
    "Invalid UTF-8 sequence",
    "ASGI callable returned without completing",  # a response cut off, a WebSocket refused
    "Cancel ",  # and how many responses, which nobody reads
)
# A shorter token could be guessed.
SHORT_TOKEN = 16


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

    Raises EmodetectError for a token that an HTTP header cannot carry, for a proxy without an
    address, and for a host that is no name.
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
        for name in self.allow_hosts:
            check_host_name(name)
        for proxy in self.trusted_proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError as error:
                raise EmodetectError(
                    f"--trusted-proxy: expected the address of a proxy, such as 10.0.0.2, or a "
                    f"network, such as 10.0.0.0/24; got {proxy!r}: {error}."
                ) from None


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
        give_memory_back()
        connections = allow_open_files()
        with quiet_libraries():  # where decoders print about each damaged image
            _run(app, listening, connections, options, announce)


def _own_names(options: ServerOptions) -> tuple[str, ...]:
    name = socket.gethostname()
    return (options.host, name, f"{name}.local", *options.allow_hosts)


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
            LimitedConnection,
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
    server = DrainingServer(config, services, seconds, announce)
    server.run(sockets=[listening])
    cut_off = services.drain.cut_off
    if cut_off:
        raise EmodetectError(
            f"requests and streams cut off: {cut_off}, because they did not end within "
            f"{seconds:g} s of the signal. Allow more time with --drain-timeout."
        )
    if server.signal == signal.SIGINT:
        raise KeyboardInterrupt
