"""The runtimes that are installed here, compared on one model: speed, and agreement with Keras."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from emodetect.data.synthetic import draw_face
from emodetect.emotions import EMOTIONS
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
    """How one runtime did, through the recogniser: pixels prepared, answers checked.

    Attributes:
        start_ms: to import the runtime, open the model and answer for the first face.
        latency_ms: for one face, the median.
        latency_p95_ms: for one face; 19 of 20 took less.
        faces_per_second: in batches of 64, the median.
        difference: the largest of a probability from Keras'; None where Keras is not there.
        same_emotion: share of the faces with the same most probable emotion as Keras, 0 to 1.
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
    """What `compare_runtimes` found.

    Attributes:
        threads: as asked for; None for the cores, at most 4. Keras takes all.
        faces: how many drawn faces the answers were compared on.
        machine: system, processor, cores and Python.
        versions: of the libraries that are installed.
        not_installed: a line for each runtime that is not, which says how to get it.
    """

    model: Path
    threads: int | None
    faces: int
    machine: dict[str, str | int | None]
    versions: dict[str, str]
    runtimes: tuple[RuntimeFigures, ...]
    not_installed: tuple[str, ...]


@dataclass
class _Contender:
    """An open runtime and its measurements."""

    recognizer: EmotionRecognizer
    start_ms: float
    answers: np.ndarray
    single_ms: list[float] = field(default_factory=list)
    batch_ms: list[float] = field(default_factory=list)


def compare_runtimes(model: str | Path | None = None, *, threads: int | None = None) -> Comparison:
    """Measure every runtime that is installed, in turns, on drawn faces.

    Args:
        model: an artifact's path, a shipped model's name, or None for the default one.
        threads: for each runtime but Keras; the machine's cores, at most 4, if None.

    Raises ModelError for a model that cannot be used, or that a runtime answers otherwise.
    """
    rng = np.random.default_rng(0)
    faces = [draw_face(EMOTIONS[number % len(EMOTIONS)], rng) for number in range(FACES)]
    contenders: dict[str, _Contender] = {}
    not_installed = []
    for name in track(RUNTIMES, description="opening", total=len(RUNTIMES)):
        try:
            contenders[name] = _open(name, model, faces, threads=threads)
        except MissingRuntimeError as error:
            not_installed.append(str(error))
    for _ in track(range(ROUNDS), description="measuring", total=ROUNDS):
        # In turns, so that whatever else the machine does slows all of them.
        for contender in contenders.values():
            _measure(contender, faces)
    expected = contenders["keras"].answers if "keras" in contenders else None
    return Comparison(
        model=next(iter(contenders.values())).recognizer.path,
        threads=threads,
        faces=FACES,
        machine={
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
        versions=_versions(LIBRARIES),
        runtimes=tuple(_figures(name, one, expected) for name, one in contenders.items()),
        not_installed=tuple(not_installed),
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
    """Time some faces alone, each another, then a full batch, after one of each to warm up."""
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
    answers = contender.answers
    return RuntimeFigures(
        runtime=name,
        start_ms=contender.start_ms,
        latency_ms=float(np.median(contender.single_ms)),
        latency_p95_ms=float(np.quantile(contender.single_ms, 0.95)),
        faces_per_second=1000 * MAX_BATCH / float(np.median(contender.batch_ms)),
        difference=None if expected is None else float(np.abs(answers - expected).max()),
        same_emotion=None
        if expected is None
        else float((answers.argmax(axis=1) == expected.argmax(axis=1)).mean()),
    )


def _versions(libraries: Iterable[str]) -> dict[str, str]:
    found = {}
    for library in libraries:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    """Return the processor's name; Linux keeps it in a file of its own."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
