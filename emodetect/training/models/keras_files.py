"""Open .keras files safely."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from emodetect.errors import ModelError, first_line
from emodetect.model_file.weights import check_weights


def load_keras(path: Path) -> keras.Model:
    """Open a .keras file.

    Raises ModelError if Keras refuses it, for example because it contains code, or if its weights
    are not finite, or not as Keras writes them.
    """
    check_weights(path)
    try:
        # Safe mode, Keras' default, stays on: it refuses code inside the file.
        model = keras.models.load_model(path, compile=False)
    except Exception as error:
        raise ModelError(f"{path}: Keras cannot open it: {first_line(error)}") from None
    for variable in model.weights:
        if not np.isfinite(np.asarray(variable)).all():
            raise ModelError(
                f"{path}: expected finite weights, got NaN or infinity in {variable.path}. Its "
                "training failed; use another file."
            )
    return model
