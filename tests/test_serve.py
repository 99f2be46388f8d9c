"""The HTTP server: its responses, its refusals, and how it stops."""

from __future__ import annotations

import asyncio
import base64
import ctypes
import html
import io
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from heic import HEIC
from PIL import Image
from running import posix_only, run_python
from serving import HalfSent, serving, started, until
from starlette.websockets import WebSocket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect

from emodetect.cli import app as command_line
from emodetect.data.synthetic import draw_film, draw_scene
from emodetect.errors import EmodetectError, ModelError
from emodetect.faces.detectors.haar import HaarDetector
from emodetect.images import reading
from emodetect.recognition.face import Face
from emodetect.recognition.recognizer import EmotionRecognizer, EmotionTracker
from emodetect.recognition.runtimes.runtime import MAX_BATCH
from emodetect.serve import stream, uploads
from emodetect.serve.access import read_token
from emodetect.serve.app import create_app
from emodetect.serve.batching import BatchingRuntime
from emodetect.serve.limits import FRAME_BYTES, Limits
from emodetect.serve.process import memory
from emodetect.serve.process.connections import JoinedWrites
from emodetect.serve.process.listening import open_socket
from emodetect.serve.request_analysis import Analysis
from emodetect.serve.server import ServerOptions
from emodetect.serve.web.card_html import card_html
from emodetect.serve.web.page_files import PAGE_FILES
from emodetect.serve.web.schemas import ModelAnswer, PhotoRow

TOKEN = "open sesame+/=, open"


@pytest.fixture(scope="module")
def photo() -> bytes:
    """A drawn photo of one face, as a JPEG."""
    return jpeg(draw_scene(["happy"], np.random.default_rng(0)).image)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of a server with the default limits, except for fewer bytes and pixels."""
    limits = Limits(body_bytes=3 * 2**20, pixels=1_000_000, images=4)
    with serving(create_app(EmotionRecognizer(threads=1), limits=limits)) as one:
        yield one


@pytest.fixture(scope="module")
def guarded() -> Iterator[httpx.Client]:
    """A client of a server with a token that has a name, too."""
    recognizer = EmotionRecognizer(threads=1)
    with serving(create_app(recognizer, token=TOKEN, hosts=["Emotions.Example"])) as one:
        yield one


class Gate:
    """Holds face detection until it is opened.

    Attributes:
        reached: set once a detection waits.
    """

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def wait(self) -> None:
        """Return once the gate is open."""
        self.reached.set()
        assert self.opened.wait(60)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """The gate of servers that are created after it."""
    gate = Gate()

    class Waiting(HaarDetector):
        def detect(self, image: np.ndarray) -> list:
            gate.wait()
            return super().detect(image)

        def scan(self, image: np.ndarray) -> list:
            gate.wait()
            return super().scan(image)

    monkeypatch.setattr("emodetect.recognition.recognizer.open_detector", lambda name: Waiting())
    return gate


def jpeg(image: np.ndarray) -> bytes:
    """Return an image as a JPEG."""
    return cv2.imencode(".jpg", image)[1].tobytes()


def png_header(width: int, height: int) -> bytes:
    """Return a PNG whose header claims this size, with only a few of the pixels."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(1000))),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def many(*files: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    """Return the files of a multipart request."""
    return [("files", file) for file in files]


def stream_of(client: httpx.Client, **options: object) -> ClientConnection:
    """Open a stream of a server."""
    address = str(client.base_url.join("/v1/stream")).replace("http", "ws", 1)
    return connect(address, proxy=None, **options)


def close_of(stream: ClientConnection) -> Close:
    """Return the code and the reason that the server closes a stream with."""
    with pytest.raises(ConnectionClosed) as closed:
        stream.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd


def test_rows_are_those_of_predict(client: httpx.Client, photo: bytes, tmp_path: Path) -> None:
    """Photos get the same rows as from `predict --format json`, in order, with Unicode names."""
    names = ["gr\u00fc\u00dfe \u732b.jpg", "second.jpg"]
    for name in names:
        (tmp_path / name).write_bytes(photo)
    arguments = ["predict", *(str(tmp_path / name) for name in names), "--format", "json"]
    told = CliRunner().invoke(command_line, arguments, catch_exceptions=False).stdout
    expected = [row | {"path": Path(row["path"]).name} for row in json.loads(told)]
    answer = client.post("/v1/analyze", files=many(*((name, photo) for name in names)))
    assert answer.status_code == 200
    assert answer.json() == expected
    assert len(expected[0]["faces"]) == 1


def test_a_file_name_may_be_in_any_encoding(client: httpx.Client, photo: bytes) -> None:
    """A photo whose name is no UTF-8 gets its row, with a name that JSON can hold."""
    header = b'--x\r\nContent-Disposition: form-data; name="files"; filename="\xfc.jpg"\r\n\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    form = header + photo + b"\r\n--x--\r\n"
    (row,) = client.post("/v1/analyze", content=form, headers=kind).json()
    assert (row["path"], row["error"]) == ("\N{REPLACEMENT CHARACTER}.jpg", None)


def test_a_raw_body_is_one_photo(client: httpx.Client, photo: bytes) -> None:
    """A body that is not a multipart form is a photo, whatever content type curl sends."""
    for kind in ("image/jpeg", "application/x-www-form-urlencoded"):
        answer = client.post("/v1/analyze", content=photo, headers={"Content-Type": kind})
        (row,) = answer.json()
        assert (answer.status_code, row["width"], row["height"]) == (200, 640, 480)


def test_photos_of_telephones_and_browsers_are_read(client: httpx.Client) -> None:
    """HEIC, AVIF, GIF, JPEG 2000 and PNM uploads get rows like JPEG ones."""
    photos = [HEIC["turned"]]
    for kind in ("AVIF", "GIF", "JPEG2000", "PPM"):
        file = io.BytesIO()
        Image.new("RGB", (80, 120)).save(file, format=kind)
        photos.append(file.getvalue())
    for data in photos:
        (row,) = client.post("/v1/analyze", content=data).json()
        assert (row["width"], row["height"], row["error"]) == (80, 120, None)


def test_a_preview_is_upright_and_small(client: httpx.Client, photo: bytes) -> None:
    """On request, one photo's row has a JPEG of it; results are otherwise the same."""
    wide = jpeg(np.full((600, 1600, 3), 127, np.uint8))
    for data, size in ((HEIC["turned"], (80, 120)), (photo, (640, 480)), (wide, (1280, 480))):
        (row,) = client.post("/v1/analyze?preview=true", content=data).json()
        preview = Image.open(io.BytesIO(base64.b64decode(row.pop("preview"))))
        assert (preview.format, preview.size) == ("JPEG", size)
        assert [row] == client.post("/v1/analyze?preview=false", content=data).json()
    answer = client.post("/v1/analyze?preview=true", content=b"text")
    assert (answer.status_code, answer.json()[0]["preview"]) == (422, None)


def test_requests_for_previews_are_bounded(client: httpx.Client, photo: bytes) -> None:
    """Several images with previews, and another value of the parameter, are refused clearly."""
    two = many(("a", photo), ("b", photo))
    for value, files, said in (
        ("true", two, "expected one image with preview=true, got 2; send each alone"),
        ("large", two[:1], "preview: expected true or false, got 'large'"),
    ):
        answer = client.post(f"/v1/analyze?preview={value}", files=files)
        assert (answer.status_code, answer.json()) == (400, {"detail": said})


def test_crops_are_a_face_each(client: httpx.Client, photo: bytes) -> None:
    """/v1/classify treats each image as one face, without face detection."""
    blank = jpeg(np.full((50, 40, 3), 127, np.uint8))
    rows = client.post("/v1/classify", files=many(("a", blank), ("b", photo))).json()
    assert [row["faces"][0]["box"] for row in rows] == [[0, 0, 40, 50], [0, 0, 640, 480]]
    assert client.post("/v1/analyze", content=blank).json()[0]["faces"] == []


def test_no_address_leads_to_another(client: httpx.Client, photo: bytes) -> None:
    """Behind a proxy with the certificate, that would send the photo again without encryption."""
    assert client.post("/v1/analyze/", content=photo).status_code == 404
    assert client.get("/v1/model/").status_code == 404


def test_what_is_no_image_has_an_error(client: httpx.Client, photo: bytes) -> None:
    """A file that is not an image has an error in its row; if all files are, the status is 422."""
    text = ("notes.txt", b"hello")
    answer = client.post("/v1/analyze", files=many(("a.jpg", photo), text, ("b.jpg", b"")))
    assert answer.status_code == 200
    assert [row["error"] is None for row in answer.json()] == [True, False, False]
    assert answer.json()[2]["error"] == "the file is empty"
    answer = client.post("/v1/analyze", files=many(text))
    assert answer.status_code == 422
    assert "not an image" in answer.json()[0]["error"]


@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (1_001, 1_000), (65_000, 1_500)])
def test_too_many_pixels_are_refused_before_decoding(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, width: int, height: int
) -> None:
    """A small file that claims too many pixels never reaches a decoder."""
    monkeypatch.setattr(reading, "decode_image", None)
    answer = client.post("/v1/analyze", content=png_header(width, height))
    assert answer.status_code == 422
    assert "too large" in answer.json()[0]["error"]


def test_boxes_of_a_reduced_photo_are_in_its_own_pixels(client: httpx.Client) -> None:
    """A JPEG beyond the limit is decoded reduced; its size and boxes are those of the whole."""
    scene = draw_scene(["happy"], np.random.default_rng(0)).image
    enlarged = cv2.resize(scene, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    (small,) = client.post("/v1/analyze", content=jpeg(scene)).json()
    (large,) = client.post("/v1/analyze", content=jpeg(enlarged)).json()
    assert (large["width"], large["height"], large["error"]) == (2560, 1920, None)
    expected = 4 * np.array(small["faces"][0]["box"])
    assert np.abs(large["faces"][0]["box"] - expected).max() < 80
    (crop,) = client.post("/v1/classify", content=jpeg(enlarged)).json()
    assert crop["faces"][0]["box"] == [0, 0, 2560, 1920]
    with stream_of(client) as stream:
        for _ in range(4):  # a new face is one from the fourth frame on
            stream.send(jpeg(enlarged))
            row = json.loads(stream.recv())
    assert row["width"] == 2560
    assert np.abs(row["faces"][0]["box"] - expected).max() < 80


def test_cut_uploads_are_told(client: httpx.Client, photo: bytes) -> None:
    """A truncated photo has an error in its row; a truncated form is refused as a whole."""
    answer = client.post("/v1/analyze", content=photo[:-500])
    assert "cut short" in answer.json()[0]["error"]
    form = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' + photo
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post("/v1/analyze", content=form, headers=kind)
    assert answer.status_code == 400
    assert "cut short" in answer.json()["detail"]
    first = form.replace(b"\r\n\r\n" + photo, b"\r\n\r\n" + photo + b"\r\n")
    answer = client.post("/v1/analyze", content=first + form, headers=kind)
    assert answer.status_code == 400
    assert "cut short" in answer.json()["detail"]
    with socket.create_connection((client.base_url.host, client.base_url.port)) as cut:
        cut.sendall(b"POST /v1/analyze HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\nx")
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("request_of", "status"),
    [
        ({"content": b""}, 400),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        (
            {
                "content": b"x",
                "headers": {"Content-Type": f"multipart/form-data; boundary={'x' * 300}"},
            },
            400,
        ),
        ({"files": [("pictures", ("a", b"x"))]}, 400),
        ({"files": [*many(("a", b"x")), ("files[]", ("a", b"x"))]}, 400),
        ({"files": [*many(("a", b"x")), ("files", (None, b"x"))]}, 400),
        ({"files": many(*[("a", b"x")] * 5)}, 413),
        ({"content": bytes(3 * 2**20 + 1)}, 413),
        ({"content": iter([bytes(2**20)] * 4)}, 413),  # without a Content-Length header
    ],
)
def test_requests_beyond_the_limits_are_refused(
    client: httpx.Client, request_of: dict, status: int
) -> None:
    """No image, too many images or too many bytes are refused with an explanation."""
    answer = client.post("/v1/analyze", **request_of)
    assert answer.status_code == status
    assert len(answer.json()["detail"]) > 20


def test_a_form_of_many_tiny_parts_is_refused(client: httpx.Client) -> None:
    """Megabytes of them would take the server's time from all others."""
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post("/v1/analyze", content=1000 * part + b"--x--\r\n", headers=kind)
    assert answer.status_code == 413
    assert "too many parts" in answer.json()["detail"]


def test_a_slow_body_is_given_up(photo: bytes) -> None:
    """A body that does not arrive in time gets status 408."""
    app = create_app(EmotionRecognizer(threads=1), limits=Limits(seconds=0.5))
    with serving(app) as client:

        def slowly() -> Iterator[bytes]:
            yield b"x"
            time.sleep(2)
            yield b"x"

        assert client.post("/v1/analyze", content=slowly()).status_code == 408


def test_no_image_touches_the_disk(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads stay in memory, however large."""
    monkeypatch.setattr(tempfile, "TemporaryFile", None)
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)
    data = cv2.imencode(".png", noise)[1].tobytes()
    assert len(data) > 2**20
    answer = client.post("/v1/analyze", files=many(("a.png", data)))
    assert answer.json()[0]["width"] == 700


def test_a_full_queue_refuses_and_then_serves(gate: Gate, photo: bytes) -> None:
    """A full queue refuses with status 503 and Retry-After, and finishes what it has accepted."""
    app = create_app(EmotionRecognizer(threads=1), limits=Limits(queue=3, images=3))
    with serving(app) as client, ThreadPoolExecutor() as pool:
        taken = [pool.submit(client.post, "/v1/analyze", content=photo) for _ in range(3)]
        until(lambda: "emodetect_queue_images 3" in client.get("/metrics").text)
        refused = client.post("/v1/analyze", content=photo)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        gate.opened.set()
        assert [one.result().status_code for one in taken] == [200] * 3
        assert client.post("/v1/analyze", content=photo).status_code == 200


def test_an_answer_that_takes_too_long_is_given_up(gate: Gate, photo: bytes) -> None:
    """An analysis past the time limit gets status 503, and keeps its place in the queue until its
    thread has finished."""
    limits = Limits(seconds=1, queue=2, images=1)
    app = create_app(EmotionRecognizer(threads=1), limits=limits, workers=1)
    with serving(app) as client:
        for _ in range(2):
            answer = client.post("/v1/analyze", content=photo)
            assert (answer.status_code, "within" in answer.text) == (503, True)
        assert "emodetect_queue_images 1.0" in client.get("/metrics").text
        gate.opened.set()
        until(lambda: "emodetect_queue_images 0.0" in client.get("/metrics").text)


def test_bodies_together_hold_a_bounded_amount(
    client: httpx.Client, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that would exceed the memory for all bodies gets status 503."""
    monkeypatch.setattr(uploads, "HELD_BYTES", len(photo) - 1)
    assert client.post("/v1/analyze", content=photo).status_code == 503
    assert client.post("/v1/analyze", content=b"small").status_code == 422


def test_many_tiny_requests(client: httpx.Client) -> None:
    """A hundred almost empty requests each get a response."""
    statuses = {client.post("/v1/analyze", content=b"x").status_code for _ in range(100)}
    assert statuses == {422}


def test_a_token_guards_what_is_not_the_page(guarded: httpx.Client, photo: bytes) -> None:
    """Without the exact token there are no results or metrics; the page itself is public."""
    for given in (None, "Bearer wrong", f"Basic {TOKEN}", "Bearer \u00fc".encode(), "Bearer"):
        headers = {} if given is None else {"Authorization": given}
        for path in ("/v1/model", "/metrics", "/no/such/page"):
            assert guarded.get(path, headers=headers).status_code == 401
        assert guarded.post("/v1/analyze", content=photo, headers=headers).status_code == 401
    for path in (*PAGE_FILES, "/docs", "/openapi.json", "/healthz"):
        assert guarded.get(path).status_code == 200
    for kind in ("Bearer", "bearer"):
        right = {"Authorization": f"{kind} {TOKEN}"}
        assert guarded.get("/metrics", headers=right).status_code == 200
        assert guarded.post("/v1/analyze", content=photo, headers=right).status_code == 200


def test_the_description_names_the_token(guarded: httpx.Client, client: httpx.Client) -> None:
    """Generated clients learn where to send it, if the server has one."""
    needed = {"/v1/analyze", "/v1/classify", "/v1/model", "/metrics"}
    for one, where in ((guarded, needed), (client, set())):
        api = one.get("/openapi.json").json()
        assert api["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
        secured = [
            path
            for path, methods in api["paths"].items()
            if any("security" in about for about in methods.values())
        ]
        assert set(secured) == where


def test_a_token_guards_the_stream(guarded: httpx.Client, photo: bytes) -> None:
    """A stream opens with the token in the header or, for web pages, in a subprotocol."""
    wrong = base64.urlsafe_b64encode(b"wrong!").decode()
    for options in ({}, {"subprotocols": ["emodetect", f"emodetect.token.{wrong}"]}):
        with pytest.raises(InvalidStatus, match="403"):
            stream_of(guarded, **options)
    coded = base64.urlsafe_b64encode(TOKEN.encode()).decode().rstrip("=")
    for options in (
        {"additional_headers": {"Authorization": f"Bearer {TOKEN}"}},
        {"subprotocols": ["emodetect", f"emodetect.token.{coded}"]},
    ):
        with stream_of(guarded, **options) as stream:
            assert stream.subprotocol == ("emodetect" if "subprotocols" in options else None)
            stream.send(photo)
            assert json.loads(stream.recv())["frame"] == 0


def test_other_sites_are_kept_off(guarded: httpx.Client) -> None:
    """Other host names, pages of other sites and cross-origin reads are refused."""
    for name in ("evil.example", "", "["):
        assert guarded.get("/healthz", headers={"Host": name}).status_code == 400
    for name in ("emotions.example", "EMOTIONS.example:80", "[::1]:80", "192.0.2.1"):
        assert guarded.get("/healthz", headers={"Host": name}).status_code == 200
    own = f"http://127.0.0.1:{guarded.base_url.port}"
    origins = (("http://evil.example", 403), ("null", 403), ("http://[", 403), (own, 200))
    for origin, status in origins:
        answer = guarded.get("/healthz", headers={"Origin": origin})
        assert answer.status_code == status
        assert not any(name.startswith("access-control") for name in answer.headers)
    right = {"Authorization": f"Bearer {TOKEN}"}
    with pytest.raises(InvalidStatus, match="403"):
        stream_of(guarded, additional_headers=right, origin="http://evil.example")


def test_a_stream_follows_faces(client: httpx.Client) -> None:
    """Each frame gets a row with its time since the stream's start, and a face keeps its id; a
    frame that is not an image has an error."""
    film = draw_film(["happy"], np.random.default_rng(0), frames=6, width=320, height=240)
    ids, times, before_s = set(), [], time.monotonic()
    with stream_of(client) as stream:
        for number, scene in enumerate(film):
            stream.send(jpeg(scene.image))
            row = json.loads(stream.recv())
            assert (row["frame"], row["width"], row["error"]) == (number, 320, None)
            ids |= {face["id"] for face in row["faces"]}
            times.append(row["time_s"])
        stream.send(b"no image")
        assert "not an image" in json.loads(stream.recv())["error"]
    assert ids == {1}
    assert times == sorted(set(times))
    assert times[-1] < time.monotonic() - before_s


def test_a_frame_is_of_the_time_of_its_arrival(
    client: httpx.Client, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame that waits for the one before does not make emotions seem to change later."""
    update, times = EmotionTracker.update, list[float]()

    def note(tracker: EmotionTracker, image: np.ndarray, time_s: float) -> list[Face]:
        times.append(round(time_s, 4))
        return update(tracker, image, time_s)

    monkeypatch.setattr(EmotionTracker, "update", note)
    with stream_of(client) as stream:
        rows = []
        for _ in range(3):
            stream.send(photo)
            rows.append(json.loads(stream.recv()))
    assert [row["time_s"] for row in rows] == times


def test_of_a_streams_frames_the_newest_wins(gate: Gate, photo: bytes) -> None:
    """Of the frames that arrive during an analysis, only the newest is kept."""
    with serving(create_app(EmotionRecognizer(threads=1))) as client, stream_of(client) as stream:
        stream.send(photo)
        assert gate.reached.wait(60)
        for _ in range(4):
            stream.send(photo)
        assert stream.ping().wait(60)  # so the frames have arrived
        time.sleep(0.3)
        gate.opened.set()
        assert [json.loads(stream.recv())["frame"] for _ in range(2)] == [0, 4]
        with pytest.raises(TimeoutError):
            stream.recv(timeout=0.5)


def test_text_ends_a_stream(client: httpx.Client) -> None:
    """A WebSocket that sends text is closed with what was expected as the reason."""
    with stream_of(client) as stream:
        stream.send("hello")
        close = close_of(stream)
    assert close.code == 1003
    assert "expected a JPEG" in close.reason


def test_a_frame_too_large_ends_a_stream(client: httpx.Client) -> None:
    """A frame with too many bytes ends the stream, with the limit as the reason."""
    with stream_of(client) as stream:
        stream.send(bytes(FRAME_BYTES + 1))
        close = close_of(stream)
    assert close.code == 1009
    assert "at most 4,194,304 bytes" in close.reason


def test_streams_are_bounded(photo: bytes) -> None:
    """A stream beyond the limit is closed with "try again later"; a closed stream makes room."""
    app = create_app(EmotionRecognizer(threads=1), limits=Limits(streams=1))
    with serving(app) as client:
        with stream_of(client) as first:
            first.send(photo)
            first.recv()
            with stream_of(client) as second:
                assert close_of(second).code == 1013
        until(lambda: "emodetect_streams 0" in client.get("/metrics").text)
        with stream_of(client) as third:
            third.send(photo)
            assert json.loads(third.recv())["frame"] == 0


def test_who_takes_no_answers_keeps_no_stream(
    photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that sends frames and never reads loses its place after a while."""

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    app = create_app(EmotionRecognizer(threads=1))
    monkeypatch.setattr(stream, "IDLE_S", 0.3)
    for name in ("send_json", "close"):
        monkeypatch.setattr(WebSocket, name, never)
    with serving(app) as client, stream_of(client) as deaf:

        def streams(count: str) -> bool:
            with suppress(ConnectionClosed):
                deaf.send(photo)
            return f"emodetect_streams {count}" in client.get("/metrics").text

        until(lambda: streams("1.0"))
        until(lambda: streams("0.0"))


def test_a_stream_without_frames_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that sends nothing is closed, with the reason."""
    monkeypatch.setattr(stream, "IDLE_S", 0.3)
    app = create_app(EmotionRecognizer(threads=1))
    with serving(app) as client, stream_of(client) as silent:
        close = close_of(silent)
    assert (close.code, close.reason) == (1000, "no frame for 0.3 s")


def test_metrics_count_and_name_no_file(client: httpx.Client, photo: bytes) -> None:
    """Metrics cover requests, images, faces, durations and the queue, and no client's paths."""
    client.post("/v1/analyze", files=many(("very_private.jpg", photo), ("b", b"text")))
    client.get("/very_private")
    text = client.get("/metrics").text
    for expected in (
        'emodetect_requests_total{path="/v1/analyze",status="200"}',
        'emodetect_requests_total{path="other",status="404"}',
        'emodetect_images_total{outcome="error"}',
        'emodetect_request_seconds_bucket{le="0.1",path="/v1/analyze"}',
        "emodetect_faces_total",
        "emodetect_queue_images 0.0",
    ):
        assert expected in text
    assert "very_private" not in text


def test_the_model_tells_of_itself(client: httpx.Client) -> None:
    """/v1/model has the emotions in order, their colours, and the model's card."""
    about = client.get("/v1/model").json()
    assert about["emotions"] == list(EmotionRecognizer().emotions)
    assert about["colors"]["sad"] == "#0072b2"
    assert about["card"].startswith("# fer2013")
    assert "<h2>fer2013</h2>" in about["card_html"]
    assert about["max_body_bytes"] == 3 * 2**20


def test_every_route_has_examples_of_its_answers(client: httpx.Client, photo: bytes) -> None:
    """The examples have the fields that answers really have, and the page of the API shows them."""
    page = html.unescape(client.get("/docs").text)
    routes = client.get("/openapi.json").json()["paths"]
    for path, methods in routes.items():
        for about in methods.values():
            for answer in about["responses"].values():
                for content in answer["content"].values():
                    told = content["example"]
                    shown = told if isinstance(told, str) else json.dumps(told, indent=2)
                    assert shown in page
        if "post" in methods:
            sent = client.post(path, files=many(("photo.jpg", photo)))
        else:
            sent = client.get(path)
        (about,) = methods.values()
        (example,) = about["responses"]["200"]["content"].values()
        if path != "/metrics":
            assert fields_of(example["example"]) == fields_of(sent.json())
    (parameter,) = routes["/v1/analyze"]["post"]["parameters"]
    assert parameter["name"] == "preview"
    assert parameter["description"] in page
    assert "curl -F files=@a.heic '/v1/analyze?preview=true'" in page
    about = routes["/v1/analyze"]["post"]["responses"]
    for row in about["200"]["content"]["application/json"]["example"]:
        PhotoRow.model_validate(row)
    assert {"400", "401", "408", "413", "422", "503"} <= set(about)
    ModelAnswer.model_validate(
        routes["/v1/model"]["get"]["responses"]["200"]["content"]["application/json"]["example"]
    )


def fields_of(answer: object) -> object:
    """Return the keys of an answer, of the first one in a list."""
    if isinstance(answer, list):
        return fields_of(answer[0])
    assert isinstance(answer, dict)
    return list(answer), [fields_of(face) for face in answer.get("faces", [])]


@pytest.mark.parametrize(
    ("card", "unwanted"),
    [
        ("<script>alert(1)</script>", "<script"),
        ("a <img src=x onerror=alert(1)> b", "<img"),
        ("[a](javascript:alert(1))", "href"),
        ("[a](data:text/html,<script>alert(1)</script>)", "href"),
        ("![a](http://evil.example/a.png)", "<img"),
        ('# a" onclick="alert(1)', 'onclick="'),
        ("```html\n<script>\n```", "<script"),
        ('[a](http://b "" onclick="alert(1)")', 'onclick="'),
        ("[a](http://evil.example)", "href"),
        ("<http://evil.example>", "href"),
        ("[a]\n\n[a]: http://evil.example", "href"),
    ],
)
def test_a_card_holds_nothing_that_runs(card: str, unwanted: str) -> None:
    """A card of anybody's model becomes text and tables, without scripts, pictures and links."""
    assert unwanted not in card_html(card)


def test_the_sample_shows_the_emotions_that_were_drawn(client: httpx.Client) -> None:
    """The sample of the page is a photo in which the shipped model finds each drawn face."""
    (row,) = client.post("/v1/analyze", content=client.get("/sample.jpg").content).json()
    emotions = sorted(face["emotion"] for face in row["faces"])
    assert emotions == ["happy", "neutral", "sad", "surprise"]


def test_pages_load_nothing_from_elsewhere(client: httpx.Client) -> None:
    """The page and the API's description refer to no other site, and forbid it in the browser."""
    assert client.head("/healthz").status_code == 200
    for path in (*PAGE_FILES, "/docs"):
        assert client.head(path).status_code == 200
        answer = client.get(path)
        assert answer.status_code == 200
        if path not in ("/sample.jpg", "/responsible-use"):
            assert "//" not in answer.text.replace("// ", "")
        assert not re.search(r"""(href|src) *= *["']?\w*:?//""", answer.text)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    docs, paths = client.get("/docs").text, client.get("/openapi.json").json()["paths"]
    assert {"/v1/analyze", "/v1/classify", "/v1/model", "/healthz", "/metrics"} <= set(paths)
    assert all(path in docs for path in paths)


def test_the_page_leads_to_responsible_use(guarded: httpx.Client) -> None:
    """Without a token and without internet, the page leads to what it may be used for."""
    assert 'href="responsible-use"' in guarded.get("/").text
    page = guarded.get("/responsible-use").text
    assert "<h1>Responsible use</h1>" in page
    assert "<td>workplaces, schools and universities</td>" in page


class CountingRuntime:
    """Returns the mean of each face, and records the batch sizes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return (n, 1)."""
        self.sizes.append(len(batch))
        if (batch < 0).any():
            raise ModelError("negative")
        return batch.mean(axis=(1, 2))


def test_what_is_asked_at_once_is_run_at_once() -> None:
    """Batches submitted within the wait run together, and each gets its own output."""
    counting = CountingRuntime()
    gathering = BatchingRuntime(counting, wait_s=5)
    batches = [np.full((2, 4, 4, 1), number, np.float32) for number in range(4)]
    answers = [gathering.submit(batch) for batch in batches]
    for number, answer in enumerate(answers):
        assert answer.result().tolist() == [[number], [number]]
    assert counting.sizes == [8]
    assert len(gathering.run(np.zeros((MAX_BATCH + 1, 4, 4, 1), np.float32))) == MAX_BATCH + 1
    assert counting.sizes[1:] == [MAX_BATCH, 1]
    gathering.close()
    with pytest.raises(RuntimeError, match="closed"):
        gathering.run(batches[0])


def test_a_failing_model_tells_all_who_asked() -> None:
    """An error of the model reaches every batch of its run; the next run works."""
    gathering = BatchingRuntime(CountingRuntime(), wait_s=0.2)
    bad = [gathering.submit(np.full((1, 4, 4, 1), -1, np.float32)) for _ in range(2)]
    for answer in bad:
        with pytest.raises(ModelError):
            answer.result()
    given_up = gathering.submit(np.full((1, 4, 4, 1), -1, np.float32))
    assert given_up.cancel()
    assert gathering.run(np.ones((1, 4, 4, 1), np.float32)).tolist() == [[1]]
    gathering.close()


def test_a_failing_model_is_a_server_error(
    client: httpx.Client, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing model gives 500 without its path, 1011 on a stream; the server keeps running."""

    def fail(self: EmotionRecognizer, answers: np.ndarray) -> np.ndarray:
        raise ModelError("/home/me/model.keras: damaged")

    with monkeypatch.context() as patch:
        patch.setattr(EmotionRecognizer, "probabilities", fail)
        answer = client.post("/v1/classify", content=photo)
        assert answer.status_code == 500
        assert "/home" not in answer.text
        with stream_of(client) as stream:
            stream.send(photo)
            assert close_of(stream).code == 1011
    assert client.post("/v1/classify", content=photo).status_code == 200


def test_a_failing_model_leaves_no_photos_behind(
    photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a request has failed, no thread starts on its other photos; others would wait for it."""
    gate, begun, find = Gate(), list[object](), Analysis._find

    def second_waits(*arguments: Any) -> object:
        begun.append(arguments)
        if len(begun) == 2:
            gate.wait()
        return find(*arguments)

    def fail(*_: object) -> None:
        raise ModelError("damaged")

    monkeypatch.setattr(Analysis, "_find", second_waits)
    monkeypatch.setattr(EmotionRecognizer, "probabilities", fail)
    with serving(create_app(EmotionRecognizer(threads=1), workers=1)) as client:
        answer = client.post("/v1/analyze", files=many(*[("a.jpg", photo)] * 4))
        assert answer.status_code == 500
        assert gate.reached.wait(60)
        gate.opened.set()
        until(lambda: "emodetect_queue_images 0.0" in client.get("/metrics").text)
    assert len(begun) == 2


def test_serving_imports_nothing_heavy() -> None:
    """Server and model load without TensorFlow, Keras, matplotlib, scikit-learn and SciPy."""
    code = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'matplotlib', 'sklearn', 'scipy'):\n"
        "    sys.modules[name] = None\n"
        "from emodetect.serve.server import create_app\n"
        "from emodetect import EmotionRecognizer\n"
        "create_app(EmotionRecognizer())\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn", "prometheus_client"])
def test_a_missing_extra_is_told(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages of the extra, the error says how to install them."""
    for name in [name for name in sys.modules if name.startswith("emodetect.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    result = CliRunner().invoke(command_line, ["serve"])
    assert isinstance(result.exception, EmodetectError)
    assert 'pip install "emodetect[serve]"' in str(result.exception)


def test_a_small_answer_is_sent_at_once() -> None:
    """A response sent in small parts does not wait for acknowledgements between them."""
    with (
        open_socket("127.0.0.1", 0) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_header_and_body_are_sent_in_one_piece() -> None:
    """A server killed between them would leave a proxy with half an answer, for which it is too
    late to ask another server."""

    class Recorded(asyncio.Transport):
        def __init__(self) -> None:
            super().__init__()
            self.events: list[bytes | str] = []

        def write(self, data: bytes) -> None:
            self.events.append(data)

        def close(self) -> None:
            self.events.append("closed")

    async def answer() -> list[bytes | str]:
        connection = Recorded()
        transport = JoinedWrites(connection)
        for part in (b"header", b"body"):
            transport.write(part)
        assert connection.events == []
        await asyncio.sleep(0)
        transport.write(b"rest")
        transport.close()
        await asyncio.sleep(0)
        return [one for one in connection.events if one]

    assert asyncio.run(answer()) == [b"headerbody", b"rest", "closed"]


def test_what_clients_send_wrongly_is_not_logged() -> None:
    """Invalid Unicode and damaged images print nothing in the server's terminal."""
    file = io.BytesIO()
    Image.new("RGB", (20, 20)).save(file, "TIFF")
    samples = struct.pack("<HHI", 277, 3, 1)  # tag, type and number of values
    damaged = file.getvalue().replace(samples + b"\x03", samples + b"\xff")
    assert damaged != file.getvalue()
    with started() as (process, address):
        assert httpx.post(f"{address}/v1/analyze", content=damaged).status_code == 422
        with connect(f"{address.replace('http', 'ws')}/v1/stream", proxy=None) as stream:
            stream.send(b"\xff", text=True)
            with pytest.raises(ConnectionClosed):
                stream.recv()
        process.terminate()
        assert process.stderr is not None
        # The stream may still be closing, which the server tells as it ends.
        logged = [line for line in process.stderr if not line.startswith("shutting down: ")]
        assert logged == []


def test_options_refuse_a_token_that_no_header_can_carry() -> None:
    """The token of a Python user is checked like that of the command line."""
    for token in ("", "tök en", "two\nlines"):
        with pytest.raises(EmodetectError, match="expected a token"):
            ServerOptions(token=token)


def test_a_token_is_not_dropped_without_a_word(tmp_path: Path) -> None:
    """Who gives a token and --without-token meant one of them."""
    (tmp_path / "token").write_text(TOKEN)
    words = ["serve", "--token-file", str(tmp_path / "token"), "--without-token"]
    result = CliRunner().invoke(command_line, words)
    assert result.exit_code == 2
    assert "--token-file and --without-token exclude each other" in result.output


def test_strangers_need_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that others can reach needs a token, or --without-token."""
    monkeypatch.delenv("EMODETECT_TOKEN", raising=False)
    result = CliRunner().invoke(command_line, ["serve", "--host", "0.0.0.0", "--port", "0"])
    assert isinstance(result.exception, EmodetectError)
    assert "--without-token" in str(result.exception)
    (tmp_path / "token").write_text("\n")
    arguments = ["serve", "--port", "0", "--token-file", str(tmp_path / "token")]
    result = CliRunner().invoke(command_line, arguments)
    assert "one line of printable ASCII characters, got nothing" in str(result.exception)
    (tmp_path / "token").write_text("one\ntwo\n")
    result = CliRunner().invoke(command_line, arguments)
    assert "one line of printable ASCII characters, got something else" in str(result.exception)
    result = CliRunner().invoke(command_line, ["serve", "--host", "a..b"])
    assert isinstance(result.exception, EmodetectError)


@posix_only
def test_a_client_that_does_not_read_keeps_no_server_from_ending() -> None:
    """A client that does not read its responses only delays SIGTERM by the time limit."""
    with started("--timeout", "1") as (process, address), socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        deaf.connect(("127.0.0.1", int(address.rpartition(":")[2])))
        deaf.settimeout(2)
        requests = b"GET /app.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 100
        with suppress(TimeoutError):  # the server stops reading what it cannot respond to
            while True:
                deaf.sendall(requests)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in told
    assert "cut off: 1" in told


@posix_only
def test_a_server_ends_in_good_order(photo: bytes, tmp_path: Path) -> None:
    """SIGTERM under load finishes each accepted request and refuses later ones; a second server
    on the same port is refused before."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with (
        started("--token-file", str(tmp_path / "token"), "--workers", "1") as (process, address),
        ThreadPoolExecutor(8) as pool,
        httpx.Client(base_url=address, timeout=120, trust_env=False, headers=headers) as client,
    ):
        # Decoders must not print about damaged photos.
        half = len(photo) // 2
        damaged = photo[:half] + b"\xff\x00\xff\xd3" * 9 + photo[half + 36 :]
        assert client.post("/v1/classify", content=damaged).status_code == 200
        # Behind a proxy, the server has another host name.
        assert client.get("/healthz", headers={"Host": "emotions.example"}).status_code == 200
        port = address.rpartition(":")[2]
        second = CliRunner().invoke(command_line, ["serve", "--port", port])
        assert isinstance(second.exception, EmodetectError)
        assert "--port" in str(second.exception)
        half = HalfSent(address, photo, f"Authorization: Bearer {TOKEN}\r\n".encode())
        taken = [pool.submit(client.post, "/v1/analyze", content=photo) for _ in range(8)]
        process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{address}/healthz", trust_env=False).status_code == 503)
        half.send()
        assert half.answer().startswith("HTTP/1.1 200 OK")
        assert process.stderr is not None
        told = process.stderr.read()
        process.wait()
        outcomes = [one.exception() or one.result().status_code for one in taken]
        # A connection that is still being opened may be refused, but never cut off.
        assert all(isinstance(one, httpx.ConnectError) or one in (200, 503) for one in outcomes)
        with pytest.raises(httpx.ConnectError):
            client.get("/healthz")
    assert process.returncode == 0
    assert told.startswith("shutting down")
    assert told.count("\n") == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_token_may_come_from_any_editor(encoding: str, tmp_path: Path) -> None:
    """PowerShell's > writes UTF-16, Windows' editors begin UTF-8 with a mark."""
    (tmp_path / "token").write_bytes("0123456789abcdef\r\n".encode(encoding))
    assert read_token(tmp_path / "token") == "0123456789abcdef"


@posix_only
def test_a_server_may_open_as_many_files_as_connections() -> None:
    """macOS allows a process 256, and 512 clients may be connected."""
    done = run_python(
        "import resource\n"
        "from emodetect.serve.process.listening import allow_open_files\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))\n"
        "print(allow_open_files())\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE) == (1024, hard))\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 300))\n"
        "print(allow_open_files())\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE) == (300, 300))\n"
    )
    assert (done.stdout, done.stderr) == ("512\nTrue\n150\nTrue\n", "")


def test_a_server_needs_no_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows, the C library of the process cannot be opened by no name."""

    def of_windows(name: str | None) -> None:
        assert "/" in name  # type: ignore[operator]

    monkeypatch.setattr(ctypes, "CDLL", of_windows)
    memory.give_memory_back()
    memory.trim_memory()


def _has_ipv6() -> bool:
    with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return socket.has_dualstack_ipv6()
    return False


@pytest.mark.skipif(not _has_ipv6(), reason="needs IPv6, which containers often lack")
def test_all_addresses_include_those_of_ipv4() -> None:
    """A server at :: answers clients of both kinds."""
    with open_socket("::", 0) as listening:
        port = listening.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, port), timeout=5):
                pass
