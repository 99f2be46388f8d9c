"""Keras files made elsewhere: given labels and compiled once, they work like our own."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from emodetect.emotions import canonical_emotion
from emodetect.errors import ModelError, first_line
from emodetect.images.model_input import Color
from emodetect.machine.cache_folder import cache_root
from emodetect.model_file.artifact import has_metadata, write_artifact
from emodetect.model_file.metadata import Metadata
from emodetect.training.litert_conversion import compile_to_litert
from emodetect.training.models.keras_files import load_keras


def adopt_foreign(
    path: Path, *, labels: Sequence[str], pixel_range: tuple[float, float] = (0, 255)
) -> Path:
    """Make an artifact of a Keras file that lacks our members; kept in the user's cache.

    Args:
        path: a .keras file whose input is (batch, side, side, 1 or 3) and whose output is
            (batch, classes), probabilities or logits.
        labels: the emotions in the order of the outputs.
        pixel_range: the values of a black and a white pixel that the model was trained on.

    Raises:
        ModelError: for a file that is no such model, holds code, or has its own labels already.
        DataError: for a label that is no emotion.
    """
    emotions = tuple(canonical_emotion(label, where="--labels") for label in labels)
    if len(set(emotions)) != len(emotions):
        raise ModelError(f"--labels: an emotion is named twice in {','.join(labels)}.")
    if has_metadata(path):
        raise ModelError(f"{path}: carries its own label order; leave --labels out.")
    low, high = pixel_range
    key = hashlib.sha256(f"v1 {emotions} {low} {high}".encode())
    key.update(path.read_bytes())
    adopted = cache_root() / "models" / f"{path.stem}-{key.hexdigest()[:16]}.keras"
    if adopted.is_file():
        return adopted
    model = load_keras(path)
    size, color = _input_of(model, path)
    classes = model.output_shape[-1] if isinstance(model.output_shape, tuple) else None
    if classes != len(emotions):
        raise ModelError(
            f"{path}: has {classes} outputs, but --labels names {len(emotions)}: "
            f"{', '.join(emotions)}."
        )
    inputs = keras.Input(model.input_shape[1:])
    outputs = model(keras.layers.Rescaling((high - low) / 255, offset=low)(inputs))
    # A model that ends in logits is told by rows that do not sum to 1.
    noise = np.random.default_rng(0).uniform(low, high, (4, *model.input_shape[1:]))
    trial = np.asarray(model(noise.astype(np.float32), training=False))
    if trial.min() < 0 or not np.allclose(trial.sum(axis=1), 1, atol=1e-3):
        outputs = keras.layers.Softmax()(outputs)
    wrapped = keras.Model(inputs, outputs)
    adopted.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.keras"
        wrapped.save(plain)
        metadata = Metadata(name=path.stem, emotions=emotions, image_size=size, color=color)
        try:
            compiled = compile_to_litert(wrapped)
        except Exception as error:
            raise ModelError(
                f"{path}: cannot be compiled for LiteRT: {first_line(error)}"
            ) from None
        write_artifact(adopted, keras_file=plain, compiled=compiled, metadata=metadata)
    return adopted


def _input_of(model: keras.Model, path: Path) -> tuple[int, Color]:
    shape = model.input_shape
    square = isinstance(shape, tuple) and len(shape) == 4 and shape[1] == shape[2]
    if not square or shape[1] is None or shape[3] not in (1, 3):
        raise ModelError(
            f"{path}: expected a model with one input of shape (batch, side, side, 1 or 3), "
            f"got {shape}."
        )
    return int(shape[1]), "gray" if shape[3] == 1 else "rgb"
