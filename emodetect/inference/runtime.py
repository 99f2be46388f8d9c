"""Running a compiled model: LiteRT, or Keras where LiteRT has no wheel."""

from __future__ import annotations

import os
from typing import Protocol

import numpy as np

from emodetect.artifact import Artifact
from emodetect.backend import use_tensorflow
from emodetect.errors import ModelError
from emodetect.preprocessing import channels_of
from emodetect.quiet import quiet_stderr

MAX_BATCH = 64


class Runtime(Protocol):
    """Runs a classifier; not safe to use from several threads at once."""

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, size, size, channels) float32 in 0-255."""
        ...


def open_runtime(artifact: Artifact, *, threads: int | None = None) -> Runtime:
    """Return a runtime for an artifact; `threads` defaults to the machine's cores, at most 4."""
    threads = threads or min(4, os.cpu_count() or 1)
    try:
        runtime = LiteRTRuntime(artifact.compiled, threads=threads)
    except ImportError:
        return KerasRuntime(artifact)
    metadata = artifact.metadata
    size, channels = metadata.image_size, channels_of(metadata.color)
    expected = (size, size, channels), (len(metadata.emotions),)
    if (runtime.input_shape, runtime.output_shape) != expected:
        raise ModelError(
            f"{artifact.path}: damaged: its metadata say input and output {expected}, the network "
            f"has {(runtime.input_shape, runtime.output_shape)}."
        )
    return runtime


class LiteRTRuntime:
    """A flatbuffer on LiteRT (once TensorFlow Lite), on the CPU."""

    def __init__(self, compiled: bytes, *, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            with quiet_stderr():
                self.interpreter = Interpreter(model_content=compiled, num_threads=threads)
        except ValueError as error:
            raise ModelError(f"the compiled model cannot be opened: {error}") from None
        (input_details,) = self.interpreter.get_input_details()
        (output_details,) = self.interpreter.get_output_details()
        self.input, self.output = input_details["index"], output_details["index"]
        self.input_shape = tuple(int(side) for side in input_details["shape"][1:])
        self.output_shape = tuple(int(side) for side in output_details["shape"][1:])
        self.shape: tuple[int, ...] = ()

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, size, size, channels) float32 in 0-255."""
        if batch.shape != self.shape:
            with quiet_stderr():
                self.interpreter.resize_tensor_input(self.input, batch.shape, strict=True)
                self.interpreter.allocate_tensors()
            self.shape = batch.shape
        self.interpreter.set_tensor(self.input, batch)
        self.interpreter.invoke()
        output: np.ndarray = self.interpreter.get_tensor(self.output)
        return output


class KerasRuntime:
    """The same network through Keras: slow to start, but wherever TensorFlow is."""

    def __init__(self, artifact: Artifact) -> None:
        use_tensorflow()
        import keras

        self.model = keras.models.load_model(artifact.path, compile=False)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, size, size, channels) float32 in 0-255."""
        # Not predict(): called in a loop it rebuilds its input pipeline each time.
        return np.asarray(self.model(batch, training=False))
