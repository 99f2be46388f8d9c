"""What an export format is, and the network it writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emodetect.model_file.artifact import Artifact

if TYPE_CHECKING:
    import keras

# From a (1, size, size, channels) uint8 crop to (1, classes) float32 probabilities.
Run = Callable[[np.ndarray], np.ndarray]
# Scale and zero point of the 8-bit probabilities of an int8 file.
INT8_OUTPUT = (1 / 256, 0)
LABELS, CARD = "labels.txt", "emodetect.json"


@dataclass(frozen=True, kw_only=True)
class Network:
    """The network to write.

    Attributes:
        artifact: the model file it comes from.
        model: its Keras model, with the temperature in its weights.
        calibration: (n, size, size, channels) uint8 crops that int8 is calibrated on; None for
            all other precisions.
        card: the description that the file carries, ready for JSON.
    """

    artifact: Artifact
    model: keras.Model
    calibration: np.ndarray | None
    card: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Format:
    """An export format.

    Attributes:
        suffix: of the file; empty for a folder.
        companions: suffixes of the files that are written next to it and belong to it.
        quantizations: the precisions it is available in.
        needs: the modules that write and run it, each with the command that installs it.
        write: writes a network to a path, in one of the precisions.
        open: returns a function that runs the file at a path on a number of threads.
    """

    suffix: str
    companions: tuple[str, ...] = ()
    quantizations: tuple[str, ...]
    needs: dict[str, str]
    write: Callable[[Network, str, Path], None]
    open: Callable[[Path, int], Run]


def companion_files(card: dict[str, Any]) -> dict[str, str]:
    """Return the files that carry a card inside a format, as text by name."""
    return {LABELS: "\n".join(card["labels"]) + "\n", CARD: json.dumps(card, indent=1)}
