"""Who may send requests: no pages of other sites, and with a token only clients that know it."""

from __future__ import annotations

import codecs
import hmac
import ipaddress
import os
import re
from base64 import urlsafe_b64decode
from collections.abc import Collection, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emodetect.errors import EmodetectError

TOKEN_VARIABLE = "EMODETECT_TOKEN"
# A web page cannot set the headers of a WebSocket, but it can name subprotocols: this one, and
# TOKEN_PROTOCOL followed by the token in URL-safe base64 without padding.
PROTOCOL = "emodetect"
TOKEN_PROTOCOL = "emodetect.token."
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def read_token(file: Path | None = None) -> str | None:
    """Return the token that a file contains, or else the environment variable EMODETECT_TOKEN.

    Returns None if there is neither. Raises EmodetectError for a file that cannot be read, and as
    `check_token`.
    """
    try:
        text = os.environ.get(TOKEN_VARIABLE) if file is None else _decoded(file.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise EmodetectError(f"{file}: cannot read the token: {error}.") from None
    if text is None:
        return None
    token = text.strip()
    check_token(token, origin=str(file or TOKEN_VARIABLE))
    return token


def _decoded(content: bytes) -> str:
    # PowerShell writes UTF-16 with a mark; "UTF-8" of Windows has one, too.
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if marked else "utf-8-sig")


def check_token(token: str, *, origin: str = "token") -> None:
    """Raise EmodetectError for a token that an HTTP header cannot carry."""
    if not token or not token.isascii() or not token.isprintable():
        found = "something else" if token else "nothing"
        raise EmodetectError(
            f"{origin}: expected a token, one line of printable ASCII characters, got {found}."
        )


# As browsers send it: other letters are written in ASCII, as xn--.
HOST_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?", re.IGNORECASE | re.ASCII)


def check_host_name(name: str) -> None:
    """Raise EmodetectError for what is no host name, which no request could have."""
    if not HOST_NAME.fullmatch(name):
        raise EmodetectError(
            "--allow-host: expected one name such as emotions.example, in ASCII, without port, "
            f"path or wildcard; got {name!r}."
        )


def _host_of(place: str) -> str | None:
    """Return the name in NAME:PORT, in lower case; None if there is none."""
    try:
        return urlsplit(f"//{place}").hostname
    except ValueError:
        return None


class KnownHosts:
    """Middleware that refuses requests whose Host is a name that someone else may own.

    Such a name may be of a site that attacks the server through its visitor's browser: the site
    first has its own address, and then the server's (DNS rebinding). Numeric addresses and names
    without a dot cannot be such.

    Args:
        names: further names under which clients reach the server.
    """

    def __init__(self, app: ASGIApp, *, names: Sequence[str]) -> None:
        self.app, self.names = app, frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request or a WebSocket."""
        if scope["type"] not in ("http", "websocket") or self._knows(Headers(scope=scope)):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})  # before it is accepted: 403
        else:
            reason = "unknown host name; start the server with --allow-host NAME to use this one"
            await JSONResponse({"detail": reason}, 400)(scope, receive, send)

    def _knows(self, headers: Headers) -> bool:
        name = _host_of(headers.get("host", ""))
        if name is None:
            return False
        return name in self.names or (name and "." not in name) or _is_numeric(name)


def _is_numeric(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Guard:
    """Middleware that refuses unauthorised requests and adds security headers for browsers.

    Args:
        token: expected in `Authorization: Bearer`; None accepts every request.
        open_paths: paths that need no token.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, open_paths: Collection[str]) -> None:
        self.app, self.token, self.open_paths = app, token, frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request or a WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope, Headers(scope=scope))
        if refusal is not None and scope["type"] == "websocket":
            await send({"type": "websocket.close"})  # before it is accepted: 403
            return
        await (refusal or self.app)(scope, receive, with_headers)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        origin = headers.get("origin")
        if origin is not None and not _is_of(origin, headers.get("host")):
            return JSONResponse({"detail": "requests from other sites are refused"}, 403)
        if self.token is None or scope["path"] in self.open_paths:
            return None
        if not hmac.compare_digest(_given_token(headers), self.token.encode()):
            return JSONResponse(
                {"detail": "expected the header Authorization: Bearer with this server's token"},
                401,
                {"WWW-Authenticate": "Bearer"},
            )
        return None


def _is_of(origin: str, host: str | None) -> bool:
    try:
        return urlsplit(origin).netloc == host
    except ValueError:  # not a URL
        return False


def _given_token(headers: Headers) -> bytes:
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token.strip().encode("latin-1")  # the bytes as received
    for protocol in headers.get("sec-websocket-protocol", "").split(","):
        coded = protocol.strip()
        if coded.startswith(TOKEN_PROTOCOL):
            coded = coded.removeprefix(TOKEN_PROTOCOL)
            try:
                return urlsafe_b64decode(coded + "=" * (-len(coded) % 4))
            except ValueError:
                return b""
    return b""
