"""What every runtime does, and how each is installed."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from emodetect.errors import EmodetectError
from emodetect.model_file.artifact import Artifact

MAX_BATCH = 64


class MissingRuntimeError(EmodetectError):
    """A runtime that is not installed here."""


class Runtime(Protocol):
    """Runs a classifier; not safe to use from several threads at once."""

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, size, size, channels) float32 in 0-255."""
        ...


class Opener(Protocol):
    """Opens an artifact's network in one kind of runtime."""

    def __call__(self, artifact: Artifact, *, threads: int) -> Runtime:
        """Return the runtime. Raises ModelError for a network that it cannot run, ImportError."""
        ...


PIP_LINES = {
    "litert": "pip install ai-edge-litert",
    "keras": "pip install tensorflow keras",
    "onnxruntime": "pip install 'emodetect[onnxruntime]'",
    "openvino": "pip install 'emodetect[openvino]'",
}
