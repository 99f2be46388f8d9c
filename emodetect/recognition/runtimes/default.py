"""The default runtime."""

from __future__ import annotations

from emodetect.model_file.artifact import Artifact
from emodetect.recognition.runtimes.keras import KerasRuntime
from emodetect.recognition.runtimes.litert import LiteRTRuntime
from emodetect.recognition.runtimes.runtime import Runtime


def open_default(artifact: Artifact, *, threads: int) -> Runtime:
    """Open an artifact in LiteRT, or in Keras where LiteRT has no wheel."""
    try:
        return LiteRTRuntime(artifact, threads=threads)
    except ImportError:
        return KerasRuntime(artifact, threads=threads)
