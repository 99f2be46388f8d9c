"""TensorFlow as Keras' backend, and the devices (CPU, GPU) that it uses."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import random
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeVar

import numpy as np

from emodetect.errors import ConfigError, EmodetectError
from emodetect.machine.quiet_libraries import quiet_stderr
from emodetect.number_format import quantity

Built = TypeVar("Built")


def use_tensorflow() -> None:
    """Select Keras' TensorFlow backend and import it silently; call this before importing Keras.

    TensorFlow uses the first GPU that it sees, or else the CPU. To choose another device, add
    `tf.config.set_visible_devices` at the end, before any operation has run.

    Raises EmodetectError if Keras has already been imported with another backend.
    """
    logging.getLogger("tensorflow").addFilter(_is_not_about_retracing)
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
    # In a notebook, it would print where it wrote temporary files.
    logging.getLogger("tensorflow").setLevel(logging.WARNING)


@contextlib.contextmanager
def keras_defaults() -> Iterator[None]:
    """Train with Keras' own dtypes and image format, whatever the rest of the program has set.

    The random numbers of Python and NumPy, which Keras seeds, go on afterwards as without it.
    """
    import keras

    numbers, own_numbers = random.getstate(), np.random.get_state()
    config = keras.config
    kept = config.dtype_policy(), config.floatx(), config.image_data_format()
    config.set_floatx("float32")
    config.set_dtype_policy("float32")
    config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        policy, floatx, image_data_format = kept
        config.set_floatx(floatx)
        config.set_dtype_policy(policy)
        config.set_image_data_format(image_data_format)
        random.setstate(numbers)
        np.random.set_state(own_numbers)


def _is_not_about_retracing(record: logging.LogRecord) -> bool:
    # Each training in a process traces its own functions: a fold or a trial is not a fault.
    return "retracing" not in record.getMessage()


def training_devices(devices: int | Literal["all"]) -> list[str]:
    """Return the names of the devices to train on: GPUs, or without any, TensorFlow's CPUs.

    Args:
        devices: how many, or "all" GPUs.

    Raises ConfigError if TensorFlow has fewer.
    """
    import tensorflow as tf

    kind = "GPU" if gpu_count() else "CPU"
    names = [device.name for device in tf.config.list_logical_devices(kind)]
    if devices == "all":
        return names
    if devices > len(names):
        raise ConfigError(
            f"training.devices: expected at most {len(names)}, because TensorFlow has "
            f"{quantity(len(names), kind)}, got {devices}; "
            "`emodetect doctor` says which GPUs it finds, and what is missing."
        )
    return names[:devices]


@contextlib.contextmanager
def mirrored(devices: list[str]) -> Iterator[None]:
    """Let what Keras builds and trains within use several devices, each on a share of the batch.

    By `tf.distribute.MirroredStrategy`: gradients are summed over the devices; batch norm uses the
    statistics of each device's share, and its moving averages are their mean.
    """
    import tensorflow as tf

    if len(devices) == 1 or tf.distribute.has_strategy():
        yield
    else:
        with tf.distribute.MirroredStrategy(devices).scope():
            yield


def without_weights(build: Callable[[], Built]) -> Built:
    """Return the Keras model that a function builds; its variables have shapes, but no values."""
    import keras

    def built() -> Built:
        with keras.StatelessScope(initialize_variables=False):
            return build()

    # In a thread of its own, or Keras would give them values at the end of its next such scope.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(built).result()


def gpu_count() -> int:
    """Return the number of GPUs that TensorFlow sees."""
    import tensorflow as tf

    return len(tf.config.list_physical_devices("GPU"))
