"""The metadata in a model file: label order, input, origin."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field, fields
from reprlib import repr as brief
from typing import Any

import numpy as np

from emodetect.emotions import are_labels
from emodetect.images.model_input import Color, to_input

SKETCH_DIGITS = 16  # of each hash in a sketch


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What is needed to use a model, and where it comes from.

    Attributes:
        name: the model's name.
        emotions: the label order of the outputs.
        image_size: side of the input in pixels.
        color: "gray" or "rgb".
        margin: how much a face box is enlarged before cropping, as a share of its side.
        temperature: the divisor of the logits (Guo et al. 2017); 1 has no effect.
        config: the resolved training config; empty for a model trained elsewhere.
        dataset: fingerprint and counts of the training data, and a hash of where it was.
        metrics: of the epoch whose weights these are, by Keras' names, without temperature scaling.
        versions: of the libraries that trained it.
    """

    name: str
    emotions: tuple[str, ...]
    image_size: int
    color: Color
    margin: float = 0.0
    temperature: float = 1.0
    config: dict[str, Any] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def input_of(self, crop: np.ndarray) -> np.ndarray:
        """Return the input for a face crop, uint8 BGR; see `images.model_input.to_input`."""
        return to_input(crop, size=self.image_size, color=self.color)


def parse_metadata(content: dict[str, Any]) -> Metadata:
    """Return the metadata of an artifact's JSON.

    Raises KeyError, TypeError or ValueError for content that emodetect would not write.
    """
    values = {item.name: content[item.name] for item in fields(Metadata)}
    metadata = Metadata(**{**values, "emotions": tuple(values["emotions"])})
    if isinstance(values["emotions"], str) or not are_labels(metadata.emotions):
        raise ValueError(
            f"expected two or more different emotions or labels, got {brief(values['emotions'])}"
        )
    if metadata.color not in ("gray", "rgb"):
        raise ValueError(f"expected the colour mode gray or rgb, got {brief(metadata.color)}")
    if type(metadata.image_size) is not int or not 0 < metadata.image_size <= 4096:
        raise ValueError(f"expected a size of 1 to 4096 pixels, got {brief(metadata.image_size)}")
    # Beyond these, probabilities to the power of 1 / temperature leave the range of float32.
    if type(metadata.temperature) is bool or not 0.05 <= metadata.temperature <= 20:
        raise ValueError(
            f"expected a temperature from 0.05 to 20, got {brief(metadata.temperature)}"
        )
    if not 0 <= metadata.margin <= 10:
        raise ValueError(f"expected a margin from 0 to 10, got {brief(metadata.margin)}")
    if not _origin_is_valid(metadata):
        raise ValueError("the fields on the model's origin are not as emodetect writes them")
    return metadata


def _origin_is_valid(metadata: Metadata) -> bool:
    """Return whether the fields about the model's origin have the types that we write."""
    config, dataset = metadata.config, metadata.dataset
    return (
        isinstance(metadata.name, str)
        and isinstance(config, dict)
        and all(isinstance(config.get(part, {}), dict) for part in ("data", "model"))
        and isinstance(dataset, dict)
        and isinstance(dataset.get("fingerprint", ""), str)
        and all(_holds_hashes(dataset.get(key, "")) for key in ("served", "trained"))
        and _holds(dataset.get("seen", {}), int, float)
        and all(0 <= share <= 1 for share in dataset.get("seen", {}).values())
        and _holds(dataset.get("counts", {}), dict)
        and all(_holds(counts, int) for counts in dataset.get("counts", {}).values())
        and _holds(metadata.metrics, int, float)
        # JSON has whole numbers beyond all floats, and Python's has NaN and infinity.
        and all(abs(value) <= sys.float_info.max for value in metadata.metrics.values())
        and _holds(metadata.versions, str)
    )


def _holds_hashes(value: Any) -> bool:
    hashes = f"([0-9a-f]{{{SKETCH_DIGITS}}})*"
    return isinstance(value, str) and re.fullmatch(hashes, value) is not None


def _holds(value: Any, *kinds: type) -> bool:
    return isinstance(value, dict) and all(isinstance(item, kinds) for item in value.values())
