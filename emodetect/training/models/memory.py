"""Whether a network and its batches fit into memory, before any of it is taken."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import keras
import tensorflow as tf

from emodetect.config import ExperimentConfig
from emodetect.errors import OutOfMemoryError
from emodetect.machine.computer import memory_bytes
from emodetect.machine.tensorflow_devices import without_weights
from emodetect.training.models.registry import build_network

ADVICE = (
    "choose smaller values of model.width, model.dense, model.backbone_size or training.batch_size"
)
# Networks and batches up to these fit into any machine, and are not looked at.
USUAL_WIDTH, USUAL_SIDE, USUAL_UNITS, USUAL_BATCH = 2, 224, 4096, 1024
VALUE_BYTES = 4
OWN_GROUPS, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
# Of each weight: itself, its gradient and the optimizer's two moments.
COPIES = 4


def require_memory(config: ExperimentConfig, class_count: int, *, images: int) -> None:
    """Raise OutOfMemoryError for a training on some images that this machine's memory cannot hold.

    Where the system grants more memory than there is, it would end the process without a word.
    GPUs refuse by themselves, see `training_memory_errors`.
    """
    model, batch = config.model, min(config.training.batch_size, images)
    if (
        model.width <= USUAL_WIDTH
        and model.backbone_size <= USUAL_SIDE
        and max(model.dense, default=0) <= USUAL_UNITS
        and batch <= USUAL_BATCH
    ) or tf.config.list_physical_devices("GPU"):
        return
    network = without_weights(lambda: build_network(config, class_count))
    # Half of the activations, because some operations need none for their gradient.
    values = COPIES * network.count_params() + batch * _activations(network) // 2
    there = _usable_bytes()
    if there is not None and VALUE_BYTES * values > there:
        raise OutOfMemoryError(
            f"training needs at least {VALUE_BYTES * values / 1e9:,.0f} GB of memory with this "
            f"network and batch, and this machine or container has {there / 1e9:,.0f} GB; {ADVICE}."
        )


@contextmanager
def training_memory_errors() -> Iterator[None]:
    """Turn a lack of memory, of this machine or its GPU, into an OutOfMemoryError."""
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise OutOfMemoryError(
            f"there is too little memory for this network and batch; {ADVICE}."
        ) from None


def _activations(network: keras.Model) -> int:
    """Return the number of values that the layers compute for an image."""
    return sum(
        _activations(layer) if isinstance(layer, keras.Model) else math.prod(layer.output.shape[1:])
        for layer in network.layers
    )


def _usable_bytes() -> int | None:
    """Return the memory of this machine, or of the container that this process is in."""
    machine = memory_bytes()
    return None if machine is None else min([machine, *_group_limits()])


def _group_limits() -> Iterator[int]:
    """Yield the memory limits of this process' control groups (version 2), in bytes."""
    with suppress(OSError):
        for line in OWN_GROUPS.read_text().splitlines():
            if line.startswith("0::/"):
                group = GROUPS / line.removeprefix("0::/")
                for folder in (group, *group.parents):
                    with suppress(OSError, ValueError):  # no limit: "max"
                        yield int((folder / "memory.max").read_text())
