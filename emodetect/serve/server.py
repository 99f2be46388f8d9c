"""The server's life, from the socket to the last answer."""

from __future__ import annotations

import ipaddress
import logging
import math
import socket
import warnings

import cv2
import uvicorn
from fastapi import FastAPI

from emodetect.errors import EmodetectError
from emodetect.machine.quiet_libraries import quiet_libraries
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.serve.app import LOOPBACK_NAMES, create_app
from emodetect.serve.limits import FRAME_BYTES, Limits

MOST_CONNECTIONS = 512


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
