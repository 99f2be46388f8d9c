"""The interface of a runtime, and how to install each."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from emodetect.errors import EmodetectError
from emodetect.model_file.artifact import Artifact

MAX_BATCH = 64


class MissingRuntimeError(EmodetectError):
    """A runtime that is not installed."""


class Runtime(Protocol):
    """Runs a classifier; not thread-safe."""

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, size, size, channels) float32 in 0-255."""
        ...


class Opener(Protocol):
    """Opens the network of an artifact in one of the runtimes."""

    def __call__(self, artifact: Artifact, *, threads: int) -> Runtime:
        """Return the runtime. Raises ModelError if it cannot run the network, or ImportError."""
        ...


PIP_LINES = {
    "litert": "pip install ai-edge-litert",
    "keras": "pip install tensorflow keras",
    "onnxruntime": 'pip install "emodetect[onnxruntime]"',
    "openvino": 'pip install "emodetect[openvino]"',
}
