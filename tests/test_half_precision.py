"""Compiled networks with their weights in half precision, and compact .keras files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from emodetect.training.models import litert_conversion
from emodetect.training.models.half_precision import halve_weights
from emodetect.training.models.keras_files import load_keras, save_keras
from emodetect.training.models.litert_conversion import compile_to_litert, litert_converter

layers = keras.layers


def network(units: int = 64) -> keras.Model:
    """A small network, one dense layer of which has most of the weights."""
    inputs = keras.Input((16, 16, 1))
    x = layers.BatchNormalization()(layers.Conv2D(8, 3, activation="relu")(inputs))
    x = layers.Dense(units, activation="relu")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x))


def answers(flatbuffer: bytes, crops: np.ndarray) -> np.ndarray:
    """Run a flatbuffer on crops."""
    interpreter = Interpreter(model_content=flatbuffer)
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(source["index"], crops.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], crops)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(result["index"]))


def test_large_weights_take_half_the_space_and_give_the_same_answers() -> None:
    """The dense layer's weights are stored as float16; probabilities change by less than 0.002."""
    keras.utils.set_random_seed(0)
    model = network()
    whole = litert_converter(model).convert()
    halved = compile_to_litert(model)
    saved = 2 * 14 * 14 * 8 * 64
    assert len(whole) - saved <= len(halved) < len(whole) - 0.95 * saved
    crops = np.random.default_rng(0).uniform(0, 1, (7, 16, 16, 1)).astype(np.float32)
    for batch in (crops, crops[:1]):
        np.testing.assert_allclose(answers(halved, batch), answers(whole, batch), atol=2e-3)
        np.testing.assert_allclose(answers(halved, batch), model(batch), atol=2e-3)


def test_large_networks_are_converted_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that TensorFlow keeps as variables give the answers of those made constants."""
    model = network()
    constants = litert_converter(model).convert()
    monkeypatch.setattr(litert_conversion, "MOST_CONSTANTS", 0)
    crops = np.random.default_rng(0).uniform(0, 1, (3, 16, 16, 1)).astype(np.float32)
    variables = litert_converter(model).convert()
    np.testing.assert_allclose(answers(variables, crops), answers(constants, crops), atol=1e-6)


def test_a_network_without_large_weights_is_left_alone() -> None:
    """Where nothing is gained, the flatbuffer stays byte for byte."""
    whole = litert_converter(network(units=1)).convert()
    assert halve_weights(whole) is whole


@pytest.mark.parametrize("value", [1e6, 1e-7])
def test_weights_that_float16_cannot_hold_stay_float32(value: float) -> None:
    """Beyond 65,504 one would become infinity, and below 1e-4 they lose digits, or become 0."""
    model = network()
    kernel = model.layers[-2].kernel
    kernel.assign(np.full(kernel.shape, value, np.float32))
    whole = litert_converter(model).convert()
    assert halve_weights(whole) is whole


def test_layers_with_the_same_weights_are_stored_once() -> None:
    """TensorFlow keeps equal weights in one place, such as those of tied layers."""
    inputs = keras.Input((8, 8, 64))
    convolution, dense = layers.Conv2D(64, 1, activation="relu"), layers.Dense(64)
    x = dense(layers.GlobalAveragePooling2D()(convolution(inputs)))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(x))
    weights = np.random.default_rng(0).normal(0, 0.2, (64, 64)).astype(np.float32)
    convolution.set_weights([weights.reshape(1, 1, 64, 64), np.zeros(64)])
    dense.set_weights([weights, np.zeros(64)])
    whole, halved = litert_converter(model).convert(), compile_to_litert(model)
    assert len(whole) < 2 * weights.nbytes
    assert len(halved) < len(whole) - 0.45 * weights.nbytes
    crops = np.random.default_rng(1).uniform(0, 1, (3, 8, 8, 64)).astype(np.float32)
    np.testing.assert_allclose(answers(halved, crops), answers(whole, crops), atol=2e-3)


def test_a_compact_file_has_the_same_weights_for_keras(tmp_path: Path) -> None:
    """Only the bytes around the weights become fewer; the members stay uncompressed."""
    model = network()
    model.save(tmp_path / "keras.keras")
    save_keras(model, tmp_path / "compact.keras")
    with zipfile.ZipFile(tmp_path / "keras.keras") as usual:
        expected = {member.filename: member.file_size for member in usual.infolist()}
    with zipfile.ZipFile(tmp_path / "compact.keras") as archive:
        sizes = {member.filename: member.file_size for member in archive.infolist()}
        assert all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist())
    assert sizes.keys() == expected.keys()
    assert sizes["model.weights.h5"] < expected["model.weights.h5"] - 5_000
    for one, other in zip(
        load_keras(tmp_path / "compact.keras").weights, model.weights, strict=True
    ):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
