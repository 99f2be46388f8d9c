"""What a format is, and the network that it is given to write."""

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
LABELS, CARD = "labels.txt", "emodetect.json"


@dataclass(frozen=True, kw_only=True)
class Network:
    """What is written to a file.

    Attributes:
        artifact: where it comes from.
        model: its Keras model, the temperature in it.
        calibration: (n, size, size, channels) uint8 crops that tell int8 its ranges; None for
            all else.
        card: what the file is to tell of itself, JSON-ready.
    """

    artifact: Artifact
    model: keras.Model
    calibration: np.ndarray | None
    card: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of files.

    Attributes:
        suffix: of the file; empty for a folder.
        companions: suffixes of the files that lie beside it and belong to it.
        quantizations: the ways to make it smaller that it can be had in.
        needs: the modules that write it and run it, with how to get each.
        write: puts a network, quantised so, at a path.
        open: returns what runs the file of a path on so many threads.
    """

    suffix: str
    companions: tuple[str, ...] = ()
    quantizations: tuple[str, ...]
    needs: dict[str, str]
    write: Callable[[Network, str, Path], None]
    open: Callable[[Path, int], Run]


def companion_files(card: dict[str, Any]) -> dict[str, str]:
    return {LABELS: "\n".join(card["labels"]) + "\n", CARD: json.dumps(card, indent=1)}
