"""Train one phase: Keras' fit, with callbacks that save, stop early and show progress."""

from __future__ import annotations

import contextlib
import math
import operator
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from emodetect.config import ExperimentConfig
from emodetect.data.batches import (
    balancing_weights,
    evaluation_batches,
    even_batches,
    training_batches,
)
from emodetect.data.dataset import Dataset
from emodetect.errors import DivergedError
from emodetect.training.checkpoints import BEST_NAME, Progress, SaveState, load_state
from emodetect.training.epoch_display import EpochDisplay
from emodetect.training.phases import Phase, compile_model, uses_averaging
from emodetect.training.run_folder import (
    clear_disk_errors,
    clear_tensorflow_errors,
    truncate_history,
)
from emodetect.training.schedule import Schedule
from emodetect.training.weight_averaging import (
    CALIBRATION_BATCH_SIZE,
    AveragedWeights,
    statistics_batches,
)

EVALUATION_BATCH = 256
PLAIN_IMAGES = 1000

OnEpoch = Callable[[int, dict[str, float]], None]
"""Called after each epoch of the run with its number, from 0, and its figures: accuracy, loss,
val_accuracy, val_loss. What it raises ends the training; the run can be resumed."""


def fit_phase(
    model: keras.Model,
    phase: Phase,
    config: ExperimentConfig,
    schedule: Schedule,
    dataset: Dataset,
    progress: Progress,
    *,
    restore_from: Path | None,
    trackers: keras.callbacks.Callback,
    on_epoch: OnEpoch | None,
) -> None:
    """Train a phase from `progress.epoch` on, and update `progress`.

    Args:
        restore_from: the folder of a saved state to continue from.
        trackers, on_epoch: see `tracking.trackers` and `OnEpoch`.

    Raises DivergedError if the loss is no longer finite, EmodetectError if a file cannot be
    written.
    """
    run = config.output
    compile_model(model, phase, config, schedule)
    if restore_from is not None:
        load_state(model, restore_from)
    truncate_history(run / "history.csv", progress.epoch)
    display = EpochDisplay(
        phase=phase.name,
        epochs=config.training.head_epochs + config.training.epochs,
        steps=schedule.steps,
        batch_size=schedule.batch_size,
    )
    history_file = HistoryFile(str(run / "history.csv"), append=True)
    # The weights must be the averaged ones before any other callback looks at the model.
    callbacks = [
        *_averaging(phase, schedule, config, dataset),
        *_saving(phase, config, run, progress, history_file),
    ]
    plain_accuracy = MeasurePlainAccuracy(dataset, progress, config.seed, phase.last)
    after_epoch = keras.callbacks.LambdaCallback(on_epoch_end=on_epoch)
    callbacks += [plain_accuracy, display, trackers, after_epoch]
    first_step, last_step = progress.epoch * schedule.steps, phase.last * schedule.steps
    with (
        clear_tensorflow_errors(run),
        clear_disk_errors(run),
        contextlib.closing(display),
        contextlib.closing(history_file),
    ):
        history = model.fit(
            _batches(config, dataset, schedule.batch_size, config.seed, first_step, last_step),
            validation_data=validation_batches(dataset, devices=schedule.devices),
            initial_epoch=progress.epoch,
            epochs=phase.last,
            steps_per_epoch=schedule.steps,
            callbacks=callbacks,
            shuffle=False,  # training_batches shuffles
            verbose=0,
        )
    if not np.isfinite(history.history["loss"][-1]):
        raise diverged(run)
    progress.epoch = phase.last


def validation_batches(dataset: Dataset, *, devices: int = 1) -> tf.data.Dataset:
    """Return batches of the validation images and their targets.

    Args:
        devices: that share a batch; at most a third as many as images. Keras needs a first batch
            that divides equally, and no device may be left without an image.
    """
    members = dataset.indices("val")
    largest = min(EVALUATION_BATCH, len(members)) // devices * devices
    size = largest if len(members) % largest in (0, *range(devices, largest)) else largest - devices
    return evaluation_batches(dataset.images, dataset.certain(), members, batch_size=size)


class _Scores(keras.callbacks.Callback):
    """Makes a Keras callback that looks for the best epoch compare `with_scores`."""

    def __init__(self, *args: Any, monitor: str, **options: Any):
        super().__init__(*args, monitor=f"{monitor}_score", mode="max", **options)
        self.monitor_op = operator.gt  # Keras' is in float32, too coarse for the scores

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch, with_scores(logs or {}))


class KeepBest(_Scores, keras.callbacks.ModelCheckpoint):
    """Saves the weights of the best epoch."""


class StopEarly(_Scores, keras.callbacks.EarlyStopping):
    """Ends the training after `patience` epochs that are not better than the best."""


def with_scores(figures: Mapping[str, float]) -> dict[str, float]:
    """Return the figures of an epoch, and of each that can be monitored a score: high is better.

    Of epochs with the same validation accuracy, the one with the lower loss has the higher score.
    """
    accuracy, loss = figures["val_accuracy"], figures["val_loss"]
    if not math.isfinite(loss):  # NaN is neither better nor worse, and would remain the best
        return {**figures, "val_accuracy_score": -math.inf, "val_loss_score": -math.inf}
    # Less than what one image of a million changes the accuracy by.
    tie_break = 1e-7 / (1 + loss)
    return {**figures, "val_accuracy_score": accuracy + tie_break, "val_loss_score": -loss}


def diverged(run: Path) -> DivergedError:
    """Return the error of a run whose loss is no longer finite."""
    return DivergedError(
        f"{run}: the loss became NaN or infinite; lower training.learning_rate or raise "
        "training.warmup_epochs."
    )


class HistoryFile(keras.callbacks.CSVLogger):
    """Writes the figures of each epoch to a CSV, counting epochs from 1 as everything else does."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch + 1, logs)

    def close(self) -> None:
        """Close the file, which Keras leaves open if something ends fit early."""
        if self.csv_file is not None:
            self.csv_file.close()


class MeasurePlainAccuracy(keras.callbacks.Callback):
    """Measures the validated weights on training images without augmentation, at the end of fit.

    If they do much worse than the training accuracy, which is that of the weights being trained,
    with their batch statistics, then averaging or batch norm lags behind.
    """

    def __init__(self, dataset: Dataset, progress: Progress, seed: int, last_epoch: int):
        super().__init__()
        members = dataset.indices("train")
        chosen = np.random.default_rng(seed).permutation(members)[:PLAIN_IMAGES]
        self.batches = evaluation_batches(
            dataset.images, dataset.certain(), chosen, batch_size=EVALUATION_BATCH
        )
        self.progress, self.last_epoch = progress, last_epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # Not after fit, when Keras has put other weights into the model.
        if self.model.stop_training or epoch + 1 == self.last_epoch:
            correct = [
                np.argmax(self.model(images, training=False), axis=1) == np.argmax(targets, axis=1)
                for images, targets in self.batches
            ]
            self.progress.plain_accuracy = float(np.mean(np.concatenate(correct)))


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
    phase: Phase, schedule: Schedule, config: ExperimentConfig, dataset: Dataset
) -> list[keras.callbacks.Callback]:
    if not uses_averaging(phase, schedule):
        return []
    count = len(dataset.indices("train"))
    _, size = even_batches(count, CALIBRATION_BATCH_SIZE)
    last_step = statistics_batches(count)
    batches = _batches(config, dataset, size, config.seed + 1, 0, last_step)
    return [AveragedWeights(batches)]


def _saving(
    phase: Phase,
    config: ExperimentConfig,
    run: Path,
    progress: Progress,
    history_file: HistoryFile,
) -> list[keras.callbacks.Callback]:
    """Return the callbacks that keep the best weights, stop, log and save the run's state."""
    training = config.training
    checkpoints = run / "checkpoints"
    # Keras formats the whole path, of which only the name has a placeholder.
    literal = str(checkpoints).replace("{", "{{").replace("}", "}}")
    checkpoint = KeepBest(
        # A file for each epoch, so that the best weights of a saved state are never overwritten.
        str(Path(literal) / BEST_NAME),
        monitor=training.monitor,
        save_best_only=True,
        save_weights_only=True,
        initial_value_threshold=progress.best,
    )
    # Never in the head's phase: fine-tuning must start at its epoch.
    patience = 0 if phase.name == "head" else training.early_stopping_patience
    stopping = StopEarly(monitor=training.monitor, patience=patience or phase.last + 1)
    started = time.monotonic() - progress.seconds
    return [
        checkpoint,
        stopping,
        history_file,
        keras.callbacks.TerminateOnNaN(),
        SaveState(checkpoints, phase, progress, stopping, checkpoint, started),
    ]
