"""The layers of a network: which are trained, and how batch norm averages."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

import keras

from emodetect.errors import ConfigError
from emodetect.training.models.mobilenet import BACKBONE


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
