"""Plot the emotions in a video over time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from importlib import import_module
from pathlib import Path
from textwrap import wrap

import numpy as np

from emodetect.emotions import hex_colors
from emodetect.errors import VideoError
from emodetect.recognition.drawn_text import boxes_named
from emodetect.recognition.recognizer import Face

# Rows of the plot: the faces seen longest.
MAX_FACES = 6
# Per line of the title.
TITLE_LETTERS = 100
# A face not seen for this long leaves a gap; longer if only every Nth frame is analysed.
GAP_S = 1.0


class Timeline:
    """Collects the scores of each face in a video, and plots them.

    Each face ID has its own row; without tracking, row 1 is the first face of each frame.
    """

    def __init__(self, emotions: Sequence[str]) -> None:
        import_module("matplotlib.figure")  # if it is missing, before a long video is analysed
        self.emotions = tuple(emotions)
        self.times: dict[int, list[float]] = {}
        self.scores: dict[int, list[np.ndarray]] = {}
        self.end_s = 0.0

    def add(self, time_s: float, faces: Sequence[Face]) -> None:
        """Add the faces of a frame."""
        self.end_s = time_s
        for place, face in enumerate(faces, start=1):
            number = place if face.id is None else face.id
            self.times.setdefault(number, []).append(time_s)
            row = np.array([face.scores[emotion] for emotion in self.emotions], np.float32)
            self.scores.setdefault(number, []).append(row)

    def draw(self, path: Path, *, title: str, left_out: Collection[int] = ()) -> None:
        """Plot the probabilities of the faces seen longest as stacked areas, a row per face.

        Args:
            left_out: IDs of faces that get no row.

        Raises VideoError if the file cannot be written.
        """
        from matplotlib.figure import Figure

        longest = sorted(
            set(self.times) - set(left_out), key=lambda number: (-len(self.times[number]), number)
        )
        shown = sorted(longest[:MAX_FACES])
        more, short = len(longest) - len(shown), len(self.times) - len(longest)
        figure = Figure(figsize=(11, 1.2 + 1.7 * max(1, len(shown))), layout="constrained")
        axes = figure.subplots(max(1, len(shown)), 1, sharex=True, squeeze=False)[:, 0]
        colors = list(map(hex_colors(self.emotions).__getitem__, self.emotions))
        for axis, number in zip(axes, shown, strict=False):
            times, scores = _with_gaps(self.times[number], self.scores[number])
            axis.stackplot(times, scores.T, colors=colors, labels=self.emotions, linewidth=0)
            axis.set_ylabel(f"face {number}")
        if not shown:
            text = "no face found" if not self.times else "no face is visible for --min-seconds"
            axes[0].text(0.5, 0.5, text, ha="center", transform=axes[0].transAxes)
        for axis in axes:
            axis.set(ylim=(0, 1), xlim=(0, max(self.end_s, 1e-3)), yticks=(0, 0.5, 1))
        axes[-1].set_xlabel("time (s)")
        # No TeX: a file name can contain dollar signs.
        whole_title = f"{title}: probability of each emotion{_not_shown(more, short)}"
        lines = wrap(whole_title, TITLE_LETTERS, break_on_hyphens=False)
        figure.suptitle("\n".join(lines), parse_math=False)
        if shown:
            figure.legend(
                *axes[0].get_legend_handles_labels(),
                loc="outside lower center",
                ncols=len(self.emotions),
                frameon=False,
            )
        try:
            with boxes_named():
                figure.savefig(path, dpi=110)
        except OSError as error:
            raise VideoError(f"{path}: cannot be written: {error.strerror}.") from None


def _not_shown(more: int, short: int) -> str:
    """Return how many faces have no row: of those seen for less time, and for --min-seconds."""
    reasons = [f"longest visible; {more:,} more not shown"] if more else []
    if short:
        reasons.append(f"{short:,} visible for less than --min-seconds not shown")
    return f" ({'; '.join(reasons)})" if reasons else ""


def _with_gaps(
    times: Sequence[float], scores: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return times and scores, with zeros at both ends of each gap."""
    all_times, all_scores = [times[0]], [scores[0]]
    nothing = np.zeros_like(scores[0])
    gap_s = max(GAP_S, 2.5 * float(np.median(np.diff(times)))) if len(times) > 1 else GAP_S
    for before_s, time_s, row in zip(times, times[1:], scores[1:], strict=False):
        if time_s - before_s > gap_s:
            all_times += [before_s, time_s]
            all_scores += [nothing, nothing]
        all_times.append(time_s)
        all_scores.append(row)
    return np.array(all_times), np.stack(all_scores)
