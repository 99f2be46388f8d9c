"""Running a compiled model: LiteRT, Keras where LiteRT has no wheel, or another that is named."""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from emodetect.errors import EmodetectError, ModelError, first_line
from emodetect.images.preprocessing import channels_of
from emodetect.machine.quiet_libraries import quiet_stderr
from emodetect.machine.tensorflow import use_tensorflow
from emodetect.model_file.artifact import Artifact, Metadata

MAX_BATCH = 64
# VGG16 at 224 x 224 has 4.5 GB of them for a full batch, though few at a time.
MAX_TENSOR_BYTES = 8 * 2**30
# Float32 added up in another order differs by 1e-5; the half precision that some runtimes take
# by themselves, by 1e-2.
AGREEMENT = 1e-3


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


def open_runtime(
    artifact: Artifact, *, runtime: str | None = None, threads: int | None = None
) -> Runtime:
    """Return a runtime for an artifact.

    Args:
        runtime: one of RUNTIMES; None for LiteRT, or Keras where LiteRT has no wheel.
        threads: the machine's cores, at most 4, if None or 0. Keras takes all, whatever is
            said here.

    Raises:
        ModelError: for a network that cannot be opened, is not the one of the metadata, or is
            answered otherwise by the named runtime than by the default one.
        MissingRuntimeError: for a runtime that is not installed.
        EmodetectError: for a runtime of another name, and for less than no threads.
    """
    if threads is not None and threads < 0:
        raise EmodetectError(f"threads: expected 1 or more, or 0 for the cores, got {threads}.")
    threads = threads or default_threads()
    if runtime is None:
        try:
            return LiteRTRuntime(artifact, threads=threads)
        except ImportError:
            return KerasRuntime(artifact, threads=threads)
    if runtime not in RUNTIMES:
        raise EmodetectError(f"runtime: expected one of {', '.join(RUNTIMES)}, got {runtime!r}.")
    try:
        return RUNTIMES[runtime](artifact, threads=threads)
    except ImportError as error:
        raise MissingRuntimeError(
            f"the runtime {runtime} is not installed here ({first_line(error)}): "
            f"{PIP_LINES[runtime]}"
        ) from None


def default_threads() -> int:
    """Return how many threads a runtime gets where nobody says: the cores, at most 4."""
    return min(4, os.cpu_count() or 1)


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

    def __init__(self, artifact: Artifact, *, threads: int) -> None:
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
        # Not predict(), which builds an input pipeline for every call, nor the model itself,
        # which is not compiled: ten times as slow.
        return np.asarray(self.model.predict_on_batch(batch))


class OnnxRuntime:
    """The network written as ONNX, on ONNX Runtime's CPU provider."""

    def __init__(self, artifact: Artifact, *, threads: int) -> None:
        import onnxruntime

        from emodetect.recognition.runtimes.onnx_graph import INPUT, to_onnx

        self.input = INPUT
        reference = LiteRTRuntime(artifact, threads=threads)  # refuses hostile networks
        onnxruntime.disable_telemetry_events()  # which its Windows builds have
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # errors come as exceptions
        network = to_onnx(artifact)
        try:
            self.session = onnxruntime.InferenceSession(
                network, options, providers=["CPUExecutionProvider"]
            )
            difference = _difference(self, reference, artifact.metadata)
        except Exception as error:  # its own kinds, of no common base
            raise ModelError(_unusable(artifact.path, "ONNX Runtime", error)) from None
        _check_agreement(difference, artifact.path, "ONNX Runtime")

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, size, size, channels) float32 in 0-255."""
        (output,) = self.session.run(None, {self.input: batch})
        return np.asarray(output)


class OpenVinoRuntime:
    """The flatbuffer on OpenVINO, on the CPU."""

    def __init__(self, artifact: Artifact, *, threads: int) -> None:
        with without_telemetry():
            import openvino

        reference = open_runtime(artifact, threads=threads)  # refuses hostile networks
        core = openvino.Core()
        try:
            # It takes LiteRT's format from a file only.
            with tempfile.TemporaryDirectory(prefix="emodetect-") as folder:
                file = Path(folder) / "model.tflite"
                file.write_bytes(artifact.compiled)
                self.model = core.compile_model(
                    core.read_model(file), "CPU", openvino_settings(threads)
                )
            difference = _difference(self, reference, artifact.metadata)
        except RuntimeError as error:
            raise ModelError(_unusable(artifact.path, "OpenVINO", error)) from None
        _check_agreement(difference, artifact.path, "OpenVINO")

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, size, size, channels) float32 in 0-255."""
        # Shared: not copied, and a tensor of its own would not grow with the batch.
        results = self.model(np.ascontiguousarray(batch), share_inputs=True)
        return np.asarray(results[0])


RUNTIMES: dict[str, Opener] = {
    "litert": LiteRTRuntime,
    "keras": KerasRuntime,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVinoRuntime,
}
PIP_LINES = {
    "litert": "pip install ai-edge-litert",
    "keras": "pip install tensorflow keras",
    "onnxruntime": "pip install 'emodetect[onnxruntime]'",
    "openvino": "pip install 'emodetect[openvino]'",
}


def openvino_settings(threads: int) -> dict[str, str]:
    """Return by what OpenVINO answers for a face as soon, and as exactly, as it can."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": str(threads),
        # By itself it takes bfloat16 where the processor has it; probabilities were off by 0.1.
        "INFERENCE_PRECISION_HINT": "f32",
    }


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Keep OpenVINO from reporting, when it is imported, to Intel that it was.

    It does so by a package of its own, and goes on in silence where that is missing.
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


def _difference(runtime: Runtime, reference: Runtime, metadata: Metadata) -> float:
    """Return the largest difference of two runtimes' probabilities, on smooth images.

    Noise drives networks to one sure answer, in which differences drown.
    """
    images = _smooth_images(metadata)
    return float(np.abs(runtime.run(images) - reference.run(images)).max())


def _check_agreement(difference: float, path: Path, library: str) -> None:
    if not difference <= AGREEMENT:
        raise ModelError(
            f"{path}: {library} answers otherwise than the default runtime (probabilities differ "
            f"by up to {difference:.2g}); leave the runtime out, and LiteRT runs it."
        )


def _smooth_images(metadata: Metadata) -> np.ndarray:
    """Return (8, size, size, channels) float32 in 0-255: random patches, blurred into another."""
    size, channels = metadata.image_size, channels_of(metadata.color)
    patches = np.random.default_rng(0).uniform(0, 255, (8, 4, 4, channels)).astype(np.float32)
    return np.stack([cv2.resize(image, (size, size)) for image in patches]).reshape(
        8, size, size, channels
    )


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


def _unusable(path: Path, library: str, error: Exception) -> str:
    return (
        f"{path}: {library} cannot run its network: {first_line(error)}; "
        "leave the runtime out, and LiteRT runs it."
    )


def _damaged(path: Path, error: Exception) -> str:
    return f"{path}: damaged: LiteRT cannot run its network: {first_line(error)}"
