"""The artifact: one .keras file that also carries what the use-flow needs.

Keras opens it as an ordinary model. Beside Keras' own members the zip holds `emodetect.json`
(Metadata) and `model.tflite`, the same network compiled for LiteRT. This module is the only
place that knows the members, and the only source of the label order.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from reprlib import repr as brief
from typing import Any

from emodetect.emotions import EMOTIONS
from emodetect.errors import ModelError
from emodetect.images.preprocessing import Color
from emodetect.machine.whole_file import written_whole
from emodetect.model_file.archive import member_sha256, open_archive, read_json, read_member
from emodetect.model_file.safe_keras_config import check_config

METADATA = "emodetect.json"
COMPILED = "model.tflite"
CONFIG = "config.json"
KERAS_MEMBERS = (CONFIG, "model.weights.h5")
FORMAT = 1
# A network of 150 layers has a config of 0.2 MB. Parsed, JSON takes up to 30 times its size.
MAX_JSON_BYTES = 4 * 2**20
# VGG16, the largest network that is usual for faces, has 553 MB.
MAX_COMPILED_BYTES = 600_000_000


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a model needs to be used, and where it comes from.

    Attributes:
        name: what the model is called.
        emotions: the label order of the outputs.
        image_size: side of the input in pixels.
        color: "gray" or "rgb".
        margin: by how much of its side a face box is grown before cropping.
        temperature: the logits are divided by it (Guo et al. 2017); 1 leaves them.
        config: the resolved training config; empty for a model trained elsewhere.
        dataset: fingerprint and counts of the training data.
        metrics: validation figures at the end of training.
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


@dataclass(frozen=True)
class Artifact:
    """An artifact that was read and whose members belong together."""

    path: Path
    metadata: Metadata
    compiled: bytes


def write_artifact(path: Path, *, keras_file: Path, compiled: bytes, metadata: Metadata) -> None:
    """Write the artifact at `path` in one step: it is there complete, or not at all."""
    with written_whole(path) as partial:
        with zipfile.ZipFile(keras_file) as source, zipfile.ZipFile(partial, "w") as target:
            for member in source.namelist():
                target.writestr(member, source.read(member))
            content = {
                "format": FORMAT,
                **asdict(metadata),
                "sha256": {
                    **{name: _sha256(source.read(name)) for name in KERAS_MEMBERS},
                    COMPILED: _sha256(compiled),
                },
            }
            target.writestr(METADATA, json.dumps(content, indent=1))
            target.writestr(COMPILED, compiled)
        with partial.open("rb") as file:
            os.fsync(file.fileno())


def has_metadata(path: Path) -> bool:
    """Tell whether a .keras file carries our members.

    Raises ModelError for a file that is no Keras model, is damaged, or holds code.
    """
    with open_archive(path) as archive:
        _check_keras(path, archive)
        return METADATA in archive.namelist()


def read_artifact(path: Path) -> Artifact:
    """Read and verify an artifact.

    Raises ModelError for a file that is missing, damaged, foreign or holds code, and for members
    that do not belong together.
    """
    with open_archive(path) as archive:
        names = archive.namelist()
        if METADATA not in names:
            _check_keras(path, archive)
            raise ModelError(
                f"{path}: a Keras model without emodetect's label order; predict, webcam and "
                "evaluate take it once its labels are named in order: --labels angry,disgust,..."
            )
        missing = {COMPILED, *KERAS_MEMBERS} - set(names)
        if missing:
            raise ModelError(f"{path}: damaged: the member {min(missing)} is missing.")
        content = read_json(archive, METADATA, max_bytes=MAX_JSON_BYTES)
        try:
            if content["format"] != FORMAT:
                raise ModelError(
                    f"{path}: written by another version of emodetect (format "
                    f"{brief(content['format'])}, this one reads {FORMAT}); update emodetect."
                )
            metadata = _metadata(content)
            hashes = dict(content["sha256"])
        except KeyError as error:
            raise ModelError(f"{path}: damaged: its {METADATA} lacks {error}.") from None
        except (TypeError, ValueError) as error:
            raise ModelError(f"{path}: damaged: its {METADATA} cannot be used: {error}.") from None
        for name in (COMPILED, *KERAS_MEMBERS):
            if member_sha256(archive, name) != hashes.get(name):
                raise ModelError(
                    f"{path}: its members do not belong together ({name} is not the one that "
                    "was saved); train or download the model again."
                )
        _check_keras(path, archive)
        compiled = read_member(archive, COMPILED, max_bytes=MAX_COMPILED_BYTES)
    return Artifact(path, metadata, compiled)


def _check_keras(path: Path, archive: zipfile.ZipFile) -> None:
    if CONFIG not in archive.namelist():
        raise ModelError(f"{path}: expected a Keras model, but the member {CONFIG} is missing.")
    check_config(read_json(archive, CONFIG, max_bytes=MAX_JSON_BYTES), path=path)


def _metadata(content: dict[str, Any]) -> Metadata:
    values = {item.name: content[item.name] for item in fields(Metadata)}
    metadata = Metadata(**{**values, "emotions": tuple(values["emotions"])})
    known = set(metadata.emotions) <= set(EMOTIONS)
    distinct = len(set(metadata.emotions))
    if not known or distinct != len(metadata.emotions) or distinct < 2:
        raise ValueError(f"expected different emotions, got {brief(values['emotions'])}")
    if metadata.color not in ("gray", "rgb"):
        raise ValueError(f"expected the colour mode gray or rgb, got {brief(metadata.color)}")
    if type(metadata.image_size) is not int or not 0 < metadata.image_size <= 4096:
        raise ValueError(f"expected a size of 1 to 4096 pixels, got {brief(metadata.image_size)}")
    # Outside, probabilities to the power of 1 / temperature leave the range of float32.
    if not 0.05 <= metadata.temperature <= 20:
        raise ValueError(
            f"expected a temperature from 0.05 to 20, got {brief(metadata.temperature)}"
        )
    if not 0 <= metadata.margin <= 10:
        raise ValueError(f"expected a margin from 0 to 10, got {brief(metadata.margin)}")
    if not _has_history(metadata):
        raise ValueError("it tells where the model comes from in another way than emodetect does")
    return metadata


def _has_history(metadata: Metadata) -> bool:
    """Tell whether what only tells of the model's making is of the kinds that we write."""
    config, dataset = metadata.config, metadata.dataset
    return (
        isinstance(metadata.name, str)
        and isinstance(config, dict)
        and all(isinstance(config.get(part, {}), dict) for part in ("data", "model"))
        and isinstance(dataset, dict)
        and isinstance(dataset.get("fingerprint", ""), str)
        and _holds(dataset.get("counts", {}), dict)
        and all(_holds(counts, int) for counts in dataset.get("counts", {}).values())
        and _holds(metadata.metrics, int, float)
        and _holds(metadata.versions, str)
    )


def _holds(value: Any, *kinds: type) -> bool:
    return isinstance(value, dict) and all(isinstance(item, kinds) for item in value.values())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
