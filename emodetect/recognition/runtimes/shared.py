"""A runtime that any number of threads may use at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from emodetect.machine.threads import SharedPool
from emodetect.recognition.runtimes.runtime import Runtime


class SharedRuntime:
    """A runtime for any number of threads; they take turns, since one run already uses all cores.

    Args:
        open_one: opens the runtime; called again in a forked process.
    """

    def __init__(self, open_one: Callable[[], Runtime]) -> None:
        self.pool = SharedPool(open_one, most=1)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, size, size, channels) float32 in 0-255."""
        with self.pool.borrow() as runtime:
            return runtime.run(batch)
