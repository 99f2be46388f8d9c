"""The artifact: one .keras file that also carries what the use-flow needs.

Keras opens it as an ordinary model. Beside Keras' own members the zip holds `emodetect.json`
(Metadata) and `model.tflite`, the same network compiled for LiteRT. This module is the only
place that knows the members, and the only source of the label order.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import zipfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from emodetect.emotions import EMOTIONS
from emodetect.errors import ModelError
from emodetect.preprocessing import Color

METADATA = "emodetect.json"
COMPILED = "model.tflite"
KERAS_MEMBERS = ("config.json", "model.weights.h5")
FORMAT = 1
# Nothing that belongs in an artifact is larger; a zip that claims more is hostile or damaged.
MAX_MEMBER_BYTES = 2**30


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
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
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
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def has_metadata(path: Path) -> bool:
    """Tell whether a .keras file carries our members. Raises ModelError if it is no zip."""
    with _open_zip(path) as archive:
        return METADATA in archive.namelist()


def read_artifact(path: Path) -> Artifact:
    """Read and verify an artifact.

    Raises ModelError for a missing, damaged or foreign file, and for members that do not belong
    together.
    """
    with _open_zip(path) as archive:
        names = archive.namelist()
        if METADATA not in names:
            raise ModelError(
                f"{path}: a Keras model without emodetect's label order; name its labels in "
                "order with --labels angry,disgust,..."
            )
        missing = {COMPILED, *KERAS_MEMBERS} - set(names)
        if missing:
            raise ModelError(f"{path}: damaged: the member {min(missing)} is missing.")
        try:
            content = json.loads(_read(archive, METADATA))
            if content["format"] != FORMAT:
                raise ModelError(
                    f"{path}: written by another version of emodetect (format "
                    f"{content['format']!r}, this one reads {FORMAT}); update emodetect."
                )
            metadata = _metadata(content)
            hashes = dict(content["sha256"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path}: damaged: its {METADATA} cannot be read ({error}).") from None
        compiled = _read(archive, COMPILED)
        for name in (COMPILED, *KERAS_MEMBERS):
            data = compiled if name == COMPILED else _read(archive, name)
            if _sha256(data) != hashes.get(name):
                raise ModelError(
                    f"{path}: its members do not belong together ({name} is not the one that "
                    "was saved); train or download the model again."
                )
    return Artifact(path, metadata, compiled)


def _metadata(content: dict[str, Any]) -> Metadata:
    values = {item.name: content[item.name] for item in fields(Metadata)}
    metadata = Metadata(**{**values, "emotions": tuple(values["emotions"])})
    known = set(metadata.emotions) <= set(EMOTIONS)
    distinct = len(set(metadata.emotions))
    if not known or distinct != len(metadata.emotions) or distinct < 2:
        raise ValueError(f"expected at least two different emotions, got {values['emotions']!r}")
    if metadata.color not in ("gray", "rgb"):
        raise ValueError(f"expected the colour mode gray or rgb, got {metadata.color!r}")
    if not (isinstance(metadata.image_size, int) and metadata.image_size > 0):
        raise ValueError(f"expected an image size in pixels, got {metadata.image_size!r}")
    if not (math.isfinite(metadata.temperature) and metadata.temperature > 0):
        raise ValueError(f"expected a temperature above 0, got {metadata.temperature!r}")
    if not 0 <= metadata.margin <= 10:
        raise ValueError(f"expected a margin from 0 to 10, got {metadata.margin!r}")
    return metadata


def _open_zip(path: Path) -> zipfile.ZipFile:
    if not os.path.isfile(path):  # noqa: PTH113  Path.is_file raises for some names
        raise ModelError(f"{path}: no such model file.")
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: expected a .keras model file: {error}.") from None


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    info = archive.getinfo(name)
    if info.file_size > MAX_MEMBER_BYTES:
        raise ModelError(
            f"{archive.filename}: the member {name} claims {info.file_size:,} bytes, more than "
            "any model here; refused."
        )
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"{archive.filename}: damaged: {name}: {error}.") from None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
