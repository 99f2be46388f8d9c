"""Servers for tests: one in this process, and one started like a user's."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from emodetect.serve.server import open_socket


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
