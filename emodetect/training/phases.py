"""The two phases of training: the head, then fine-tuning, each with its optimizer and loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from emodetect.config import ExperimentConfig, TrainingConfig
from emodetect.machine.tensorflow_devices import gpu_count
from emodetect.training.models.layers import (
    BACKBONE,
    batch_norm_layers,
    freeze_below,
    fuse_batch_norm,
    set_batch_norm_momentum,
)
from emodetect.training.schedule import Schedule


@dataclass(frozen=True)
class Phase:
    """One call of fit: epochs `first` to `last` - 1, counted over the whole run."""

    name: str
    first: int
    last: int


def training_phases(config: ExperimentConfig) -> tuple[Phase, Phase]:
    """Return the head's phase, which may have no epochs, and fine-tuning."""
    head_epochs, epochs = config.training.head_epochs, config.training.epochs
    return Phase("head", 0, head_epochs), Phase("fine-tuning", head_epochs, head_epochs + epochs)


def compile_model(
    model: keras.Model, phase: Phase, config: ExperimentConfig, schedule: Schedule
) -> None:
    """Set which layers a phase trains, and its optimizer, learning rate and loss."""
    training = config.training
    fuse_batch_norm(model)
    set_batch_norm_momentum(model, schedule.batch_norm_momentum)
    head = phase.name == "head"
    if head:
        # A frozen backbone keeps its batch norm in inference mode: the statistics belong to the
        # pretrained weights and must not drift while the head is random.
        model.get_layer(BACKBONE).trainable = False
        learning_rate: Any = training.head_learning_rate
    else:
        freeze_below(model, training.fine_tune_from)
        if training.freeze_batch_norm:
            for layer in batch_norm_layers(model):
                layer.trainable = False
        learning_rate = keras.optimizers.schedules.CosineDecay(
            0.0,
            decay_steps=schedule.fine_tuning_steps - schedule.warmup_steps,
            warmup_target=training.learning_rate,
            warmup_steps=schedule.warmup_steps,
        )
    optimizer = keras.optimizers.AdamW(
        learning_rate,
        weight_decay=training.weight_decay,
        use_ema=uses_averaging(phase, schedule),
        ema_momentum=schedule.ema_momentum,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(
        optimizer,
        loss=loss_function(training),
        metrics=["accuracy"],
        # XLA slows down MobileNet's training on a CPU tenfold.
        jit_compile="auto" if gpu_count() else False,
    )
    # Its variables must exist before a saved state is loaded. Under mixed_float16 Keras wraps the
    # optimizer, so use the model's.
    model.optimizer.build(model.trainable_variables)
    # The metrics' variables too: if the first step created them, TensorFlow would trace its graph
    # twice, which takes longer than an epoch of a small data set.
    targets = keras.ops.zeros((1, *model.output_shape[1:]))
    model.compute_metrics(None, targets, targets)


def loss_function(training: TrainingConfig) -> keras.losses.Loss:
    """Return the loss of (batch, classes) targets and probabilities, averaged over the batch."""
    if training.imbalance == "focal":
        # Lin et al. 2017; alpha 1, because class weights are a separate setting.
        return keras.losses.CategoricalFocalCrossentropy(
            alpha=1.0, gamma=training.focal_gamma, label_smoothing=training.label_smoothing
        )
    return keras.losses.CategoricalCrossentropy(label_smoothing=training.label_smoothing)


def uses_averaging(phase: Phase, schedule: Schedule) -> bool:
    """Return whether a phase validates and saves averaged weights."""
    # The head's phase is short, and fine-tuning changes its weights anyway.
    return phase.name != "head" and schedule.ema_momentum > 0
