"""Compare an exported file with the .keras file it was made from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emodetect.errors import ModelError
from emodetect.exporting.formats.format import Run
from emodetect.exporting.sample_faces import FaceCrops
from emodetect.machine.computer import default_threads
from emodetect.machine.progress import track
from emodetect.model_file.artifact import Artifact
from emodetect.number_format import file_size, percent, points
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.runtimes.checks import AGREEMENT
from emodetect.recognition.runtimes.litert import LiteRTRuntime

# Minimum share of faces with the same prediction. Float32 only differs in the last digits; with
# coarser rounding, a face between two emotions may get the other one.
LEAST_AGREEMENT = {"none": 0.99, "float16": 0.98, "dynamic": 0.9, "int8": 0.9}
ROUNDS = 10
FACES_IN_A_ROUND = 20


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A file compared with the Keras model it was made from.

    Attributes:
        faces: number of faces compared.
        origin: where the faces come from, in words.
        max_difference: largest difference between the two in a probability.
        mean_difference: mean absolute difference of the probabilities.
        same_emotion: share of the faces for which both predict the same emotion, 0 to 1.
        keras_accuracy: accuracy of the Keras model, 0 to 1; None without labels.
        accuracy: accuracy of the file, 0 to 1; None without labels.
        latency_ms: median for one face, in milliseconds.
        litert_latency_ms: the same for the float32 LiteRT network in the .keras file; None if
            LiteRT is not installed.
        file_bytes: total size of the exported files, without the JSON.
        litert_bytes: size of the float32 LiteRT network in the .keras file.
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
    artifact: Artifact, run: Run, faces: FaceCrops, *, file_bytes: int
) -> Comparison:
    """Compare a file's predictions with Keras', face by face, and time it.

    The latencies are measured alternately, so that other load on the machine slows both.
    """
    keras = EmotionRecognizer(artifact.path, detector="none", runtime="keras")
    expected = keras.classify_inputs(faces.images)
    singles = [image[np.newaxis] for image in faces.images]
    probabilities = np.concatenate(
        [run(crop) for crop in track(singles, description="comparing", total=len(singles))]
    )
    differences = np.abs(probabilities - expected)
    predicted, keras_predicted = probabilities.argmax(axis=1), expected.argmax(axis=1)
    latency_ms, *litert_latency_ms = _latencies([run, *_litert(artifact)], singles)
    return Comparison(
        faces=len(faces.images),
        origin=faces.origin,
        max_difference=float(differences.max()),
        mean_difference=float(differences.mean()),
        same_emotion=float((predicted == keras_predicted).mean()),
        keras_accuracy=_accuracy(keras_predicted, faces.labels),
        accuracy=_accuracy(predicted, faces.labels),
        latency_ms=latency_ms,
        litert_latency_ms=litert_latency_ms[0] if litert_latency_ms else None,
        file_bytes=file_bytes,
        litert_bytes=len(artifact.compiled),
    )


ORIGINAL_NOTE = (
    "* the model file's own network in LiteRT, which stores large weights in float16 and computes "
    "in float32"
)


def comparison_rows(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Return the figures as text: their names, of the original, of the file.

    `ORIGINAL_NOTE` says what a * means.
    """
    litert_ms = comparison.litert_latency_ms
    rows = [
        ("size", f"{file_size(comparison.litert_bytes)} *", file_size(comparison.file_bytes)),
        (
            "one face",
            "-" if litert_ms is None else f"{litert_ms:.2f} ms *",
            f"{comparison.latency_ms:.2f} ms",
        ),
        ("agreement", "", percent(comparison.same_emotion)),
        ("max. difference", "", f"{comparison.max_difference:.1e}"),
    ]
    if comparison.accuracy is not None and comparison.keras_accuracy is not None:
        rows += [
            ("accuracy", percent(comparison.keras_accuracy), percent(comparison.accuracy)),
            ("difference", "", points(comparison.accuracy - comparison.keras_accuracy)),
        ]
    return rows


def check_agreement(
    comparison: Comparison, out: Path, quantize: str, *, at_least: float | None
) -> None:
    """Raise ModelError for a file whose predictions differ from the model's.

    Args:
        at_least: minimum share of faces with the same predicted emotion, 0 to 1; as in
            LEAST_AGREEMENT if None.
    """
    allowed = AGREEMENT if quantize == "none" else 1.0
    least_agreement = LEAST_AGREEMENT[quantize] if at_least is None else at_least
    # In this direction, so that a file that returns NaN is refused.
    if comparison.max_difference <= allowed and comparison.same_emotion >= least_agreement:
        return
    hint = "" if quantize == "none" else " --quantize none does not round."
    raise ModelError(
        f"{out}: not written, because its predictions differ from the model's: expected the same "
        f"emotion for at least {percent(least_agreement)} of {comparison.faces:,} faces "
        f"({comparison.origin}), got {percent(comparison.same_emotion)}; probabilities differ by "
        f"up to {comparison.max_difference:.2g}.{hint}"
    )


def _litert(artifact: Artifact) -> list[Run]:
    """Return what runs the .keras file's LiteRT network; nothing if LiteRT is not installed."""
    try:
        runtime = LiteRTRuntime(artifact, threads=default_threads())
    except ImportError:
        return []
    return [lambda crop: runtime.run(crop.astype(np.float32))]


def _latencies(contenders: Sequence[Run], singles: Sequence[np.ndarray]) -> list[float]:
    """Return each contender's median for one face, in milliseconds."""
    times: list[list[float]] = [[] for _ in contenders]
    for _ in range(ROUNDS):
        for run, own in zip(contenders, times, strict=True):
            for crop in singles[:FACES_IN_A_ROUND]:
                started = time.perf_counter()
                run(crop)
                own.append(1000 * (time.perf_counter() - started))
    return [float(np.median(own)) for own in times]


def _accuracy(predicted: np.ndarray, labels: np.ndarray | None) -> float | None:
    return None if labels is None else float((predicted == labels).mean())
