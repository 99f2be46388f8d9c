"""LiteRT (formerly TensorFlow Lite), the default runtime."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np

from emodetect.errors import ModelError
from emodetect.machine.quiet_libraries import quiet_stderr
from emodetect.model_file.artifact import Artifact
from emodetect.model_file.crash_check import how_it_crashes
from emodetect.model_file.shipped_models import is_shipped
from emodetect.recognition.runtimes.checks import (
    MAX_TENSOR_BYTES,
    bytes_in_full_batch,
    check_shapes,
    damaged,
    smooth_images,
)

_opened: set[int] = set()
"""Hashes of the networks that this process has opened."""


class LiteRTRuntime:
    """Runs the flatbuffer in LiteRT, on the CPU.

    LiteRT verifies the flatbuffer and its shapes, but not all that can crash it, so a network that
    did not come with the package is tried in another process first.
    """

    def __init__(self, artifact: Artifact, *, threads: int, tried: bool = False) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.path = artifact.path
        if not tried:
            check_network(artifact)
        # LiteRT tells on stderr what is wrong with a network, and the first time that its delegate
        # is there. Later there is nothing to hide, and other threads may write.
        known = hash(artifact.compiled)
        quiet = nullcontext if known in _opened else quiet_stderr
        try:
            with quiet():
                self.interpreter = Interpreter(model_content=artifact.compiled, num_threads=threads)
                tensors = self.interpreter.get_tensor_details()
            (input_details,) = self.interpreter.get_input_details()
            (output_details,) = self.interpreter.get_output_details()
        except (RuntimeError, ValueError) as error:
            raise ModelError(damaged(self.path, error)) from None
        check_shapes(artifact, input_details["shape"], output_details["shape"])
        # A flatbuffer of kilobytes can request tensors of terabytes.
        bytes_needed = sum(map(bytes_in_full_batch, tensors))
        if bytes_needed > MAX_TENSOR_BYTES:
            raise ModelError(
                f"{self.path}: refused: the network requires {bytes_needed:,} bytes of memory."
            )
        self.input, self.output = input_details["index"], output_details["index"]
        self.shape: tuple[int, ...] = ()
        try:
            with quiet():
                self.interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ModelError(damaged(self.path, error)) from None
        _opened.add(known)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, size, size, channels) float32 in 0-255."""
        try:
            if batch.shape != self.shape:
                self.interpreter.resize_tensor_input(self.input, batch.shape, strict=True)
                self.interpreter.allocate_tensors()
                self.shape = batch.shape
            self.interpreter.set_tensor(self.input, batch)
            self.interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise ModelError(damaged(self.path, error)) from None
        output: np.ndarray = self.interpreter.get_tensor(self.output)
        return output


def check_network(artifact: Artifact) -> None:
    """Raise ModelError if LiteRT crashes on the network of an artifact.

    It is opened and run in another process, once for each network; those of the shipped models are
    known.
    """
    if is_shipped(artifact.path):
        return
    end = how_it_crashes(_try_out, artifact, content=artifact.compiled, library="ai-edge-litert")
    if end is not None:
        raise ModelError(
            f"{artifact.path}: damaged: LiteRT crashes on its network ({end}); train or download "
            "the model again."
        )


def _try_out(artifact: Artifact) -> None:
    runtime = LiteRTRuntime(artifact, threads=1, tried=True)
    for count in (1, 2):  # each size is set up anew
        runtime.run(smooth_images(artifact.metadata)[:count])
