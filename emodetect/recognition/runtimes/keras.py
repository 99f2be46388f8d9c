"""Keras, the default runtime where LiteRT has no wheel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emodetect.errors import ModelError, first_line
from emodetect.machine.tensorflow_devices import use_tensorflow
from emodetect.model_file.artifact import Artifact
from emodetect.model_file.weights import check_size, check_weights
from emodetect.recognition.runtimes.checks import check_shapes

if TYPE_CHECKING:
    import keras


def open_keras(path: Path) -> keras.Model:
    """Open a .keras file in Keras' safe mode, after checks that it does not make.

    Raises ModelError if the weights are not as Keras writes them, or not all there, and if Keras
    refuses the file, for example because it contains code.
    """
    check_weights(path)
    use_tensorflow()
    check_size(path)
    import keras

    try:
        # Safe mode is the default in Keras and stays on: it refuses code inside the file.
        return keras.models.load_model(path, compile=False)
    except Exception as error:
        raise ModelError(f"{path}: Keras cannot open it: {first_line(error)}") from None


class KerasRuntime:
    """Runs the network in Keras: slow to start, but available wherever TensorFlow is."""

    def __init__(self, artifact: Artifact, *, threads: int) -> None:
        self.model = open_keras(artifact.path)
        check_shapes(artifact, self.model.input_shape, self.model.output_shape)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, size, size, channels) float32 in 0-255."""
        # Not predict(), which builds an input pipeline for every call, nor model(batch), which is
        # not compiled: both are ten times slower.
        return np.asarray(self.model.predict_on_batch(batch))
