"""Train a model: two phases of Keras' fit, a run folder, and an artifact at the end.

A run can be killed at any moment and resumed. Its state is saved completely at the start of every
epoch (weights, optimizer, random states, best score, patience), and every batch is a function of
the seed and the step (data/batches.py), so that the resumed run ends with the same weights.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import keras

from emodetect.config import ExperimentConfig, changed_keys, config_toml, load_config
from emodetect.data.dataset import DATA_LOGGERS, Dataset, load_dataset, place_of
from emodetect.data.sketch import Sketch
from emodetect.errors import ConfigError, DataError
from emodetect.machine.atomic_files import move, write_json, write_text
from emodetect.machine.tensorflow_devices import keras_defaults, mirrored, training_devices
from emodetect.machine.terminal_text import said_once
from emodetect.model_file.artifact import write_artifact
from emodetect.model_file.metadata import Metadata
from emodetect.model_file.shipped_models import RUN_MODEL
from emodetect.model_file.temperature import fit_temperature, why_not_fitted
from emodetect.notebook import heading, lines, picture, table
from emodetect.number_format import decimal, percent
from emodetect.training.advice.small_data import small_data_warnings
from emodetect.training.advice.summary import ValidationResult, summarize
from emodetect.training.checkpoints import BEST_NAME, Progress, load_best, reading, saved_state
from emodetect.training.cross_validation import FoldResult, cross_validate, describe_folds
from emodetect.training.fitting import OnEpoch, diverged, fit_phase, validation_batches
from emodetect.training.initial_model import (
    check_initial_weights,
    describe_seen_before,
    images_seen_before,
    initial_model,
    share_of_folds_seen_before,
    shares_seen_before,
)
from emodetect.training.initial_model import logger as initial_model_logger
from emodetect.training.models.keras_files import save_keras
from emodetect.training.models.layers import set_batch_norm_momentum
from emodetect.training.models.litert_conversion import compile_to_litert
from emodetect.training.models.memory import require_memory, training_memory_errors
from emodetect.training.models.registry import build_network
from emodetect.training.phases import loss_function, training_phases
from emodetect.training.run_folder import (
    check_new_run,
    clear_disk_errors,
    clear_tensorflow_errors,
    figures_by_split,
    only_process,
    read_history,
    remove_abandoned,
    require_history,
    require_new,
    require_same_config,
    versions,
    write_run_record,
)
from emodetect.training.schedule import run_schedule
from emodetect.training.tracking.registry import require_trackers
from emodetect.training.tracking.tracker import Outcome
from emodetect.training.tracking.trackers import tracked

logger = logging.getLogger(__name__)

# Of batch norm in the saved model, for those who train it further in Keras; PyTorch has it too.
# With that of Keras' MobileNetV2, 0.999, the statistics take thousands of batches to follow.
SAVED_MOMENTUM = 0.9
# Loggers of lines about data, weights and schedule, which are the same in each fold.
REPEATED_BY_FOLDS = (*DATA_LOGGERS, initial_model_logger.name, logger.name)


@dataclass(frozen=True)
class TrainingResult:
    """The result of a finished run; in a notebook, it shows the figures and the learning curves.

    Attributes:
        run: the run folder.
        artifact: the model file in it.
        best_epoch: the epoch, counted from 1, whose weights are in the artifact.
        training: accuracy and loss of that epoch: means over the epoch, on augmented images.
        validation: accuracy and loss on the validation images after that epoch.
        summary: explains them in lines of text and says what to try next.
        history: the figures of each epoch by Keras' names: accuracy, loss, val_accuracy, val_loss.
        folds: the figures of cross-validation, with training.folds.
    """

    run: Path
    config: ExperimentConfig = field(repr=False)
    artifact: Path
    best_epoch: int
    training: dict[str, float]
    validation: dict[str, float]
    summary: list[str]
    dataset: Dataset = field(repr=False)
    history: list[dict[str, float]] = field(repr=False)
    folds: tuple[FoldResult, ...] = ()

    @property
    def accuracy(self) -> float:
        """The accuracy on the validation images, 0 to 1."""
        return self.validation["accuracy"]

    @property
    def loss(self) -> float:
        """The loss on the validation images."""
        return self.validation["loss"]

    def _repr_html_(self) -> str:
        rows = [
            (name, percent(figures["accuracy"]), decimal(figures["loss"]))
            for name, figures in (("training", self.training), ("validation", self.validation))
        ]
        curves = self.run / "curves.png"
        return "".join(
            [
                heading(f"{self.run}: best epoch {self.best_epoch} of {len(self.history)}"),
                table(("", "accuracy", "loss"), rows),
                lines(self.summary),
                picture(curves.read_bytes(), alt="learning curves") if curves.is_file() else "",
            ]
        )


Draw = Callable[[Path, ExperimentConfig, Dataset, int], None]
"""Draws a run's plots into its folder; called before the artifact is saved.

It is given the run folder, the config, the data and the best epoch, counted from 1.
"""


@dataclass(frozen=True)
class _Hooks:
    """What callers want to be called for; see `Draw` and `OnEpoch`."""

    draw: Draw | None
    on_epoch: OnEpoch | None


def train(
    config: ExperimentConfig, *, draw: Draw | None = None, on_epoch: OnEpoch | None = None
) -> TrainingResult:
    """Train a new model into the run folder `config.output`.

    Raises ConfigError if that folder is not empty, EmodetectError if it cannot be written to,
    DataError and ModelError for unusable data and weights, OutOfMemoryError for a network and batch
    that are too large, and DivergedError if the loss is no longer finite.
    """
    with (
        keras_defaults(),
        mirrored(training_devices(config.training.devices)),
        said_once(*REPEATED_BY_FOLDS),
        training_memory_errors(),
    ):
        return _start(config, _Hooks(draw, on_epoch))


def _start(config: ExperimentConfig, hooks: _Hooks) -> TrainingResult:
    run = config.output
    check_new_run(config)
    require_trackers(config.training.track)
    check_initial_weights(config)
    dataset = load_dataset(config.data, seed=config.seed, folds=config.training.folds)
    before = images_seen_before(config)
    if config.data.fold is None:  # else said before the first fold
        for line in (
            *small_data_warnings(dataset.counts(), config),
            *describe_seen_before(config, dataset, before),
        ):
            logger.warning(line)
    schedule = run_schedule(config.training, len(dataset.indices("train")))
    most = min(len(dataset.indices("train")) // 2, len(dataset.indices("val")) // 3)
    if schedule.devices > max(most, 1):
        raise ConfigError(
            f"training.devices: expected at most {max(most, 1)}, because each needs two training "
            f"and three validation images, got {schedule.devices}."
        )
    require_memory(config, len(dataset.emotions), images=len(dataset.indices("train")))
    model, temperature = initial_model(config, dataset.emotions)
    # Only now, so that a mistake in config, data or weights leaves no run folder behind.
    with clear_disk_errors(run):
        run.mkdir(parents=True, exist_ok=True)
    with only_process(run):
        require_new(run)
        with clear_disk_errors(run):
            write_text(run / "config.toml", config_toml(config))
            require_same_config(run, config)
            _require_same_data(run, dataset)
        folds = _cross_validate(config, dataset, hooks.draw)
        if folds:  # whose runs have used up the random numbers of this model
            model, temperature = initial_model(config, dataset.emotions)
        return _train(config, dataset, model, hooks, temperature, before, folds)


def resume(
    run: Path,
    config: ExperimentConfig | None = None,
    *,
    draw: Draw | None = None,
    on_epoch: OnEpoch | None = None,
) -> TrainingResult:
    """Continue an interrupted run; the result is the same as without the interruption.

    Raises ConfigError if there is no run, it is finished, another process is training it, or
    `config` differs from its own; OutOfMemoryError on a machine that is too small for it.
    """
    if not (run / "config.toml").is_file():
        raise ConfigError(f"{run}: expected a run folder with a config.toml to resume.")
    with only_process(run):
        return _resume(run, config, _Hooks(draw, on_epoch))


def _resume(run: Path, config: ExperimentConfig | None, hooks: _Hooks) -> TrainingResult:
    # The folder of a run may be renamed, and so may that of its folds.
    here = {"output": run}
    own = load_config(str(run / "config.toml")).model_copy(update=here)
    if config is not None and (changed := changed_keys(own, config.model_copy(update=here))):
        raise ConfigError(
            f"{run}: was started with different values of {', '.join(changed)}; resume it without "
            "--config and --set, or start a new run."
        )
    if (run / RUN_MODEL).is_file():
        raise ConfigError(f"{run}: already finished; the model is {run / RUN_MODEL}.")
    with (
        keras_defaults(),
        mirrored(training_devices(own.training.devices)),
        said_once(*REPEATED_BY_FOLDS),
        training_memory_errors(),
    ):
        return _continue(own, hooks)


def _continue(own: ExperimentConfig, hooks: _Hooks) -> TrainingResult:
    run = own.output
    with clear_disk_errors(run):
        require_same_config(run, own)
    require_trackers(own.training.track)
    dataset = _load_again(own)
    with clear_disk_errors(run):
        _require_same_data(run, dataset)
    require_memory(own, len(dataset.emotions), images=len(dataset.indices("train")))
    folds = _cross_validate(own, dataset, hooks.draw)
    state, _ = saved_state(run / "checkpoints")
    model, temperature = initial_model(own, dataset.emotions, load_weights=state is None)
    before = images_seen_before(own) if state is None else Sketch()  # else the state has it
    return _train(own, dataset, model, hooks, temperature, before, folds)


def _load_again(own: ExperimentConfig) -> Dataset:
    try:
        return load_dataset(own.data, seed=own.seed, retry=False)
    except DataError as error:
        path = own.data.path
        if path is None or path.is_absolute() or path.exists():
            raise
        raise DataError(
            f"{error} The run was started in a folder in which {path} was; continue it there."
        ) from None


def _cross_validate(
    config: ExperimentConfig, dataset: Dataset, draw: Draw | None
) -> tuple[FoldResult, ...]:
    def train_run(fold: ExperimentConfig) -> None:
        if (fold.output / "config.toml").is_file():
            resume(fold.output, fold, draw=draw)
        else:
            train(fold, draw=draw)
        # With other images the splits are others, and some would serve for training and testing.
        _require_same_data(config.output, _load_again(config))

    return cross_validate(config, train_run, images=dataset.images_hash())


def _require_same_data(run: Path, dataset: Dataset) -> None:
    """Record what data a run is trained on, or raise ConfigError if it was started on other."""
    # The order too: batches are drawn by position.
    identity = {"fingerprint": dataset.fingerprint, "order": dataset.order}
    record = run / "checkpoints" / "dataset.json"
    if not record.is_file():
        record.parent.mkdir(exist_ok=True)
        write_json(record, identity)
        return
    with reading(record):
        recorded = json.loads(record.read_text())
    if recorded != identity:
        raise ConfigError(
            f"{run}: the data has changed since the run was started; bring it back and resume the "
            "run, or start a new one."
        )


def _train(
    config: ExperimentConfig,
    dataset: Dataset,
    model: keras.Model,
    hooks: _Hooks,
    temperature: float,
    before: Sketch,
    folds: tuple[FoldResult, ...],
) -> TrainingResult:
    run = config.output
    checkpoints = run / "checkpoints"
    with clear_disk_errors(run):
        remove_abandoned(run)
    state, progress = saved_state(checkpoints)
    if state is None:
        progress.temperature = temperature
        progress.trained_before = before.text
    # Early stopping ends a run before its last epoch.
    require_history(
        run / "history.csv", progress.best_epoch + 1 if progress.finished else progress.epoch
    )
    schedule = run_schedule(config.training, len(dataset.indices("train")))
    logger.info(schedule.describe())
    with tracked(config, dataset) as trackers:
        for phase in training_phases(config):
            if progress.epoch < phase.last and not progress.finished:
                fit_phase(
                    model,
                    phase,
                    config,
                    schedule,
                    dataset,
                    progress,
                    restore_from=state,
                    trackers=trackers,
                    on_epoch=hooks.on_epoch,
                )
                state = None
        if not math.isfinite(read_history(run / "history.csv")[progress.best_epoch]["val_loss"]):
            raise diverged(run)
        with clear_tensorflow_errors(run), clear_disk_errors(run):
            progress.finished = True
            write_json(checkpoints / "finished.json", asdict(progress))
            for old_state in checkpoints.glob("epoch-*"):
                shutil.rmtree(old_state)
            result = _finish(config, dataset, progress, hooks.draw, folds)
            for weights in checkpoints.glob(BEST_NAME.format(epoch="*")):
                weights.unlink()  # only now, because the artifact is made from them
        trackers.finish(_outcome(result))
    return result


def _finish(
    config: ExperimentConfig,
    dataset: Dataset,
    progress: Progress,
    draw: Draw | None,
    folds: tuple[FoldResult, ...],
) -> TrainingResult:
    """Validate, summarise and save the best epoch's model."""
    run = config.output
    history = read_history(run / "history.csv")
    # A new model: without the optimizer and mixed precision's dtype policy.
    best = build_network(config, len(dataset.emotions))
    load_best(best, run / "checkpoints", progress)
    result = _validate(best, dataset)
    figures = dict(history[progress.best_epoch])
    if config.training.mixed_precision != "float32":  # the history is that of half precision
        figures |= _validation_figures(best, config, dataset, result)
    told = [*history]
    told[progress.best_epoch] = figures
    temperature = fit_temperature(
        result.probabilities, result.labels, otherwise=progress.temperature
    )
    if temperature == progress.temperature != 1:
        logger.info(
            "keeping the temperature of the initial model, %.3f, which makes confidence match "
            "accuracy: %s",
            temperature,
            why_not_fitted(len(result.labels)),
        )
    summary = summarize(config, told, progress.best_epoch, result, progress.plain_accuracy)
    before = Sketch(progress.trained_before)
    summary = dataset.describe_leaks() + describe_seen_before(config, dataset, before) + summary
    if folds:
        too_good = share_of_folds_seen_before(dataset, before) > 0
        summary = describe_folds(folds, too_good=too_good) + summary
    write_run_record(config, dataset, progress, figures, summary)
    if draw is not None:
        draw(run, config, dataset, progress.best_epoch + 1)
    # Last, because the artifact marks the run as finished.
    artifact = _save_artifact(config, dataset, best, figures, temperature, before)
    by_split = figures_by_split(figures)
    return TrainingResult(
        run=run,
        config=config,
        artifact=artifact,
        best_epoch=progress.best_epoch + 1,
        training=by_split["training"],
        validation=by_split["validation"],
        summary=summary,
        dataset=dataset,
        history=history,
        folds=folds,
    )


def _outcome(result: TrainingResult) -> Outcome:
    """Return what trackers get of a finished run."""
    figures = {f"validation_{name}": value for name, value in result.validation.items()}
    figures |= {f"training_{name}": value for name, value in result.training.items()}
    return Outcome(
        artifact=result.artifact,
        plots=tuple(sorted(result.run.glob("*.png"))),
        figures={"epoch": result.best_epoch, **figures},
        summary=tuple(result.summary),
    )


def _validation_figures(
    model: keras.Model, config: ExperimentConfig, dataset: Dataset, result: ValidationResult
) -> dict[str, float]:
    targets = dataset.certain()[dataset.indices("val")]
    loss = loss_function(config.training)(targets, result.probabilities)
    penalties = sum(float(one) for one in model.losses)
    right = result.probabilities.argmax(axis=1) == targets.argmax(axis=1)
    return {"val_accuracy": float(right.mean()), "val_loss": float(loss) + penalties}


def _validate(model: keras.Model, dataset: Dataset) -> ValidationResult:
    images = validation_batches(dataset).map(lambda images, _: images)
    members = dataset.indices("val")
    return ValidationResult(
        emotions=dataset.emotions,
        labels=dataset.labels[members],
        probabilities=model.predict(images, verbose=0),
        groups=dataset.groups[members],
        train_counts=tuple(dataset.counts()["train"].values()),
    )


def _save_artifact(
    config: ExperimentConfig,
    dataset: Dataset,
    model: keras.Model,
    figures: dict[str, float],
    temperature: float,
    before: Sketch,
) -> Path:
    run = config.output
    plain = run / "checkpoints" / "plain.keras"
    origin = {
        **dataset.identity(),
        "served": dataset.sketch(("train", "val")).text,
        "trained": dataset.sketch(("train",)).with_images_of(before).text,
        "seen": shares_seen_before(dataset, before),
    }
    if config.data.path is not None:
        origin["place"] = place_of(config.data.path)
    set_batch_norm_momentum(model, SAVED_MOMENTUM)
    save_keras(model, plain)
    metadata = Metadata(
        name=run.name,
        emotions=dataset.emotions,
        image_size=config.data.image_size,
        color=config.data.color,
        margin=config.data.margin,
        temperature=temperature,
        config=config.model_dump(mode="json", exclude_none=True),
        dataset=origin,
        metrics=figures,
        versions=versions(),
    )
    complete = run / "checkpoints" / RUN_MODEL
    write_artifact(complete, keras_file=plain, compiled=compile_to_litert(model), metadata=metadata)
    plain.unlink()
    artifact = run / RUN_MODEL
    move(complete, artifact)
    return artifact
