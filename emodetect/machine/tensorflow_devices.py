"""TensorFlow as Keras' backend, and the devices (CPU, GPU) that it uses."""

from __future__ import annotations

import importlib
import os
import sys

from emodetect.errors import EmodetectError
from emodetect.machine.quiet_libraries import quiet_stderr


def use_tensorflow() -> None:
    """Select Keras' TensorFlow backend and import it silently; call this before importing Keras.

    TensorFlow uses the first GPU that it sees, or else the CPU. To choose another device, add
    `tf.config.set_visible_devices` at the end, before any operation has run.

    Raises EmodetectError if Keras has already been imported with another backend.
    """
    if "keras" in sys.modules:
        backend = sys.modules["keras"].backend.backend()
        if backend != "tensorflow":
            raise EmodetectError(
                f"expected Keras with the TensorFlow backend, but it is already imported with "
                f"{backend!r}; import emodetect first, or set KERAS_BACKEND=tensorflow."
            )
        return
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # With several operations in parallel, MobileNet's gradients are summed in a varying order, and
    # two runs with the same seed drift apart (seen with TensorFlow 2.21). One operation at a time,
    # each on all cores, is just as fast.
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    with quiet_stderr():  # the import logs before it reads the log level above
        importlib.import_module("tensorflow")


def gpu_count() -> int:
    """Return the number of GPUs that TensorFlow sees."""
    import tensorflow as tf

    return len(tf.config.list_physical_devices("GPU"))
