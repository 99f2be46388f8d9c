"""Running a compiled model: LiteRT, or Keras where LiteRT has no wheel."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from emodetect.artifact import Artifact
from emodetect.backend import use_tensorflow
from emodetect.errors import ModelError, first_line
from emodetect.preprocessing import channels_of
from emodetect.quiet import quiet_stderr

MAX_BATCH = 64
# VGG16 at 224 x 224 has 4.5 GB of them for a full batch, though few at a time.
MAX_TENSOR_BYTES = 8 * 2**30


class Runtime(Protocol):
    """Runs a classifier; not safe to use from several threads at once."""

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, size, size, channels) float32 in 0-255."""
        ...


def open_runtime(artifact: Artifact, *, threads: int | None = None) -> Runtime:
    """Return a runtime for an artifact; `threads` defaults to the machine's cores, at most 4.

    Raises ModelError for a network that cannot be opened, or is not the one of the metadata.
    """
    threads = threads or min(4, os.cpu_count() or 1)
    try:
        return LiteRTRuntime(artifact, threads=threads)
    except ImportError:
        return KerasRuntime(artifact)


class LiteRTRuntime:
    """A flatbuffer on LiteRT (once TensorFlow Lite), on the CPU.

    LiteRT verifies the flatbuffer and the shapes in it. It is native code all the same, so a
    network made to exploit a fault of it is not kept off by that.
    """

    def __init__(self, artifact: Artifact, *, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.path = artifact.path
        try:
            with quiet_stderr():
                self.interpreter = Interpreter(model_content=artifact.compiled, num_threads=threads)
                tensors = self.interpreter.get_tensor_details()
            (input_details,) = self.interpreter.get_input_details()
            (output_details,) = self.interpreter.get_output_details()
        except (RuntimeError, ValueError) as error:
            raise ModelError(_damaged(self.path, error)) from None
        _check_shapes(artifact, input_details["shape"], output_details["shape"])
        # A flatbuffer of kilobytes may ask for tensors of terabytes.
        bytes_needed = sum(map(_bytes_in_full_batch, tensors))
        if bytes_needed > MAX_TENSOR_BYTES:
            raise ModelError(
                f"{self.path}: refused: its network asks for {bytes_needed:,} bytes of memory."
            )
        self.input, self.output = input_details["index"], output_details["index"]
        self.shape: tuple[int, ...] = ()

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, size, size, channels) float32 in 0-255."""
        try:
            if batch.shape != self.shape:
                with quiet_stderr():
                    self.interpreter.resize_tensor_input(self.input, batch.shape, strict=True)
                    self.interpreter.allocate_tensors()
                self.shape = batch.shape
            self.interpreter.set_tensor(self.input, batch)
            self.interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise ModelError(_damaged(self.path, error)) from None
        output: np.ndarray = self.interpreter.get_tensor(self.output)
        return output


class KerasRuntime:
    """The same network through Keras: slow to start, but wherever TensorFlow is."""

    def __init__(self, artifact: Artifact) -> None:
        use_tensorflow()
        import keras

        try:
            # Safe mode is Keras' default and stays on.
            self.model = keras.models.load_model(artifact.path, compile=False)
        except Exception as error:
            raise ModelError(
                f"{artifact.path}: Keras cannot open it: {first_line(error)}"
            ) from None
        _check_shapes(artifact, self.model.input_shape, self.model.output_shape)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, size, size, channels) float32 in 0-255."""
        # Not predict(): called in a loop it rebuilds its input pipeline each time.
        return np.asarray(self.model(batch, training=False))


def _check_shapes(
    artifact: Artifact, found_input: Sequence[int], found_output: Sequence[int]
) -> None:
    """Raise ModelError for a network that is not the one of the metadata; batches come first."""
    size, channels = artifact.metadata.image_size, channels_of(artifact.metadata.color)
    expected = (size, size, channels), (len(artifact.metadata.emotions),)
    found = tuple(map(int, found_input[1:])), tuple(map(int, found_output[1:]))
    if found != expected:
        raise ModelError(
            f"{artifact.path}: damaged: its metadata say input and output {expected}, the "
            f"network has {found}."
        )


def _bytes_in_full_batch(tensor: dict[str, Any]) -> int:
    dynamic = len(tensor["shape_signature"]) and tensor["shape_signature"][0] == -1
    size = math.prod(map(int, tensor["shape"])) * np.dtype(tensor["dtype"]).itemsize
    return int(size) * (MAX_BATCH if dynamic else 1)


def _damaged(path: Path, error: Exception) -> str:
    return f"{path}: damaged: LiteRT cannot run its network: {first_line(error)}"
