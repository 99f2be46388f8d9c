"""Break one of two servers behind nginx while clients send photos and frames, and count what fails.

\b
    python scripts/stress/servers.py
    python scripts/stress/servers.py --only kill --tries 10

nginx runs docs/serve/nginx.conf with other ports. No request may fail while a server is left; a
stream may break with its server, and must then open again at the other. Exit status 1 if anything
failed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
import cv2
import httpx
import numpy as np
from rich.console import Console
from rich.table import Table
from tally import Tally
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from emodetect.data.synthetic import draw_scene

CONFIG = Path(__file__).parents[2] / "docs" / "serve" / "nginx.conf"
TOKEN = "of-the-stress-test"
HOST = "emotions.example"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
LIMIT_S = 60
WARM_UP_S = 2.0
FRAME_S = 0.1
DOWN_S = 3.0  # between the end of a server and its next start
NGINX = """
{user}
daemon off;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 768; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include emodetect.conf;
}}
"""


class Server:
    """A server on a port, which may be ended and started again."""

    def __init__(self, port: int, scratch: Path) -> None:
        self.port, self.scratch = port, scratch
        self.start()

    def start(self) -> None:
        words = ["serve", "--port", str(self.port), "--token-file", str(self.scratch / "token")]
        with (self.scratch / f"server-{self.port}.log").open("a") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "emodetect", *words], stderr=log)

    def wait(self) -> None:
        """Return once it serves."""
        deadline = time.monotonic() + LIMIT_S
        while self.health() != 200:
            assert time.monotonic() < deadline, f"port {self.port}: does not start"
            time.sleep(0.05)

    def health(self) -> int | None:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/healthz", trust_env=False).status_code
        except httpx.TransportError:
            return None

    def end(self, sent: signal.Signals) -> None:
        """Send a signal and wait for the end."""
        self.process.send_signal(sent)
        status = self.process.wait(LIMIT_S)
        expected = 0 if sent == signal.SIGTERM else -sent
        assert status == expected, f"exit status {status} instead of {expected}"


@dataclass
class Site:
    """nginx's address, and the servers behind it."""

    port: int
    servers: list[Server]
    photo: bytes

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@dataclass
class Counts:
    """What clients saw.

    Attributes:
        outcomes: how often each status or error came.
        slowest_s: the longest time for a response.
        failed_s: when each failed request ended.
        frames: number of results of all streams.
        broken: how often each close code ended a stream; None if there was none.
        gaps_s: time from the end of a stream to the first result of the next.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    failed_s: list[float] = field(default_factory=list)
    frames: int = 0
    broken: Counter[int | None] = field(default_factory=Counter)
    gaps_s: list[float] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return self.outcomes.total() - self.outcomes["200"]

    @property
    def failing_s(self) -> float:
        """Seconds from the first failure to the last."""
        return max(self.failed_s) - min(self.failed_s) if self.failed_s else 0.0


class Load:
    """Clients that send photos, and streams that send frames, one after the other, until `stop`."""

    def __init__(self, site: Site, clients: int, streams: int) -> None:
        self.site, self.counts = site, Counts()
        self.lock, self.stopped = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self._send_photos) for _ in range(clients)]
        self.threads += [threading.Thread(target=self._send_frames) for _ in range(streams)]
        for thread in self.threads:
            thread.start()

    def stop(self) -> Counts:
        self.stopped.set()
        for thread in self.threads:
            thread.join()
        return self.counts

    def _send_photos(self) -> None:
        with client_of(self.site) as client:
            while not self.stopped.is_set():
                started_s = time.monotonic()
                try:
                    answer = client.post("/v1/analyze", content=self.site.photo)
                    outcome = str(answer.status_code)
                    wait_s = float(answer.headers.get("Retry-After", 0))
                except httpx.TransportError as error:
                    outcome, wait_s = type(error).__name__, 0.0
                ended_s = time.monotonic()
                with self.lock:
                    self.counts.outcomes[outcome] += 1
                    self.counts.slowest_s = max(self.counts.slowest_s, ended_s - started_s)
                    if outcome != "200":
                        self.counts.failed_s.append(ended_s)
                self.stopped.wait(wait_s)

    def _send_frames(self) -> None:
        broken_s: float | None = None  # since when it is, until the next result
        while not self.stopped.is_set() or (broken_s and time.monotonic() - broken_s < LIMIT_S):
            try:
                with open_stream(self.site) as stream:
                    while broken_s or not self.stopped.wait(FRAME_S):
                        stream.send(self.site.photo)
                        stream.recv(timeout=LIMIT_S)
                        with self.lock:
                            self.counts.frames += 1
                            if broken_s:
                                self.counts.gaps_s.append(time.monotonic() - broken_s)
                        broken_s = None
            except ConnectionClosed as error:
                if broken_s is None:
                    broken_s = time.monotonic()
                    with self.lock:
                        self.counts.broken[error.rcvd.code if error.rcvd else None] += 1
            except (InvalidStatus, OSError):  # no server is left
                time.sleep(FRAME_S)


def client_of(site: Site) -> httpx.Client:
    return httpx.Client(
        base_url=f"http://{site.address}",
        headers={"Host": HOST, **BEARER},
        timeout=LIMIT_S,
        trust_env=False,
    )


def open_stream(site: Site, **options: object) -> connect:
    options = {"additional_headers": BEARER} | options
    # The address gives the header Host; the connection goes to nginx.
    connection = socket.create_connection(("127.0.0.1", site.port))
    return connect(f"ws://{HOST}/v1/stream", sock=connection, proxy=None, **options)


def killed(site: Site) -> None:
    """One server is killed with SIGKILL, and started again after DOWN_S."""
    restart(site.servers[0], signal.SIGKILL)


def drained(site: Site) -> None:
    """One server gets SIGTERM, and is started again after DOWN_S."""
    restart(site.servers[1], signal.SIGTERM)


def rolled(site: Site) -> None:
    """Both are restarted with SIGTERM, one after the other, as for a new version."""
    for server in site.servers:
        restart(server, signal.SIGTERM)


def all_killed(site: Site) -> None:
    """Both are killed with SIGKILL: requests fail until one has started again."""
    for server in site.servers:
        server.end(signal.SIGKILL)
    time.sleep(DOWN_S)
    for server in site.servers:
        server.start()
    for server in site.servers:
        server.wait()


def restart(server: Server, sent: signal.Signals) -> None:
    server.end(sent)
    time.sleep(DOWN_S)
    server.start()
    server.wait()
    time.sleep(1)  # until nginx has used it again


FAULTS: dict[str, tuple[Callable[[Site], None], int]] = {  # and how often each is tried
    "kill": (killed, 3),
    "drain": (drained, 3),
    "roll": (rolled, 1),
    "both": (all_killed, 1),
}


def under_load(name: str, site: Site, load: Load) -> None:
    """Run a fault under load, to its end; raises AssertionError for what must not happen."""
    try:
        time.sleep(WARM_UP_S)
        FAULTS[name][0](site)
        time.sleep(WARM_UP_S)
    finally:
        counts = load.stop()
    assert counts.outcomes["200"] > 0, f"nothing was answered: {dict(counts.outcomes)}"
    # With both, also an answer whose server was killed after it had begun.
    allowed = {"200", "503", "RemoteProtocolError"} if name == "both" else {"200"}
    assert set(counts.outcomes) <= allowed, f"requests failed: {dict(counts.outcomes)}"
    assert counts.frames > 0, "no frame was answered"
    lost = counts.broken.total() - len(counts.gaps_s)
    assert lost == 0, f"{lost} streams did not open again"
    if name in ("drain", "roll"):
        assert set(counts.broken) <= {1012}, f"streams ended with {dict(counts.broken)}"


def check_access(site: Site) -> None:
    """Raise AssertionError unless tokens, origins and sizes count as they do without nginx."""
    own, other = {"Origin": f"http://{HOST}"}, {"Origin": "http://other.example"}
    with client_of(site) as client:
        for request, expected in (
            ({"method": "GET", "url": "/healthz"}, 200),
            ({"method": "GET", "url": "/"}, 200),
            ({"method": "GET", "url": "/metrics"}, 404),
            ({"method": "GET", "url": "/v1/model", "headers": {"Authorization": ""}}, 401),
            ({"method": "GET", "url": "/v1/model", "headers": own}, 200),
            ({"method": "GET", "url": "/v1/model", "headers": other}, 403),
            ({"method": "POST", "url": "/v1/analyze", "content": bytes(32 * 2**20)}, 422),
            ({"method": "POST", "url": "/v1/analyze", "content": bytes(32 * 2**20 + 1)}, 413),
        ):
            answer = client.request(**request)
            about = f"{request['method']} {request['url']}"
            assert answer.status_code == expected, f"{about}: {answer.status_code}, not {expected}"
            if expected == 413:
                assert "32 MiB" in answer.json()["detail"]
        # A port other than 80 is part of the header Host and of the Origin.
        ours = {"Host": site.address, "Origin": f"http://{site.address}"}
        assert client.get("/v1/model", headers=ours).status_code == 200, "own origin with a port"
    with open_stream(site, origin=f"http://{HOST}") as stream:
        stream.send(site.photo)
        assert json.loads(stream.recv())["frame"] == 0
    for refused in ({"origin": "http://other.example"}, {"additional_headers": {}}):
        try:
            with open_stream(site, **refused):
                status = 101
        except InvalidStatus as error:
            status = error.response.status_code
        assert status == 403, f"a stream with {refused}: {status}"


@contextmanager
def site_of_two(scratch: Path) -> Iterator[Site]:
    """Start two servers and nginx in front of them."""
    (scratch / "token").write_text(TOKEN)
    scene = draw_scene(["happy"], np.random.default_rng(0)).image
    site = Site(free_port(), [], cv2.imencode(".jpg", scene)[1].tobytes())
    nginx = None
    try:
        site.servers += [Server(free_port(), scratch) for _ in range(2)]
        for server in site.servers:
            server.wait()
        (scratch / "emodetect.conf").write_text(with_ports(CONFIG.read_text(), site))
        user = "user root;" if os.geteuid() == 0 else ""
        (scratch / "nginx.conf").write_text(NGINX.format(user=user))
        nginx = subprocess.Popen(["nginx", "-p", str(scratch), "-c", str(scratch / "nginx.conf")])
        wait_for_nginx(site, nginx, scratch)
        yield site
    finally:
        for process in (*(server.process for server in site.servers), nginx):
            if process is not None:
                process.terminate()
                process.wait(LIMIT_S)


def with_ports(config: str, site: Site) -> str:
    """Return the documented configuration with the ports of this run."""
    ports = iter([*(server.port for server in site.servers), site.port])
    config, replaced = re.subn(
        r"(server 127\.0\.0\.1:|listen )\d+", lambda found: f"{found[1]}{next(ports)}", config
    )
    assert replaced == len(site.servers) + 1, f"{CONFIG}: expected two servers and a port"
    # Also found by its address, for the check of an origin with a port.
    return config.replace("listen ", "listen 127.0.0.1:")


def wait_for_nginx(site: Site, nginx: subprocess.Popen[bytes], scratch: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while True:
        assert nginx.poll() is None, (scratch / "error.log").read_text()
        try:
            socket.create_connection(("127.0.0.1", site.port)).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "nginx does not start"
            time.sleep(0.05)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port


@click.command(help=__doc__)
@click.option("--clients", default=8, show_default=True, type=click.IntRange(1, 16))
@click.option("--streams", default=2, show_default=True, type=click.IntRange(1, 8))
@click.option("--only", type=click.Choice(list(FAULTS)), multiple=True, help="[default: all]")
@click.option("--tries", type=click.IntRange(1), help="How often each is tried.")
def main(clients: int, streams: int, only: tuple[str, ...], tries: int | None) -> None:
    if shutil.which("nginx") is None:
        raise click.ClickException(
            "nginx is not on PATH: apt-get install nginx-light (Debian has it in /usr/sbin)"
        )
    tally = Tally()
    table = Table("fault", "requests", "failed", "for", "slowest", "streams broken", "open again")
    with (
        tempfile.TemporaryDirectory(prefix="emodetect-stress-") as scratch,
        site_of_two(Path(scratch)) as site,
    ):
        with tally.attempt("access"):
            check_access(site)
        for name in only or FAULTS:
            for turn in range(tries or FAULTS[name][1]):
                load = Load(site, clients, streams)
                with tally.attempt(name, f"try {turn + 1}"):
                    under_load(name, site, load)
                print(f"{name} {turn + 1}: {tally.failed} failures so far", flush=True)
                add(table, name, load.counts)
    Console(width=100).print(table)
    tally.finish()


def add(table: Table, name: str, counts: Counts) -> None:
    codes = ", ".join(f"{count} ({code or 'no code'})" for code, count in counts.broken.items())
    table.add_row(
        name,
        f"{counts.outcomes.total():,}",
        str(counts.failed),
        f"{counts.failing_s:.1f} s",
        f"{counts.slowest_s:.1f} s",
        codes or "0",
        f"{max(counts.gaps_s):.1f} s" if counts.gaps_s else "",
    )


if __name__ == "__main__":
    main()
