"""Check the HDF5 file of a Keras model's weights, before Keras reads it.

Keras writes groups and plain arrays only. HDF5 can do more: links to other files, arrays whose
bytes are in other files, compression, and arrays of any declared size without any bytes.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from emodetect.errors import ModelError, first_line
from emodetect.machine.tensorflow_devices import without_weights
from emodetect.model_file.archive import (
    MAX_FILE_BYTES,
    member_sha256,
    open_archive,
    read_json,
    read_member,
)
from emodetect.model_file.artifact import CONFIG, WEIGHTS
from emodetect.model_file.crash_check import how_it_crashes
from emodetect.model_file.shipped_models import is_shipped

if TYPE_CHECKING:
    import h5py

# A network of 150 layers has 1,000 groups and arrays, and its optimizer twice as many.
MAX_OBJECTS = 100_000


def check_weights(path: Path) -> None:
    """Raise ModelError if the weights in a .keras file could harm, or crash the HDF5 library.

    They are read in another process first, once for each content; see `how_it_crashes`.
    """
    if is_shipped(path):
        return
    with open_archive(path) as archive:
        if WEIGHTS not in archive.namelist():
            raise ModelError(f"{path}: expected weights in the member {WEIGHTS}; it is missing.")
        content = member_sha256(archive, WEIGHTS)
        end = how_it_crashes(_try_out, path, content=content, library="h5py")
        if end is not None:
            raise ModelError(f"{path}: damaged: HDF5 crashes on its weights ({end}).")
        try:
            with _opened(archive) as file:
                problem = _problem(file)
        except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ModelError(
                f"{path}: damaged: its weights cannot be read: {first_line(error)}"
            ) from None
    if problem is not None:
        raise ModelError(f"{path}: refused: its weights {problem}; Keras writes no such file.")


def check_size(path: Path) -> None:
    """Raise ModelError if the layers of a .keras file have more weights than it holds.

    Keras would create them all before it saw that, and a few bytes of config.json declare more
    than any memory. Imports Keras; call `check_weights` first.
    """
    if is_shipped(path):
        return
    import keras

    with open_archive(path) as archive:
        config = read_json(archive, CONFIG)
        with _opened(archive) as file:
            stored = sum(array.size for array in _arrays(file))
    try:
        config.pop("compile_config", None)
        model = without_weights(lambda: keras.saving.deserialize_keras_object(config))
        declared = model.count_params()
    except Exception as error:
        raise ModelError(f"{path}: Keras cannot open it: {first_line(error)}") from None
    if declared > stored:
        raise ModelError(
            f"{path}: refused: its layers have {declared:,} weights, but it holds {stored:,}; "
            "save the model again."
        )


def _try_out(path: Path) -> None:
    with open_archive(path) as archive, _opened(archive) as file:
        if _problem(file) is None:
            for array in _arrays(file):
                array[()]


def _opened(archive: zipfile.ZipFile) -> h5py.File:
    import h5py

    data = read_member(archive, WEIGHTS, max_bytes=MAX_FILE_BYTES)
    return h5py.File(io.BytesIO(data), "r")


def _problem(file: h5py.File) -> str | None:
    """Return what Keras would not write, or None."""
    declared = 0
    try:
        for array in _arrays(file):
            declared += array.nbytes
            if array.is_virtual or array.external:
                return f"take {array.name} from other files"
            if array.id.get_create_plist().get_nfilters():
                return f"are compressed ({array.name})"
            if array.dtype.kind not in "fiubV":
                return f"are not numbers ({array.name})"
            if array.id.get_storage_size() != array.nbytes or declared > file.id.get_filesize():
                return f"declare more bytes than the file holds ({array.name})"
    except _ForeignError as error:
        return str(error)
    return None


class _ForeignError(Exception):
    """Something in an HDF5 file that Keras does not write."""


def _arrays(file: h5py.File) -> Iterator[h5py.Dataset]:
    """Yield the arrays of a file. Raises _ForeignError for links and for too many objects."""
    import h5py

    waiting: list[h5py.Group] = [file]
    seen = 0
    while waiting:
        group = waiting.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _ForeignError(f"contain a link ({name})")
            seen += 1
            if seen > MAX_OBJECTS:
                raise _ForeignError(f"have more than {MAX_OBJECTS:,} parts")
            item = group[name]
            if isinstance(item, h5py.Dataset):
                yield item
            elif isinstance(item, h5py.Group):
                waiting.append(item)
            else:
                raise _ForeignError(f"contain a {type(item).__name__} ({name})")
