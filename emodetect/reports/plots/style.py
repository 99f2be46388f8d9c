"""How every plot looks: one place for sizes, letters and colours.

Figures are made without pyplot, which keeps every figure in memory and needs a backend.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from emodetect.emotions import COLORS

INK, GRID, PAPER = "#222222", "#dddddd", "#ffffff"
# Okabe and Ito 2008, as the emotions' own.
TRAIN_COLOR, VALIDATION_COLOR = "#0072b2", "#d55e00"
BAR_COLOR = "#99c7e0"
DPI = 150
# On a page these follow its light or dark theme, whose names templates/base.html has.
THEMED = {
    INK: "currentColor",
    "#000000": "currentColor",
    GRID: "var(--line)",
    PAPER: "var(--paper)",
}
# Letters of a tenth of an inch on figures 5 to 7 inches wide, so that a figure is readable at half
# its size.
SETTINGS: dict[Any, Any] = {
    "font.size": 11,
    "text.parse_math": False,  # a name with $ is no formula
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.8,
    "path.simplify_threshold": 0.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "emodetect",
}


@contextmanager
def styled() -> Iterator[None]:
    """Hold the settings of all plots; decorates what draws one."""
    with matplotlib.rc_context(SETTINGS):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure; sizes in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def emotion_color(emotion: str) -> str:
    """Return the colour in which an emotion stands everywhere, as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*COLORS[emotion])


def save_png(figure: Figure, out: Path) -> None:
    """Write a figure as PNG, on white."""
    figure.savefig(out, dpi=DPI, facecolor=PAPER)


def to_svg(figure: Figure, *, name: str, title: str) -> Markup:
    """Return a figure as an <svg> element that takes its ink and paper from the page around it.

    Args:
        name: of letters, another for each figure of a page: ids begin with it.
        title: what who cannot see it is told.
    """
    file = io.StringIO()
    with styled():
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None  # matplotlib always writes one
    body = text[text.index("<defs>") :]
    # Of the default style, which would be the whole page's, and an editor's notes.
    body = re.sub(r"<style.*?</style>|<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", body)
    body = re.sub(r' d="[^"]*"', _rounded, body)
    for color, themed in THEMED.items():
        body = body.replace(color, themed)
    return Markup(
        f'<svg {box[0]} role="img" aria-label="{escape(title)}" stroke-linejoin="round">{body}'
    )


def _rounded(path: re.Match[str]) -> str:
    """Return a path with coordinates to a tenth of a point, which are half as long."""
    return re.sub(r"(\.\d)\d+", r"\1", re.sub(r"\s+", " ", path[0]))
