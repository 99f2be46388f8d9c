"""The options that choose a model and its runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from emodetect.cli.options.source import names_in

MODEL = "RUN|FILE|NAME"
PIXEL_RANGES = {"0..255": (0.0, 255.0), "0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0)}
# Same as recognition.runtimes.registry.RUNTIMES, which would slow down --help.
RUNTIME_NAMES = ("litert", "keras", "onnxruntime", "openvino")

runtime_option = click.option(
    "--runtime",
    type=click.Choice(RUNTIME_NAMES),
    help="Inference runtime; `emodetect bench` compares the installed ones. [default: litert, or "
    "keras where litert is unavailable]",
)

tta_option = click.option(
    "--tta",
    type=click.Choice(["flip"]),
    help="Test-time augmentation: average the network's outputs for each face and its mirror "
    "image. The classifier takes twice as long. [default: none]",
)


def foreign_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --labels and --pixels, which a Keras file from elsewhere needs."""
    for option in (
        click.option(
            "--pixels",
            type=click.Choice(list(PIXEL_RANGES)),
            help="With --labels: range of the pixel values the model was trained on. [default: "
            "0..255]",
        ),
        click.option(
            "--labels",
            metavar="A,B,...",
            help="Emotions, or labels of your own, in the order of the outputs, for a Keras file "
            "that emodetect did not create.",
        ),
    ):
        command = option(command)
    return command


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --model, --labels and --pixels."""
    return click.option(
        "--model",
        metavar=MODEL,
        help="A run folder, a .keras file, or the name of a shipped model. [default: the shipped "
        "one]",
    )(foreign_options(command))


def usable_model(model: str | None, labels: str | None, pixels: str | None) -> Path:
    """Return the path of the model; a foreign Keras file is compiled first, once, and cached."""
    from emodetect.model_file.shipped_models import model_path

    path = model_path(model)
    if labels is None:
        if pixels is not None:
            raise click.UsageError("--pixels requires --labels.")
        return path
    from emodetect.training.models.import_keras import import_keras_model

    return import_keras_model(
        path, labels=names_in(labels), pixel_range=PIXEL_RANGES[pixels or "0..255"]
    )
