"""An exported file held against the .keras that it was made of."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emodetect.errors import ModelError
from emodetect.export.faces import Faces
from emodetect.export.formats.format import Run
from emodetect.machine.progress import track
from emodetect.machine.threads import default_threads
from emodetect.model_file.artifact import Artifact
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.runtimes.checks import AGREEMENT
from emodetect.recognition.runtimes.litert import LiteRTRuntime

# How many faces have to keep their emotion. Float32 may only differ in the last digits; what is
# rounded more may change its mind on a face between two emotions.
LEAST_AGREEMENT = {"none": 0.99, "float16": 0.98, "dynamic": 0.9, "int8": 0.9}
ROUNDS = 10
FACES_IN_A_ROUND = 20


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How a file did beside the model that it was made of.

    Attributes:
        faces: how many it was compared on.
        origin: where they come from, in words.
        max_difference: the largest of a probability from Keras'.
        mean_difference: of the probabilities, on average.
        same_emotion: share of the faces with the same most probable emotion as Keras, 0 to 1.
        keras_accuracy: share of the faces that Keras names right; None without labels.
        accuracy: the same of the file.
        latency_ms: for one face, the median.
        litert_latency_ms: of the network that the .keras carries for LiteRT, float32; None where
            LiteRT is not installed.
        file_bytes: of all that was written but the JSON beside it.
        litert_bytes: of the network that the .keras carries for LiteRT, float32.
    """

    faces: int
    origin: str
    max_difference: float
    mean_difference: float
    same_emotion: float
    keras_accuracy: float | None
    accuracy: float | None
    latency_ms: float
    litert_latency_ms: float | None
    file_bytes: int
    litert_bytes: int


def compare_with_keras(
    artifact: Artifact, run: Run, faces: Faces, *, file_bytes: int
) -> Comparison:
    """Compare what a file answers with what Keras does, face by face, and time it.

    The latencies are measured in turns, so that whatever else the machine does slows both.
    """
    keras = EmotionRecognizer(artifact.path, detector="none", runtime="keras")
    expected = keras.classify_inputs(faces.images)
    singles = [image[np.newaxis] for image in faces.images]
    answers = np.concatenate(
        [run(crop) for crop in track(singles, description="comparing", total=len(singles))]
    )
    differences = np.abs(answers - expected)
    named, named_by_keras = answers.argmax(axis=1), expected.argmax(axis=1)
    latency_ms, *litert_latency_ms = _latencies([run, *_litert(artifact)], singles)
    return Comparison(
        faces=len(faces.images),
        origin=faces.origin,
        max_difference=float(differences.max()),
        mean_difference=float(differences.mean()),
        same_emotion=float((named == named_by_keras).mean()),
        keras_accuracy=_accuracy(named_by_keras, faces.labels),
        accuracy=_accuracy(named, faces.labels),
        latency_ms=latency_ms,
        litert_latency_ms=litert_latency_ms[0] if litert_latency_ms else None,
        file_bytes=file_bytes,
        litert_bytes=len(artifact.compiled),
    )


def check_agreement(
    comparison: Comparison, out: Path, quantize: str, *, at_least: float | None
) -> None:
    """Raise ModelError for a file whose predictions differ from the model's.

    Args:
        at_least: the share of the faces that have to keep their emotion; as in LEAST_AGREEMENT
            if None.
    """
    allowed = AGREEMENT if quantize == "none" else 1.0
    least_agreement = LEAST_AGREEMENT[quantize] if at_least is None else at_least
    # Not the other way round, because a file may answer NaN.
    if comparison.max_difference <= allowed and comparison.same_emotion >= least_agreement:
        return
    hint = "" if quantize == "none" else " --quantize none rounds nothing."
    raise ModelError(
        f"{out}: not written, as it answers otherwise than the model: "
        f"{comparison.same_emotion:.1%} of {comparison.faces:,} faces ({comparison.origin}) keep "
        f"their emotion, expected {least_agreement:.1%}; probabilities differ by up to "
        f"{comparison.max_difference:.2g}.{hint}"
    )


def _litert(artifact: Artifact) -> list[Run]:
    """Return what runs the network that the .keras carries; nothing where LiteRT has no wheel."""
    try:
        runtime = LiteRTRuntime(artifact, threads=default_threads())
    except ImportError:
        return []
    return [lambda crop: runtime.run(crop.astype(np.float32))]


def _latencies(contenders: Sequence[Run], singles: Sequence[np.ndarray]) -> list[float]:
    """Return the median for one face of each, in milliseconds."""
    times: list[list[float]] = [[] for _ in contenders]
    for _ in range(ROUNDS):
        for run, own in zip(contenders, times, strict=True):
            for crop in singles[:FACES_IN_A_ROUND]:
                started = time.perf_counter()
                run(crop)
                own.append(1000 * (time.perf_counter() - started))
    return [float(np.median(own)) for own in times]


def _accuracy(named: np.ndarray, labels: np.ndarray | None) -> float | None:
    return None if labels is None else float((named == labels).mean())
