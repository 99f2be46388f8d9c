"""TensorFlow SavedModel: float32."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from emodetect.exporting.formats.format import Format, Network, Run, companion_files
from emodetect.recognition.runtimes.onnx_graph import INPUT


def write_saved_model(network: Network, quantize: str, path: Path) -> None:
    """Write a TensorFlow SavedModel with the labels and the card in assets.extra.

    Keras' own `export` (3.15) traces a model without `training=False`. In one with a Resizing layer
    of its own, as foreign models have, batch norm would then be in training mode.
    """
    import keras
    import tensorflow as tf

    archive = keras.export.ExportArchive()
    archive.track(network.model)
    archive.add_endpoint(
        "serve",
        functools.partial(network.model.__call__, training=False),
        input_signature=[tf.TensorSpec(network.model.input_shape, tf.float32, name=INPUT)],
    )
    archive.write_out(str(path), verbose=False)
    extra = path / "assets.extra"
    extra.mkdir()
    for name, text in companion_files(network.card).items():
        (extra / name).write_text(text, encoding="utf-8")


def open_saved_model(path: Path, threads: int) -> Run:
    """Open a SavedModel. TensorFlow chooses the number of threads."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def run(crop: np.ndarray) -> np.ndarray:
        return np.asarray(loaded.serve(tf.constant(crop, tf.float32)))

    return run


FORMAT = Format(
    suffix="",
    quantizations=("none",),
    needs={},
    write=write_saved_model,
    open=open_saved_model,
)
