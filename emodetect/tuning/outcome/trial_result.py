"""The outcome of one trial, and which trial is the best."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from emodetect.model_file.shipped_models import RUN_MODEL
from emodetect.tuning.options import TuningOptions
from emodetect.tuning.search_space import SearchSpace
from emodetect.tuning.trials import ERROR, origin

STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "stopped early",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


@dataclass(frozen=True)
class TrialResult:
    """The outcome of a trial.

    Attributes:
        number: of the trial, from 0; numbers may be missing.
        state: "finished", "stopped early" (its best epoch was worse than the median of the
            others at the same epoch) or "failed".
        value: the objective: of the saved model if finished; if stopped early, the accuracy of
            the last epoch. None if it is not known, as is the log-loss of a trial stopped early.
        accuracy, log_loss: of a finished trial, on the validation images.
        epochs: how many were trained.
        values: what the trial has for each key searched.
        run: the run folder; None if it is not in this folder, but on another machine.
        error: why it failed, or "".
        curve: the validation accuracy of each epoch, or the loss if that is the objective.
    """

    number: int
    state: str
    value: float | None
    accuracy: float | None
    log_loss: float | None
    epochs: int
    values: dict[str, Any]
    run: Path | None
    error: str
    curve: tuple[float, ...]


def trial_result(options: TuningOptions, space: SearchSpace, trial: FrozenTrial) -> TrialResult:
    """Return the outcome of a trial that has ended."""
    run = options.run_folder(origin(trial))
    # What another machine has finished may have begun here.
    here = (run / RUN_MODEL).is_file() if trial.state is TrialState.COMPLETE else run.is_dir()
    curve = trial.intermediate_values
    of_an_epoch = trial.state is TrialState.PRUNED
    return TrialResult(
        number=origin(trial),
        state=STATES[trial.state],
        value=None if of_an_epoch and options.minimizes else trial.value,
        accuracy=trial.user_attrs.get("accuracy"),
        log_loss=trial.user_attrs.get("log_loss"),
        epochs=len(curve),
        values={
            one.key: one.value(trial.params[one.key]) for one in space if one.key in trial.params
        },
        run=run if here else None,
        error=trial.user_attrs.get(ERROR, "") if trial.state is TrialState.FAIL else "",
        curve=tuple(curve[epoch] for epoch in sorted(curve)),
    )


def rank(options: TuningOptions, one: TrialResult) -> tuple[int, float, int]:
    """Return the key that sorts trials: the best first, those that failed last."""
    value = one.value if one.value is not None else 0.0
    order = list(STATES.values()).index(one.state)
    return order, value if options.minimizes else -value, one.number
