"""Train one phase: Keras' fit, with callbacks that save, stop early and show progress."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from emodetect.config import ExperimentConfig
from emodetect.data.batches import (
    balancing_weights,
    evaluation_batches,
    steps_per_epoch,
    training_batches,
)
from emodetect.data.dataset import Dataset
from emodetect.errors import EmodetectError
from emodetect.training.checkpoints import BEST_NAME, Progress, SaveState, load_state
from emodetect.training.epoch_display import EpochDisplay
from emodetect.training.phases import Phase, compile_model, uses_averaging
from emodetect.training.run_folder import clear_disk_errors, truncate_history
from emodetect.training.weight_averaging import (
    CALIBRATION_BATCH_SIZE,
    AveragedWeights,
    calibration_batches,
)

EVALUATION_BATCH = 256


def fit_phase(
    model: keras.Model,
    phase: Phase,
    config: ExperimentConfig,
    dataset: Dataset,
    run: Path,
    progress: Progress,
    *,
    restore_from: Path | None,
) -> None:
    """Train a phase from `progress.epoch` on, and update `progress`.

    Args:
        run: the run folder, for checkpoints and history.csv.
        restore_from: the folder of a saved state to continue from.

    Raises EmodetectError if the loss is no longer finite or a file cannot be written.
    """
    count = len(dataset.indices("train"))
    batch_size = min(config.training.batch_size, count)
    steps = steps_per_epoch(count, batch_size)
    compile_model(model, phase, config, steps)
    if restore_from is not None:
        load_state(model, restore_from)
    truncate_history(run / "history.csv", progress.epoch)
    display = EpochDisplay(
        phase=phase.name,
        epochs=config.training.head_epochs + config.training.epochs,
        steps=steps,
        batch_size=batch_size,
    )
    # The weights must be the averaged ones before any other callback looks at the model.
    callbacks = [*_averaging(phase, config, dataset), *_saving(phase, config, run, progress)]
    callbacks.append(display)
    if config.training.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(str(run / "tensorboard")))
    first_step, last_step = progress.epoch * steps, phase.last * steps
    with clear_disk_errors(run), contextlib.closing(display):
        history = model.fit(
            _batches(config, dataset, batch_size, config.seed, first_step, last_step),
            validation_data=validation_batches(dataset),
            initial_epoch=progress.epoch,
            epochs=phase.last,
            steps_per_epoch=steps,
            callbacks=callbacks,
            shuffle=False,  # training_batches shuffles
            verbose=0,
        )
    if not np.isfinite(history.history["loss"][-1]):
        raise EmodetectError(
            f"{run}: the loss became NaN or infinite; lower training.learning_rate or raise "
            "training.warmup_epochs."
        )
    progress.epoch = phase.last


def validation_batches(dataset: Dataset) -> tf.data.Dataset:
    """Return batches of the validation images and their targets."""
    return evaluation_batches(
        dataset.images, dataset.certain(), dataset.indices("val"), batch_size=EVALUATION_BATCH
    )


def _batches(
    config: ExperimentConfig,
    dataset: Dataset,
    batch_size: int,
    seed: int,
    first_step: int,
    last_step: int,
) -> tf.data.Dataset:
    members = dataset.indices("train")
    imbalance = config.training.imbalance
    weighted = imbalance == "class_weights"
    return training_batches(
        dataset.images,
        dataset.targets,
        members,
        augmentation=config.augmentation,
        balanced=imbalance == "balanced_sampling",
        class_weights=balancing_weights(dataset.targets[members]) if weighted else None,
        batch_size=batch_size,
        seed=seed,
        first_step=first_step,
        last_step=last_step,
    )


def _averaging(
    phase: Phase, config: ExperimentConfig, dataset: Dataset
) -> list[keras.callbacks.Callback]:
    if not uses_averaging(phase, config):
        return []
    last_step = calibration_batches(len(dataset.indices("train")))
    batches = _batches(config, dataset, CALIBRATION_BATCH_SIZE, config.seed + 1, 0, last_step)
    return [AveragedWeights(batches)]


def _saving(
    phase: Phase, config: ExperimentConfig, run: Path, progress: Progress
) -> list[keras.callbacks.Callback]:
    """Return the callbacks that keep the best weights, stop, log and save the run's state."""
    training = config.training
    checkpoints = run / "checkpoints"
    mode = "max" if training.monitor == "val_accuracy" else "min"
    checkpoint = keras.callbacks.ModelCheckpoint(
        # A file for each epoch, so that the best weights of a saved state are never overwritten.
        str(checkpoints / BEST_NAME),
        monitor=training.monitor,
        mode=mode,
        save_best_only=True,
        save_weights_only=True,
        initial_value_threshold=progress.best,
    )
    # Never in the head's phase: fine-tuning must start at its epoch.
    patience = 0 if phase.name == "head" else training.early_stopping_patience
    stopping = keras.callbacks.EarlyStopping(
        training.monitor, mode=mode, patience=patience or phase.last + 1
    )
    started = time.monotonic() - progress.seconds
    return [
        checkpoint,
        stopping,
        keras.callbacks.CSVLogger(str(run / "history.csv"), append=True),
        keras.callbacks.TerminateOnNaN(),
        SaveState(checkpoints, phase, progress, stopping, checkpoint, started),
    ]
