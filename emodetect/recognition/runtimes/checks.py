"""Checks when a runtime opens a network: shapes, memory use and agreement."""

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

# VGG16 at 224 x 224 has 4.5 GB of tensors for a full batch, though not all at the same time.
MAX_TENSOR_BYTES = 8 * 2**30
# Summing float32 in another order changes results by 1e-5; half precision, which some runtimes
# choose automatically, by 1e-2.
AGREEMENT = 1e-3


def difference_from(runtime: Runtime, reference: Runtime, metadata: Metadata) -> float:
    """Return the largest difference between the probabilities of two runtimes, on smooth images.

    On noise, networks give one class with full confidence, which hides differences.
    """
    images = smooth_images(metadata)
    return float(np.abs(runtime.run(images) - reference.run(images)).max())


def check_same_results(difference: float, path: Path, library: str) -> None:
    """Raise ModelError if a runtime's probabilities differ too much from the default one's."""
    if not difference <= AGREEMENT:
        raise ModelError(
            f"{path}: {library} gives different results from the default runtime (probabilities "
            f"differ by up to {difference:.2g}); omit the runtime to use LiteRT."
        )


def smooth_images(metadata: Metadata) -> np.ndarray:
    """Return (8, size, size, channels) float32 in 0-255: blurred random patches."""
    size, channels = metadata.image_size, channels_of(metadata.color)
    patches = np.random.default_rng(0).uniform(0, 255, (8, 4, 4, channels)).astype(np.float32)
    return np.stack([cv2.resize(image, (size, size)) for image in patches]).reshape(
        8, size, size, channels
    )


def check_shapes(
    artifact: Artifact, found_input: Sequence[int], found_output: Sequence[int]
) -> None:
    """Raise ModelError if the shapes, batch axis first, do not match the metadata."""
    size, channels = artifact.metadata.image_size, channels_of(artifact.metadata.color)
    expected = (size, size, channels), (len(artifact.metadata.emotions),)
    found = tuple(map(int, found_input[1:])), tuple(map(int, found_output[1:]))
    if found != expected:
        raise ModelError(
            f"{artifact.path}: damaged: expected a network with input and output {expected} "
            f"according to its metadata, got {found}."
        )


def bytes_in_full_batch(tensor: dict[str, Any]) -> int:
    """Return the size of a LiteRT tensor for a batch of MAX_BATCH."""
    dynamic = len(tensor["shape_signature"]) and tensor["shape_signature"][0] == -1
    size = math.prod(map(int, tensor["shape"])) * np.dtype(tensor["dtype"]).itemsize
    return int(size) * (MAX_BATCH if dynamic else 1)


def unusable(path: Path, library: str, error: Exception) -> str:
    """Return the message for a network that an optional runtime cannot run."""
    return (
        f"{path}: {library} cannot run its network: {first_line(error)}; "
        "omit the runtime to use LiteRT."
    )


def damaged(path: Path, error: Exception) -> str:
    """Return the message for a network that LiteRT cannot run."""
    return f"{path}: damaged: LiteRT cannot run its network: {first_line(error)}"
