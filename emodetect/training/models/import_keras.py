"""Import Keras models trained elsewhere: add the labels and a network compiled for LiteRT."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from emodetect.emotions import canonical_emotion, misspelt_emotion, plain_label
from emodetect.errors import DataError, ModelError, first_line
from emodetect.images.model_input import Color
from emodetect.machine.computer import cache_root
from emodetect.model_file.artifact import has_metadata, write_artifact
from emodetect.model_file.metadata import Metadata
from emodetect.training.models.keras_files import load_keras, save_keras
from emodetect.training.models.litert_conversion import compile_to_litert

logger = logging.getLogger(__name__)


def import_keras_model(
    path: Path, *, labels: Sequence[str], pixel_range: tuple[float, float] = (0, 255)
) -> Path:
    """Convert a Keras file to an artifact in the user's cache, and return the artifact's path.

    Args:
        path: a .keras file whose input is (batch, side, side, 1 or 3) and whose output is
            (batch, classes): probabilities, logits, or values of a sigmoid, which are divided by
            their sum.
        labels: the emotions, or labels of one's own, in the order of the outputs.
        pixel_range: the values of a black and a white pixel that the model was trained on.

    Raises:
        ModelError: if the file is not such a model, contains code, or already has labels.
        DataError: if a label cannot be used, or looks like a misspelt emotion.
    """
    emotions = _output_names(labels)
    if len(set(emotions)) != len(emotions):
        raise ModelError(f"--labels: an emotion is given twice in {','.join(labels)}.")
    if has_metadata(path):
        raise ModelError(f"{path}: has its own label order; remove --labels.")
    low, high = pixel_range
    key = hashlib.sha256(f"v3 {emotions} {low} {high}".encode())
    key.update(path.read_bytes())
    # By its own name, which an export of it is called after.
    imported = cache_root() / "models" / key.hexdigest()[:16] / f"{path.stem}.keras"
    if imported.is_file():
        return imported
    model = load_keras(path)
    size, color = _input_of(model, path)
    classes = _classes_of(model, path)
    if classes != len(emotions):
        raise ModelError(
            f"{path}: has {classes} outputs, but --labels lists {len(emotions)} emotions: "
            f"{', '.join(emotions)}."
        )
    metadata = Metadata(name=path.stem, emotions=emotions, image_size=size, color=color)
    imported.parent.mkdir(parents=True, exist_ok=True)
    _write(imported, _from_pixels(model, low, high, path), metadata, origin=path)
    return imported


def _output_names(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the emotions that labels mean, or else the labels themselves."""
    try:
        return tuple(canonical_emotion(label) for label in labels)
    except DataError:
        names = tuple(plain_label(label, where="--labels") for label in labels)
    for name in names:
        if near := misspelt_emotion(name):
            raise DataError(f"--labels: {name!r} looks like a misspelt {near!r}; correct it.")
    return names


def _input_of(model: keras.Model, path: Path) -> tuple[int, Color]:
    shape = model.input_shape
    square = isinstance(shape, tuple) and len(shape) == 4 and shape[1] == shape[2]
    if not square or shape[1] is None or shape[3] not in (1, 3):
        raise ModelError(
            f"{path}: expected a model with one input of shape (batch, side, side, 1 or 3), "
            f"got {shape}."
        )
    return int(shape[1]), "gray" if shape[3] == 1 else "rgb"


def _classes_of(model: keras.Model, path: Path) -> int:
    shape = model.output_shape
    if not isinstance(shape, tuple) or len(shape) != 2 or shape[1] is None:
        raise ModelError(
            f"{path}: expected a model with one output of shape (batch, classes), got {shape}."
        )
    return int(shape[1])


def _from_pixels(model: keras.Model, low: float, high: float, path: Path) -> keras.Model:
    """Return the model with pixels of 0-255 as its input and probabilities as its output."""
    inputs = keras.Input(model.input_shape[1:])
    outputs = model(keras.layers.Rescaling((high - low) / 255, offset=low)(inputs))
    noise = np.random.default_rng(0).uniform(low, high, (4, *model.input_shape[1:]))
    trial = np.asarray(model(noise.astype(np.float32), training=False))
    if trial.min() < 0 or trial.max() > 1:  # logits
        outputs = keras.layers.Softmax()(outputs)
    elif not np.allclose(trial.sum(axis=1), 1, atol=1e-3):
        logger.warning(
            "the outputs of %s are from 0 to 1, as those of a sigmoid, but do not sum to 1; each "
            "is divided by their sum",
            path,
        )
        # Whose softmax is that, and even shares if all are 0.
        outputs = keras.layers.Softmax()(keras.ops.log(outputs + keras.config.epsilon()))
    return keras.Model(inputs, outputs)


def _write(path: Path, model: keras.Model, metadata: Metadata, *, origin: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.keras"
        save_keras(model, plain)
        try:
            compiled = compile_to_litert(model)
        except Exception as error:
            raise ModelError(
                f"{origin}: cannot be converted for LiteRT: {first_line(error)}"
            ) from None
        write_artifact(path, keras_file=plain, compiled=compiled, metadata=metadata)
