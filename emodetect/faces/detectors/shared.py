"""A detector that any number of threads may use at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from emodetect.faces.boxes import Box
from emodetect.faces.detectors.registry import Detector
from emodetect.machine.threads import SharedPool


class SharedDetector:
    """A detector for any number of threads: each call uses one that no other thread is using.

    Args:
        open_one: opens a detector; called again when several threads search at once.
    """

    def __init__(self, open_one: Callable[[], Detector]) -> None:
        self.pool = SharedPool(open_one)

    def detect(self, image: np.ndarray) -> list[Box]:
        """See `Detector`."""
        with self.pool.borrow() as detector:
            return detector.detect(image)

    def scan(self, image: np.ndarray) -> list[Box]:
        """See `Detector`."""
        with self.pool.borrow() as detector:
            return detector.scan(image)

    def locate(self, patch: np.ndarray, side: float) -> list[Box]:
        """See `Detector`."""
        with self.pool.borrow() as detector:
            return detector.locate(patch, side)
