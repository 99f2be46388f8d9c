"""Connections that only wait keep nobody out of the server; nor do other sites get in."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest
from serving import serving, started, until

from emodetect.model_file.shipped_models import shipped_models
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.serve.app import create_app
from emodetect.serve.process import connections
from emodetect.serve.process.connections import LimitedConnection

HALF_A_HEADER = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


def connected(client: httpx.Client, data: bytes = b"") -> socket.socket:
    """Open a connection, send the beginning of a request, and wait for at most 10 s."""
    one = socket.create_connection((client.base_url.host, client.base_url.port), timeout=10)
    one.sendall(data)
    return one


def test_idle_connections_lock_nobody_out() -> None:
    """More idle connections and half-sent headers than the server takes end for honest clients."""
    with (
        started() as (_, address),
        httpx.Client(base_url=address, trust_env=False) as client,
        ExitStack() as stack,
    ):
        for number in range(700):
            stack.enter_context(connected(client, HALF_A_HEADER * (number % 2)))
        for _ in range(20):
            with httpx.Client(base_url=address, trust_env=False) as other:
                assert other.get("/healthz").status_code == 200


def test_a_client_is_not_ended_between_two_requests() -> None:
    """Many new connections end each other, not the one on which a client asks again and again.

    Connections that have been answered make room too, once nothing else is left.
    """
    app = create_app(EmotionRecognizer(threads=1))
    protocol = partial(LimitedConnection, response_s=30, most=20)
    request = HALF_A_HEADER + b"\r\n"
    with serving(app, http=protocol) as client, ExitStack() as stack:
        answered = client.get("/healthz").text.encode()
        asking = stack.enter_context(connected(client, request))
        assert asking.recv(10_000).endswith(answered)
        for _ in range(3):
            for _ in range(30):
                stack.enter_context(connected(client))
            asking.sendall(request)
            assert asking.recv(10_000).endswith(answered)
        for _ in range(30):
            one = stack.enter_context(connected(client, request))
            assert one.recv(10_000).endswith(answered)


def test_waiting_connections_have_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends those that send nothing, or half a header byte by byte; not those that ask."""
    monkeypatch.setattr(connections, "HEADER_S", 0.5)
    app = create_app(EmotionRecognizer(threads=1))
    protocol = partial(LimitedConnection, response_s=30, most=100)
    with serving(app, http=protocol) as client, ExitStack() as stack:
        answered = client.get("/healthz").text
        # The last sends half of a second request.
        sent = (b"", HALF_A_HEADER, HALF_A_HEADER + b"\r\n" + HALF_A_HEADER)
        waiting = [stack.enter_context(connected(client, data)) for data in sent]
        drop = waiting[1]

        def is_refused() -> bool:
            time.sleep(0.1)
            try:
                drop.sendall(b"X")
            except OSError:
                return True
            return False

        until(is_refused)
        assert waiting[0].recv(1) == b""
        assert waiting[2].recv(10_000).endswith(answered.encode())
        assert waiting[2].recv(1) == b""
        assert client.get("/healthz").text == answered


UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (b"", b"101"),
        (b"Content-Length: 3\r\n", b"400"),
        (b"Transfer-Encoding: chunked\r\n", b"400"),
        (b"X: 1\r\n" * 150, b"400"),
        (b"X: %s\r\n" % (b"1" * 9000), b"400"),
        # Those of all ports of this host, which the page cannot help to send.
        (b"Cookie: %s\r\n" % (b"1" * 9000), b"101"),
    ],
)
def test_a_websocket_that_cannot_begin_is_refused(more: bytes, status: bytes) -> None:
    """Otherwise it would wait for ever, and take the place of a client."""
    app = create_app(EmotionRecognizer(threads=1))
    protocol = partial(LimitedConnection, response_s=30, most=100)
    line = b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n"
    with serving(app, http=protocol) as client:
        with connected(client, line + UPGRADE + more + b"\r\n") as one:
            answer = one.recv(10_000)
            assert answer.startswith(b"HTTP/1.1 " + status)
            if status != b"101":
                while one.recv(10_000):  # until it is closed
                    pass
        assert client.get("/healthz").status_code == 200


def test_the_card_is_that_of_the_model_that_is_served(tmp_path: Path) -> None:
    """Whatever becomes of the model's file, /v1/model describes the model that was opened."""
    model = tmp_path / "own.keras"
    shutil.copyfile(shipped_models()["ferplus"], model)
    with serving(create_app(EmotionRecognizer(model, threads=1))) as client:
        before = client.get("/v1/model").json()
        shutil.copyfile(shipped_models()["fer2013"], model)
        assert client.get("/v1/model").json() == before
        model.unlink()
        assert client.get("/v1/model").json() == before
    assert before["name"] == "ferplus"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("192.168.0.7:8000", 200),
        ("[fe80::1]:8000", 200),
        ("localhost", 200),
        ("emodetect:8000", 200),
        (socket.gethostname(), 200),
        ("faces.example", 200),
        ("evil.example", 400),
        ("evil.example:8000", 400),
        ("192.168.0.7.evil.example", 400),
        ("", 400),
        ("[", 400),
    ],
)
def test_without_a_token_only_own_names_are_served(
    everyone: httpx.Client, host: str, status: int
) -> None:
    """A name that someone else may own is refused: a page of that name could use the server."""
    assert everyone.get("/v1/model", headers={"Host": host}).status_code == status


@pytest.fixture(scope="module")
def everyone() -> Iterator[httpx.Client]:
    """A client of a server that other machines can reach, without a token."""
    words = ("--host", "0.0.0.0", "--without-token", "--allow-host", "faces.example")
    with started(*words) as (process, address):
        assert process.stderr is not None
        told = process.stderr.readline()
        assert told.startswith("warning: everyone who can reach 0.0.0.0 can use this server")
        with httpx.Client(base_url=address.replace("0.0.0.0", "127.0.0.1"), trust_env=False) as one:
            yield one


def test_a_token_that_can_be_guessed_is_told(tmp_path: Path) -> None:
    """One letter is no secret."""
    (tmp_path / "token").write_text("x")
    with started("--token-file", str(tmp_path / "token")) as (process, _):
        assert process.stderr is not None
        assert process.stderr.readline().startswith("warning: a token of fewer than 16 characters")
