"""Read zip files from untrusted sources, such as .keras files.

Keras stores members uncompressed, so compressed ones are refused. That rules out zip bombs, and no
read needs more memory than the file has bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from reprlib import repr as brief
from typing import IO, Any

from emodetect.errors import ModelError

# VGG16, the largest network in common use for faces, takes 0.55 GB, three times that with its
# optimizer's state, and another 0.55 GB compiled.
MAX_FILE_BYTES = 3_000_000_000
# zipfile reads the whole directory, which takes ten times its size in memory. A model's has 1 kB.
MAX_DIRECTORY_BYTES = 2**20
# A network of 150 layers has a config of 0.2 MB. Parsed JSON takes up to 30 times its size.
MAX_JSON_BYTES = 4 * 2**20
END_BYTES = 22
LOCATOR_BYTES = 20


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip whose members are uncompressed and have distinct names.

    Raises ModelError if the file is missing, not a zip, damaged, too large or malicious.
    """
    if os.path.isdir(path):
        raise ModelError(f"{path}: no such model file; this is a folder.")
    if not os.path.isfile(path):
        raise ModelError(f"{path}: no such model file.")
    try:
        _check_ending(path)
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}.") from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise ModelError(f"{path}: damaged: {error}.") from None
    with archive:
        _check_members(path, archive)
        yield archive


def read_member(archive: zipfile.ZipFile, name: str, *, max_bytes: int) -> bytes:
    """Return a member's content. Raises ModelError if it exceeds `max_bytes` or is damaged."""
    size = archive.getinfo(name).file_size
    if size > max_bytes:
        raise ModelError(
            f"{archive.filename}: refused: its member {name} has {size:,} bytes; the limit is "
            f"{max_bytes:,}."
        )
    with _opened(archive, name) as member:
        return member.read()


def read_json(archive: zipfile.ZipFile, name: str) -> Any:
    """Return the value of a JSON member. Raises ModelError if it is not JSON or is too large."""
    data = read_member(archive, name, max_bytes=MAX_JSON_BYTES)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{archive.filename}: damaged: {name} is not JSON ({error}).") from None


def member_sha256(archive: zipfile.ZipFile, name: str) -> str:
    """Return the SHA-256 of a member, read in blocks. Raises ModelError if it is damaged."""
    digest = hashlib.sha256()
    with _opened(archive, name) as member:
        while block := member.read(2**20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _opened(archive: zipfile.ZipFile, name: str) -> Iterator[IO[bytes]]:
    try:
        with archive.open(name) as member:
            yield member
    except OSError as error:
        raise ModelError(
            f"{archive.filename}: cannot be read: {error.strerror or error}."
        ) from None
    # RuntimeError: also NotImplementedError, for what a zip may be but our files are not.
    except (zipfile.BadZipFile, EOFError, RuntimeError, ValueError, struct.error) as error:
        raise ModelError(f"{archive.filename}: damaged: {name}: {error}.") from None


def _check_ending(path: Path) -> None:
    """Raise ModelError if the file is not a zip, or its directory is too large to read.

    A zip ends in a record of 22 bytes, of which bytes 12 to 16 are the size of the directory. With
    more than 65,535 members or 4 GB, a locator of 20 bytes precedes it.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - END_BYTES - LOCATOR_BYTES))
        tail = file.read()
    end = tail[-END_BYTES:]
    if not (end.startswith(b"PK\x05\x06") and end.endswith(b"\0\0")):
        raise ModelError(
            f"{path}: expected a .keras model file, which is a zip; this is not one, or is cut "
            "off. An .h5 file must be opened with Keras and saved as .keras; for an exported file "
            "(.onnx, .xml), give the model that it was exported from."
        )
    if size > MAX_FILE_BYTES:
        raise ModelError(f"{path}: refused: has {size:,} bytes; the limit is {MAX_FILE_BYTES:,}.")
    directory_bytes = int.from_bytes(end[12:16], "little")
    if tail.startswith(b"PK\x06\x07") or directory_bytes > MAX_DIRECTORY_BYTES:
        raise ModelError(f"{path}: refused: has more members than any model.")


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    if len({member.filename for member in members}) < len(members):
        raise ModelError(f"{path}: refused: two members have the same name.")
    for member in members:
        stored = member.compress_type == zipfile.ZIP_STORED
        encrypted = member.flag_bits & 0x1
        if encrypted or not stored or member.file_size != member.compress_size:
            raise ModelError(
                f"{path}: refused: its member {brief(member.filename)} is compressed or encrypted, "
                "unlike in files that Keras writes; open the model with Keras and save it again."
            )
