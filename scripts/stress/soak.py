"""Load the server and `emodetect predict` for long: neither may grow or lock clients out.

\b
    python scripts/stress/soak.py
    python scripts/stress/soak.py --seconds 60 --photos 5000
    python scripts/stress/soak.py --only idle

A server bears, one after the other: many clients that send photos; idle connections, uploads byte
by byte and a stream that never reads, each beside honest clients. Another, with eight workers as on
a larger machine, gets photos of 25 megapixels from all clients at once. Then `predict` reads many
photos. Exit status 1 if anything failed.
"""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

import click
import cv2
import httpx
import numpy as np
from PIL import Image
from processes import children, open_files, resident_bytes, server, watched_memory
from tally import Tally
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from emodetect.data.synthetic import draw_scene
from emodetect.serve.limits import HELD_BYTES, Limits
from emodetect.serve.process.connections import HEADER_S
from emodetect.serve.process.draining_server import TRIM_EVERY_TICKS

HONEST = 8
LONGEST_S = 60.0
# What the documentation allows: the process itself, and what requests hold and decode.
PROCESS_BYTES = 400 * 2**20
MOST_BYTES = PROCESS_BYTES + HELD_BYTES + Limits().decoding_bytes
# Memory that a process may take more at the end than in the beginning, and files; and what the
# threads of a server keep once all of them have decoded a large photo.
GROWTH_BYTES, GROWTH_FILES, KEPT_BYTES = 40 * 2**20, 5, 100 * 2**20
# Overloaded with large photos, it may also end a connection on which a body takes too long.
REFUSALS = ("200", "503", "408", "RemoteProtocolError", "ReadError", "WriteError")
# After which a server without work has given its memory back.
TRIMMED_S = 1 + TRIM_EVERY_TICKS / 10
# For how long a stream sends broken frames as fast as it can; 3 s were enough to fill its socket.
FLOOD_S = 8.0
SIDE = 5000  # of the large photos in pixels: --max-pixels
MANY_WORKERS = ("--workers", "8")
UPLOAD = b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
MOST_LINKS = 10_000  # of a file; some file systems allow no more than 65,000


@dataclass
class Served:
    """A server under load: its process and address, and what its clients got.

    Attributes:
        outcomes: how often each status or error came.
        starved: honest clients without a single answer of 200.
        slowest_s: the longest time for a response.
    """

    pid: int
    address: str
    tally: Tally
    outcomes: Counter[str] = field(default_factory=Counter)
    starved: int = 0
    slowest_s: float = 0.0

    @property
    def place(self) -> tuple[str, int]:
        """The address as sockets take it."""
        url = httpx.URL(self.address)
        return url.host, url.port or 80

    def metrics(self) -> str:
        """Return what the server tells Prometheus."""
        return httpx.get(f"{self.address}/metrics", trust_env=False, timeout=LONGEST_S).text

    @contextmanager
    def clients(self, count: int, photos: list[bytes], path: str = "/v1/analyze") -> Iterator[None]:
        """Let clients send photos, one after the other, until the end of the context."""
        self.outcomes, self.starved, self.slowest_s = Counter(), 0, 0.0
        ended, lock = threading.Event(), threading.Lock()

        def send(number: int) -> None:
            answered = False
            with httpx.Client(base_url=self.address, timeout=LONGEST_S, trust_env=False) as client:
                for photo in islice(cycle(photos), number, None):
                    started = time.monotonic()
                    try:
                        answer = client.post(path, content=photo)
                        outcome, wait_s = str(answer.status_code), answer.headers.get("Retry-After")
                    except httpx.TransportError as error:
                        outcome, wait_s = type(error).__name__, None
                    answered = answered or outcome == "200"
                    with lock:
                        self.outcomes[outcome] += 1
                        self.slowest_s = max(self.slowest_s, time.monotonic() - started)
                    if ended.wait(float(wait_s or 0)):
                        break
            with lock:
                self.starved += not answered

        threads = [threading.Thread(target=send, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join()

    def check(self, name: str, *, only: tuple[str, ...] = ("200", "503")) -> None:
        """Count the requests of the last clients, of which those with other outcomes failed."""
        for outcome, count in self.outcomes.items():
            failure = None if outcome in only else f"{count} times {outcome}"
            self.tally.count(f"{name}: requests", failure, times=count)
        starved = f"{self.starved} got no answer" if self.starved else None
        self.tally.count(f"{name}: every client is served", starved)
        print(f"{name}: {dict(self.outcomes)}, slowest {self.slowest_s:.1f} s", flush=True)


def photo(width: int = 640, height: int = 400, seed: int = 0) -> bytes:
    """Return a drawn photo of two faces as a JPEG."""
    image = draw_scene(["happy", "sad"], np.random.default_rng(seed), width=width, height=height)
    return cv2.imencode(".jpg", image.image)[1].tobytes()


def large_photos() -> list[bytes]:
    """Return photos of as many pixels as the server takes, in formats that take most memory."""
    small = draw_scene(["happy", "sad"], np.random.default_rng(0), width=500, height=500).image
    rgb = Image.fromarray(np.ascontiguousarray(cv2.resize(small, (SIDE, SIDE))[:, :, ::-1]))
    transparent = rgb.copy()
    transparent.putalpha(rgb.convert("L"))
    twice = rgb.resize((int(SIDE * 2**0.5), int(SIDE * 2**0.5)))
    found = []
    for image, form, options in (
        (rgb, "JPEG", {}),
        (twice, "JPEG", {"progressive": True}),
        (transparent, "PNG", {"compress_level": 1}),
        (transparent, "WEBP", {"method": 0, "quality": 50}),
        (transparent, "TIFF", {"compression": "tiff_deflate"}),
        (rgb, "AVIF", {"speed": 10, "quality": 50}),
    ):
        file = io.BytesIO()
        image.save(file, form, **options)
        found.append(file.getvalue())
    return found


def try_clients(served: Served, seconds: float, clients: int) -> None:
    """Let many clients send photos, and compare the memory early with that at the end."""
    with served.clients(clients, [photo(seed=seed) for seed in range(4)]):
        time.sleep(seconds / 4)
        before = resident_bytes(served.pid), open_files(served.pid)
        time.sleep(3 * seconds / 4)
        after = resident_bytes(served.pid), open_files(served.pid)
    served.check("clients")
    check_growth(served.tally, "clients", before, after)


def try_idle(served: Served, seconds: float, connections: int) -> None:
    """Open connections that send nothing, or half a header, beside honest clients."""
    half = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    with served.clients(HONEST, [photo()]), ExitStack() as stack:
        for number in range(connections):
            one = stack.enter_context(socket.create_connection(served.place, timeout=LONGEST_S))
            with suppress(OSError):  # it has been ended already, for others
                one.sendall(half * (number % 2))
        time.sleep(seconds)
    served.check("idle", only=("200",))


def try_slow(served: Served, seconds: float, uploads: int) -> None:
    """Send photos byte by byte, beside honest clients; the server must give them up."""
    with served.clients(HONEST, [photo()]), ExitStack() as stack:
        started = time.monotonic()
        slow = [stack.enter_context(socket.create_connection(served.place)) for _ in range(uploads)]
        for one in slow:
            one.sendall(UPLOAD)
        refused = set[socket.socket]()
        while time.monotonic() - started < seconds and len(refused) < len(slow):
            for one in set(slow) - refused:
                try:
                    one.sendall(b"x")
                    one.settimeout(0.001)
                    if b" 408 " not in one.recv(1000):
                        refused.add(one)  # closed
                except TimeoutError:
                    continue
                except OSError:
                    refused.add(one)
            time.sleep(0.2)
    served.check("slow uploads", only=("200",))
    if seconds > Limits().seconds + HEADER_S:
        left = f"{len(slow) - len(refused)} still open" if len(refused) < len(slow) else None
        served.tally.count("slow uploads: given up", left, times=len(slow))


def try_streams(served: Served, seconds: float) -> None:
    """Send frames without reading a result, beside a stream that reads and honest clients.

    The server must end the stream that does not read.
    """
    address, frame = served.address.replace("http", "ws", 1) + "/v1/stream", photo()
    read, sent, started = [0], [0], time.monotonic()

    def never_read() -> None:
        # Few results fit into this socket, and one into the queue. Broken frames get theirs at
        # once, so that the server soon cannot send any more.
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        deaf.connect(served.place)
        with (
            suppress(ConnectionClosed, OSError),
            connect(address, sock=deaf, max_queue=1, ping_interval=None) as stream,
        ):
            while True:
                stream.send(b"x")
                sent[0] += 1
                if time.monotonic() - started > FLOOD_S:
                    time.sleep(0.01)

    thread = threading.Thread(target=never_read, daemon=True)
    thread.start()
    time.sleep(FLOOD_S)
    with served.clients(HONEST, [photo()]), connect(address) as stream:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            stream.send(frame)
            read[0] += json.loads(stream.recv(timeout=LONGEST_S))["error"] is None
        thread.join(max(0.0, started + LONGEST_S - time.monotonic()))
    unread_s = time.monotonic() - started
    left = f"still open after {unread_s:.0f} s" if thread.is_alive() else None
    served.tally.count("streams: the unread one is ended", left)
    served.check("streams", only=("200",))
    starved = None if read[0] else "no result"
    served.tally.count("streams: the other one is served", starved)
    print(
        f"streams: {sent[0]} frames not read, ended after {unread_s:.0f} s, "
        f"{read[0]} results of the other",
        flush=True,
    )


def try_large(served: Served, seconds: float, clients: int) -> None:
    """Let all clients send the largest photos; the memory stays within what is documented."""
    photos = large_photos()
    with watched_memory(served.pid) as most:
        for path in ("/v1/analyze", "/v1/analyze?preview=true"):
            with served.clients(clients, photos, path):
                time.sleep(seconds / 2)
            served.starved = 0  # the queue is shorter than the number of clients
            served.check("large", only=REFUSALS)
    too_much = f"{most[0] / 2**20:.0f} MiB" if most[0] > MOST_BYTES else None
    served.tally.count(f"large: at most {MOST_BYTES / 2**20:.0f} MiB", too_much)
    print(f"large: at most {most[0] / 2**20:.0f} MiB", flush=True)


def try_photos(count: int, tally: Tally) -> None:
    """Run `predict` over many photos, and compare its memory early with that at the end."""
    with tempfile.TemporaryDirectory(prefix="emodetect-soak-") as scratch:
        folder, output = Path(scratch) / "photos", Path(scratch) / "rows.csv"
        folder.mkdir()
        drawn = photo(320, 200)
        for number in range(count):
            original = Path(scratch) / f"drawn{number // MOST_LINKS}.jpg"
            if number % MOST_LINKS == 0:
                original.write_bytes(drawn)
            os.link(original, folder / f"{number:06}.jpg")
        samples: list[tuple[int, int]] = []
        with subprocess.Popen(
            [
                *(sys.executable, "-m", "emodetect", "predict", str(folder), "--workers", "2"),
                *("--output", str(output)),
            ],
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            while process.poll() is None:
                all_of_them = (process.pid, *children(process.pid))
                samples.append(
                    (sum(map(resident_bytes, all_of_them)), sum(map(open_files, all_of_them)))
                )
                time.sleep(0.1)
            errors = process.stderr.read() if process.stderr else ""
        rows = list(csv.DictReader(output.open(encoding="utf-8")))
    names = Counter(Path(row["path"]).name for row in rows)
    missing = f"{count - len(names):,} missing" if len(names) != count else None
    tally.count("predict: a row for each photo", missing, times=count)
    tally.count("predict: exit status", None if process.returncode == 0 else errors[-300:])
    quarter = len(samples) // 4
    check_growth(
        tally, "predict", middle(samples[quarter : 2 * quarter]), middle(samples[-quarter:])
    )


def middle(samples: list[tuple[int, int]]) -> tuple[int, int]:
    """Return the median of each figure."""
    found = np.median(np.array(samples), axis=0)
    return int(found[0]), int(found[1])


def check_growth(
    tally: Tally,
    name: str,
    before: tuple[int, int],
    after: tuple[int, int],
    *,
    most: int = GROWTH_BYTES,
) -> None:
    """Count whether memory and open files are as before."""
    told = f"{before[0] / 2**20:.0f} to {after[0] / 2**20:.0f} MiB, {before[1]} to {after[1]} files"
    print(f"{name}: {told}", flush=True)
    grown = after[0] > before[0] + most or after[1] > before[1] + GROWTH_FILES
    tally.count(f"{name}: memory and open files are flat", told if grown else None)


def settled(served: Served) -> tuple[int, int]:
    """Return the memory and open files of a server that has finished the work of its clients."""
    until = time.monotonic() + LONGEST_S
    while "emodetect_queue_images 0.0" not in served.metrics() and time.monotonic() < until:
        time.sleep(0.2)
    time.sleep(TRIMMED_S)
    return resident_bytes(served.pid), open_files(served.pid)


@click.command(help=__doc__)
@click.option("--seconds", default=600.0, show_default=True, help="Of the 64 clients.")
@click.option("--clients", default=64, show_default=True, type=click.IntRange(1, 500))
@click.option("--idle", default=1000, show_default=True, type=click.IntRange(1))
@click.option("--photos", default=100_000, show_default=True, type=click.IntRange(1))
@click.option(
    "--only",
    type=click.Choice(["clients", "idle", "slow", "streams", "large", "photos"]),
    multiple=True,
    help="[default: all]",
)
def main(seconds: float, clients: int, idle: int, photos: int, only: tuple[str, ...]) -> None:
    """See the module."""
    tally = Tally()
    beside = min(seconds, 45.0)  # longer than the server waits for a body
    trials: dict[str, Callable[[Served], None]] = {
        "clients": lambda served: try_clients(served, seconds, clients),
        "idle": lambda served: try_idle(served, beside / 3, idle),
        "slow": lambda served: try_slow(served, beside, clients),
        "streams": lambda served: try_streams(served, beside / 3),
        "large": lambda served: try_large(served, beside, clients),
    }
    for words, names in (((), ("clients", "idle", "slow", "streams")), (MANY_WORKERS, ("large",))):
        chosen = [name for name in names if name in only or not only]
        if not chosen:
            continue
        with server(*words) as (process, address):
            served = Served(process.pid, address, tally)
            with served.clients(2, [photo()]):
                time.sleep(1)
            before = settled(served)
            for name in chosen:
                trials[name](served)
                kept = KEPT_BYTES if name == "large" else GROWTH_BYTES
                check_growth(tally, f"after {name}", before, settled(served), most=kept)
            tally.count("server: alive", None if process.poll() is None else "it has ended")
    if "photos" in only or not only:
        try_photos(photos, tally)
    tally.finish()


if __name__ == "__main__":
    main()
