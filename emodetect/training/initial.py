"""Starting from the weights of an artifact instead of ImageNet's."""

from __future__ import annotations

import logging
from pathlib import Path

import keras
import numpy as np

from emodetect.artifact import has_metadata, read_artifact
from emodetect.errors import ModelError
from emodetect.shipped import model_path
from emodetect.training.models import BACKBONE

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


def load_initial(model: keras.Model, path: Path, emotions: tuple[str, ...]) -> None:
    """Give `model` the weights of an artifact; its head too, if it is for the same emotions.

    Raises ModelError for an artifact of another network.
    """
    metadata = read_artifact(path).metadata
    donor = keras.models.load_model(path, compile=False)  # Keras' safe mode stays on
    if not _copy(donor, model, BACKBONE):
        own = metadata.config.get("model", {})
        raise ModelError(
            f"{path}: holds another network ({donor.name}, width {own.get('width', 'unknown')}) "
            f"than the config asks for ({model.name}); set model.name and model.width to its."
        )
    hidden = [layer.name for layer in model.layers if layer.name.startswith("dense_")]
    same_head = set(metadata.emotions) == set(emotions) and all(
        _copy(donor, model, name) for name in hidden
    )
    if same_head:
        kernel, bias = donor.get_layer("probabilities").get_weights()
        order = [metadata.emotions.index(emotion) for emotion in emotions]
        head = model.get_layer("probabilities")
        same_head = head.kernel.shape == kernel.shape
        if same_head:
            head.set_weights([kernel[:, order], bias[order]])
    logger.info("starting from %s, %s", path, "its head too" if same_head else "with a new head")


def _copy(donor: keras.Model, model: keras.Model, name: str) -> bool:
    """Copy a layer's weights where the donor has the same layer; tell whether it has."""
    if name not in [layer.name for layer in donor.layers]:
        return False
    theirs, own = donor.get_layer(name).get_weights(), model.get_layer(name).get_weights()
    if [np.shape(weight) for weight in theirs] != [np.shape(weight) for weight in own]:
        return False
    model.get_layer(name).set_weights(theirs)
    return True
