"""The plots of a study, in the style of all plots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter

from emodetect.config import number_type
from emodetect.number_format import percent
from emodetect.reports.plots.style import (
    GRID,
    INK,
    TRAIN_COLOR,
    VALIDATION_COLOR,
    new_figure,
    short_name,
    styled,
)
from emodetect.tuning.options import TuningOptions
from emodetect.tuning.outcome.trial_result import TrialResult
from emodetect.tuning.search_space import Range, SearchSpace, value_text

COLUMNS = 3
MARGIN = 0.05  # of the range searched, at both ends of its axis


@styled()
def draw_progress(options: TuningOptions, results: Sequence[TrialResult]) -> Figure:
    """Plot the objective of each trial with the best so far, and the curve of each trial."""
    figure = new_figure(9, 4.2)
    trials, curves = figure.subplots(1, 2)
    ordered = sorted((one for one in results if one.value is not None), key=lambda one: one.number)
    finished = [one for one in ordered if one.state == "finished"]
    stopped = [one for one in ordered if one.state != "finished"]
    _points(trials, [one.number for one in finished], finished, "finished")
    _points(trials, [one.number for one in stopped], stopped, "stopped early")
    if finished:
        best = accumulate(_values(finished), min if options.minimizes else max)
        numbers = [one.number for one in finished]
        trials.step(numbers, list(best), where="post", color=VALIDATION_COLOR, label="best so far")
    trials.set_title(f"validation {_name(options)} of each trial")
    trials.set_xlabel("trial")
    for one in results:
        epochs = range(1, len(one.curve) + 1)
        is_best = bool(finished) and one is results[0]
        curves.plot(
            epochs,
            one.curve,
            color=VALIDATION_COLOR if is_best else TRAIN_COLOR,
            alpha=1.0 if is_best else 0.35,
            linewidth=1.8 if is_best else 1.0,
            linestyle="-" if one.state == "finished" else ":",
            marker="o" if len(one.curve) == 1 else None,
            markersize=3,
            zorder=3 if is_best else 2,
            label=f"trial {one.number}, the best" if is_best else None,
        )
    monitored = "loss" if options.minimizes else "accuracy"
    curves.set_title(f"validation {monitored} by epoch")
    curves.set_xlabel("epoch")
    for axes in (trials, curves):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _finish(axes, options)
    figure.legend(loc="outside lower center", ncols=4)
    return figure


@styled()
def draw_values(
    options: TuningOptions,
    space: SearchSpace,
    results: Sequence[TrialResult],
    importances: Mapping[str, float],
) -> Figure:
    """Plot the objective against the values of each key searched.

    Args:
        importances: of keys, 0 to 1, for the titles; may be empty.
    """
    columns = min(COLUMNS, len(space))
    rows = -(-len(space) // columns)
    figure = new_figure(3.4 * columns + 0.6, 3.2 * rows + 0.5)
    panels = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    shown = [one for one in results if one.value is not None]
    for axes, searched in zip(panels, space, strict=False):
        key = searched.key
        some = [one for one in shown if key in one.values]
        values: list[Any] = [one.values[key] for one in some]
        if isinstance(searched, Range):
            _scale(axes, searched)
        else:
            texts = list(searched.values)
            values = [texts.index(value_text(value)) for value in values]
            axes.set_xticks(range(len(texts)), [short_name(text, longest=10) for text in texts])
            axes.set_xlim(-0.5, len(texts) - 0.5)
        for state in ("finished", "stopped early"):
            chosen = [place for place, one in enumerate(some) if one.state == state]
            _points(axes, [values[place] for place in chosen], [some[p] for p in chosen], state)
        section, _, name = key.rpartition(".")
        share = f" (importance {percent(importances[key])})" if key in importances else ""
        axes.set_title(f"{name}{share}", fontsize=10)
        axes.set_xlabel(key if section else "")
        _finish(axes, options)
    for axes in panels[len(space) :]:
        axes.set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    figure.supylabel(f"validation {_name(options)}", fontsize=11)
    return figure


def _scale(axes: Axes, searched: Range) -> None:
    """Let an x-axis span the range that was searched, with labels that do not meet."""
    low, high = searched.low, searched.high
    if not searched.log:
        margin = MARGIN * (high - low)
        axes.set_xlim(low - margin, high + margin)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=number_type(searched.key) is int))
        return
    margin = (high / low) ** MARGIN
    axes.set_xscale("log")
    axes.set_xlim(low / margin, high * margin)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")  # the default's is TeX
    axes.xaxis.set_minor_formatter(NullFormatter())
    if math.floor(math.log10(high)) - math.ceil(math.log10(low)) < 1:  # fewer than two powers of 10
        axes.set_xticks([low, high], [f"{low:g}", f"{high:g}"])


def _points(axes: Axes, places: Sequence[Any], results: Sequence[TrialResult], state: str) -> None:
    hollow = state != "finished"
    axes.scatter(
        places,
        _values(results),
        s=26,
        facecolors="none" if hollow else TRAIN_COLOR,
        edgecolors=INK if hollow else TRAIN_COLOR,
        label=state if results else None,
        zorder=3,
    )


def _finish(axes: Axes, options: TuningOptions) -> None:
    if not options.minimizes:
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes.grid(color=GRID)


def _values(results: Sequence[TrialResult]) -> list[float]:
    return [one.value for one in results if one.value is not None]


def _name(options: TuningOptions) -> str:
    return "log-loss" if options.minimizes else "accuracy"
