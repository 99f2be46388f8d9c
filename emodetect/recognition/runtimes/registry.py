"""The runtimes by name."""

from __future__ import annotations

from emodetect.errors import EmodetectError, first_line
from emodetect.machine.computer import default_threads
from emodetect.model_file.artifact import Artifact
from emodetect.recognition.runtimes.default import open_default
from emodetect.recognition.runtimes.keras import KerasRuntime
from emodetect.recognition.runtimes.litert import LiteRTRuntime
from emodetect.recognition.runtimes.onnxruntime import OnnxRuntime
from emodetect.recognition.runtimes.openvino import OpenVinoRuntime
from emodetect.recognition.runtimes.runtime import PIP_LINES, MissingRuntimeError, Opener, Runtime

MOST_THREADS = 1024  # with a hundred thousand, LiteRT crashes


def open_runtime(
    artifact: Artifact, *, runtime: str | None = None, threads: int | None = None
) -> Runtime:
    """Return a runtime for an artifact.

    Args:
        runtime: one of RUNTIMES; None for LiteRT, or Keras where LiteRT has no wheel.
        threads: the number of cores, at most 4, if None or 0. Keras always uses all cores.

    Raises:
        ModelError: if the network cannot be opened, does not match the metadata, or gives
            different results in this runtime than in the default one.
        MissingRuntimeError: if the runtime is not installed.
        EmodetectError: if the runtime is unknown or `threads` is impossible.
    """
    if threads is not None and not 0 <= threads <= MOST_THREADS:
        raise EmodetectError(
            f"threads: expected 1 to {MOST_THREADS:,}, or 0 for all cores up to 4, got {threads}."
        )
    threads = threads or default_threads()
    if runtime is None:
        return open_default(artifact, threads=threads)
    if not isinstance(runtime, str) or runtime not in RUNTIMES:
        raise EmodetectError(f"runtime: expected one of {', '.join(RUNTIMES)}, got {runtime!r}.")
    try:
        return RUNTIMES[runtime](artifact, threads=threads)
    except ImportError as error:
        raise MissingRuntimeError(
            f"the runtime {runtime} is not installed ({first_line(error)}); install it with: "
            f"{PIP_LINES[runtime]}"
        ) from None


RUNTIMES: dict[str, Opener] = {
    "litert": LiteRTRuntime,
    "keras": KerasRuntime,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVinoRuntime,
}
