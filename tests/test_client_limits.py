"""What one client may have in progress, and the memory in which images are decoded."""

from __future__ import annotations

import asyncio
import io
import ipaddress
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from serving import serving, until
from starlette.requests import Request
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from emodetect.cli import app as command_line
from emodetect.data.synthetic import draw_scene
from emodetect.errors import EmodetectError
from emodetect.faces.boxes import Box
from emodetect.images.reading import MOST_BYTES, USUAL_BYTES, decode_bounded
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.serve import uploads
from emodetect.serve.app import create_app
from emodetect.serve.limits import (
    LARGE_BYTES,
    Clients,
    DecodingMemory,
    Limits,
    RefusedError,
    client_name,
)
from emodetect.serve.process.listening import spellings
from emodetect.serve.request_analysis import Analysis
from emodetect.serve.server import ServerOptions
from emodetect.serve.stream import STREAM_IMAGES
from emodetect.serve.uploads import Upload, UploadReader

PHOTO = cv2.imencode(".jpg", draw_scene(["happy"], np.random.default_rng(0)).image)[1].tobytes()


@pytest.fixture(scope="module")
def proxied() -> Iterator[httpx.Client]:
    """A server behind a proxy on this machine; a client may have one stream or as many photos."""
    limits = Limits(per_client=STREAM_IMAGES)
    app = create_app(EmotionRecognizer(threads=1), limits=limits)
    with serving(app, proxy_headers=True, forwarded_allow_ips=["127.0.0.1"]) as client:
        yield client


def behind(address: str) -> dict[str, str]:
    """Return the header of a proxy for a client's address."""
    return {"X-Forwarded-For": address}


@contextmanager
def stream_of(client: httpx.Client, address: str) -> Iterator[ClientConnection]:
    """Open a stream of a client, and wait for its first answer."""
    url = str(client.base_url.join("/v1/stream")).replace("http", "ws", 1)
    with connect(url, proxy=None, additional_headers=behind(address)) as stream:
        stream.send(PHOTO)
        yield stream


def test_a_client_with_too_much_in_work_is_refused(proxied: httpx.Client) -> None:
    """It gets 429 with Retry-After, and others are served; what ends makes room."""
    with stream_of(proxied, "192.0.2.1") as stream:
        stream.recv()
        refused = proxied.post("/v1/analyze", content=PHOTO, headers=behind("192.0.2.1"))
        assert (refused.status_code, "of one client" in refused.text) == (429, True)
        assert int(refused.headers["Retry-After"]) > 0
        for other in ("192.0.2.2", "127.0.0.1"):
            answer = proxied.post("/v1/analyze", content=PHOTO, headers=behind(other))
            assert answer.status_code == 200
        with stream_of(proxied, "192.0.2.1") as second, pytest.raises(ConnectionClosed) as closed:
            second.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013
    until(lambda: "emodetect_streams 0" in proxied.get("/metrics").text)
    again = proxied.post("/v1/analyze", content=PHOTO, headers=behind("192.0.2.1"))
    assert again.status_code == 200


def test_one_client_cannot_hold_the_memory_of_all(
    proxied: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond half of the memory for bodies, a client gets 429; others are served."""
    monkeypatch.setattr(uploads, "HELD_BYTES_PER_CLIENT", len(PHOTO) - 1)
    for address, status in (("192.0.2.1", 429), ("127.0.0.1", 200)):
        answer = proxied.post("/v1/analyze", content=PHOTO, headers=behind(address))
        assert answer.status_code == status
    assert (
        "of one client"
        in proxied.post("/v1/analyze", content=PHOTO, headers=behind("192.0.2.1")).text
    )
    small = proxied.post("/v1/analyze", content=b"small", headers=behind("192.0.2.1"))
    assert small.status_code == 422


def test_a_client_of_few_photos_may_have_a_stream() -> None:
    """A stream counts as no more photos than a client may have."""
    app = create_app(EmotionRecognizer(threads=1), limits=Limits(per_client=2))
    with (
        serving(app, proxy_headers=True, forwarded_allow_ips=["127.0.0.1"]) as client,
        stream_of(client, "192.0.2.1") as stream,
    ):
        assert json.loads(stream.recv())["frame"] == 0


def test_the_photos_of_a_request_count_each(proxied: httpx.Client) -> None:
    """A request with more photos than a client may have in progress is refused as a whole."""
    photos = [("files", ("a.jpg", PHOTO))] * (STREAM_IMAGES + 1)
    for address, status in (("192.0.2.3", 429), ("127.0.0.1", 200)):
        assert proxied.post("/v1/analyze", files=photos, headers=behind(address)).status_code == (
            status
        )


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("127.0.0.9", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::1", "2001:db8:1:2::/64"),
        ("::5", "::/64"),
        ("fe80::1", "fe80::1"),
        ("unknown", "unknown"),
    ],
)
def test_clients_are_told_apart(address: str, name: str | None) -> None:
    """A client is an IPv4 address or a /64 of IPv6; this machine is none."""
    assert client_name(address) == name


@pytest.mark.parametrize("proxy", ["*", "10.0.0.1/8", "proxy.example"])
def test_only_addresses_are_trusted(proxy: str) -> None:
    """A proxy that is no address is told: with * everyone could be anyone."""
    with pytest.raises(EmodetectError, match="--trusted-proxy: expected the address of a proxy"):
        ServerOptions(trusted_proxies=(proxy,))


@pytest.mark.parametrize(
    "name",
    [
        "faces.example:8000",
        "http://faces.example",
        "*.example",
        "",
        "a.example,b.example",
        "a b",
        ".example",
        "ü.example",
    ],
)
def test_only_names_are_allowed_hosts(name: str) -> None:
    """What the name in a request can never be is refused, instead of every request."""
    with pytest.raises(EmodetectError, match=r"--allow-host: expected one name such as"):
        ServerOptions(allow_hosts=(name,))


@pytest.mark.parametrize("proxy", ["10.0.0.9", "10.0.0.0/24"])
@pytest.mark.parametrize("address", ["10.0.0.9", "::ffff:10.0.0.9"])
def test_a_proxy_is_known_on_a_socket_for_both_versions_of_ip(proxy: str, address: str) -> None:
    """With `--host ::` the address of a connection over IPv4 is written as one of IPv6."""
    trusted = [ipaddress.ip_network(spelling) for spelling in spellings(proxy)]
    assert any(ipaddress.ip_address(address) in network for network in trusted)
    assert not any(ipaddress.ip_address("::ffff:10.0.1.9") in network for network in trusted)


def test_a_full_request_fits_what_a_client_may_have_in_work() -> None:
    """A limit that no full request could keep is refused before anything is served."""
    done = CliRunner().invoke(command_line, ["serve", "--max-per-client", "4"])
    assert "--max-images 16 must not exceed --max-per-client 4" in done.output


def test_images_are_decoded_within_the_memory() -> None:
    """Of threads that need more memory together than there is, some wait; all get their turn."""
    memory, lock = DecodingMemory(10), threading.Lock()
    held, most = list[int](), list[int]()

    def decode(size: int) -> None:
        with memory.hold(size):
            with lock:
                held.append(min(size, 10))  # one that needs more than there is has all of it
                most.append(sum(held))
            time.sleep(0.05)
            with lock:
                held.remove(min(size, 10))

    threads = [threading.Thread(target=decode, args=(size,)) for size in (6, 6, 4, 100, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 5
    assert max(most) <= 10
    assert memory.taken == 0


def test_memory_is_kept_until_the_faces_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or with many workers, decoded photos would pile up before the detector."""
    analysis, taken = Analysis(EmotionRecognizer(), Limits()), list[int]()

    def detect(_: object) -> list[Box]:
        taken.append(analysis.memory.taken)
        return []

    monkeypatch.setattr(analysis.recognizer.detector, "detect", detect)
    file = io.BytesIO()
    Image.new("RGB", (400, 300)).save(file, "JPEG")
    asyncio.run(analysis.photos([Upload("photo.jpg", file.getvalue())]))
    analysis.close()
    assert taken == [400 * 300 * USUAL_BYTES]
    assert analysis.memory.taken == 0


def photo(mode: str, form: str, **options: Any) -> bytes:
    """Return a photo of 400 x 300 pixels."""
    file = io.BytesIO()
    Image.new(mode, (400, 300)).save(file, form, **options)
    return file.getvalue()


def in_separate_scans() -> bytes:
    """Return a JPEG whose three components follow each other, each as that of a grey one."""
    grey = photo("L", "JPEG")
    frame, scan = grey.index(b"\xff\xc0"), grey.index(b"\xff\xda")
    components = b"".join(bytes([number]) + grey[frame + 11 : frame + 13] for number in (1, 2, 3))
    scans = b"".join(grey[scan : scan + 5] + bytes([n]) + grey[scan + 6 : -2] for n in (1, 2, 3))
    head = grey[:frame] + b"\xff\xc0\0\x11" + grey[frame + 4 : frame + 9] + b"\3" + components
    return head + grey[frame + 13 : scan] + scans + grey[-2:]


@pytest.mark.parametrize(
    ("data", "most", "pixels", "bytes_of_each"),
    [
        (photo("RGB", "JPEG"), 120_000, 120_000, USUAL_BYTES),
        (photo("RGB", "JPEG"), 3750, 3750, USUAL_BYTES),
        (photo("RGB", "JPEG", progressive=True), 120_000, 120_000, MOST_BYTES),
        (in_separate_scans(), 120_000, 120_000, MOST_BYTES),
        (photo("RGBA", "PNG"), 120_000, 120_000, MOST_BYTES),
    ],
    ids=["JPEG", "reduced JPEG", "progressive JPEG", "JPEG in separate scans", "transparent PNG"],
)
def test_the_header_tells_how_much_memory_decoding_takes(
    data: bytes, most: int, pixels: int, bytes_of_each: int
) -> None:
    """More with transparency, or for a JPEG held whole; a reduced one takes what its copy does."""
    asked = list[int]()

    @contextmanager
    def reserve(size: int) -> Iterator[None]:
        asked.append(size)
        yield

    assert decode_bounded(data, most=most, reserve=reserve).width == 400
    assert asked == [pixels * bytes_of_each]


def test_a_damaged_photo_keeps_no_memory() -> None:
    """Or a few of them would leave the other photos waiting forever."""
    analysis = Analysis(EmotionRecognizer(threads=1), Limits())
    file = io.BytesIO()
    Image.new("RGB", (40, 30)).save(file, "PNG")
    before, marker, pixels = file.getvalue().partition(b"IDAT")
    damaged = before + marker + bytes(8) + pixels[8:]
    (image,) = asyncio.run(analysis.photos([Upload("damaged.png", damaged)]))
    analysis.close()
    assert image.result.error is not None
    assert analysis.memory.taken == 0


def test_a_large_photo_is_remembered() -> None:
    """However small the next ones are, the gaps that it left in memory are given back."""
    memory = DecodingMemory(2 * LARGE_BYTES)
    for size, large in ((LARGE_BYTES, False), (LARGE_BYTES + 1, True), (1, True)):
        with memory.hold(size):
            assert memory.was_large == large


def test_a_client_has_its_other_photos_still_in_work() -> None:
    """The end of one request leaves the others counted; a new one waits a moment for room."""
    clients = Clients(most=4)

    async def leave_soon() -> None:
        async with clients.hold("203.0.113.9", 4):
            await asyncio.sleep(0.05)

    async def ask() -> None:
        async with clients.hold("203.0.113.9", 3):
            async with clients.hold("203.0.113.9", 1):
                pass
            with pytest.raises(RefusedError, match="of one client"):
                async with clients.hold("203.0.113.9", 2):
                    pass
        leaving = asyncio.create_task(leave_soon())
        await asyncio.sleep(0)
        async with clients.hold("203.0.113.9", 1):
            assert leaving.done()

    asyncio.run(ask())


def request_of(body: bytes | None, **headers: str) -> Request:
    """Return a request of a client elsewhere; one whose body is None must not be read."""

    async def receive() -> dict[str, Any]:
        assert body is not None
        return {"type": "http.request", "body": body, "more_body": False}

    coded = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return Request({"type": "http", "headers": coded, "client": ("203.0.113.9", 1)}, receive)


def test_a_body_that_says_that_it_is_too_large_is_not_read() -> None:
    """Its header is enough, so that no client sends megabytes in vain."""

    async def read() -> None:
        async with UploadReader(Limits(body_bytes=98)).read(request_of(None, content_length="99")):
            pass

    with pytest.raises(RefusedError, match="at most 98 bytes"):
        asyncio.run(read())


def test_a_form_has_as_many_photos_as_the_server_allows() -> None:
    """A limit of more photos than a form may have other parts is kept, with fields beside them."""
    other = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    photo = other.replace(b'"a"', b'"files"; filename="a.jpg"')
    kind = "multipart/form-data; boundary=x"

    async def read() -> int:
        request = request_of(other + 100 * photo + b"--x--\r\n", content_type=kind)
        async with UploadReader(Limits(images=100)).read(request) as found:
            return len(found)

    assert asyncio.run(read()) == 100


def test_nothing_is_kept_of_a_client_that_has_gone() -> None:
    """Or a server that many use would remember all their addresses."""
    clients, reader = Clients(most=4), UploadReader(Limits())

    async def come_and_go() -> None:
        request = request_of(b"photo", content_type="image/jpeg")
        async with clients.hold("203.0.113.9", 2), reader.read(request):
            assert (clients.in_work.total(), reader.held.total()) == (2, len(b"photo"))

    asyncio.run(come_and_go())
    assert not clients.in_work
    assert not reader.held
