"""Tune a config: a study of many trainings, which can be killed, continued and shared."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning, OptunaError
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from sqlalchemy.exc import SQLAlchemyError

from emodetect.config import ExperimentConfig
from emodetect.data.dataset import Dataset, load_dataset
from emodetect.errors import ConfigError, EmodetectError
from emodetect.machine.output_folder import check_output_folder, check_outside, make_output_folder
from emodetect.machine.tensorflow_devices import training_devices, use_tensorflow
from emodetect.machine.terminal_text import said_once
from emodetect.tuning.definition import Definition
from emodetect.tuning.options import TuningOptions
from emodetect.tuning.outcome.results import TuningResult, write_results
from emodetect.tuning.search_space import (
    DATA_KEYS,
    SearchSpace,
    check_space,
    parse_search,
    starting_variants,
)
from emodetect.tuning.storage import OWN_DATABASE, is_deleted, open_storage, reason_of
from emodetect.tuning.trials import PROCESSES, SharedTrials, announced, settled
from emodetect.tuning.work import Work

logger = logging.getLogger(__name__)

# Keys of which the same epoch is another share of the run.
LENGTH_KEYS = ("training.epochs", "training.head_epochs")
# Keys that are part of the loss, so that val_loss cannot be compared.
LOSS_KEYS = ("training.label_smoothing", "training.imbalance", "training.focal_gamma", "model.l2")
# Finished trials with which others are compared; with fewer, none is stopped early.
LEAST_FINISHED = 5
# The logger that warns of too few images, at the start of each trial.
WARNINGS_ON_DATA = "emodetect.training.train"


def tune(options: TuningOptions) -> TuningResult:
    """Train until the study has as many trials as wanted, and write its results.

    An existing study is continued, and so are trials whose process has ended.

    Raises ConfigError for a search that does not fit the config, or not the study in the folder,
    and as `train` if a trial meets an error that is not due to its values. Trials whose values
    cannot be trained with count as failed.
    """
    space = parse_search(options.search)
    check_space(options.config, space)
    if options.config.training.folds:
        raise ConfigError(
            "training.folds: expected 0, because trials are single runs; for cross-validation of "
            "the best config, train it with folds."
        )
    _check_folder(options.output)
    check_outside(options.output, options.config.data.searched_folder)
    dataset = load_dataset(
        options.config.data, seed=options.config.seed, retry=not _is_begun(options.output)
    )
    _check_splits(options.config, dataset, space)
    use_tensorflow()  # only here, because a search that is refused need not wait for it
    _check_trials(options.config, space)
    _tell_kept_epoch(options, space)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return _tune(options, space, dataset)
    except (SQLAlchemyError, OptunaError, KeyError) as error:
        where = options.output / OWN_DATABASE if options.storage is None else "--storage"
        if is_deleted(error):
            raise EmodetectError(
                f"{where}: the study has been deleted meanwhile; run the same command again to "
                "start it anew."
            ) from None
        if isinstance(error, KeyError):
            raise
        raise EmodetectError(
            f"{where}: cannot be used any longer: {reason_of(error)}. Once it can be, run the same "
            "command again to continue."
        ) from None


def _tune(options: TuningOptions, space: SearchSpace, dataset: Dataset) -> TuningResult:
    storage = open_storage(options.storage, options.output)
    study = optuna.create_study(
        storage=storage,
        # A folder may be renamed; a shared storage may hold other studies.
        study_name="tuning" if options.storage is None else options.output.resolve().name,
        direction="minimize" if options.minimizes else "maximize",
        pruner=_pruner(options, space),
        load_if_exists=True,
    )
    definition = Definition.of(options, space, images=dataset.fingerprint)
    definition.check(study, options.output)
    definition.store(study)  # before the first trial, which may be of this process
    make_output_folder(options.output)
    with announced(options.output) as process, said_once(WARNINGS_ON_DATA):
        trials = SharedTrials(study, storage, options.output, process, definition)
        Work(options, space, trials).run()
    return write_results(options, study, space, list(filter(settled, trials.all())))


def _check_folder(folder: Path) -> None:
    try:
        str(folder.absolute()).encode()
    except UnicodeEncodeError:  # the config of a trial could not be written
        raise ConfigError(
            f"--output: expected text in UTF-8, got {os.fsencode(folder)!r}; rename it."
        ) from None
    if not _is_begun(folder):
        if folder.is_dir() and any(folder.iterdir()):
            raise ConfigError(
                f"{folder}: already contains files, but no study; choose another --output."
            )
        check_output_folder(folder, force=False)


def _is_begun(folder: Path) -> bool:
    return any((folder / name).exists() for name in (PROCESSES, OWN_DATABASE))


def _check_splits(config: ExperimentConfig, dataset: Dataset, space: SearchSpace) -> None:
    searched = [one.key for one in space if one.key in DATA_KEYS]
    if searched and config.data.fold is not None:
        raise ConfigError(
            f"--search {searched[0]}: data.fold draws the folds by the crops, and other ones would "
            "be validated with each value. Remove data.fold."
        )
    if searched and "val" in dataset.carved:
        raise ConfigError(
            f"--search {searched[0]}: the source has no val split, and other crops would be "
            "validated with each value. Assign the splits first, with emodetect data split."
        )


def _check_trials(config: ExperimentConfig, space: SearchSpace) -> None:
    """Raise an error for weights, devices or a batch with which trials would fail.

    ModelError for weights that do not exist, ConfigError for the others.
    """
    from emodetect.training.initial_model import check_initial_weights
    from emodetect.training.schedule import device_count

    for trial in starting_variants(config, space):
        check_initial_weights(trial)
        training_devices(trial.training.devices)
    if not {"training.devices", "training.batch_size"} & {one.key for one in space}:
        device_count(config.training)


def _tell_kept_epoch(options: TuningOptions, space: SearchSpace) -> None:
    """Say so if trials are compared by the loss, but keep the epoch with the best accuracy."""
    searched = any(one.key == "training.monitor" for one in space)
    if options.minimizes and options.config.training.monitor == "val_accuracy" and not searched:
        logger.info(
            "each trial keeps its epoch with the best accuracy; to keep that with the lowest "
            "loss: --set training.monitor=val_loss"
        )


def _pruner(options: TuningOptions, space: SearchSpace) -> BasePruner:
    """Return what stops trials whose best epoch is worse than the median of others by then."""
    searched = {one.key for one in space}
    incomparable = LENGTH_KEYS + (LOSS_KEYS if options.minimizes else ())
    if keys := sorted(searched & set(incomparable)):
        logger.info("no trial is stopped early: with other %s, epochs differ", " and ".join(keys))
        return NopPruner()
    training = options.config.training
    first = training.head_epochs + max(1, training.epochs // 5)
    return MedianPruner(n_startup_trials=LEAST_FINISHED, n_warmup_steps=first)
