"""The table that the scripts of this folder print: what was tried, how often, and what failed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Counts what was tried under each name, and keeps why some of it failed.

    `tried` and `failures` are in the order of the first try; `seconds` is the time taken so far.
    """

    tried: dict[str, int] = field(default_factory=dict)
    failures: dict[str, list[str]] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def count(self, name: str, failure: str | None = None, *, times: int = 1) -> None:
        """Add a try, which failed if there is a failure to tell."""
        self.tried[name] = self.tried.get(name, 0) + times
        self.failures.setdefault(name, [])
        if failure is not None:
            self.failures[name].append(failure)
            print(f"{name}: FAILED: {failure}", flush=True)

    @contextmanager
    def attempt(self, name: str, what: object = "") -> Iterator[None]:
        """Count what is done within as a try, which fails with any exception."""
        try:
            yield
        except Exception as error:
            self.count(name, f"{what}: {type(error).__name__}: {error}")
        else:
            self.count(name)

    @property
    def failed(self) -> int:
        """How many tries failed."""
        return sum(map(len, self.failures.values()))

    def finish(self) -> None:
        """Print the table and end the process, with status 1 if anything failed."""
        width = max(map(len, self.tried), default=0)
        print(f"\n{'':{width}}  tried  failed")
        for name, tried in self.tried.items():
            print(f"{name:{width}}  {tried:5,}  {len(self.failures[name]):6,}")
        minutes = (time.monotonic() - self.started) / 60
        total = sum(self.tried.values())
        print(f"{total:,} tried, {self.failed:,} failed, in {minutes:.1f} minutes")
        sys.exit(1 if self.failed else 0)
