"""A network written as ONNX answers as LiteRT and Keras do.

Needs `onnx` and `onnxruntime`, and is skipped where they are not installed; the extra `dev`
brings them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from emodetect.config import ModelConfig
from emodetect.emotions import EMOTIONS
from emodetect.errors import ModelError
from emodetect.model_file.artifact import Artifact, read_artifact
from emodetect.model_file.metadata import Metadata
from emodetect.model_file.shipped_models import model_path
from emodetect.recognition.runtimes.litert import LiteRTRuntime
from emodetect.recognition.runtimes.onnx_graph import to_onnx
from emodetect.training.models.litert_conversion import compile_to_litert
from emodetect.training.models.registry import build_model

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

layers = keras.layers


def lenet5() -> keras.Model:
    """The preset's network: flattened, with a hidden layer."""
    config = ModelConfig(name="lenet5", weights="none", backbone_size=32, dense=(16,))
    return build_model(config, image_size=32, color="gray", class_count=3, weights="none")


def elsewhere() -> keras.Model:
    """The start of our MobileNets, enlarging by no whole number; then layers of others."""
    inputs = keras.Input((31, 31, 1))
    x = layers.Rescaling(1 / 127.5, offset=-1)(layers.Resizing(40, 40)(inputs))
    x = layers.Concatenate()([x, x, x])
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.ZeroPadding2D(((1, 2), (0, 3)))(x)
    x = layers.AveragePooling2D(3, strides=2, padding="same")(x)
    x = layers.SeparableConv2D(12, 3, depth_multiplier=2, activation="swish")(x)
    x = layers.Conv2D(12, 3, groups=3, padding="same", activation="tanh")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Multiply()([x, layers.Conv2D(12, 1, activation="hard_swish")(gate)])
    x = layers.Flatten()(layers.MaxPooling2D()(layers.LeakyReLU()(x)))
    outputs = layers.Dense(4, activation="softmax")(layers.Dense(16, activation="relu6")(x))
    return keras.Model(inputs, outputs)


def compiled(model: keras.Model) -> Artifact:
    """Return an artifact of a network whose every weight matters, those of batch norm too."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.path.endswith(("moving_variance", "gamma")):
            weight.assign(rng.uniform(0.5, 2, weight.shape))
        elif weight.path.endswith(("moving_mean", "beta", "bias")):
            weight.assign(rng.normal(0, 0.3, weight.shape))
    metadata = Metadata(
        name="test",
        emotions=EMOTIONS[: model.output_shape[1]],
        image_size=model.input_shape[1],
        color="gray",
    )
    return Artifact(Path("test.keras"), metadata, compile_to_litert(model))


def answers(network: bytes, crops: np.ndarray) -> np.ndarray:
    """Run an ONNX network on crops, all at once."""
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    (found,) = session.run(["probabilities"], {"crops": crops})
    return np.asarray(found)


@pytest.mark.parametrize("build", [lenet5, elsewhere])
def test_a_network_answers_as_with_keras(build: Callable[[], keras.Model]) -> None:
    """Every kind of layer that our networks have, and others, comes to LiteRT's probabilities."""
    model = build()
    artifact = compiled(model)
    network = to_onnx(artifact)
    crops = np.random.default_rng(1).uniform(0, 255, (5, *model.input_shape[1:]))
    # Dark ones as well: in bright noise a network is sure whatever its weights are.
    crops = (crops * np.linspace(0.001, 1, 5).reshape(-1, 1, 1, 1)).astype(np.float32)
    expected = LiteRTRuntime(artifact, threads=1).run(crops)
    np.testing.assert_allclose(expected, np.asarray(model(crops, training=False)), atol=2e-3)
    np.testing.assert_allclose(answers(network, crops), expected, atol=1e-5)
    np.testing.assert_allclose(answers(network, crops[:1]), expected[:1], atol=1e-5)


def test_the_shipped_model_can_be_written() -> None:
    """The default model becomes an ONNX file whose batch is free and whose names are telling."""
    import onnx

    model = onnx.load_from_string(to_onnx(read_artifact(model_path(None))))
    (crops,), (probabilities,) = model.graph.input, model.graph.output
    assert crops.name == "crops"
    assert probabilities.name == "probabilities"
    assert crops.type.tensor_type.shape.dim[0].dim_param


def test_an_unknown_layer_is_named() -> None:
    """A network with an operation that cannot be written is refused by its name."""
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(2, 3, dilation_rate=2, padding="same")(inputs)
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Flatten()(x)))
    with pytest.raises(ModelError, match="not supported: SPACE_TO_BATCH_ND"):
        to_onnx(compiled(model))


def test_a_network_that_cuts_its_input_is_refused() -> None:
    """A slice of an image is no computation of a shape, and is not left out."""
    inputs = keras.Input((12, 12, 1))
    x = layers.Conv2D(2, 3)(layers.Cropping2D(2)(inputs))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Flatten()(x)))
    with pytest.raises(ModelError, match="not supported: STRIDED_SLICE"):
        to_onnx(compiled(model))
