"""Plot the emotions in a video over time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING
from unicodedata import east_asian_width

import numpy as np

from emodetect.emotions import hex_colors
from emodetect.errors import VideoError
from emodetect.machine.atomic_files import atomic_write
from emodetect.machine.output_folder import writing
from emodetect.recognition.drawn_text import boxes_named
from emodetect.recognition.videos.summary.face_record import FaceRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Rows of the plot: the faces seen longest.
MAX_FACES = 6
# Per line of the title.
TITLE_LETTERS = 100
# Per line of the legend; each name has a patch of colour and a gap.
LEGEND_LETTERS, PATCH_LETTERS = 125, 6
# A face not seen for this long leaves a gap; longer if only every Nth frame is analysed.
GAP_S = 1.0
# Of a face. More could not be told apart, and take megabytes on a page.
MAX_POINTS = 600


def draw_timeline(record: FaceRecord, *, title: str, left_out: Collection[int] = ()) -> Figure:
    """Plot the probabilities of the faces seen longest as stacked areas, a row per face.

    Without tracking, row 1 is the first face of each frame.

    Args:
        title: of the plot, or "" for none.
        left_out: IDs of faces that get no row.
    """
    from matplotlib.figure import Figure

    faces, times_s = record.faces, record.times_s
    longest = sorted(
        set(faces) - set(left_out), key=lambda number: (-len(faces[number].frames), number)
    )
    shown = sorted(longest[:MAX_FACES])
    more, short = len(longest) - len(shown), len(faces) - len(longest)
    columns = _legend_columns(record.emotions)
    legend_rows = -(-len(record.emotions) // columns)
    height = 1.0 + 1.7 * max(1, len(shown)) + 0.2 * legend_rows
    figure = Figure(figsize=(11, height), layout="constrained")
    axes = figure.subplots(max(1, len(shown)), 1, sharex=True, squeeze=False)[:, 0]
    colors = list(map(hex_colors(record.emotions).__getitem__, record.emotions))
    for axis, number in zip(axes, shown, strict=False):
        points_s, scores = _points(times_s[faces[number].frames], faces[number].scores)
        areas = axis.stackplot(points_s, scores.T, colors=colors, linewidth=0)
        axis.set_ylabel(f"face {number}")
    if not shown:
        text = "no face found" if not faces else "no face is visible for --min-seconds"
        axes[0].text(0.5, 0.5, text, ha="center", transform=axes[0].transAxes)
    end_s = float(times_s[-1]) if len(times_s) else 0.0
    for axis in axes:
        axis.set(ylim=(0, 1), xlim=(0, max(end_s, 1e-3)), yticks=(0, 0.5, 1))
    axes[-1].set_xlabel("time (s)")
    if title:
        # No TeX: a file name can contain dollar signs.
        whole_title = f"{title}: probability of each emotion{_not_shown(more, short)}"
        figure.suptitle(
            "\n".join(wrap(whole_title, TITLE_LETTERS, break_on_hyphens=False)), parse_math=False
        )
    if shown:
        legend = figure.legend(
            areas, record.emotions, loc="outside lower center", ncols=columns, frameon=False
        )
        for name in legend.get_texts():  # no TeX, either
            name.set_parse_math(False)
    return figure


def save_timeline(figure: Figure, path: Path) -> None:
    """Write a timeline as a PNG. Raises VideoError if the file cannot be written."""
    with writing(path, VideoError), boxes_named(), atomic_write(path) as partial:
        figure.savefig(partial, format="png", dpi=110)


def _legend_columns(names: Sequence[str]) -> int:
    """Return how many names fit side by side; a wide letter, such as of Chinese, counts twice."""
    longest = max(sum(1 + (east_asian_width(letter) in "WF") for letter in name) for name in names)
    return min(len(names), max(1, LEGEND_LETTERS // (longest + PATCH_LETTERS)))


def _not_shown(more: int, short: int) -> str:
    """Return how many faces have no row: of those seen for less time, and for --min-seconds."""
    reasons = [f"longest visible; {more:,} more not shown"] if more else []
    if short:
        reasons.append(f"{short:,} visible for less than --min-seconds not shown")
    return f" ({'; '.join(reasons)})" if reasons else ""


def _points(times_s: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return at most about MAX_POINTS means of times and scores, with zeros at both ends of gaps.

    Args:
        times_s: (n,), ascending.
        scores: (n, emotions).
    """
    steps_s = np.diff(times_s)
    gap_s = max(GAP_S, 2.5 * float(np.median(steps_s))) if len(steps_s) else GAP_S
    gaps = [0, *(np.flatnonzero(steps_s > gap_s) + 1), len(times_s)]
    at_once = -(-len(times_s) // MAX_POINTS)
    nothing = np.zeros((1, scores.shape[1]))
    all_times: list[np.ndarray] = []
    all_scores: list[np.ndarray] = []
    for first, end in pairwise(gaps):
        starts = np.arange(first, end, at_once)
        counts = np.diff([*starts, end])
        points_s = np.add.reduceat(times_s[:end], starts) / counts
        # So that the areas begin and end with the face.
        points_s[0], points_s[-1] = times_s[first], times_s[end - 1]
        means = np.add.reduceat(scores[:end], starts) / counts[:, np.newaxis]
        if first:
            all_times += [all_times[-1][-1:], points_s[:1]]
            all_scores += [nothing, nothing]
        all_times.append(points_s)
        all_scores.append(means)
    return np.concatenate(all_times), np.concatenate(all_scores)
