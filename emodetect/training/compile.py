"""Keras models compiled for the LiteRT runtime."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from typing import Any

import keras

from emodetect.errors import ModelError


def compile_to_litert(model: keras.Model, **settings: Any) -> bytes:
    """Return `model` as a LiteRT flatbuffer: float32 and of any batch size, if nothing else is set.

    Args:
        settings: of TensorFlow's converter, and the `input_signature`, as `keras.Model.export`
            takes them.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        with contextlib.redirect_stdout(io.StringIO()):
            model.export(str(path), format="litert", verbose=False, **settings)
        return path.read_bytes()


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
