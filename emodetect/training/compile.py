"""Keras models compiled for the LiteRT runtime."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path

import keras


def compile_to_litert(model: keras.Model) -> bytes:
    """Return `model` as a LiteRT flatbuffer (float32, any batch size)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        with contextlib.redirect_stdout(io.StringIO()):
            model.export(str(path), format="litert", verbose=False)
        return path.read_bytes()
