"""The model that a run starts from, with the weights that the config asks for."""

from __future__ import annotations

import logging
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from emodetect.config import ExperimentConfig
from emodetect.data.dataset import SPLITS, Dataset
from emodetect.data.sketch import Sketch, sketch_in
from emodetect.errors import ModelError
from emodetect.model_file.artifact import has_metadata, read_artifact
from emodetect.model_file.metadata import Metadata
from emodetect.model_file.shipped_models import model_path
from emodetect.number_format import quantity
from emodetect.training.models.keras_files import load_keras
from emodetect.training.models.layers import BACKBONE, freeze_below
from emodetect.training.models.mobilenet import check_weights_file
from emodetect.training.models.registry import build_network

logger = logging.getLogger(__name__)


def check_initial_weights(config: ExperimentConfig) -> None:
    """Raise ModelError if the file or model that a run takes its weights from does not exist."""
    check_weights_file(_backbone_weights(config))
    if config.model.init:
        initial_artifact(config.model.init)


def initial_model(
    config: ExperimentConfig, emotions: tuple[str, ...], *, load_weights: bool = True
) -> tuple[keras.Model, float]:
    """Return the model of a new run, and the temperature of the model it starts from, or 1.

    Args:
        load_weights: False if a saved state will overwrite them.
    """
    weights = _backbone_weights(config) if load_weights else "none"
    model = trainable_model(config, len(emotions), weights=weights)
    if config.model.init and load_weights:
        path = initial_artifact(config.model.init)
        margin = config.data.margin if config.data.faces == "whole" else None
        return model, load_initial(model, path, emotions, width=config.model.width, margin=margin)
    return model, 1.0


def trainable_model(config: ExperimentConfig, class_count: int, *, weights: str) -> keras.Model:
    """Seed and build the model of a run; settings that do not fit it fail here.

    Args:
        weights: of the backbone: "imagenet", "none", or a file's path.
    """
    keras.utils.set_random_seed(config.seed)
    tf.config.experimental.enable_op_determinism()
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(config.training.mixed_precision)
    try:
        model = build_network(config, class_count, weights=weights)
    finally:
        keras.config.set_dtype_policy(policy)
    freeze_below(model, config.training.fine_tune_from)
    return model


def _backbone_weights(config: ExperimentConfig) -> str:
    return config.model.weights or "none"  # not set if an artifact supplies them


def initial_artifact(init: str) -> Path:
    """Return the artifact for `model.init`: "shipped", the name of a shipped model, or a path.

    Raises ModelError if it does not exist or was not trained by emodetect.
    """
    path = model_path(None if init == "shipped" else init)
    if not has_metadata(path):
        raise ModelError(
            f"{path}: expected a model trained by emodetect; model.init accepts no other."
        )
    return path


def images_seen_before(config: ExperimentConfig) -> Sketch:
    """Return a sketch of the images that trained the model that a run starts from.

    It includes those of the models that this one started from; it is empty for a new model, and
    for one that does not tell.
    """
    if not config.model.init:
        return Sketch()
    path = initial_artifact(config.model.init)
    metadata = read_artifact(path).metadata
    _say_what_cannot_be_told(config, path, metadata)
    return sketch_in(metadata, "trained")


def shares_seen_before(dataset: Dataset, before: Sketch) -> dict[str, float]:
    """Return which share of "val" and "test" trained the initial model; without those untold.

    Of a split with too few images to judge, it is the share of all those that it was drawn from.
    """
    drawn_from = np.isin(dataset.splits, ("train", *dataset.carved))
    shares = {}
    for split in SPLITS[1:]:
        members = dataset.splits == split
        too_few = not before.can_judge(int(members.sum()))
        judged = drawn_from if too_few and split in dataset.carved else members
        shares[split] = before.share_of(dataset.digests[judged])
    return {split: share for split, share in shares.items() if share}


def describe_seen_before(config: ExperimentConfig, dataset: Dataset, before: Sketch) -> list[str]:
    """Return lines on the figures that are too good because the initial model saw the images."""
    told = [
        (f"{share:.0%} of the {quantity(len(dataset.indices(split)), f'{split} image')}", split)
        for split, share in shares_seen_before(dataset, before).items()
    ]
    if config.training.folds and (share := share_of_folds_seen_before(dataset, before)):
        told.append((f"{share:.0%} of the images of the folds", "the folds"))
    shipped = config.model.init == "shipped"
    init = "the shipped model" if shipped else config.model.init
    return [
        f"about {share}, by a sample, trained {init}, which this model starts from, so figures on "
        f"{where} are too good; evaluate it on images that are new to both"
        + ("" if shipped or where == "the folds" else ", or give these the splits they had then")
        for share, where in told
    ]


def share_of_folds_seen_before(dataset: Dataset, before: Sketch) -> float:
    """Return which share of the images of all folds trained the initial model; 0 if untold."""
    return before.share_of(dataset.digests[dataset.splits != "test"])


def _say_what_cannot_be_told(config: ExperimentConfig, path: Path, theirs: Metadata) -> None:
    """Warn of images of another form, whose pixels and their hashes are others."""
    for key in ("image_size", "color"):
        own, other = getattr(config.data, key), getattr(theirs, key)
        if own != other and sketch_in(theirs, "trained").text:
            logger.warning(
                "data.%s = %s is not that of %s, %s, so whether images for validation or testing "
                "trained it cannot be told",
                key,
                own,
                path,
                other,
            )


def _compare_margins(path: Path, theirs: float, margin: float) -> None:
    if theirs != margin:
        logger.warning(
            "%s frames faces with data.margin = %g, the new model will with %g; if the images are "
            "crops that %s made, add --set data.margin=%g",
            path,
            theirs,
            margin,
            path.name,
            theirs,
        )


def check_initial_network(model: keras.Model, config: ExperimentConfig) -> None:
    """Raise ModelError if the model that a run starts from has another network than `model`."""
    if config.model.init:
        path = initial_artifact(config.model.init)
        metadata = read_artifact(path).metadata
        _require_same_network(model, load_keras(path), path, metadata, width=config.model.width)


def _require_same_network(
    model: keras.Model, donor: keras.Model, path: Path, metadata: Metadata, *, width: float
) -> None:
    if _shapes(donor, [BACKBONE]) != _shapes(model, [BACKBONE]):
        theirs = metadata.config.get("model", {}).get("width", "unknown")
        color = "gray" if model.input_shape[-1] == 1 else "rgb"
        raise ModelError(
            f"{path}: contains another network ({donor.name}, width {theirs}, {metadata.color}) "
            f"than the config ({model.name}, width {width:g}, {color}); set model.name, "
            "model.width and data.color to match it."
        )


def load_initial(
    model: keras.Model,
    path: Path,
    emotions: tuple[str, ...],
    *,
    width: float,
    margin: float | None = None,
) -> float:
    """Load the weights of an artifact into `model`, with the head if the emotions are the same.

    Args:
        width: model.width of `model`, for the error.
        margin: data.margin of `model`, to be compared with the artifact's; None if the images are
            framed anew.

    Returns:
        the artifact's temperature; 1 with a new head, to which it does not apply.

    Raises ModelError if the artifact contains another network.
    """
    metadata = read_artifact(path).metadata
    if margin is not None:
        _compare_margins(path, metadata.margin, margin)
    donor = load_keras(path)
    _require_same_network(model, donor, path, metadata, width=width)
    model.get_layer(BACKBONE).set_weights(donor.get_layer(BACKBONE).get_weights())
    head = _head(model)
    # All of the head or nothing: a layer is useless with other inputs than it was trained on.
    same_head = set(metadata.emotions) == set(emotions) and (
        _shapes(donor, _head(donor)) == _shapes(model, head)
    )
    if same_head:
        for name in head[:-1]:
            model.get_layer(name).set_weights(donor.get_layer(name).get_weights())
        kernel, bias = donor.get_layer(head[-1]).get_weights()
        order = [metadata.emotions.index(emotion) for emotion in emotions]
        model.get_layer(head[-1]).set_weights([kernel[:, order], bias[order]])
    logger.info("starting from %s %s", path, "and its head" if same_head else "with a new head")
    return metadata.temperature if same_head else 1.0


def _head(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers if isinstance(layer, keras.layers.Dense)]


def _shapes(model: keras.Model, names: list[str]) -> dict[str, list[tuple[int, ...]]]:
    """Return the weights' shapes of those of the named layers that the model has."""
    return {
        layer.name: [np.shape(weight) for weight in layer.get_weights()]
        for layer in model.layers
        if layer.name in names
    }
