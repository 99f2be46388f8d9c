"""What the networks share: the backbone's name, freezing, batch norm and the L2 penalty."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import partial

import keras
import tensorflow as tf

from emodetect.config import ModelConfig
from emodetect.errors import ModelError

BACKBONE = "backbone"


def freeze_below(model: keras.Model, first_trainable: str) -> None:
    """Freeze the backbone's layers below `first_trainable`; "all" leaves every layer trainable.

    Raises ModelError if the backbone has no such layer.
    """
    backbone = model.get_layer(BACKBONE)
    backbone.trainable = True
    if first_trainable == "all":
        return
    names = [layer.name for layer in backbone.layers]
    if first_trainable not in names:
        near = difflib.get_close_matches(first_trainable, names, n=3)
        raise ModelError(
            f"training.fine_tune_from: expected 'all' or a layer of {model.name} "
            f"(such as {', '.join(near or names[-3:])}), got {first_trainable!r}."
        )
    for layer in backbone.layers[: names.index(first_trainable)]:
        layer.trainable = False


def set_batch_norm_momentum(model: keras.Model, momentum: float) -> None:
    """Set the momentum of batch norm's moving averages.

    Keras' MobileNetV2 has 0.999, a horizon of 1,000 steps: more than a small data set's whole run,
    so that validation would use the statistics of long outdated weights.
    """
    for layer in batch_norm_layers(model):
        layer.momentum = momentum


def fuse_batch_norm(model: keras.Model) -> None:
    """Let batch norm train in TensorFlow's fused kernel, with the same results but for rounding.

    Keras 3.15 computes it in small steps (moments, then scaling), with which MobileNetV2's training
    takes a fifth longer on a CPU; see docs/experiments.md. The layers, and what is saved of them,
    stay those of Keras.
    """
    for layer in batch_norm_layers(model):
        layer.call = partial(_call_fused, layer)


def _call_fused(
    layer: keras.layers.BatchNormalization,
    inputs: tf.Tensor,
    training: bool | None = None,
    mask: tf.Tensor | None = None,
) -> tf.Tensor:
    """Do what `layer.call` does."""
    if not (training and layer.trainable):
        return type(layer).call(layer, inputs, training=training, mask=mask)
    outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        inputs,
        tf.convert_to_tensor(layer.gamma),
        tf.convert_to_tensor(layer.beta),
        epsilon=layer.epsilon,
        is_training=True,
    )
    # Of the kernel, that of a sample (divided by n - 1); of Keras, that of the batch.
    count = tf.cast(tf.size(inputs) / tf.size(mean), variance.dtype)
    momentum = layer.momentum
    layer.moving_mean.assign(layer.moving_mean * momentum + mean * (1 - momentum))
    layer.moving_variance.assign(
        layer.moving_variance * momentum + variance * (1 - 1 / count) * (1 - momentum)
    )
    return outputs


def batch_norm_layers(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Return the model's batch-norm layers; all of them are in the backbone."""
    return [
        layer for layer in layers_of(model) if isinstance(layer, keras.layers.BatchNormalization)
    ]


def layers_of(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield every layer of a model, including those of the backbone."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layers_of(layer)
        else:
            yield layer


def l2_penalty(config: ModelConfig) -> keras.regularizers.Regularizer | None:
    """Return the kernel regularizer of dense and LeNet-5's convolutional layers."""
    return keras.regularizers.L2(config.l2) if config.l2 else None
