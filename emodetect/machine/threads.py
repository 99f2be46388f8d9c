"""Threads: the number of usable cores, and parallel work in a pool."""

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
    """Apply a function in parallel to `at_once` items at a time, and yield the results in order.

    The pool's own `map` would queue all items and keep every result that is not yet consumed.
    """
    remaining = iter(items)
    while batch := list(islice(remaining, at_once)):
        yield from pool.map(function, batch)


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_threads() -> int:
    """Return the default number of threads of a runtime: one per core, at most 4."""
    return min(4, os.cpu_count() or 1)
