"""Opening .keras files safely."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from emodetect.errors import ModelError, first_line


def load_keras(path: Path) -> keras.Model:
    """Open a .keras file.

    Raises ModelError for one that Keras refuses, such as one with code, and for weights that are
    no numbers.
    """
    try:
        # Safe mode is Keras' default and stays on: code inside the file is refused.
        model = keras.models.load_model(path, compile=False)
    except Exception as error:
        raise ModelError(f"{path}: Keras cannot open it: {first_line(error)}") from None
    for variable in model.weights:
        if not np.isfinite(np.asarray(variable)).all():
            raise ModelError(
                f"{path}: expected weights that are numbers, got NaN or infinity in "
                f"{variable.path}; its training failed, take another file."
            )
    return model
