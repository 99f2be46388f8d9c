"""Training: two phases of Keras' fit, a run folder, and an artifact at the end.

A run can be killed at any moment and resumed. Its state is saved whole at the start of every
epoch (weights, optimizer, random states, best score, patience), and every batch is a function
of the seed and the step (data/pipeline.py), so the resumed run ends with the same weights.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from emodetect.config import (
    ExperimentConfig,
    changed_keys,
    config_toml,
    load_config,
)
from emodetect.data.batches import (
    balancing_weights,
    evaluation_batches,
    steps_per_epoch,
    training_batches,
)
from emodetect.data.dataset import Dataset, load_dataset
from emodetect.errors import ConfigError, EmodetectError
from emodetect.model_file.artifact import write_artifact
from emodetect.model_file.metadata import Metadata
from emodetect.model_file.temperature import fit_temperature
from emodetect.training.checkpoints import (
    BEST_NAME,
    Progress,
    SaveState,
    best_name,
    load_state,
    saved_state,
)
from emodetect.training.epoch_display import TrainingProgress
from emodetect.training.initial_weights import initial_artifact, load_initial
from emodetect.training.litert_conversion import compile_to_litert
from emodetect.training.models.layers import freeze_below, set_batch_norm_momentum
from emodetect.training.models.mobilenet import check_weights
from emodetect.training.models.registry import build_model
from emodetect.training.phases import Phase, compile_model, uses_averaging
from emodetect.training.run_folder import (
    abandoned,
    clear_disk_errors,
    only_process,
    read_history,
    require_new,
    truncate_history,
    versions,
    write_atomically,
    write_run_record,
)
from emodetect.training.summary import ValidationResult, summarize
from emodetect.training.weight_averaging import (
    CALIBRATION_BATCH_SIZE,
    AveragedWeights,
    calibration_batches,
)

logger = logging.getLogger(__name__)

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class TrainingResult:
    """What a finished run left behind.

    `validation` holds the figures of the best epoch, whose weights the artifact carries;
    `summary` says in lines what they mean and what to try next.
    """

    run: Path
    config: ExperimentConfig
    artifact: Path
    best_epoch: int
    validation: dict[str, float]
    summary: list[str]
    dataset: Dataset


Draw = Callable[[Path, ExperimentConfig, Dataset], None]
"""Draws the pictures of a run into its folder; called before the artifact is saved."""


def train(config: ExperimentConfig, *, draw: Draw | None = None) -> TrainingResult:
    """Train a new model into the run folder `config.output`.

    Raises ConfigError where that folder holds something already, DataError and ModelError for
    data and weights that cannot be used, EmodetectError if the loss stops being a number.
    """
    run = config.output
    require_new(run)
    _require_tensorboard(config)
    check_weights(_start_weights(config))
    init = initial_artifact(config.model.init) if config.model.init else None
    dataset = load_dataset(config.data, seed=config.seed)
    model = trainable_model(config, len(dataset.emotions), weights=_start_weights(config))
    temperature = 1.0 if init is None else load_initial(model, init, dataset.emotions)
    # Only now, so that a mistake in config, data or weights leaves no run folder behind.
    with clear_disk_errors(run):
        run.mkdir(parents=True, exist_ok=True)
    with only_process(run):
        require_new(run)
        with clear_disk_errors(run):
            write_atomically(run / "config.toml", config_toml(config))
        return _train(config, run, dataset, model, draw, temperature)


def resume(
    run: Path, config: ExperimentConfig | None = None, *, draw: Draw | None = None
) -> TrainingResult:
    """Go on with a run that was interrupted; the result equals the uninterrupted run's.

    Raises ConfigError where there is no run, it is finished or being trained by another process,
    or `config` differs from its own.
    """
    if not (run / "config.toml").is_file():
        raise ConfigError(f"{run}: expected a run folder with a config.toml to resume.")
    with only_process(run):
        return _resume(run, config, draw)


def _resume(run: Path, config: ExperimentConfig | None, draw: Draw | None) -> TrainingResult:
    own = load_config(str(run / "config.toml"))
    if config is not None and (changed := changed_keys(own, config)):
        raise ConfigError(
            f"{run}: was started with other values of {', '.join(changed)}; resume it without "
            "--config and --set, or start a new run."
        )
    if (run / "best_model.keras").is_file():
        raise ConfigError(f"{run}: is finished; its model is {run / 'best_model.keras'}.")
    _require_tensorboard(own)
    dataset = load_dataset(own.data, seed=own.seed)
    record = run / "checkpoints" / "dataset.json"
    if record.is_file() and json.loads(record.read_text()) != _identity(dataset):
        raise ConfigError(
            f"{run}: the data has changed since the run was started; start a new run."
        )
    # A saved state overwrites the pretrained weights, so that they need not be loaded again.
    state, _ = saved_state(run / "checkpoints")
    weights = _start_weights(own) if state is None else "none"
    model = trainable_model(own, len(dataset.emotions), weights=weights)
    temperature = 1.0
    if own.model.init and state is None:
        temperature = load_initial(model, initial_artifact(own.model.init), dataset.emotions)
    return _train(own, run, dataset, model, draw, temperature)


def _identity(dataset: Dataset) -> dict[str, str]:
    # The order too: batches are drawn by position.
    return {"fingerprint": dataset.fingerprint, "order": dataset.order}


def _start_weights(config: ExperimentConfig) -> str:
    return config.model.weights or "none"  # absent where an artifact brings them


def _require_tensorboard(config: ExperimentConfig) -> None:
    if config.training.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise ConfigError(
            "training.tensorboard: TensorBoard is not installed; install it with "
            "pip install 'emodetect[tensorboard]', or set the key to false."
        )


def trainable_model(config: ExperimentConfig, class_count: int, *, weights: str) -> keras.Model:
    """Build the model of a run, seeded; settings that do not fit it fail here."""
    keras.utils.set_random_seed(config.seed)
    tf.config.experimental.enable_op_determinism()
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(config.training.mixed_precision)
    try:
        model = _build(config, class_count, weights)
    finally:
        keras.config.set_dtype_policy(policy)
    set_batch_norm_momentum(model, config.training.batch_norm_momentum)
    freeze_below(model, config.training.fine_tune_from)
    return model


def _train(
    config: ExperimentConfig,
    run: Path,
    dataset: Dataset,
    model: keras.Model,
    draw: Draw | None,
    start_temperature: float,
) -> TrainingResult:
    checkpoints = run / "checkpoints"
    with clear_disk_errors(run):
        checkpoints.mkdir(exist_ok=True)
        for left_over in abandoned(run):
            if left_over.is_dir():
                shutil.rmtree(left_over)
            else:
                left_over.unlink()
        write_atomically(checkpoints / "dataset.json", json.dumps(_identity(dataset)))
    state, progress = saved_state(checkpoints)
    if state is None:
        progress.temperature = start_temperature
    head_epochs, epochs = config.training.head_epochs, config.training.epochs
    for phase in (
        Phase("head", 0, head_epochs),
        Phase("fine-tuning", head_epochs, head_epochs + epochs),
    ):
        if progress.epoch < phase.last and not progress.finished:
            _fit(model, phase, config, dataset, run, progress, restore_from=state)
            state = None
    with clear_disk_errors(run):
        progress.finished = True
        write_atomically(checkpoints / "finished.json", json.dumps(asdict(progress)))
        history = read_history(run / "history.csv")
        validation = history[progress.best_epoch]
        for old_state in checkpoints.glob("epoch-*"):
            shutil.rmtree(old_state)
        # A new model: without optimizer, without the dtype policy of mixed precision.
        best = _build(config, len(dataset.emotions), "none")
        best.load_weights(checkpoints / best_name(progress.best_epoch))
        answers = _validate(best, dataset)
        temperature = fit_temperature(
            answers.probabilities, answers.labels, otherwise=progress.temperature
        )
        if temperature == progress.temperature != 1:
            logger.info(
                "keeping the temperature of the model that was started from, %.3f: the validation "
                "images are too few, or tell too little, to fit one",
                temperature,
            )
        summary = summarize(config, history, progress.best_epoch, answers)
        write_run_record(config, run, dataset, progress, validation, summary)
        if draw is not None:
            draw(run, config, dataset)
        # Last, because its presence tells that the run is finished.
        artifact = _save_artifact(config, run, dataset, best, validation, temperature)
    return TrainingResult(run, config, artifact, progress.best_epoch, validation, summary, dataset)


def _validate(model: keras.Model, dataset: Dataset) -> ValidationResult:
    members = dataset.indices("val")
    probabilities = model.predict(
        evaluation_batches(
            dataset.images, dataset.certain(), members, batch_size=EVALUATION_BATCH
        ).map(lambda images, _: images),
        verbose=0,
    )
    return ValidationResult(
        emotions=dataset.emotions,
        labels=dataset.labels[members],
        probabilities=probabilities,
        train_counts=tuple(dataset.counts()["train"].values()),
    )


def _build(config: ExperimentConfig, class_count: int, weights: str) -> keras.Model:
    return build_model(
        config.model,
        image_size=config.data.image_size,
        color=config.data.color,
        class_count=class_count,
        weights=weights,
    )


def _fit(
    model: keras.Model,
    phase: Phase,
    config: ExperimentConfig,
    dataset: Dataset,
    run: Path,
    progress: Progress,
    *,
    restore_from: Path | None,
) -> None:
    training = config.training
    members = dataset.indices("train")
    batch_size = min(training.batch_size, len(members))
    steps = steps_per_epoch(len(members), batch_size)
    checkpoints = run / "checkpoints"
    compile_model(model, phase, config, steps)
    if restore_from is not None:
        load_state(model, restore_from)
    truncate_history(run / "history.csv", progress.epoch)

    batches = partial(
        training_batches,
        dataset.images,
        dataset.targets,
        members,
        augmentation=config.augmentation,
        balanced=training.imbalance == "balanced_sampling",
        class_weights=(
            balancing_weights(dataset.targets[members])
            if training.imbalance == "class_weights"
            else None
        ),
    )
    averaging = []
    if uses_averaging(phase, config):
        calibration = batches(
            batch_size=CALIBRATION_BATCH_SIZE,
            seed=config.seed + 1,
            first_step=0,
            last_step=calibration_batches(len(members)),
        )
        averaging.append(AveragedWeights(calibration))
    mode = "max" if training.monitor == "val_accuracy" else "min"
    # Never in the head's phase: fine-tuning has to follow, at its place in the count of epochs.
    patience = 0 if phase.name == "head" else training.early_stopping_patience
    stopping = keras.callbacks.EarlyStopping(
        training.monitor, mode=mode, patience=patience or phase.last + 1
    )
    checkpoint = keras.callbacks.ModelCheckpoint(
        # A file for each epoch, so that the best of a saved state is never overwritten.
        str(checkpoints / BEST_NAME),
        monitor=training.monitor,
        mode=mode,
        save_best_only=True,
        save_weights_only=True,
        initial_value_threshold=progress.best,
    )
    started = time.monotonic() - progress.seconds
    bars = TrainingProgress(
        phase=phase.name,
        epochs=training.head_epochs + training.epochs,
        steps=steps,
        batch_size=batch_size,
    )
    callbacks = [
        # The weights must be the averaged ones before any callback below looks at the model.
        *averaging,
        checkpoint,
        stopping,
        keras.callbacks.CSVLogger(str(run / "history.csv"), append=True),
        keras.callbacks.TerminateOnNaN(),
        SaveState(checkpoints, phase, progress, stopping, checkpoint, started),
        bars,
    ]
    if training.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(str(run / "tensorboard")))
    with clear_disk_errors(run), contextlib.closing(bars):
        history = model.fit(
            batches(
                batch_size=batch_size,
                seed=config.seed,
                first_step=progress.epoch * steps,
                last_step=phase.last * steps,
            ),
            validation_data=evaluation_batches(
                dataset.images,
                dataset.certain(),
                dataset.indices("val"),
                batch_size=EVALUATION_BATCH,
            ),
            initial_epoch=progress.epoch,
            epochs=phase.last,
            steps_per_epoch=steps,
            callbacks=callbacks,
            shuffle=False,  # training_batches shuffles
            verbose=0,
        )
    if not np.isfinite(history.history["loss"][-1]):
        raise EmodetectError(
            f"{run}: the loss stopped being a number; lower training.learning_rate or raise "
            "training.warmup_epochs."
        )
    progress.epoch = phase.last


def _save_artifact(
    config: ExperimentConfig,
    run: Path,
    dataset: Dataset,
    model: keras.Model,
    validation: dict[str, float],
    temperature: float,
) -> Path:
    plain = run / "checkpoints" / "plain.keras"
    model.save(plain)
    metadata = Metadata(
        name=run.name,
        emotions=dataset.emotions,
        image_size=config.data.image_size,
        color=config.data.color,
        margin=config.data.margin,
        temperature=temperature,
        config=config.model_dump(mode="json", exclude_none=True),
        dataset=dataset.identity(),
        metrics=validation,
        versions=versions(),
    )
    complete = run / "checkpoints" / "best_model.keras"
    write_artifact(complete, keras_file=plain, compiled=compile_to_litert(model), metadata=metadata)
    plain.unlink()
    return complete.replace(run / "best_model.keras")
