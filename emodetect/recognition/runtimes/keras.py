"""Keras, the default runtime where LiteRT has no wheel."""

from __future__ import annotations

import numpy as np

from emodetect.errors import ModelError, first_line
from emodetect.machine.tensorflow_devices import use_tensorflow
from emodetect.model_file.artifact import Artifact
from emodetect.model_file.weights import check_size, check_weights
from emodetect.recognition.runtimes.checks import check_shapes


class KerasRuntime:
    """Runs the network in Keras: slow to start, but available wherever TensorFlow is."""

    def __init__(self, artifact: Artifact, *, threads: int) -> None:
        check_weights(artifact.path)
        use_tensorflow()
        check_size(artifact.path)
        import keras

        try:
            # Safe mode is the default in Keras and stays on.
            self.model = keras.models.load_model(artifact.path, compile=False)
        except Exception as error:
            raise ModelError(
                f"{artifact.path}: Keras cannot open it: {first_line(error)}"
            ) from None
        check_shapes(artifact, self.model.input_shape, self.model.output_shape)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, size, size, channels) float32 in 0-255."""
        # Not predict(), which builds an input pipeline for every call, nor model(batch), which is
        # not compiled: both are ten times slower.
        return np.asarray(self.model.predict_on_batch(batch))
