"""Compare the installed runtimes on one model: speed, and agreement with Keras."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from emodetect.data.synthetic import draw_face
from emodetect.emotions import EMOTIONS
from emodetect.errors import EmodetectError, ModelError
from emodetect.machine.computer import installed_version, processor
from emodetect.machine.progress import track
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.runtimes.registry import RUNTIMES
from emodetect.recognition.runtimes.runtime import MAX_BATCH, MissingRuntimeError

FACES = 2 * MAX_BATCH
ROUNDS = 10
SINGLE_FACES_IN_A_ROUND = 30
LIBRARIES = (
    "emodetect",
    "ai-edge-litert",
    "tensorflow",
    "keras",
    "onnxruntime",
    "onnx",
    "openvino",
    "numpy",
    "opencv-python",
)


@dataclass(frozen=True, kw_only=True)
class RuntimeFigures:
    """Measurements of one runtime, including preprocessing and output checks.

    Attributes:
        start_ms: time to import the runtime, open the model and classify the first face; without
            imports shared with a runtime that was measured before.
        latency_ms: median time for one face.
        latency_p95_ms: 95th percentile of the time for one face.
        faces_per_second: median throughput in batches of 64.
        difference: largest difference in a probability from Keras; None without Keras.
        same_emotion: share of faces with the same most probable emotion as Keras, 0 to 1; None
            without Keras.
    """

    runtime: str
    start_ms: float
    latency_ms: float
    latency_p95_ms: float
    faces_per_second: float
    difference: float | None
    same_emotion: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The result of `compare_runtimes`.

    Attributes:
        threads: as requested; None for the number of cores, at most 4. Keras uses all cores.
        faces: number of synthetic faces.
        machine: system, processor, cores and Python version.
        versions: versions of the installed libraries.
        not_measured: a line for each other runtime: how to install it, or why it cannot run the
            network.
    """

    model: Path
    threads: int | None
    faces: int
    machine: dict[str, str | int | None]
    versions: dict[str, str]
    runtimes: tuple[RuntimeFigures, ...]
    not_measured: tuple[str, ...]


@dataclass
class _Contender:
    """An open runtime and its measurements."""

    recognizer: EmotionRecognizer
    start_ms: float
    probabilities: np.ndarray
    single_ms: list[float] = field(default_factory=list)
    batch_ms: list[float] = field(default_factory=list)


def compare_runtimes(model: str | Path | None = None, *, threads: int | None = None) -> Comparison:
    """Measure every installed runtime, in turns, on synthetic faces.

    Args:
        model: path of a model file, name of a shipped model, or None for the default model.
        threads: for each runtime except Keras; the number of cores, at most 4, if None.

    Raises:
        ModelError: if no installed runtime can run the model.
    """
    rng = np.random.default_rng(0)
    faces = [draw_face(EMOTIONS[number % len(EMOTIONS)], rng) for number in range(FACES)]
    contenders: dict[str, _Contender] = {}
    not_measured: list[EmodetectError] = []
    for name in track(RUNTIMES, description="opening", total=len(RUNTIMES)):
        try:
            contenders[name] = _open(name, model, faces, threads=threads)
        except (MissingRuntimeError, ModelError) as error:
            not_measured.append(error)
    if not contenders:
        raise not_measured[0]
    for _ in track(range(ROUNDS), description="measuring", total=ROUNDS):
        # In turns, so that other load on the machine slows all of them alike.
        for contender in contenders.values():
            _measure(contender, faces)
    expected = contenders["keras"].probabilities if "keras" in contenders else None
    return Comparison(
        model=next(iter(contenders.values())).recognizer.path,
        threads=threads,
        faces=FACES,
        machine={
            "system": platform.platform(),
            "processor": processor(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
        versions={
            library: version for library in LIBRARIES if (version := installed_version(library))
        },
        runtimes=tuple(_figures(name, one, expected) for name, one in contenders.items()),
        not_measured=tuple(map(str, not_measured)),
    )


def _open(
    name: str, model: str | Path | None, faces: Sequence[np.ndarray], *, threads: int | None
) -> _Contender:
    started = time.perf_counter()
    recognizer = EmotionRecognizer(model, detector="none", runtime=name, threads=threads)
    recognizer.classify(faces[:1])
    return _Contender(
        recognizer, 1000 * (time.perf_counter() - started), recognizer.classify(faces)
    )


def _measure(contender: _Contender, faces: Sequence[np.ndarray]) -> None:
    """Time single faces, a different one each time, then a full batch; each after a warm-up."""
    classify = contender.recognizer.classify
    for faces_each, count, times in (
        (1, SINGLE_FACES_IN_A_ROUND, contender.single_ms),
        (MAX_BATCH, 1, contender.batch_ms),
    ):
        classify(faces[:faces_each])
        for number in range(count):
            started = time.perf_counter()
            classify(faces[number : number + faces_each])
            times.append(1000 * (time.perf_counter() - started))


def _figures(name: str, contender: _Contender, expected: np.ndarray | None) -> RuntimeFigures:
    probabilities = contender.probabilities
    return RuntimeFigures(
        runtime=name,
        start_ms=contender.start_ms,
        latency_ms=float(np.median(contender.single_ms)),
        latency_p95_ms=float(np.quantile(contender.single_ms, 0.95)),
        faces_per_second=1000 * MAX_BATCH / float(np.median(contender.batch_ms)),
        difference=None if expected is None else float(np.abs(probabilities - expected).max()),
        same_emotion=None
        if expected is None
        else float((probabilities.argmax(axis=1) == expected.argmax(axis=1)).mean()),
    )
