"""What the length of a run decides: its batches, averaging, batch norm and warm-up.

An average over 1,000 steps is right for a run of 6,000, and holds a run of 60 at its first weights.
So these defaults are shares of the run; a value in the config replaces them.
"""

from __future__ import annotations

from dataclasses import dataclass

from emodetect.config import TrainingConfig
from emodetect.data.batches import even_batches
from emodetect.errors import ConfigError
from emodetect.machine.tensorflow_devices import training_devices
from emodetect.number_format import quantity

# Of fine-tuning's steps. The learning rate decays to 0, so the last tenth barely moves the weights.
AVERAGED_SHARE = 0.1
MOST_AVERAGED_STEPS = 1000
MOST_BATCH_NORM_STEPS = 100


@dataclass(frozen=True)
class Schedule:
    """The numbers that follow from a config and the number of training images.

    Attributes:
        devices: that share each batch.
        steps: batches in an epoch.
        batch_size: images in a batch, the same in each; training.batch_size or less.
        fine_tuning_steps: batches in all epochs of fine-tuning.
        warmup_steps: the first of them, in which the learning rate rises.
        ema_momentum: of the averaged weights, 0 to 1; 0 if they are not averaged.
        batch_norm_momentum: of batch norm's statistics, 0 to 1; 1 if they are frozen.
    """

    devices: int
    steps: int
    batch_size: int
    fine_tuning_steps: int
    warmup_steps: int
    ema_momentum: float
    batch_norm_momentum: float

    def describe(self) -> str:
        """Return the schedule in a line of text."""
        parts = [
            f"{quantity(self.steps, 'batch', 'batches')} of {self.batch_size} an epoch"
            + (f", each shared by {self.devices} devices" if self.devices > 1 else ""),
            f"{self.fine_tuning_steps:,} in fine-tuning, {self.warmup_steps:,} of them warm-up",
            f"weights averaged over {quantity(_horizon(self.ema_momentum), 'batch', 'batches')} "
            f"(ema_momentum {self.ema_momentum:.4g})"
            if self.ema_momentum
            else "weights not averaged",
            f"batch norm over {_horizon(self.batch_norm_momentum):,} "
            f"(batch_norm_momentum {self.batch_norm_momentum:.4g})"
            if self.batch_norm_momentum < 1
            else "batch norm frozen",
        ]
        return "; ".join(parts)


def device_count(training: TrainingConfig) -> int:
    """Return the number of devices that share each batch.

    Raises ConfigError if there are fewer than training.devices, or they cannot share it equally.
    """
    devices = len(training_devices(training.devices))
    if training.batch_size % devices:  # with "all", only known here
        raise ConfigError(
            f"training.batch_size: expected a multiple of the {devices} devices, got "
            f"{training.batch_size}."
        )
    return devices


def run_schedule(training: TrainingConfig, image_count: int) -> Schedule:
    """Return the schedule of a run on `image_count` training images.

    Raises ConfigError as `device_count`.
    """
    devices = device_count(training)
    steps, batch_size = even_batches(image_count, training.batch_size, multiple_of=devices)
    total = training.epochs * steps
    ema, batch_norm = training.ema_momentum, training.batch_norm_momentum
    if not total:  # the head's phase averages nothing
        ema = 0.0
    elif ema is None:
        ema = _momentum(AVERAGED_SHARE * total, most=MOST_AVERAGED_STEPS)
    if training.freeze_batch_norm:
        batch_norm = 1.0
    elif batch_norm is None:
        batch_norm = _momentum(steps, most=MOST_BATCH_NORM_STEPS)
    return Schedule(
        devices, steps, batch_size, total, int(training.warmup * steps), ema, batch_norm
    )


def _momentum(steps: float, *, most: int) -> float:
    """Return the momentum whose average reaches back over `steps`, at most `most`."""
    # Two steps at least: with momentum 0, only the last batch would count.
    return 1 - 1 / min(max(steps, 2), most)


def _horizon(momentum: float) -> int:
    return round(1 / (1 - momentum))
