"""Keras models compiled for the LiteRT runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from emodetect.errors import ModelError


def compile_to_litert(model: keras.Model) -> bytes:
    """Return `model` as a LiteRT flatbuffer: float32, for batches of any size."""
    flatbuffer: bytes = litert_converter(model).convert()
    return flatbuffer


def litert_converter(model: keras.Model, *, batch_size: int | None = None) -> Any:
    """Return TensorFlow's converter of `model`, for batches of this size; of any, if None.

    Not Keras' own `export`, which also describes each layer to TensorFlow: that takes twice as long
    and ends in the same network.
    """
    crop = tf.TensorSpec((batch_size, *model.input_shape[1:]), tf.float32, name="crop")
    network = tf.function(lambda crop: model(crop, training=False)).get_concrete_function(crop)
    owner = tf.Module()  # without which the variables would not become constants
    owner.variables_of_the_model = [variable.value for variable in model.variables]
    return tf.lite.TFLiteConverter.from_concrete_functions([network], owner)


def with_temperature(model: keras.Model, temperature: float, *, path: Path) -> keras.Model:
    """Return the model with its logits divided by a temperature (Guo et al. 2017); changes it.

    Args:
        path: where the model comes from, for the error.

    Raises ModelError for one that does not end in a dense layer with a softmax, as ours do.
    """
    if temperature == 1:
        return model
    head = model.layers[-1]
    if not isinstance(head, keras.layers.Dense) or head.activation is not keras.activations.softmax:
        raise ModelError(
            f"{path}: has a temperature, but no dense layer with a softmax at its end that would "
            "take it; such a model cannot be exported."
        )
    head.set_weights([weights / temperature for weights in head.get_weights()])
    return model
