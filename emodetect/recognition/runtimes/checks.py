"""Checks of a network as a runtime opens it: its shapes, its memory, its agreement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from emodetect.errors import ModelError, first_line
from emodetect.images.model_input import channels_of
from emodetect.model_file.artifact import Artifact
from emodetect.model_file.metadata import Metadata
from emodetect.recognition.runtimes.runtime import MAX_BATCH, Runtime

# VGG16 at 224 x 224 has 4.5 GB of them for a full batch, though few at a time.
MAX_TENSOR_BYTES = 8 * 2**30
# Float32 added up in another order differs by 1e-5; the half precision that some runtimes take
# by themselves, by 1e-2.
AGREEMENT = 1e-3


def difference_from(runtime: Runtime, reference: Runtime, metadata: Metadata) -> float:
    """Return the largest difference of two runtimes' probabilities, on smooth images.

    Noise drives networks to one sure answer, in which differences drown.
    """
    images = _smooth_images(metadata)
    return float(np.abs(runtime.run(images) - reference.run(images)).max())


def check_agreement(difference: float, path: Path, library: str) -> None:
    if not difference <= AGREEMENT:
        raise ModelError(
            f"{path}: {library} answers otherwise than the default runtime (probabilities differ "
            f"by up to {difference:.2g}); leave the runtime out, and LiteRT runs it."
        )


def _smooth_images(metadata: Metadata) -> np.ndarray:
    """Return (8, size, size, channels) float32 in 0-255: random patches, blurred into another."""
    size, channels = metadata.image_size, channels_of(metadata.color)
    patches = np.random.default_rng(0).uniform(0, 255, (8, 4, 4, channels)).astype(np.float32)
    return np.stack([cv2.resize(image, (size, size)) for image in patches]).reshape(
        8, size, size, channels
    )


def check_shapes(
    artifact: Artifact, found_input: Sequence[int], found_output: Sequence[int]
) -> None:
    """Raise ModelError for a network that is not the one of the metadata; batches come first."""
    size, channels = artifact.metadata.image_size, channels_of(artifact.metadata.color)
    expected = (size, size, channels), (len(artifact.metadata.emotions),)
    found = tuple(map(int, found_input[1:])), tuple(map(int, found_output[1:]))
    if found != expected:
        raise ModelError(
            f"{artifact.path}: damaged: its metadata say input and output {expected}, the "
            f"network has {found}."
        )


def bytes_in_full_batch(tensor: dict[str, Any]) -> int:
    dynamic = len(tensor["shape_signature"]) and tensor["shape_signature"][0] == -1
    size = math.prod(map(int, tensor["shape"])) * np.dtype(tensor["dtype"]).itemsize
    return int(size) * (MAX_BATCH if dynamic else 1)


def unusable(path: Path, library: str, error: Exception) -> str:
    return (
        f"{path}: {library} cannot run its network: {first_line(error)}; "
        "leave the runtime out, and LiteRT runs it."
    )


def damaged(path: Path, error: Exception) -> str:
    return f"{path}: damaged: LiteRT cannot run its network: {first_line(error)}"
