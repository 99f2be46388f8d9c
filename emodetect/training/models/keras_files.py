"""Open .keras files safely, and write them compactly."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np

from emodetect.errors import ModelError
from emodetect.model_file.artifact import WEIGHTS
from emodetect.recognition.runtimes.keras import open_keras


def load_keras(path: Path) -> keras.Model:
    """Open a .keras file.

    Raises ModelError as `open_keras`, and for weights that are not finite.
    """
    model = open_keras(path)
    for variable in model.weights:
        if not np.isfinite(np.asarray(variable)).all():
            raise ModelError(
                f"{path}: expected finite weights, got NaN or infinity in {variable.path}. Its "
                "training failed; use another file."
            )
    return model


def save_keras(model: keras.Model, path: Path) -> None:
    """Write a .keras file, with its weights in the HDF5 format of 2018 instead of that of 1998.

    It takes 0.9 kB less for each of the many groups: for MobileNetV2, 3% of the file.
    """
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    compact = io.BytesIO()
    with (
        h5py.File(io.BytesIO(members[WEIGHTS])) as source,
        h5py.File(compact, "w", libver=("v110", "v110")) as target,
    ):
        target.attrs.update(source.attrs)

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            is_group = isinstance(item, h5py.Group)
            new = target.create_group(name) if is_group else target.create_dataset(name, data=item)
            new.attrs.update(item.attrs)

        source.visititems(copy)
    members[WEIGHTS] = compact.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
