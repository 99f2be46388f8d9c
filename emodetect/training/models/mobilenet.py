"""MobileNet V1 and V2 (Howard et al. 2017, Sandler et al. 2018) on ImageNet weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras

from emodetect.config import ModelConfig
from emodetect.errors import ModelError, first_line

BACKBONE = "backbone"


def mobilenet_v2(config: ModelConfig, weights: str, channels: int) -> keras.Model:
    """MobileNetV2 without its top (Sandler et al. 2018); takes RGB."""
    return _application(keras.applications.MobileNetV2, config, weights)


def mobilenet(config: ModelConfig, weights: str, channels: int) -> keras.Model:
    """MobileNet V1 without its top (Howard et al. 2017); takes RGB."""
    return _application(keras.applications.MobileNet, config, weights)


def check_weights(weights: str) -> None:
    """Raise ModelError for a weights file that is not there."""
    if weights not in ("imagenet", "none") and not Path(weights).is_file():
        raise ModelError(
            f"{weights}: no such file; model.weights is 'imagenet', 'none' or the path of a "
            ".weights.h5 file."
        )


def _application(
    application: Callable[..., keras.Model], config: ModelConfig, weights: str
) -> keras.Model:
    check_weights(weights)
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
        # Keras raises a bare Exception for a download that failed, ValueError and OSError for
        # a width that has no weights and for files of another network.
        reason = first_line(error)
        if weights == "none":
            raise ModelError(
                f"{config.name} cannot be built with model.width = {config.width:g} and "
                f"model.backbone_size = {config.backbone_size}: {reason}"
            ) from None
        hint = (
            "Download the weights where there is a network and name the file: "
            "--set model.weights=FILE; or start from random weights: --set model.weights=none "
            "--set training.head_epochs=0."
            if weights == "imagenet"
            else f"Expected weights of {config.name} (width {config.width:g}, without its top)."
        )
        raise ModelError(f"model.weights = {weights!r} cannot be used: {reason}. {hint}") from None
