"""A modified LeNet-5 (LeCun et al. 1998)."""

from __future__ import annotations

import keras

from emodetect.config import ModelConfig
from emodetect.errors import ModelError
from emodetect.training.models.layers import BACKBONE, l2_penalty


def lenet5(config: ModelConfig, weights: str, channels: int) -> keras.Model:
    """Build the convolutional part of LeNet-5 (LeCun et al. 1998), modified.

    Batch norm, ReLU, max pooling and dropout replace tanh and trainable subsampling.
    """
    if weights != "none":
        raise ModelError(f"model.weights: lenet5 needs 'none', got {weights!r}.")
    inputs = keras.Input((config.backbone_size, config.backbone_size, channels))
    x = inputs
    for position, filters in enumerate((6, 16)):
        x = keras.layers.Conv2D(
            max(1, round(filters * config.width)),
            5,
            activation="relu",
            kernel_regularizer=l2_penalty(config),
            name=f"convolution_{position}",
        )(x)
        x = keras.layers.BatchNormalization(name=f"batch_norm_{position}")(x)
        x = keras.layers.MaxPooling2D(name=f"pool_{position}")(x)
        x = keras.layers.Dropout(config.dropout, name=f"dropout_{position}")(x)
    return keras.Model(inputs, keras.layers.Flatten(name="flatten")(x), name=BACKBONE)
