"""Starting from the weights of an artifact instead of ImageNet's."""

from __future__ import annotations

import logging
from pathlib import Path

import keras
import numpy as np

from emodetect.errors import ModelError
from emodetect.model_file.artifact import has_metadata, read_artifact
from emodetect.model_file.shipped_models import model_path
from emodetect.training.models.keras_files import load_keras
from emodetect.training.models.mobilenet import BACKBONE

logger = logging.getLogger(__name__)


def initial_artifact(init: str) -> Path:
    """Return the artifact that `model.init` names: "shipped", a shipped model's name, or a path.

    Raises ModelError where there is none, or for a Keras file made elsewhere.
    """
    path = model_path(None if init == "shipped" else init)
    if not has_metadata(path):
        raise ModelError(
            f"{path}: expected a model that emodetect trained; model.init takes no other."
        )
    return path


def load_initial(model: keras.Model, path: Path, emotions: tuple[str, ...]) -> float:
    """Give `model` the weights of an artifact; its head too, if it is for the same emotions.

    Returns:
        the artifact's temperature; 1 with a new head, of which it says nothing.

    Raises ModelError for an artifact of another network.
    """
    metadata = read_artifact(path).metadata
    donor = load_keras(path)
    if _shapes(donor, [BACKBONE]) != _shapes(model, [BACKBONE]):
        width = metadata.config.get("model", {}).get("width", "unknown")
        color = "gray" if model.input_shape[-1] == 1 else "rgb"
        raise ModelError(
            f"{path}: holds another network ({donor.name}, width {width}, {metadata.color}) than "
            f"the config asks for ({model.name}, {color}); set model.name, model.width and "
            "data.color to its."
        )
    model.get_layer(BACKBONE).set_weights(donor.get_layer(BACKBONE).get_weights())
    head = _head(model)
    # All of the head or nothing: a layer on other inputs than it was trained with is of no use.
    same_head = set(metadata.emotions) == set(emotions) and (
        _shapes(donor, _head(donor)) == _shapes(model, head)
    )
    if same_head:
        for name in head[:-1]:
            model.get_layer(name).set_weights(donor.get_layer(name).get_weights())
        kernel, bias = donor.get_layer(head[-1]).get_weights()
        order = [metadata.emotions.index(emotion) for emotion in emotions]
        model.get_layer(head[-1]).set_weights([kernel[:, order], bias[order]])
    logger.info("starting from %s, %s", path, "its head too" if same_head else "with a new head")
    return metadata.temperature if same_head else 1.0


def _head(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers if isinstance(layer, keras.layers.Dense)]


def _shapes(model: keras.Model, names: list[str]) -> dict[str, list[tuple[int, ...]]]:
    """Return the shapes of the weights of those of the named layers that there are."""
    return {
        layer.name: [np.shape(weight) for weight in layer.get_weights()]
        for layer in model.layers
        if layer.name in names
    }
