"""Servers for tests: one in this process, and one started like a user's."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from emodetect.serve.process.listening import open_socket


@contextmanager
def serving(app: FastAPI, **settings: Any) -> Iterator[httpx.Client]:
    """Serve an application in a thread, with settings of uvicorn; yields a client."""
    with open_socket("127.0.0.1", 0) as listening:
        config = uvicorn.Config(app, log_level="error", ws="websockets-sansio", **settings)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            with httpx.Client(base_url=address, timeout=120, trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


def until(condition: Callable[[], bool], *, limit_s: float = 60) -> None:
    """Wait for a condition; one that does not come about fails the test."""
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, f"did not come about within {limit_s:g} s"
        time.sleep(0.01)


class HalfSent:
    """A request whose photo has only arrived in part, so that it is open until `send`."""

    def __init__(self, address: str, photo: bytes, header: bytes = b"") -> None:
        host, _, port = address.removeprefix("http://").partition(":")
        self.photo = photo
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.socket.sendall(
            b"POST /v1/analyze HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n"
            b"%sContent-Length: %d\r\n\r\n" % (header, len(photo))
        )
        assert self.socket.recv(100).startswith(b"HTTP/1.1 100 ")
        self.socket.sendall(photo[:100])

    def send(self) -> None:
        """Send the rest."""
        self.socket.sendall(self.photo[100:])

    def answer(self) -> str:
        """Return all that the server sends until it closes the connection."""
        received = b""
        with self.socket:
            while part := self.socket.recv(65536):
                received += part
        return received.decode()


@contextmanager
def started(*words: str, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `emodetect serve` in its own process; yields the process and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "emodetect", "serve", "--port", str(port), *words],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://\S+", line)
        assert found is not None, line + process.stderr.read()
        yield process, found[0]
    finally:
        process.kill()
        process.communicate()
