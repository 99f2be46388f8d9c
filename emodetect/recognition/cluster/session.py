"""A connection to Ray: started here or joined, silent, and ended whatever happens."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

from emodetect.errors import EmodetectError, first_line
from emodetect.machine.quiet_libraries import quiet_libraries
from emodetect.machine.threads import usable_cores

PIP_LINE = "pip install 'emodetect[ray]'"
CONNECT_S = 10
HEALTH_CHECK_S = 30
# Only lists of names and rows pass through it.
OBJECT_STORE_BYTES = 128 * 2**20


def import_ray() -> ModuleType:
    """Return the module ray. Raises EmodetectError if the extra is not installed."""
    # Read when ray is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import aiohttp  # noqa: F401
        import fsspec  # noqa: F401
        import pyarrow  # noqa: F401
        import ray
    except ImportError as error:
        raise EmodetectError(
            f"--engine ray needs Ray, which is not installed ({first_line(error)}); install it "
            f"with: {PIP_LINE}"
        ) from None
    module: ModuleType = ray
    return module


@contextmanager
def ray_session(address: str | None, *, cpus: int | None, log: Path) -> Iterator[ModuleType]:
    """Connect to a cluster, or start one here; yield the module ray.

    What Ray and its libraries write to stderr goes to `log`.

    Args:
        address: "auto" for the cluster that this machine is a node of, HOST:PORT, or None to start
            Ray here.
        cpus: of a Ray that is started here; the usable cores if None.

    Raises:
        EmodetectError: if no Ray answers at the address, or it is of another version.
    """
    ray = import_ray()
    if address is not None:
        _check_address(address)
    settings: dict[str, Any] = {"address": address}
    if address is None:
        settings = {
            "address": "local",  # whatever RAY_ADDRESS says
            "num_cpus": cpus or usable_cores(),
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }
    # Ray reports on workers and nodes by Python's stdout, which nothing else needs meanwhile.
    with (
        quiet_libraries(log),
        log.open("a", buffering=1, encoding="utf-8") as file,
        redirect_stdout(file),
    ):
        try:
            # Only here is Python's stderr redirected too: later it shows progress.
            with redirect_stderr(file):
                ray.init(**settings, log_to_driver=False)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            raise EmodetectError(
                f"{_place(address)}: Ray cannot be used: {' '.join(str(error).split())}"
            ) from None
        with _logged_to(log):
            try:
                yield ray
            finally:
                ray.shutdown()


def _place(address: str | None) -> str:
    return "--engine ray" if address is None else f"--address {address}"


def _check_address(address: str) -> None:
    """Raise EmodetectError if no Ray answers; `ray.init` would try for minutes, or abort."""
    hint = "start Ray there with: ray start --head"
    words = []
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or "/" in host:
            raise EmodetectError(
                f"--address: expected auto or HOST:PORT, such as 10.0.0.1:6379, got {address!r}."
            )
        try:
            socket.create_connection((host, int(port)), CONNECT_S).close()
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise EmodetectError(f"--address {address}: nobody answers ({why}); {hint}") from None
        words = ["--address", address]
    if not _is_healthy(words):
        what = (
            "no Ray cluster runs on this machine"
            if address == "auto"
            else "what answers there is not the head of a Ray cluster"
        )
        raise EmodetectError(f"--address {address}: {what}; {hint}")


def _is_healthy(words: list[str]) -> bool:
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", *words]
    try:
        done = subprocess.run(command, capture_output=True, timeout=HEALTH_CHECK_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


@contextmanager
def _logged_to(log: Path) -> Iterator[None]:
    logger = logging.getLogger("ray")
    handler = logging.FileHandler(log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    before, propagate = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [handler], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before, propagate
        handler.close()
