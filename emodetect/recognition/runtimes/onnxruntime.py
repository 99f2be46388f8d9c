"""ONNX Runtime, on the CPU."""

from __future__ import annotations

import os
from types import ModuleType

import numpy as np

from emodetect.errors import ModelError
from emodetect.model_file.artifact import Artifact
from emodetect.recognition.runtimes.checks import check_same_results, difference_from, unusable
from emodetect.recognition.runtimes.litert import LiteRTRuntime


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime, without the telemetry that it would start when it is imported.

    It writes an ID of this machine into the cache folder, and sends Microsoft, among other things,
    where Python lies.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # where another program has imported it before
    module: ModuleType = onnxruntime
    return module


class OnnxRuntime:
    """Converts the network to ONNX and runs it on ONNX Runtime's CPU provider."""

    def __init__(self, artifact: Artifact, *, threads: int) -> None:
        onnxruntime = import_onnxruntime()

        from emodetect.recognition.runtimes.onnx_graph import INPUT, to_onnx

        self.input = INPUT
        reference = LiteRTRuntime(artifact, threads=threads)  # rejects malicious networks
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Otherwise its threads keep a core busy between the frames of a camera.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4  # errors are raised as exceptions anyway
        network = to_onnx(artifact)
        try:
            self.session = onnxruntime.InferenceSession(
                network, options, providers=["CPUExecutionProvider"]
            )
            difference = difference_from(self, reference, artifact.metadata)
        except Exception as error:  # its own exception types have no common base class
            raise ModelError(unusable(artifact.path, "ONNX Runtime", error)) from None
        check_same_results(difference, artifact.path, "ONNX Runtime")

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, size, size, channels) float32 in 0-255."""
        (output,) = self.session.run(None, {self.input: batch})
        return np.asarray(output)
