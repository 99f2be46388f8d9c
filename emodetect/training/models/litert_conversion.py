"""Convert Keras models for the LiteRT runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from emodetect.errors import ModelError
from emodetect.training.models.half_precision import halve_weights

MOST_CONSTANTS = 10_000_000
"""Weights of a network that are made constants before the conversion.

TensorFlow saves and loads each variable, which takes half of the time for the networks here. But
it copies constants several times, and a graph with VGG16's 134 million does not fit.
"""


def compile_to_litert(model: keras.Model) -> bytes:
    """Return `model` as a LiteRT flatbuffer for batches of any size, with weights in float16."""
    return halve_weights(litert_converter(model).convert())


def litert_converter(model: keras.Model, *, batch_size: int | None = None) -> Any:
    """Return TensorFlow's converter of `model`; for any batch size if `batch_size` is None.

    Keras' own `export` also describes each layer to TensorFlow, which takes at least twice as long
    and yields the same network.
    """
    crop = tf.TensorSpec((batch_size, *model.input_shape[1:]), tf.float32, name="crop")
    network = tf.function(lambda crop: model(crop, training=False)).get_concrete_function(crop)
    owner = tf.Module()
    if model.count_params() <= MOST_CONSTANTS:
        network = convert_variables_to_constants_v2(network)
    else:
        owner.variables_of_the_model = [variable.value for variable in model.variables]
    return tf.lite.TFLiteConverter.from_concrete_functions([network], owner)


def with_temperature(model: keras.Model, temperature: float, *, path: Path) -> keras.Model:
    """Divide the model's logits by a temperature (Guo et al. 2017), in place, and return it.

    Args:
        path: of the model, for the error.

    Raises ModelError if the model does not end in a dense layer with a softmax.
    """
    if temperature == 1:
        return model
    head = model.layers[-1]
    if not isinstance(head, keras.layers.Dense) or head.activation is not keras.activations.softmax:
        raise ModelError(
            f"{path}: cannot be exported: it has a temperature, but does not end in a dense layer "
            "with a softmax that could apply it."
        )
    head.set_weights([weights / temperature for weights in head.get_weights()])
    return model
