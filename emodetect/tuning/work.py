"""What one process does in a study: it continues abandoned trials and begins new ones."""

from __future__ import annotations

import contextlib
import logging
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

from optuna.exceptions import OptunaError, UpdateFinishedTrialError
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from emodetect.config import ExperimentConfig, changed_keys, load_config
from emodetect.data.dataset import load_dataset
from emodetect.errors import (
    ConfigError,
    DataError,
    DivergedError,
    EmodetectError,
    ModelError,
    OutOfMemoryError,
    StoppedRunError,
    first_line,
)
from emodetect.evaluation.classify import predict_images
from emodetect.evaluation.metrics.intervals import metrics_of
from emodetect.evaluation.predictions import write_predictions
from emodetect.machine.locks import locked
from emodetect.model_file.shipped_models import RUN_MODEL
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.tuning.definition import IMAGES
from emodetect.tuning.options import TuningOptions
from emodetect.tuning.search_space import (
    SearchSpace,
    all_combinations,
    count_combinations,
    short_value,
    trial_config,
)
from emodetect.tuning.storage import is_deleted
from emodetect.tuning.trials import CONTINUES, SharedTrials, origin, settled

logger = logging.getLogger(__name__)

VALIDATION_FILE = "validation.csv"
SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_BETWEEN_DRAWS, LONGEST_DRAW_S = 0.05, 10.0
# Finite spaces up to this size are searched without trying anything twice.
MOST_LISTED = 100_000


class _StoppedEarlyError(Exception):
    """This trial does worse than others did at the same epoch."""


class Work:
    """The work of this process on a study."""

    def __init__(self, options: TuningOptions, space: SearchSpace, trials: SharedTrials) -> None:
        self.options, self.space, self.trials = options, space, trials
        self.most = int(min(options.trials, count_combinations(space)))
        self.repeated = False
        self.started_s, self.settled_before = time.monotonic(), 0

    def run(self) -> None:
        """Return when the study has all its trials, and each has ended."""
        known = self.trials.all()
        self.settled_before = sum(map(settled, known))
        if len(known) > self.most:
            logger.info("the study has %d trials; --trials %d adds none", len(known), self.most)
        elif known:
            logger.info(
                "continuing the study: %d of %d trials done", self.settled_before, self.most
            )
        if self.most < self.options.trials:
            logger.info("there are only %d combinations to try", self.most)
        waiting = False
        while True:
            known = self.trials.all()[: self.most]
            running = [trial for trial in known if not settled(trial)]
            dead = [trial for trial in running if self.trials.is_dead(trial)]
            if dead:
                self._attempt(self.trials.adopt(dead[0]))
            elif len(known) < self.most:
                self._attempt(self._new_trial(known))
            elif running:
                if not waiting:
                    logger.info("waiting for %d trials of other processes", len(running))
                waiting = True
                time.sleep(SECONDS_BETWEEN_LOOKS)
            else:
                return

    def _new_trial(self, known: list[FrozenTrial]) -> Trial | None:
        if not self.repeated:
            return self.trials.begin(self.most, {}, {})
        # The sampler proposed what had been tried: take one of what remains.
        self.repeated = False
        if count_combinations(self.space) > MOST_LISTED:
            return self.trials.begin(self.most, {}, {})
        tried = [trial.params for trial in known]
        left = [params for params in all_combinations(self.space) if params not in tried]
        distributions = {one.key: one.distribution for one in self.space}
        return self.trials.begin(self.most, random.Random(len(known)).choice(left), distributions)

    def _attempt(self, trial: Trial | None) -> None:
        """Train a trial until it ends, and store how."""
        if trial is None:
            return
        try:
            with self.trials.beating(trial):
                ended = self._end(trial)
        except UpdateFinishedTrialError:
            ended = False
        except BaseException:
            self.trials.release(trial)
            raise
        if not ended:
            logger.warning(
                "trial %d: another process continued it, because this one had been silent",
                origin(self._stored(trial)),
            )

    def _end(self, trial: Trial) -> bool:
        """Return False if another process has taken the trial over."""
        from emodetect.training.schedule import device_count

        begun = self._stored(trial)
        number = origin(begun)
        # Later trials have not waited for a process that died before it drew.
        late = CONTINUES in begun.user_attrs and not self._is_drawn(begun)
        params = self._draw(trial)
        self._wait_until_drawn(number)
        others = (one for one in self.trials.all() if origin(one) != number)
        if any(one.params == params and (late or origin(one) < number) for one in others):
            self.repeated = True
            self.trials.withdraw(trial)
            return True
        values = ", ".join(f"{key}={short_value(value)}" for key, value in params.items())
        logger.info("trial %d: %s", number, values)
        try:
            config = trial_config(self.options.config, self.space, params)
            device_count(config.training)
        except ConfigError as error:
            return self._fail(trial, number, " ".join(str(error).split()))
        try:
            value = self._train(trial, number, config)
        except _StoppedEarlyError:
            values_so_far = self._stored(trial).intermediate_values
            value = values_so_far[max(values_so_far)]
            ended = self.trials.finish(trial, TrialState.PRUNED, value)
            self._report(number, f"stopped early at {self.options.shown_of_epoch(value)}")
        except (DivergedError, ModelError, OutOfMemoryError) as error:
            return self._fail(trial, number, first_line(error))
        except StoppedRunError as error:
            raise EmodetectError(
                f"{error.problem} {error.remedy.capitalize()}, and run the same command again to "
                "continue."
            ) from None
        except (EmodetectError, OSError, ImportError, OptunaError, SQLAlchemyError):
            raise  # not due to the values
        except Exception as error:  # or each later run of the study would end with it, too
            if is_deleted(error):
                raise
            logger.warning("trial %d: an unexpected error", number, exc_info=True)
            return self._fail(trial, number, f"{type(error).__name__}: {first_line(error)}")
        else:
            ended = self.trials.finish(trial, TrialState.COMPLETE, value)
            self._report(number, self.options.shown(value))
        return ended

    def _fail(self, trial: Trial, number: int, reason: str) -> bool:
        """End a trial that has no result; return False if another process has taken it over."""
        ended = self.trials.fail(trial, reason)
        self._report(number, f"failed: {reason.rstrip('.')}")
        return ended

    def _wait_until_drawn(self, number: int) -> None:
        """Wait until the trials before this one have their values, which it may not repeat.

        Not for one whose process was stopped at that moment; its values may be repeated.
        """
        until_s = time.monotonic() + LONGEST_DRAW_S
        while time.monotonic() < until_s and any(
            origin(trial) < number and not self._is_drawn(trial) and not self.trials.is_dead(trial)
            for trial in self.trials.all()
        ):
            time.sleep(SECONDS_BETWEEN_DRAWS)

    def _is_drawn(self, trial: FrozenTrial) -> bool:
        return settled(trial) or {one.key for one in self.space} <= trial.params.keys()

    def _draw(self, trial: Trial) -> dict[str, object]:
        # A seed for each trial: processes that share a study must not draw the same.
        seed = (self.options.config.seed * 1_000_003 + trial.number) % 2**32
        trial.study.sampler = TPESampler(seed=seed)
        return {one.key: one.draw(trial) for one in self.space}

    def _train(self, trial: Trial, number: int, config: ExperimentConfig) -> float:
        """Train or continue the run of a trial, and return the objective of its model.

        Raises DivergedError, ModelError and OutOfMemoryError for values that cannot be trained
        with.
        """
        from keras.utils import clear_session

        from emodetect.reports.run_plots import draw_run
        from emodetect.training.models.memory import training_memory_errors
        from emodetect.training.run_folder import read_history
        from emodetect.training.train import resume, train

        run = self.options.run_folder(number)
        config = config.model_copy(update={"output": run})
        last_epoch = config.training.head_epochs + config.training.epochs - 1

        def report(epoch: int, figures: dict[str, float]) -> None:
            value = figures["val_loss" if self.options.minimizes else "val_accuracy"]
            # A continued run may train its last epoch again.
            if epoch not in self._stored(trial).intermediate_values and math.isfinite(value):
                trial.report(value, epoch)

        def on_epoch(epoch: int, figures: dict[str, float]) -> None:
            report(epoch, figures)
            if epoch < last_epoch and trial.should_prune():
                raise _StoppedEarlyError

        clear_session()  # or the graphs of all trials would stay in memory
        with _without_notes(), training_memory_errors():
            if not (run / "config.toml").is_file():
                train(config, draw=draw_run, on_epoch=on_epoch)
            else:
                _check_own(run, config)
                with locked(run, wait=True):
                    pass  # a process that was silent for long may still be in it
                # Epochs that a study that was removed, or `train --resume`, has trained.
                rows = list[dict[str, float]]()
                with contextlib.suppress(OSError, ValueError, TypeError):  # damaged
                    rows = read_history(run / "history.csv")
                for epoch, row in enumerate(rows):
                    if row.keys() >= {"val_loss", "val_accuracy"}:
                        report(epoch, row)
                if not (run / RUN_MODEL).is_file():
                    resume(run, draw=draw_run, on_epoch=on_epoch)
            self._require_same_images()
            figures = _validate(run, config)
        for name in ("accuracy", "log_loss"):
            trial.set_user_attr(name, figures[name])
        return figures[self.options.objective]

    def _require_same_images(self) -> None:
        """Raise DataError if the study was started with other images, labels or splits."""
        config = self.options.config
        images = load_dataset(config.data, seed=config.seed).fingerprint
        if images != self.trials.definition.values[IMAGES]:
            raise DataError(
                f"{self.options.output}: the images have changed since the study was started; "
                "bring them back and run the same command again to continue, or choose another "
                "--output."
            )

    def _report(self, number: int, outcome: str) -> None:
        known = self.trials.all()
        ended = sum(map(settled, known))
        values = {
            origin(trial): trial.value for trial in known if trial.state is TrialState.COMPLETE
        }
        best = ""
        if values:
            chosen = (min if self.options.minimizes else max)(values, key=lambda key: values[key])
            best = f"; best: trial {chosen} with {self.options.shown(values[chosen])}"
        pace_s = (time.monotonic() - self.started_s) / max(1, ended - self.settled_before)
        left_s = pace_s * (self.most - ended)
        left = f"; about {math.ceil(left_s / 60)} min left" if left_s > 0 else ""
        logger.info(
            "trial %d: %s; %d of %d trials done%s%s", number, outcome, ended, self.most, best, left
        )

    def _stored(self, trial: Trial) -> FrozenTrial:
        return self.trials.storage.get_trial(trial._trial_id)


def _check_own(run: Path, config: ExperimentConfig) -> None:
    changed = changed_keys(load_config(str(run / "config.toml")), config)
    if other := [key for key in changed if key not in ("output", "data.cache_dir")]:
        raise ConfigError(
            f"{run}: is of another study, with other values of {', '.join(other)}; choose another "
            "--output, or remove the folder."
        )


def _validate(run: Path, config: ExperimentConfig) -> dict[str, float]:
    """Predict the validation images, keep the predictions, and return their figures.

    Raises DataError if they are not those of the training, which may be among them now.
    """
    dataset = load_dataset(config.data, seed=config.seed)
    recognizer = EmotionRecognizer(run / RUN_MODEL, detector="none")
    if recognizer.metadata.dataset.get("fingerprint") != dataset.fingerprint:
        raise DataError(
            f"{run}: was trained on other images than those of the study; remove this folder and "
            "run the same command again to continue."
        )
    predictions = predict_images(recognizer, dataset, dataset.indices("val"))
    write_predictions(predictions, run / VALIDATION_FILE)
    return metrics_of(predictions)


@contextlib.contextmanager
def _without_notes() -> Iterator[None]:
    """Leave out what training says about the data and the schedule, the same for each trial."""
    # TensorFlow's is that it traces a graph for each trial.
    quiet = {
        "emodetect.data": logging.ERROR,
        "emodetect.training": logging.WARNING,
        "tensorflow": logging.ERROR,
    }
    loggers = {logging.getLogger(name): level for name, level in quiet.items()}
    levels = {one: one.level for one in loggers}
    for one, level in loggers.items():
        one.setLevel(max(level, one.getEffectiveLevel()))
    try:
        yield
    finally:
        for one, level in levels.items():
            one.setLevel(level)
