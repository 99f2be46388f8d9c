"""Test-time augmentation with mirror images."""

from __future__ import annotations

from typing import Literal

import numpy as np

from emodetect.recognition.runtimes.runtime import Runtime

Tta = Literal["flip"]  # test-time augmentation


class MirroredRuntime:
    """Averages the outputs for each image and its mirror image, in twice the time.

    A network does not see both alike, and the errors of the two partly cancel.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, size, size, channels) float32 in 0-255."""
        mirrored = np.ascontiguousarray(batch[:, :, ::-1])
        mean: np.ndarray = (self.runtime.run(batch) + self.runtime.run(mirrored)) / 2
        return mean
