"""The artifact: one .keras file with everything that is needed to use the model.

Keras opens it as an ordinary model. Besides Keras' own members, the zip contains `emodetect.json`
(Metadata) and `model.tflite`, the same network compiled for LiteRT. It is the only source of the
label order.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from reprlib import repr as brief
from typing import Any

from emodetect.errors import ModelError
from emodetect.machine.atomic_files import atomic_write, to_disk
from emodetect.model_file.archive import member_sha256, open_archive, read_json, read_member
from emodetect.model_file.metadata import Metadata, parse_metadata
from emodetect.model_file.safe_keras_config import check_config

METADATA = "emodetect.json"
COMPILED = "model.tflite"
CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
KERAS_MEMBERS = (CONFIG, WEIGHTS)
FORMAT = 1
# VGG16, the largest network in common use for faces, has 553 MB.
MAX_COMPILED_BYTES = 600_000_000


@dataclass(frozen=True)
class Artifact:
    """An artifact that was read and verified."""

    path: Path
    metadata: Metadata
    compiled: bytes

    def identity(self) -> str:
        """Return a hash of the network and its metadata; another model has another one."""
        metadata = json.dumps(asdict(self.metadata), sort_keys=True).encode()
        return hashlib.sha256(metadata + self.compiled).hexdigest()


def write_artifact(path: Path, *, keras_file: Path, compiled: bytes, metadata: Metadata) -> None:
    """Write an artifact in one step: it appears complete or not at all."""
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
        to_disk(partial)


def has_metadata(path: Path) -> bool:
    """Return whether a .keras file is an artifact, with our members.

    Raises ModelError if the file is not a Keras model, is damaged, or contains code.
    """
    with open_archive(path) as archive:
        _check_keras(path, archive)
        return METADATA in archive.namelist()


def read_artifact(path: Path, *, verify: bool = True) -> Artifact:
    """Read and verify an artifact.

    Args:
        verify: check the members that are for Keras too, which takes a few hundredths of a second.
            If False, those that are returned are still checked against damage.

    Raises ModelError if the file is missing, damaged, not from emodetect or contains code, or if
    its members do not belong together.
    """
    with open_archive(path) as archive:
        names = archive.namelist()
        if METADATA not in names:
            _check_keras(path, archive)
            raise ModelError(
                f"{path}: a Keras model without emodetect's label order; to use it with predict, "
                "webcam or evaluate, give its labels in order: --labels angry,disgust,..."
            )
        missing = {COMPILED, *KERAS_MEMBERS} - set(names)
        if missing.issuperset(KERAS_MEMBERS) and path.suffix != ".keras":
            raise ModelError(
                f"{path}: expected a .keras file or a run folder, got an exported model; give the "
                "file that it was exported from."
            )
        if missing:
            raise ModelError(f"{path}: damaged: the member {min(missing)} is missing.")
        metadata, hashes = _parse(read_json(archive, METADATA), path)
        if verify:
            for name in (COMPILED, *KERAS_MEMBERS):
                if member_sha256(archive, name) != hashes.get(name):
                    raise ModelError(
                        f"{path}: its members do not belong together ({name} is not the "
                        "original); train or download the model again."
                    )
            _check_keras(path, archive)
        compiled = read_member(archive, COMPILED, max_bytes=MAX_COMPILED_BYTES)
    return Artifact(path, metadata, compiled)


def _parse(content: Any, path: Path) -> tuple[Metadata, dict[str, str]]:
    """Return the metadata and the members' SHA-256 hashes."""
    try:
        if content["format"] != FORMAT:
            raise ModelError(
                f"{path}: written by another version of emodetect (expected format {FORMAT}, got "
                f"{brief(content['format'])}); update emodetect."
            )
        return parse_metadata(content), dict(content["sha256"])
    except KeyError as error:
        raise ModelError(f"{path}: damaged: {METADATA} lacks {error}.") from None
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path}: damaged: {METADATA} is invalid: {error}.") from None


def _check_keras(path: Path, archive: zipfile.ZipFile) -> None:
    if CONFIG not in archive.namelist():
        raise ModelError(f"{path}: expected a Keras model, but the member {CONFIG} is missing.")
    check_config(read_json(archive, CONFIG), path=path)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
