"""The registry of networks, and the head and preprocessing that all of them get.

A model takes raw crops (0-255, native size) and ends in a softmax. Resizing, scaling and
grey-to-RGB conversion are layers, so that users of the saved file need not repeat them.
"""

from __future__ import annotations

from collections.abc import Callable

import keras

from emodetect.config import ExperimentConfig, ModelConfig
from emodetect.images.model_input import Color, channels_of
from emodetect.training.models.layers import l2_penalty
from emodetect.training.models.lenet5 import lenet5
from emodetect.training.models.mobilenet import mobilenet, mobilenet_v2

BUILDERS: dict[str, Callable[[ModelConfig, str, int], keras.Model]] = {
    "mobilenet_v2": mobilenet_v2,
    "mobilenet": mobilenet,
    "lenet5": lenet5,
}
"""Builders of backbones by `model.name`; each takes the config, weights and image channels."""


def build_network(
    config: ExperimentConfig, class_count: int, *, weights: str = "none"
) -> keras.Model:
    """Build the network that a config describes; see `build_model`."""
    return build_model(
        config.model,
        image_size=config.data.image_size,
        color=config.data.color,
        class_count=class_count,
        weights=weights,
    )


def build_model(
    config: ModelConfig, *, image_size: int, color: Color, class_count: int, weights: str
) -> keras.Model:
    """Build a classifier.

    Args:
        weights: of the backbone: "imagenet" (downloaded by Keras), "none", or a file's path.

    Returns:
        A model from (batch, image_size, image_size, channels) float32 in 0-255 to
        (batch, class_count) float32 probabilities. Its backbone is the layer named "backbone".
    """
    channels = channels_of(color)
    backbone = BUILDERS[config.name](config, weights, channels)
    inputs = keras.Input((image_size, image_size, channels), name="crop")
    x = inputs
    if config.backbone_size != image_size:
        enlarge = keras.layers.Resizing(config.backbone_size, config.backbone_size, name="enlarge")
        # Left to itself, this layer is called with training=True, and so are all layers behind it
        # wherever a saved model is called as model(x): with batch norm in training mode.
        x = enlarge(x, training=False)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1, name="scale")(x)
    if backbone.input_shape[-1] != channels:
        x = keras.layers.Concatenate(name="gray_to_rgb")([x, x, x])
    x = backbone(x)
    for position, units in enumerate(config.dense):
        x = keras.layers.Dropout(config.dropout, name=f"dropout_{position}")(x)
        x = keras.layers.Dense(
            units,
            activation="relu",
            kernel_regularizer=l2_penalty(config),
            name=f"dense_{position}",
        )(x)
    x = keras.layers.Dropout(config.dropout, name="dropout")(x)
    # float32 also under mixed precision: half precision rounds small probabilities to 0.
    outputs = keras.layers.Dense(
        class_count,
        activation="softmax",
        kernel_regularizer=l2_penalty(config),
        dtype="float32",
        name="probabilities",
    )(x)
    return keras.Model(inputs, outputs, name=config.name)
