"""Training: two phases of Keras' fit, a run folder, and an artifact at the end.

A run can be killed at any moment and resumed. Its state is saved whole at the start of every
epoch (weights, optimizer, random states, best score, patience), and every batch is a function
of the seed and the step (data/pipeline.py), so the resumed run ends with the same weights.
"""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import json
import math
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from emodetect import __version__
from emodetect.artifact import Metadata, write_artifact
from emodetect.config import (
    ExperimentConfig,
    TrainingConfig,
    changed_keys,
    config_toml,
    load_config,
)
from emodetect.data.dataset import Dataset, load_dataset
from emodetect.data.pipeline import (
    balancing_weights,
    evaluation_batches,
    steps_per_epoch,
    training_batches,
)
from emodetect.errors import ConfigError, EmodetectError
from emodetect.locks import locked
from emodetect.training.averaging import (
    CALIBRATION_BATCH_SIZE,
    AveragedWeights,
    calibration_batches,
)
from emodetect.training.compile import compile_to_litert
from emodetect.training.initial import initial_artifact, load_initial
from emodetect.training.models import (
    BACKBONE,
    build_model,
    check_weights,
    freeze_below,
    layers_of,
    set_batch_norm_momentum,
)
from emodetect.training.progress import TrainingProgress
from emodetect.training.summary import ValidationResult, summarize

EVALUATION_BATCH = 256
BEST_NAME = "best-{epoch}.weights.h5"
PARTIAL_FILES = ".*.[0-9]*"  # of _write_atomically and write_artifact: a process's number last


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


@dataclass(frozen=True)
class _Phase:
    """One call of fit: epochs `first` to `last` - 1, counted over the whole run."""

    name: str
    first: int
    last: int


@dataclass
class _Progress:
    """The part of a run's state that is not in the weights file.

    `best` is the best score of the run, `stopping_best` the phase's, for which EarlyStopping
    has `waited` epochs; `epoch` is the next one to train, `seconds` the time spent so far.
    """

    epoch: int = 0
    best: float | None = None
    best_epoch: int = 0
    stopping_best: float | None = None
    waited: int = 0
    finished: bool = False
    seconds: float = 0.0


Draw = Callable[[Path, ExperimentConfig, Dataset], None]
"""Draws the pictures of a run into its folder; called before the artifact is saved."""


def train(config: ExperimentConfig, *, draw: Draw | None = None) -> TrainingResult:
    """Train a new model into the run folder `config.output`.

    Raises ConfigError where that folder holds something already, DataError and ModelError for
    data and weights that cannot be used, EmodetectError if the loss stops being a number.
    """
    run = config.output
    _require_new(run)
    _require_tensorboard(config)
    check_weights(_start_weights(config))
    init = initial_artifact(config.model.init) if config.model.init else None
    dataset = load_dataset(config.data, seed=config.seed)
    model = _trainable_model(config, len(dataset.emotions), weights=_start_weights(config))
    if init is not None:
        load_initial(model, init, dataset.emotions)
    # Only now, so that a mistake in config, data or weights leaves no run folder behind.
    with _clear_disk_errors(run):
        run.mkdir(parents=True, exist_ok=True)
    with _only_process(run):
        _require_new(run)
        with _clear_disk_errors(run):
            _write_atomically(run / "config.toml", config_toml(config))
        return _train(config, run, dataset, model, draw)


def resume(
    run: Path, config: ExperimentConfig | None = None, *, draw: Draw | None = None
) -> TrainingResult:
    """Go on with a run that was interrupted; the result equals the uninterrupted run's.

    Raises ConfigError where there is no run, it is finished or being trained by another process,
    or `config` differs from its own.
    """
    if not (run / "config.toml").is_file():
        raise ConfigError(f"{run}: expected a run folder with a config.toml to resume.")
    with _only_process(run):
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
    if record.is_file() and json.loads(record.read_text())["fingerprint"] != dataset.fingerprint:
        raise ConfigError(
            f"{run}: the data has changed since the run was started; start a new run."
        )
    # A saved state overwrites the pretrained weights, so that they need not be loaded again.
    state, _ = _saved_state(run / "checkpoints")
    weights = _start_weights(own) if state is None else "none"
    model = _trainable_model(own, len(dataset.emotions), weights=weights)
    if own.model.init and state is None:
        load_initial(model, initial_artifact(own.model.init), dataset.emotions)
    return _train(own, run, dataset, model, draw)


def _require_new(run: Path) -> None:
    # A process killed before it wrote config.toml leaves an empty folder, or half of that file.
    if run.exists() and (not run.is_dir() or set(run.iterdir()) - set(_abandoned(run))):
        raise ConfigError(
            f"{run}: is there already; go on with it by --resume {run}, or name another folder "
            "with --set output=FOLDER."
        )


@contextlib.contextmanager
def _only_process(run: Path) -> Iterator[None]:
    with locked(run, wait=False) as lock:
        if lock == "taken":
            raise ConfigError(
                f"{run}: another process is training this run; wait for it, or stop it first."
            )
        yield


def _abandoned(run: Path) -> list[Path]:
    """Return what killed processes left half written in a run folder."""
    checkpoints = run / "checkpoints"
    files = [*run.glob(PARTIAL_FILES), *checkpoints.glob(PARTIAL_FILES)]
    return [*files, *checkpoints.glob("partial-*")]


def _start_weights(config: ExperimentConfig) -> str:
    return config.model.weights or "none"  # absent where an artifact brings them


def _require_tensorboard(config: ExperimentConfig) -> None:
    if config.training.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise ConfigError(
            "training.tensorboard: TensorBoard is not installed; install it with "
            "pip install 'emodetect[tensorboard]', or set the key to false."
        )


def _trainable_model(config: ExperimentConfig, class_count: int, *, weights: str) -> keras.Model:
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
) -> TrainingResult:
    checkpoints = run / "checkpoints"
    with _clear_disk_errors(run):
        checkpoints.mkdir(exist_ok=True)
        for abandoned in _abandoned(run):
            if abandoned.is_dir():
                shutil.rmtree(abandoned)
            else:
                abandoned.unlink()
        _write_atomically(
            checkpoints / "dataset.json", json.dumps({"fingerprint": dataset.fingerprint})
        )
    state, progress = _saved_state(checkpoints)
    head_epochs, epochs = config.training.head_epochs, config.training.epochs
    for phase in (
        _Phase("head", 0, head_epochs),
        _Phase("fine-tuning", head_epochs, head_epochs + epochs),
    ):
        if progress.epoch < phase.last and not progress.finished:
            _fit(model, phase, config, dataset, run, progress, restore_from=state)
            state = None
    with _clear_disk_errors(run):
        progress.finished = True
        _write_atomically(checkpoints / "finished.json", json.dumps(asdict(progress)))
        history = _read_history(run / "history.csv")
        validation = history[progress.best_epoch]
        for old_state in checkpoints.glob("epoch-*"):
            shutil.rmtree(old_state)
        # A new model: without optimizer, without the dtype policy of mixed precision.
        best = _build(config, len(dataset.emotions), "none")
        best.load_weights(checkpoints / _best_name(progress.best_epoch))
        answers = _validate(best, dataset)
        summary = summarize(config, history, progress.best_epoch, answers)
        _write_run_record(config, run, dataset, progress, validation, summary)
        if draw is not None:
            draw(run, config, dataset)
        # Last, because its presence tells that the run is finished.
        artifact = _save_artifact(config, run, dataset, best, validation)
    return TrainingResult(run, config, artifact, progress.best_epoch, validation, summary, dataset)


def _validate(model: keras.Model, dataset: Dataset) -> ValidationResult:
    members = dataset.indices("val")
    probabilities = model.predict(
        evaluation_batches(
            dataset.images, dataset.targets, members, batch_size=EVALUATION_BATCH
        ).map(lambda images, _: images),
        verbose=0,
    )
    return ValidationResult(
        emotions=dataset.emotions,
        labels=dataset.labels[members],
        predicted=probabilities.argmax(axis=1),
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
    phase: _Phase,
    config: ExperimentConfig,
    dataset: Dataset,
    run: Path,
    progress: _Progress,
    *,
    restore_from: Path | None,
) -> None:
    training = config.training
    members = dataset.indices("train")
    batch_size = min(training.batch_size, len(members))
    steps = steps_per_epoch(len(members), batch_size)
    checkpoints = run / "checkpoints"
    _compile(model, phase, config, steps)
    if restore_from is not None:
        _load_state(model, restore_from)
    _truncate_history(run / "history.csv", progress.epoch)

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
    if _uses_averaging(phase, config):
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
        _SaveState(checkpoints, phase, progress, stopping, checkpoint, started),
        bars,
    ]
    if training.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(str(run / "tensorboard")))
    with _clear_disk_errors(run), contextlib.closing(bars):
        history = model.fit(
            batches(
                batch_size=batch_size,
                seed=config.seed,
                first_step=progress.epoch * steps,
                last_step=phase.last * steps,
            ),
            validation_data=evaluation_batches(
                dataset.images,
                dataset.targets,
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


def _compile(model: keras.Model, phase: _Phase, config: ExperimentConfig, steps: int) -> None:
    training = config.training
    head = phase.name == "head"
    if head:
        # A frozen backbone also keeps its batch norm in inference mode: the statistics belong
        # to the pretrained weights and must not drift while the head is random.
        model.get_layer(BACKBONE).trainable = False
        schedule: Any = training.head_learning_rate
    else:
        freeze_below(model, training.fine_tune_from)
        warmup = int(training.warmup * steps)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0,
            decay_steps=training.epochs * steps - warmup,
            warmup_target=training.learning_rate,
            warmup_steps=warmup,
        )
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=training.weight_decay,
        use_ema=_uses_averaging(phase, config),
        ema_momentum=training.ema_momentum or 0.99,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(
        optimizer,
        loss=_loss(training),
        metrics=["accuracy"],
        # XLA makes MobileNet's training on a CPU ten times slower.
        jit_compile="auto" if tf.config.list_physical_devices("GPU") else False,
    )
    # Its variables must be there before a saved state is loaded into them. Under mixed_float16
    # Keras wraps the optimizer, so it is the model's that counts.
    model.optimizer.build(model.trainable_variables)


def _loss(training: TrainingConfig) -> keras.losses.Loss:
    if training.imbalance == "focal":
        # Lin et al. 2017; alpha 1, because the classes' weights are another setting.
        return keras.losses.CategoricalFocalCrossentropy(
            alpha=1.0, gamma=training.focal_gamma, label_smoothing=training.label_smoothing
        )
    return keras.losses.CategoricalCrossentropy(label_smoothing=training.label_smoothing)


def _uses_averaging(phase: _Phase, config: ExperimentConfig) -> bool:
    # The head's phase is too short for averages to follow.
    return phase.name != "head" and config.training.ema_momentum > 0


def _best_name(epoch: int) -> str:
    return BEST_NAME.format(epoch=epoch + 1)  # Keras counts from 1 here


class _SaveState(keras.callbacks.Callback):
    """Saves the run's state at the start of each epoch, in a folder that appears at once.

    Keras' BackupAndRestore writes weights and epoch number in two steps, and forgets
    EarlyStopping's patience and ModelCheckpoint's best score. At the start of an epoch
    AveragedWeights has put the raw weights back, and all other callbacks are done with the last.
    """

    def __init__(
        self,
        checkpoints: Path,
        phase: _Phase,
        progress: _Progress,
        stopping: keras.callbacks.EarlyStopping,
        checkpoint: keras.callbacks.ModelCheckpoint,
        started: float,
    ):
        super().__init__()
        self.checkpoints, self.phase, self.progress = checkpoints, phase, progress
        self.stopping, self.checkpoint, self.started = stopping, checkpoint, started

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.progress.epoch > self.phase.first:
            self.stopping.best = self.progress.stopping_best
            self.stopping.wait = self.progress.waited

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.progress.epoch = epoch
        self.progress.seconds = time.monotonic() - self.started
        folder = self.checkpoints / f"epoch-{epoch:04d}"
        if folder.exists():
            return
        self._require_space(states=1)
        partial = self.checkpoints / f"partial-{os.getpid()}"
        partial.mkdir()
        _save_state(self.model, partial)
        (partial / "progress.json").write_text(json.dumps(asdict(self.progress)))
        partial.rename(folder)
        for older in self.checkpoints.glob("epoch-*"):
            if older != folder:
                shutil.rmtree(older)
        for weights in self.checkpoints.glob(BEST_NAME.format(epoch="*")):
            if weights.name != _best_name(self.progress.best_epoch):
                weights.unlink()
        # The best weights and the state after this epoch: it must not be trained for nothing.
        self._require_space(states=2)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        # Again before ModelCheckpoint writes, because others may fill the disk during an epoch.
        self._require_space(states=2)

    def _require_space(self, *, states: int) -> None:
        # Asked before, because h5py meets a full disk with half a file and noise on stderr.
        variables = [*self.model.variables, *self.model.optimizer.variables]
        size = sum(math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in variables)
        needed, free = states * int(1.1 * size + 2**20), shutil.disk_usage(self.checkpoints).free
        if free < needed:
            run = self.checkpoints.parent
            raise EmodetectError(
                f"{run}: the next checkpoint needs {needed / 1e6:.0f} MB, but the disk has "
                f"{free / 1e6:.0f} MB left. The epochs finished so far are kept; free some space "
                f"and go on with --resume {run}."
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        best = float(self.checkpoint.best)
        if self.progress.best is None or best != self.progress.best:
            self.progress.best, self.progress.best_epoch = best, epoch
        self.progress.stopping_best = float(self.stopping.best)
        self.progress.waited = self.stopping.wait

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.progress.seconds = time.monotonic() - self.started


def _save_state(model: keras.Model, folder: Path) -> None:
    model.save_weights(folder / "state.weights.h5")  # with the optimizer's variables
    np.savez(folder / "random.npz", *(np.asarray(state) for state in _random_states(model)))


def _load_state(model: keras.Model, folder: Path) -> None:
    model.load_weights(folder / "state.weights.h5")
    with np.load(folder / "random.npz") as saved:
        for state, value in zip(_random_states(model), saved.values(), strict=True):
            state.assign(value)


def _random_states(model: keras.Model) -> list[keras.Variable]:
    """Return the states of dropout's random numbers, which Keras leaves out of weights files."""
    return [
        layer.seed_generator.state for layer in layers_of(model) if hasattr(layer, "seed_generator")
    ]


def _saved_state(checkpoints: Path) -> tuple[Path | None, _Progress]:
    """Return the folder of the latest saved state and what it says of the run."""
    finished = checkpoints / "finished.json"
    if finished.is_file():
        return checkpoints, _Progress(**json.loads(finished.read_text()))
    folders = sorted(checkpoints.glob("epoch-*"))
    if not folders:
        return None, _Progress()
    return folders[-1], _Progress(**json.loads((folders[-1] / "progress.json").read_text()))


def _save_artifact(
    config: ExperimentConfig,
    run: Path,
    dataset: Dataset,
    model: keras.Model,
    validation: dict[str, float],
) -> Path:
    plain = run / "checkpoints" / "plain.keras"
    model.save(plain)
    metadata = Metadata(
        name=run.name,
        emotions=dataset.emotions,
        image_size=config.data.image_size,
        color=config.data.color,
        margin=config.data.margin,
        config=config.model_dump(mode="json", exclude_none=True),
        dataset={"fingerprint": dataset.fingerprint, "counts": dataset.counts()},
        metrics=validation,
        versions=_versions(),
    )
    complete = run / "checkpoints" / "best_model.keras"
    write_artifact(complete, keras_file=plain, compiled=compile_to_litert(model), metadata=metadata)
    plain.unlink()
    return complete.replace(run / "best_model.keras")


def _write_run_record(
    config: ExperimentConfig,
    run: Path,
    dataset: Dataset,
    progress: _Progress,
    validation: dict[str, float],
    summary: list[str],
) -> None:
    record = {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(progress.seconds, 1),
        "best_epoch": progress.best_epoch + 1,
        "validation": validation,
        "summary": summary,
        "seed": config.seed,
        "versions": _versions(),
        "dataset": {
            "fingerprint": dataset.fingerprint,
            "counts": dataset.counts(),
            "left_out": dataset.left_out,
            "skipped": [asdict(file) for file in dataset.skipped],
        },
    }
    _write_atomically(run / "run.json", json.dumps(record, indent=1))


def _versions() -> dict[str, str]:
    return {
        "emodetect": __version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }


def _read_history(path: Path) -> list[dict[str, float]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {name: float(value) for name, value in row.items() if name != "epoch"}
            for row in csv.DictReader(file)
        ]


def _truncate_history(path: Path, epoch: int) -> None:
    """Drop the rows from `epoch` on, which a resumed run writes again."""
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines[1:] if line.endswith("\n") and _epoch_of(line) < epoch]
        _write_atomically(path, "".join(lines[:1] + kept) if kept else "")


def _epoch_of(line: str) -> int:
    return int(line.split(",", 1)[0])


def _write_atomically(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


@contextlib.contextmanager
def _clear_disk_errors(run: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EmodetectError(
            f"{run}: writing failed: {error.strerror or error}. The epochs finished so far are "
            f"kept; free some space and go on with --resume {run}."
        ) from error
