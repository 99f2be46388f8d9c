"""The models that come with the package: each is what its card and metadata say."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from emodetect.cli import app
from emodetect.data.sketch import SKETCHED, sketch_in
from emodetect.data.synthetic import draw_face
from emodetect.emotions import EMOTIONS
from emodetect.images.model_input import to_input
from emodetect.machine.tensorflow_devices import use_tensorflow
from emodetect.model_file.artifact import read_artifact
from emodetect.model_file.model_cards import list_shipped, model_card
from emodetect.model_file.shipped_models import DEFAULT_MODEL, shipped_models
from emodetect.recognition.recognizer import EmotionRecognizer

use_tensorflow()

import keras  # noqa: E402

NAMES = list(shipped_models())
FACES_PER_EMOTION = 8


@pytest.fixture(scope="module")
def faces() -> list[np.ndarray]:
    """Drawn faces of every emotion, in the order of EMOTIONS."""
    rng = np.random.default_rng(0)
    return [draw_face(emotion, rng) for emotion in EMOTIONS for _ in range(FACES_PER_EMOTION)]


@pytest.fixture(scope="module", params=NAMES)
def recognizer(request: pytest.FixtureRequest) -> EmotionRecognizer:
    """A shipped model."""
    return EmotionRecognizer(request.param, detector="none")


@pytest.fixture(scope="module")
def network(recognizer: EmotionRecognizer) -> keras.Model:
    """The same model as Keras opens it, where emodetect may not be installed."""
    return keras.models.load_model(recognizer.path)


@pytest.fixture(scope="module")
def inputs(recognizer: EmotionRecognizer, faces: list[np.ndarray]) -> np.ndarray:
    """The drawn faces as the model takes them, float32 in 0-255."""
    size, color = recognizer.metadata.image_size, recognizer.metadata.color
    return np.stack([to_input(face, size=size, color=color) for face in faces]).astype(np.float32)


def test_the_default_model_is_there() -> None:
    """predict works right after installation, without a model named."""
    assert DEFAULT_MODEL in NAMES


def test_emotions_come_in_the_order_of_the_outputs(
    recognizer: EmotionRecognizer, faces: list[np.ndarray]
) -> None:
    """The labels stand in their canonical order, and drawn happy faces are called happy."""
    emotions = recognizer.metadata.emotions
    assert emotions == tuple(emotion for emotion in EMOTIONS if emotion in emotions)
    start = EMOTIONS.index("happy") * FACES_PER_EMOTION
    scores = recognizer.classify(faces[start : start + FACES_PER_EMOTION])
    assert emotions[scores.mean(axis=0).argmax()] == "happy"


def test_printed_order_is_that_of_the_metadata(
    recognizer: EmotionRecognizer, faces: list[np.ndarray], tmp_path: Path
) -> None:
    """Columns of csv and scores of JSON come in the model's order, with the model's numbers."""
    photo = tmp_path / "face.png"
    photo.write_bytes(cv2.imencode(".png", faces[0])[1].tobytes())
    words = ["predict", str(photo), "--detector", "none", "--model", str(recognizer.path)]
    record, row = (CliRunner().invoke(app, [*words, "--format", form]) for form in ("json", "csv"))
    expected = dict(zip(recognizer.emotions, recognizer.classify(faces[:1])[0], strict=True))
    scores = json.loads(record.stdout)[0]["faces"][0]["scores"]
    assert list(scores) == list(recognizer.metadata.emotions)
    assert scores == pytest.approx(expected, abs=1e-4)
    (cells,) = csv.DictReader(io.StringIO(row.stdout))
    printed = {column: cells[column] for column in cells if column in EMOTIONS}
    assert list(printed) == list(recognizer.metadata.emotions)
    assert {name: float(value) for name, value in printed.items()} == scores


def test_answers_are_probabilities(recognizer: EmotionRecognizer, faces: list[np.ndarray]) -> None:
    """The scores of each face lie between 0 and 1 and sum to 1."""
    scores = recognizer.classify(faces)
    assert scores.min() >= 0
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)


def test_both_forms_of_the_network_answer_alike(
    recognizer: EmotionRecognizer, network: keras.Model, inputs: np.ndarray
) -> None:
    """Keras, however called, and LiteRT give the same probabilities, never another emotion."""
    expected = np.asarray(network(inputs, training=False))
    np.testing.assert_array_equal(np.asarray(network(inputs)), expected)
    answers = recognizer.runtime.run(inputs)
    np.testing.assert_allclose(answers, expected, atol=2e-3)
    np.testing.assert_array_equal(answers.argmax(axis=1), expected.argmax(axis=1))


def test_one_pass_through_one_network_is_all(
    recognizer: EmotionRecognizer,
    faces: list[np.ndarray],
    inputs: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A face costs one crop through the network: no mirror image, no second model."""
    batches = []
    run = recognizer.runtime.run
    monkeypatch.setattr(
        recognizer.runtime, "run", lambda batch: batches.append(batch) or run(batch)
    )
    recognizer.classify(faces[:3])
    (batch,) = batches
    np.testing.assert_array_equal(batch, inputs[:3])


def test_training_images_are_known_by_a_sketch(recognizer: EmotionRecognizer) -> None:
    """Each model knows images that trained it, or the other one before it, when it meets them."""
    served, trained = (sketch_in(recognizer.metadata, key) for key in ("served", "trained"))
    assert len(served.hashes) == len(trained.hashes) == SKETCHED
    other = read_artifact(shipped_models()["ferplus"]).metadata
    assert sketch_in(other, "trained") == trained


def test_models_are_small(recognizer: EmotionRecognizer, network: keras.Model) -> None:
    """A model has at most 2.5 million parameters and 20 MB, both of its forms included."""
    assert network.count_params() <= 2_500_000
    assert recognizer.path.stat().st_size <= 20e6


@pytest.mark.parametrize("name", NAMES)
def test_every_model_has_a_card(name: str) -> None:
    """Each card is headed by the model's name, and begins with a sentence on one line."""
    card = model_card(name)
    assert card.startswith(f"# {name}\n")
    (model,) = (model for model in list_shipped() if model.name == name)
    assert model.summary in card.splitlines()
    assert model.summary.endswith(".")
