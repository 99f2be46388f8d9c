"""Both runtimes answer alike."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from emodetect.artifact import read_artifact
from emodetect.inference.recognizer import EmotionRecognizer
from emodetect.inference.runtime import KerasRuntime, LiteRTRuntime, open_runtime


def test_keras_serves_where_litert_has_no_wheel(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without LiteRT the same artifact runs through Keras, with the same answers."""
    loaded = read_artifact(artifact)
    crops = np.random.default_rng(1).uniform(0, 255, (5, 32, 32, 1)).astype(np.float32)
    expected = open_runtime(loaded).run(crops)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    runtime = open_runtime(loaded)
    assert isinstance(runtime, KerasRuntime)
    np.testing.assert_allclose(runtime.run(crops), expected, atol=1e-4)


def test_answers_do_not_depend_on_the_batch(artifact: Path) -> None:
    """A crop gets the same scores alone, in a batch, and in a batch of another size."""
    runtime = LiteRTRuntime(read_artifact(artifact), threads=2)
    crops = np.random.default_rng(2).uniform(0, 255, (9, 32, 32, 1)).astype(np.float32)
    together = runtime.run(crops)
    alone = np.concatenate([runtime.run(crops[i : i + 1]) for i in range(9)])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    np.testing.assert_allclose(runtime.run(crops[:4]), together[:4], atol=1e-5)


def test_temperature_keeps_the_order_and_the_sum(artifact: Path) -> None:
    """Calibration makes scores less sure, and changes neither their order nor their sum."""
    import dataclasses

    recognizer = EmotionRecognizer(artifact, detector="none")
    crops = np.random.default_rng(3).integers(0, 256, (6, 32, 32, 1), np.uint8)
    plain = recognizer.classify_inputs(crops)
    recognizer.metadata = dataclasses.replace(recognizer.metadata, temperature=2.0)
    softened = recognizer.classify_inputs(crops)
    np.testing.assert_allclose(softened.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(softened.argsort(axis=1), plain.argsort(axis=1))
    assert (softened.max(axis=1) < plain.max(axis=1)).all()
    # Probabilities p at temperature 2 are proportional to the square root of p.
    roots = np.sqrt(plain)
    np.testing.assert_allclose(softened, roots / roots.sum(axis=1, keepdims=True), atol=1e-5)


def test_no_crops_give_no_scores(artifact: Path) -> None:
    """An image without faces costs no run of the model and gives an empty result."""
    recognizer = EmotionRecognizer(artifact, detector="none")
    assert recognizer.classify([]).shape == (0, 3)
