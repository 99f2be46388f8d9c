"""The results of a study: the best config, a table, plots, and what chance may explain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna import Study, create_study
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState, create_trial

from emodetect.config import ExperimentConfig, config_toml
from emodetect.errors import DataError
from emodetect.evaluation.comparison import accuracy_p, compare_models
from emodetect.evaluation.metrics.significance import SIGNIFICANT, holm
from emodetect.evaluation.predictions import Predictions, image_keys, read_predictions
from emodetect.evaluation.verdict import FEWEST_DECISIVE, verdict
from emodetect.machine.atomic_files import write_text
from emodetect.machine.csv_files import csv_text
from emodetect.number_format import signed_decimal, with_interval
from emodetect.reports.plots.style import save_png
from emodetect.tuning.options import TuningOptions
from emodetect.tuning.plots import draw_progress, draw_values
from emodetect.tuning.search_space import SearchSpace, trial_config, value_text
from emodetect.tuning.trials import ERROR, origin
from emodetect.tuning.work import VALIDATION_FILE

STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "stopped early",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}
# With fewer finished trials, the importance of a key is a guess.
LEAST_FOR_IMPORTANCE = 10


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


@dataclass(frozen=True)
class TuningResult:
    """The results of a study.

    Attributes:
        trials: all that have ended, the best first; those that failed last.
        best_config: the file to train the best config with; None if no trial finished.
        files: all that were written.
        summary: the outcome in sentences.
    """

    trials: tuple[TrialResult, ...]
    best_config: Path | None
    files: tuple[Path, ...]
    summary: tuple[str, ...]


def write_results(
    options: TuningOptions, study: Study, space: SearchSpace, trials: Sequence[FrozenTrial]
) -> TuningResult:
    """Write trials.csv, best.toml and the plots of a study into its folder."""
    results = sorted(
        (_result(options, space, trial) for trial in trials), key=lambda one: _rank(options, one)
    )
    finished = [one for one in results if one.state == "finished"]
    table = options.output / "trials.csv"
    _write_table(table, space, results)
    files = [table]
    best_config = None
    if finished:
        best_config = options.output / "best.toml"
        config = _config(options, space, trials, finished[0])
        # A new folder: the trial's own is not to be overwritten.
        config = config.model_copy(update={"output": options.output / "best"})
        write_text(best_config, config_toml(config))
        files.append(best_config)
    figures = {}
    if any(one.value is not None for one in results):
        figures["progress.png"] = draw_progress(options, results)
    if finished:
        importances = _importances(study, len(finished))
        figures["values.png"] = draw_values(options, space, results, importances)
    for name, figure in figures.items():
        save_png(figure, options.output / name)
        files.append(options.output / name)
    return TuningResult(
        trials=tuple(results),
        best_config=best_config,
        files=tuple(files),
        summary=tuple(_summary(options, results, finished)),
    )


def _result(options: TuningOptions, space: SearchSpace, trial: FrozenTrial) -> TrialResult:
    run = options.run_folder(origin(trial))
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
        run=run if run.is_dir() else None,
        error=trial.user_attrs.get(ERROR, "") if trial.state is TrialState.FAIL else "",
        curve=tuple(curve[epoch] for epoch in sorted(curve)),
    )


def _rank(options: TuningOptions, one: TrialResult) -> tuple[int, float, int]:
    value = one.value if one.value is not None else 0.0
    order = list(STATES.values()).index(one.state)
    return order, value if options.minimizes else -value, one.number


def _config(
    options: TuningOptions, space: SearchSpace, trials: Sequence[FrozenTrial], best: TrialResult
) -> ExperimentConfig:
    params = next(trial.params for trial in trials if origin(trial) == best.number)
    return trial_config(options.config, space, params)


def _write_table(path: Path, space: SearchSpace, results: Sequence[TrialResult]) -> None:
    keys = [one.key for one in space]
    rows: list[list[object]] = [
        ["trial", "state", "accuracy", "log_loss", "epochs", *keys, "run", "error"]
    ]
    for one in results:
        values = [value_text(one.values.get(key, "")) for key in keys]
        run = "" if one.run is None else one.run.relative_to(path.parent).as_posix()
        figures = ["" if value is None else value for value in (one.accuracy, one.log_loss)]
        rows.append([one.number, one.state, *figures, one.epochs, *values, run, one.error])
    write_text(path, csv_text(rows))


def _importances(study: Study, finished: int) -> dict[str, float]:
    """Return the share of the objective's variance that each key explains (Hutter et al. 2014).

    The rest is that of keys together, and noise. A range that is searched on a log scale counts on
    it: on Optuna's linear one, nearly all of it would be the largest values.
    """
    if finished < LEAST_FOR_IMPORTANCE:
        return {}
    measured = create_study()
    measured.add_trials(
        map(_on_scale, study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
    )
    try:
        shares = get_param_importances(
            measured, evaluator=FanovaImportanceEvaluator(seed=0), normalize=False
        )
    except RuntimeError:  # all values are the same
        return {}
    return dict(shares)


def _on_scale(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial with the logarithms of values that were searched on a log scale."""
    params, distributions = dict(trial.params), dict(trial.distributions)
    for key, searched in trial.distributions.items():
        if isinstance(searched, FloatDistribution | IntDistribution) and searched.log:
            params[key] = math.log(params[key])
            distributions[key] = FloatDistribution(math.log(searched.low), math.log(searched.high))
    return create_trial(value=trial.value, params=params, distributions=distributions)


def _summary(
    options: TuningOptions, results: Sequence[TrialResult], finished: Sequence[TrialResult]
) -> list[str]:
    counts = [
        f"{sum(one.state == state for one in results)} {state}"
        for state in ("finished", "stopped early", "failed")
        if any(one.state == state for one in results)
    ]
    lines = [f"{len(results)} trials: {', '.join(counts)}"]
    if not finished:
        reason = next((one.error for one in results if one.error), "all were stopped early")
        lines.append(f"no trial finished, so there is no best config. The first reason: {reason}")
        return lines
    best = finished[0]
    assert best.value is not None  # as it has finished
    lines.append(f"best: trial {best.number}, validation {options.shown(best.value)}")
    lines += compare_best(options, finished)
    lines.append(
        f"The figure of the best of {len(results)} trials is optimistic, because the images that "
        "measured it also chose it. The test split says how good the model is; it was not used."
    )
    return lines


def compare_best(options: TuningOptions, finished: Sequence[TrialResult]) -> list[str]:
    """Return sentences on whether the best trial differs from the others by more than chance.

    Args:
        finished: the finished trials, the best first.
    """
    if len(finished) < 2:
        return ["Only one trial finished, so there is nothing to compare it with."]
    predictions = [_predictions(one) for one in finished]
    best = predictions[0]
    if best is None:
        return _not_paired()
    paired = [
        (one, other)
        for one, other in zip(finished[1:], predictions[1:], strict=True)
        if other is not None and image_keys(other) == image_keys(best)
    ]
    if not paired or paired[0][0] is not finished[1]:
        return _not_paired()
    first, second = f"trial {finished[0].number}", f"trial {finished[1].number}"
    comparison = compare_models([second, first], [paired[0][1], best])
    if options.minimizes:
        return [_log_loss_sentence(first, second, comparison)]
    sentences = verdict(comparison)
    corrected = holm([accuracy_p(best, other) for _, other in paired])
    alike = [one.number for (one, _), p in zip(paired, corrected, strict=True) if p >= SIGNIFICANT]
    if len(paired) > 1:
        sentences.append(
            f"Of {len(paired)} other finished trials, {len(alike)} are not shown to be worse than "
            f"{first} (exact paired test, corrected by Holm's method)."
        )
    return sentences


def _not_paired() -> list[str]:
    return [
        "Whether the best trial differs from the next by more than chance was not tested: their "
        f"runs are not both in this folder, or their {VALIDATION_FILE} are of other images or of "
        "an older version."
    ]


def _predictions(one: TrialResult) -> Predictions | None:
    if one.run is None:
        return None
    try:
        return read_predictions(one.run / VALIDATION_FILE)
    except DataError:
        return None


def _log_loss_sentence(best: str, second: str, comparison: dict[str, Any]) -> str:
    change = comparison["comparisons"][0]["differences"]["log_loss"]
    limits = change["interval_95"]
    interval = with_interval(change["difference"], limits, signed_decimal)
    if limits and limits[1] < 0 and comparison["groups"] >= FEWEST_DECISIVE:
        return f"{best} is better than {second}: difference in log-loss {interval}."
    return f"{second} and {best}: no difference shown; difference in log-loss {interval}."
