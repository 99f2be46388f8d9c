"""A connection to Ray: started here or joined, silent, and ended whatever happens."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

from emodetect.errors import EmodetectError
from emodetect.machine.computer import usable_cores
from emodetect.machine.quiet_libraries import quiet_libraries

PIP_LINE = 'pip install "emodetect[ray]"'
START_HINT = "start Ray there with: ray start --head"
CONNECT_S = 10
HEALTH_CHECK_S = 30
# Only lists of names and rows pass through it.
OBJECT_STORE_BYTES = 128 * 2**20


def check_ray(address: str | None) -> None:
    """Check that Ray is installed and that a cluster answers, without importing it.

    Args:
        address: as in `ray_session`.

    Raises:
        EmodetectError: if the extra is not installed, or no Ray answers at the address, or one of
            another version, or one that wants a token which is not here.
    """
    needed = ("aiohttp", "fsspec", "pyarrow", "ray")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise EmodetectError(
            f"--engine ray needs packages that are not installed ({', '.join(missing)}); install "
            f"them with: {PIP_LINE}"
        )
    if address is not None:
        _check_address(address)


@contextmanager
def ray_session(address: str | None, *, cpus: int | None, log: Path) -> Iterator[ModuleType]:
    """Connect to a cluster, or start one here; yield the module ray.

    What Ray and its libraries write to stderr goes to `log`.

    Args:
        address: "auto" for the cluster that this machine is a node of, HOST:PORT, or None to start
            Ray here.
        cpus: of a Ray that is started here; the usable cores if None.

    Raises:
        EmodetectError: if Ray cannot be used.
    """
    # Read when ray is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

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
                terminated = signal.getsignal(signal.SIGTERM)
                ray.init(**settings, log_to_driver=False)
                if threading.current_thread() is threading.main_thread():
                    signal.signal(signal.SIGTERM, terminated)  # Ray's own ends without a word
        except Exception as error:
            known = (
                ConnectionError,
                RuntimeError,
                TimeoutError,
                ValueError,
                ray.exceptions.RayError,
            )
            if not isinstance(error, known) and type(error) is not Exception:  # Ray raises it bare
                raise
            why = " ".join(str(error).split()) or type(error).__name__
            if "version mismatch" in why.lower():
                why += "; run the command with the versions of the cluster"
            raise EmodetectError(f"{_place(address)}: Ray cannot be used: {why}") from None
        with _logged_to(log):
            try:
                yield ray
            finally:
                ray.shutdown()


def _place(address: str | None) -> str:
    return "--engine ray" if address is None else f"--address {address}"


def _check_address(address: str) -> None:
    """Raise EmodetectError if no Ray answers; `ray.init` would try for minutes, or abort."""
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
            raise EmodetectError(f"--address {address}: no answer ({why}); {START_HINT}") from None
        words = ["--address", address]
    problem = _health_problem(words)
    # Ray uses a token that it has made here for new clusters, but not to join one.
    if "AuthenticationError" in problem and not os.environ.get("RAY_AUTH_MODE"):
        os.environ["RAY_AUTH_MODE"] = "token"
        problem = _health_problem(words) and problem
    if problem:
        raise EmodetectError(f"--address {address}: {_explained(problem, address)}")


def _health_problem(words: list[str]) -> str:
    """Return "" if the head of a cluster answers, or what Ray says instead."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", *words]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=HEALTH_CHECK_S, check=False, text=True
        )
    except subprocess.TimeoutExpired:
        return "no answer"
    return "" if done.returncode == 0 else done.stderr.strip() or "no answer"


def _explained(problem: str, address: str) -> str:
    if "AuthenticationError" in problem:
        return (
            "the cluster wants another token than here; copy ~/.ray/auth_token from its head to "
            "this machine, or set RAY_AUTH_TOKEN"
        )
    last = problem.splitlines()[-1]
    if "version mismatch" in last.lower():
        return f"{last.partition(': ')[2]}; install the same version here"
    if address == "auto":
        return f"no Ray cluster runs on this machine; {START_HINT}"
    return f"what answers there is not the head of a Ray cluster; {START_HINT}"


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
