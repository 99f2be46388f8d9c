"""MobileNet V1 and V2 (Howard et al. 2017, Sandler et al. 2018), pretrained on ImageNet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras

from emodetect.config import ModelConfig
from emodetect.errors import EmodetectError, ModelError, first_line
from emodetect.training.models.layers import BACKBONE


def mobilenet_v2(config: ModelConfig, weights: str, channels: int) -> keras.Model:
    """Build MobileNetV2 without its top (Sandler et al. 2018); its input is RGB."""
    return _application(keras.applications.MobileNetV2, config, weights)


def mobilenet(config: ModelConfig, weights: str, channels: int) -> keras.Model:
    """Build MobileNet V1 without its top (Howard et al. 2017); its input is RGB."""
    return _application(keras.applications.MobileNet, config, weights)


def check_weights_file(weights: str) -> None:
    """Raise ModelError if the weights file does not exist."""
    if weights not in ("imagenet", "none") and not Path(weights).is_file():
        raise ModelError(
            f"{weights}: no such file; model.weights must be 'imagenet', 'none' or the path of a "
            ".weights.h5 file."
        )


def _application(
    application: Callable[..., keras.Model], config: ModelConfig, weights: str
) -> keras.Model:
    check_weights_file(weights)
    try:
        return application(
            input_shape=(config.backbone_size, config.backbone_size, 3),
            alpha=config.width,
            include_top=False,
            pooling="avg",
            weights=None if weights == "none" else weights,
            name=BACKBONE,
        )
    except Exception as error:
        # Keras raises a bare Exception if a download failed, and ValueError or OSError for a width
        # without weights or the weights of another network.
        reason = first_line(error).rstrip(".")
        if weights == "none":
            raise ModelError(
                f"{config.name} cannot be built with model.width = {config.width:g} and "
                f"model.backbone_size = {config.backbone_size}: {reason}"
            ) from None
        unusable = f"model.weights = {weights!r} cannot be used: {reason}."
        random = (
            "start from random weights with --set model.weights=none --set training.head_epochs=0."
        )
        if weights != "imagenet":
            raise ModelError(
                f"{unusable} Expected weights of {config.name} (width {config.width:g}, without "
                "its top)."
            ) from None
        if isinstance(error, ValueError):
            raise ModelError(
                f"{unusable} Choose a model.width (Keras' alpha) that has weights; or {random}"
            ) from None
        # No ModelError, because it may work tomorrow, or on another machine.
        raise EmodetectError(
            f"{unusable} Download the weights on a machine with internet access and pass the file "
            f"with --set model.weights=FILE; or {random}"
        ) from None
