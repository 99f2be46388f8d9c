"""The options by which a command is told its model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

PIXEL_RANGES = {"0..255": (0.0, 255.0), "0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0)}
# As in recognition.runtimes.registry.RUNTIMES, whose import would slow --help.
RUNTIME_NAMES = ("litert", "keras", "onnxruntime", "openvino")

runtime_option = click.option(
    "--runtime",
    type=click.Choice(RUNTIME_NAMES),
    help="What runs the model; `emodetect bench` compares those installed here. [default: litert, "
    "or keras where that has no wheel]",
)


def foreign_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what a Keras file from elsewhere needs beside --model."""
    for option in (
        click.option(
            "--pixels",
            type=click.Choice(list(PIXEL_RANGES)),
            help="With --labels: the range of pixel values that the foreign model was trained on. "
            "[default: 0..255]",
        ),
        click.option(
            "--labels",
            metavar="A,B,...",
            help="Emotions in the order of the outputs, for a Keras file that was not made by "
            "emodetect.",
        ),
    ):
        command = option(command)
    return command


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --model, and what a Keras file from elsewhere needs beside it."""
    return click.option(
        "--model",
        metavar="FILE|NAME",
        help="A .keras file, or the name of a shipped model. [default: the shipped one]",
    )(foreign_options(command))


def usable_model(model: str | None, labels: str | None, pixels: str | None) -> Path:
    """Return the artifact to use; a foreign Keras file is compiled once, into the cache."""
    from emodetect.model_file.shipped_models import model_path

    path = model_path(model)
    if labels is None:
        if pixels is not None:
            raise click.UsageError("--pixels goes with --labels.")
        return path
    from emodetect.training.models.import_keras import import_keras_model

    return import_keras_model(
        path, labels=labels.split(","), pixel_range=PIXEL_RANGES[pixels or "0..255"]
    )
