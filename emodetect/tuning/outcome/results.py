"""The results of a study: the best config, a table, plots and a summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from optuna import Study
from optuna.trial import FrozenTrial

from emodetect.config import ExperimentConfig, config_toml
from emodetect.machine.atomic_files import write_text
from emodetect.machine.csv_files import csv_text
from emodetect.reports.plots.style import save_png
from emodetect.tuning.options import TuningOptions
from emodetect.tuning.outcome.best_trial import compare_best
from emodetect.tuning.outcome.importance import importances
from emodetect.tuning.outcome.plots import draw_progress, draw_values
from emodetect.tuning.outcome.trial_result import TrialResult, rank, trial_result
from emodetect.tuning.search_space import SearchSpace, trial_config, value_text
from emodetect.tuning.trials import origin


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
        (trial_result(options, space, trial) for trial in trials),
        key=lambda one: rank(options, one),
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
        figures["values.png"] = draw_values(options, space, results, importances(study))
    for name, figure in figures.items():
        save_png(figure, options.output / name)
        files.append(options.output / name)
    return TuningResult(
        trials=tuple(results),
        best_config=best_config,
        files=tuple(files),
        summary=tuple(_summary(options, results, finished)),
    )


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
