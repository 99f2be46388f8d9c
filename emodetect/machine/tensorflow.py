"""Keras runs on TensorFlow here, and quietly, whatever the user's environment says."""

from __future__ import annotations

import importlib
import os
import sys

from emodetect.errors import EmodetectError
from emodetect.machine.quiet_libraries import quiet_stderr


def use_tensorflow() -> None:
    """Choose Keras' backend and import TensorFlow in silence; call it before importing Keras.

    Raises EmodetectError where Keras was imported before, with another backend.
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
    # Operations that run side by side add up MobileNet's gradients in changing order, and two
    # runs of one seed drift apart (seen on TensorFlow 2.21). One at a time, each on all cores,
    # is as fast.
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    with quiet_stderr():  # the import logs before it reads the log level above
        importlib.import_module("tensorflow")
