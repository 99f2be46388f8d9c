"""The networks. Each takes raw crops (0-255, native size) and ends in a softmax.

Enlarging, scaling and grey-to-RGB are layers of the model, so that no user of the saved file
has to repeat them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np

from emodetect.config import ModelConfig
from emodetect.errors import ConfigError, ModelError, first_line
from emodetect.images.preprocessing import Color, channels_of

BACKBONE = "backbone"


def build_model(
    config: ModelConfig, *, image_size: int, color: Color, class_count: int, weights: str
) -> keras.Model:
    """Build a classifier.

    Args:
        weights: of the backbone: "imagenet" (downloaded by Keras), "none", or a file's path.

    Returns:
        A model from (batch, image_size, image_size, channels) float32 in 0-255 to
        (batch, class_count) float32 probabilities, its backbone the layer named "backbone".
    """
    channels = channels_of(color)
    backbone = BUILDERS[config.name](config, weights, channels)
    inputs = keras.Input((image_size, image_size, channels), name="crop")
    x = inputs
    if config.backbone_size != image_size:
        x = keras.layers.Resizing(config.backbone_size, config.backbone_size, name="enlarge")(x)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1, name="scale")(x)
    if backbone.input_shape[-1] != channels:
        x = keras.layers.Concatenate(name="gray_to_rgb")([x, x, x])
    x = backbone(x)
    for position, units in enumerate(config.dense):
        x = keras.layers.Dropout(config.dropout, name=f"dropout_{position}")(x)
        x = keras.layers.Dense(
            units, activation="relu", kernel_regularizer=_l2(config), name=f"dense_{position}"
        )(x)
    x = keras.layers.Dropout(config.dropout, name="dropout")(x)
    # float32 also under mixed precision: half-precision probabilities lose small ones.
    outputs = keras.layers.Dense(
        class_count,
        activation="softmax",
        kernel_regularizer=_l2(config),
        dtype="float32",
        name="probabilities",
    )(x)
    return keras.Model(inputs, outputs, name=config.name)


def mobilenet_v2(config: ModelConfig, weights: str, channels: int) -> keras.Model:
    """MobileNetV2 without its top (Sandler et al. 2018); takes RGB."""
    return _application(keras.applications.MobileNetV2, config, weights)


def mobilenet(config: ModelConfig, weights: str, channels: int) -> keras.Model:
    """MobileNet V1 without its top (Howard et al. 2017); takes RGB."""
    return _application(keras.applications.MobileNet, config, weights)


def lenet5(config: ModelConfig, weights: str, channels: int) -> keras.Model:
    """The convolutions of LeNet-5 (LeCun et al. 1998), modified.

    Batch norm, ReLU, max-pooling and dropout take the place of tanh and trainable sub-sampling.
    """
    if weights != "none":
        raise ModelError(f"model.weights: lenet5 starts from 'none', got {weights!r}.")
    inputs = keras.Input((config.backbone_size, config.backbone_size, channels))
    x = inputs
    for position, filters in enumerate((6, 16)):
        x = keras.layers.Conv2D(
            max(1, round(filters * config.width)),
            5,
            activation="relu",
            kernel_regularizer=_l2(config),
            name=f"convolution_{position}",
        )(x)
        x = keras.layers.BatchNormalization(name=f"batch_norm_{position}")(x)
        x = keras.layers.MaxPooling2D(name=f"pool_{position}")(x)
        x = keras.layers.Dropout(config.dropout, name=f"dropout_{position}")(x)
    return keras.Model(inputs, keras.layers.Flatten(name="flatten")(x), name=BACKBONE)


BUILDERS: dict[str, Callable[[ModelConfig, str, int], keras.Model]] = {
    "mobilenet_v2": mobilenet_v2,
    "mobilenet": mobilenet,
    "lenet5": lenet5,
}


def freeze_below(model: keras.Model, first_trainable: str) -> None:
    """Leave the backbone's layers from `first_trainable` on trainable; "all" means every one.

    Raises ConfigError for a layer that the backbone does not have.
    """
    backbone = model.get_layer(BACKBONE)
    backbone.trainable = True
    if first_trainable == "all":
        return
    names = [layer.name for layer in backbone.layers]
    if first_trainable not in names:
        near = difflib.get_close_matches(first_trainable, names, n=3)
        raise ConfigError(
            f"training.fine_tune_from: expected 'all' or a layer of {model.name} "
            f"(such as {', '.join(near or names[-3:])}), got {first_trainable!r}."
        )
    for layer in backbone.layers[: names.index(first_trainable)]:
        layer.trainable = False


def set_batch_norm_momentum(model: keras.Model, momentum: float) -> None:
    """Set how slowly batch norm's moving averages follow.

    Keras' MobileNetV2 has 0.999: a horizon of 1,000 steps, more than an epoch of a small data
    set, so that early validation runs with statistics of weights long gone.
    """
    for layer in batch_norm_layers(model):
        layer.momentum = momentum


def batch_norm_layers(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Return the model's batch-norm layers; all are in the backbone."""
    return [
        layer for layer in layers_of(model) if isinstance(layer, keras.layers.BatchNormalization)
    ]


def layers_of(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield every layer of a model, those of the backbone too."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layers_of(layer)
        else:
            yield layer


def load_keras(path: Path) -> keras.Model:
    """Open a .keras file.

    Raises ModelError for one that Keras refuses, such as one with code, and for weights that are
    no numbers.
    """
    try:
        # Safe mode is Keras' default and stays on: code inside the file is refused.
        model = keras.models.load_model(path, compile=False)
    except Exception as error:
        raise ModelError(f"{path}: Keras cannot open it: {first_line(error)}") from None
    for variable in model.weights:
        if not np.isfinite(np.asarray(variable)).all():
            raise ModelError(
                f"{path}: expected weights that are numbers, got NaN or infinity in "
                f"{variable.path}; its training failed, take another file."
            )
    return model


def check_weights(weights: str) -> None:
    """Raise ModelError for a weights file that is not there."""
    if weights not in ("imagenet", "none") and not Path(weights).is_file():
        raise ModelError(
            f"{weights}: no such file; model.weights is 'imagenet', 'none' or the path of a "
            ".weights.h5 file."
        )


def _l2(config: ModelConfig) -> keras.regularizers.Regularizer | None:
    return keras.regularizers.L2(config.l2) if config.l2 else None


def _application(
    application: Callable[..., keras.Model], config: ModelConfig, weights: str
) -> keras.Model:
    check_weights(weights)
    try:
        return application(
            input_shape=(config.backbone_size, config.backbone_size, 3),
            alpha=config.width,
            include_top=False,
            pooling="avg",
            weights=None if weights == "none" else weights,
            name=BACKBONE,
        )
    except Exception as error:
        # Keras raises a bare Exception for a download that failed, ValueError and OSError for
        # a width that has no weights and for files of another network.
        reason = first_line(error)
        if weights == "none":
            raise ModelError(
                f"{config.name} cannot be built with model.width = {config.width:g} and "
                f"model.backbone_size = {config.backbone_size}: {reason}"
            ) from None
        hint = (
            "Download the weights where there is a network and name the file: "
            "--set model.weights=FILE; or start from random weights: --set model.weights=none "
            "--set training.head_epochs=0."
            if weights == "imagenet"
            else f"Expected weights of {config.name} (width {config.width:g}, without its top)."
        )
        raise ModelError(f"model.weights = {weights!r} cannot be used: {reason}. {hint}") from None
