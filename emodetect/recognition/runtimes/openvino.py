"""OpenVINO, on the CPU."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from emodetect.errors import ModelError
from emodetect.model_file.artifact import Artifact
from emodetect.recognition.runtimes.checks import check_same_results, difference_from, unusable
from emodetect.recognition.runtimes.default import open_default


class OpenVinoRuntime:
    """Runs the flatbuffer in OpenVINO, on the CPU."""

    def __init__(self, artifact: Artifact, *, threads: int) -> None:
        with without_telemetry():
            import openvino

        reference = open_default(artifact, threads=threads)  # rejects malicious networks
        core = openvino.Core()
        try:
            # OpenVINO reads the LiteRT format from files only.
            with tempfile.TemporaryDirectory(prefix="emodetect-") as folder:
                file = Path(folder) / "model.tflite"
                file.write_bytes(artifact.compiled)
                self.model = core.compile_model(
                    core.read_model(file), "CPU", openvino_settings(threads)
                )
            difference = difference_from(self, reference, artifact.metadata)
        except RuntimeError as error:
            raise ModelError(unusable(artifact.path, "OpenVINO", error)) from None
        check_same_results(difference, artifact.path, "OpenVINO")

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, size, size, channels) float32 in 0-255."""
        # Shared to avoid a copy; a separate input tensor would not grow with the batch.
        results = self.model(np.ascontiguousarray(batch), share_inputs=True)
        return np.asarray(results[0])


def openvino_settings(threads: int) -> dict[str, str]:
    """Return the settings for low latency and full precision."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": str(threads),
        # The default is bfloat16 if the processor supports it; probabilities then differ by 0.1.
        "INFERENCE_PRECISION_HINT": "f32",
    }


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Prevent OpenVINO from sending telemetry to Intel when it is imported.

    It uses a separate package for that, and silently continues without it.
    """
    name = "openvino_telemetry"
    hidden = name not in sys.modules
    if hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules[name]
