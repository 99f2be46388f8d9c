"""Threads: how many cores there are, and work spread over a pool."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def bounded_map(
    pool: ThreadPoolExecutor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    at_once: int,
) -> Iterator[Result]:
    """Apply a function in parallel, in order, to `at_once` items at a time.

    The pool's own map would queue all items and hold all results that are not used yet.
    """
    left = iter(items)
    while batch := list(islice(left, at_once)):
        yield from pool.map(function, batch)


def usable_cores() -> int:
    """Return how many of the machine's cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_threads() -> int:
    """Return how many threads a runtime gets where nobody says: the cores, at most 4."""
    return min(4, os.cpu_count() or 1)
