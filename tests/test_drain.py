"""How a server ends: requests in progress are finished, and everybody else hears that it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import httpx
import numpy as np
import pytest
from running import posix_only
from serving import HalfSent, serving, started, until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from emodetect.data.synthetic import draw_scene
from emodetect.machine.interrupts import TERMINATIONS
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.serve.app import create_app
from emodetect.serve.request_analysis import Analysis

PHOTO = cv2.imencode(".jpg", draw_scene(["happy"], np.random.default_rng(0)).image)[1].tobytes()


@contextmanager
def stream_of(address: str) -> Iterator[ClientConnection]:
    """Open a stream that has had its first result."""
    with connect(f"{address.replace('http', 'ws')}/v1/stream", proxy=None) as stream:
        stream.send(PHOTO)
        stream.recv()
        yield stream


def health(address: str) -> tuple[int, dict[str, str]]:
    """Return the status and the body of /healthz."""
    answer = httpx.get(f"{address}/healthz", trust_env=False)
    return answer.status_code, answer.json()


def wait_until_it_drains(address: str) -> None:
    """Return once /healthz says that the server drains."""
    until(lambda: health(address)[0] != 200)
    assert health(address) == (503, {"status": "draining"})


def ends(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a server's end; return its exit status and what it printed since its start."""
    _, told = process.communicate(timeout=60)
    return process.returncode, told


@posix_only
@pytest.mark.usefixtures("hangups_arrive")
def test_a_closed_terminal_ends_the_server_once() -> None:
    """The kernel and the shell each send SIGHUP; the second is no reason to cut anything off."""
    with started() as (process, address):
        request = HalfSent(address, PHOTO)
        process.send_signal(signal.SIGHUP)
        wait_until_it_drains(address)
        process.send_signal(signal.SIGHUP)
        request.send()
        assert request.answer().startswith("HTTP/1.1 200 ")
        assert ends(process)[0] == 0


@pytest.mark.usefixtures("hangups_arrive")
@pytest.mark.parametrize(
    ("sent", "status"),
    [*((number, 0) for number in TERMINATIONS), (signal.SIGINT, 130)],
)
def test_a_signal_lets_requests_in_work_finish(sent: signal.Signals, status: int) -> None:
    """Until the last answer, /healthz says "draining", new requests are refused and none is cut."""
    with started() as (process, address), stream_of(address) as stream:
        assert health(address) == (200, {"status": "ok"})
        request = HalfSent(address, PHOTO)
        process.send_signal(sent)
        wait_until_it_drains(address)
        assert httpx.head(f"{address}/healthz", trust_env=False).status_code == 503
        with pytest.raises(ConnectionClosed) as closed:
            stream.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012  # service restart: connect again
        assert closed.value.rcvd.reason == "the server is shutting down"
        for body in (PHOTO, bytes(8 * 2**20)):
            refused = httpx.post(f"{address}/v1/analyze", content=body, trust_env=False)
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
            assert "shutting down" in refused.json()["detail"]
        with pytest.raises(InvalidStatus, match="503"), stream_of(address):
            pass
        assert httpx.get(f"{address}/metrics", trust_env=False).status_code == 200
        assert process.poll() is None
        request.send()
        answer = request.answer()
        assert answer.startswith("HTTP/1.1 200 OK")
        assert "connection: close" in answer.lower()
        assert json.loads(answer.partition("\r\n\r\n")[2])[0]["faces"]
        found, told = ends(process)
    assert found == status
    assert told.count("\n") == 1
    assert "shutting down: requests and streams in progress: 2, for at most 60 s" in told


def test_an_idle_server_ends_without_a_word() -> None:
    """Without open requests, SIGTERM ends the server, however many clients keep a connection."""
    with started() as (process, address), httpx.Client(trust_env=False) as client:
        assert client.get(f"{address}/healthz").status_code == 200
        process.terminate()
        assert ends(process) == (0, "")


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(second: signal.Signals) -> None:
    """Who does not want to wait sends another signal, of either kind."""
    with started() as (process, address):
        request = HalfSent(address, PHOTO)
        process.terminate()
        wait_until_it_drains(address)
        process.send_signal(second)
        assert process.wait(10) == -second
        request.socket.close()


def test_the_time_to_drain_is_bounded() -> None:
    """What does not end in time is refused like a new request, and the exit status says so."""
    with started("--drain-timeout", "1") as (process, address):
        request = HalfSent(address, PHOTO)
        process.terminate()
        assert request.answer().startswith("HTTP/1.1 503 Service Unavailable")
        found, told = ends(process)
    assert found == 1
    _, error = told.splitlines()
    assert error.startswith("error: requests and streams cut off: 1, because")
    assert "--drain-timeout" in error


def test_the_time_to_drain_suffices_for_all_requests_within_their_limits() -> None:
    """By default it is the time to receive a request and the time to respond."""
    with started("--timeout", "3") as (process, address):
        request = HalfSent(address, PHOTO)
        process.terminate()
        assert request.answer().startswith("HTTP/1.1 408")
        found, told = ends(process)
    assert found == 0
    assert "for at most 6 s" in told


def test_frames_in_work_get_their_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """The frames that a stream has in work at the drain are answered before it is closed."""
    entered, opened = threading.Event(), threading.Event()
    track = Analysis._track

    def waiting(*arguments: object) -> object:
        entered.set()
        opened.wait(60)
        return track(*arguments)

    app = create_app(EmotionRecognizer(threads=1))

    async def begin() -> None:
        app.state.services.drain.begin(30)

    app.add_api_route("/begin", begin)
    with serving(app) as client, stream_of(str(client.base_url).rstrip("/")) as stream:
        monkeypatch.setattr(Analysis, "_track", waiting)
        stream.send(PHOTO)
        assert entered.wait(60)
        for _ in range(2):  # wait for the end of the other, the last in the place of the first
            stream.send(PHOTO)
        assert stream.ping().wait(60)  # so the frame has arrived
        time.sleep(0.2)
        client.get("/begin")
        opened.set()
        assert [json.loads(stream.recv())["frame"] for _ in range(2)] == [1, 3]
        with pytest.raises(ConnectionClosed, match="1012"):
            stream.recv(timeout=10)


def test_the_analysis_is_closed_with_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is queued is finished, and its threads end."""
    closed: list[Analysis] = []
    monkeypatch.setattr(Analysis, "close", lambda analysis: closed.append(analysis))
    with serving(create_app(EmotionRecognizer(threads=1))):
        assert not closed
    assert len(closed) == 1
