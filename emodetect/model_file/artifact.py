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
from dataclasses import asdict, dataclass
from pathlib import Path
from reprlib import repr as brief

from emodetect.errors import ModelError
from emodetect.machine.atomic_files import atomic_write
from emodetect.model_file.archive import member_sha256, open_archive, read_json, read_member
from emodetect.model_file.metadata import Metadata, parse_metadata
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


@dataclass(frozen=True)
class Artifact:
    """An artifact that was read and whose members belong together."""

    path: Path
    metadata: Metadata
    compiled: bytes


def write_artifact(path: Path, *, keras_file: Path, compiled: bytes, metadata: Metadata) -> None:
    """Write the artifact at `path` in one step: it is there complete, or not at all."""
    with atomic_write(path) as partial:
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
            metadata = parse_metadata(content)
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


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
