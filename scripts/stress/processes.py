"""Processes to watch: a server like a user's, and how much memory and how many files one holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def watched_memory(pid: int) -> Iterator[list[int]]:
    """Yield a list that holds the most memory, in bytes, that a process or a child of it took."""
    most, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            for one in (pid, *children(pid)):
                most[0] = max(most[0], resident_bytes(one))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    found: list[int] = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, tasks.read_text().split())
        except OSError:  # it has ended
            continue
    return found


def resident_bytes(pid: int) -> int:
    """Return the memory of a process; 0 if it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_files(pid: int) -> int:
    """Return how many file descriptors a process holds; 0 if it has ended."""
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return 0


@contextmanager
def server(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start `emodetect serve` on a free port; yield its process and address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "emodetect", "serve", "--port", "0", *words],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stderr.readline() if process.stderr else ""
        found = re.search(r"http://\S+", line)
        assert found is not None, line
        yield process, found[0]
    finally:
        process.terminate()
        process.communicate()
