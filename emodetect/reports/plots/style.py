"""The style of all plots: sizes, fonts and colours.

Figures are created without pyplot, which keeps them in memory and needs a backend.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from emodetect.emotions import contrast
from emodetect.machine.atomic_files import atomic_write
from emodetect.recognition.drawn_text import boxes_named
from emodetect.recognition.plot_style import own_style

INK, GRID, PAPER = "#222222", "#dddddd", "#ffffff"
# Okabe and Ito 2008, like the colours of the emotions.
TRAIN_COLOR, VALIDATION_COLOR = "#0072b2", "#d55e00"
BAR_COLOR = "#99c7e0"
DPI, NOTEBOOK_DPI = 150, 70
# On a page, these follow the light or dark theme of templates/base.html.
THEMED = {
    INK: "currentColor",
    "#000000": "currentColor",
    GRID: "var(--line)",
    PAPER: "var(--paper)",
}
# On figures 5 to 7 inches wide, text of this size stays readable at half the scale.
SETTINGS: dict[Any, Any] = {
    "font.size": 11,
    "text.parse_math": False,  # a $ in a name does not start a formula
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
    """Apply the settings of all plots; use as a decorator of functions that draw."""
    with own_style(SETTINGS):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure; sizes in inches."""
    return Figure(figsize=(width, height), layout="constrained")


@styled()
def _save(figure: Figure, file: Any, **how: Any) -> None:
    """Lay the figure out, so that `savefig` does not, and draws it once instead of twice."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)
    figure.savefig(file, **how)


def ink_on(color: Any) -> str:
    """Return the colour of text, dark or white, that contrasts more with a background."""
    return max((INK, PAPER), key=lambda ink: contrast(to_rgb(ink), to_rgb(color)))


def short_name(name: str, *, longest: int = 24) -> str:
    """Return a name that fits into a plot: whole, or cut and ended by "…"."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def save_png(figure: Figure, out: Path) -> None:
    """Write a figure as a PNG on white."""
    with boxes_named(), atomic_write(out) as partial:
        _save(figure, partial, format="png", dpi=DPI, facecolor=PAPER)


def png_of(figure: Figure) -> bytes:
    """Return a figure as a PNG on white, in the size of a notebook."""
    file = io.BytesIO()
    with boxes_named():
        _save(figure, file, format="png", dpi=NOTEBOOK_DPI, facecolor=PAPER)
    return file.getvalue()


def to_svg(figure: Figure, *, name: str, title: str) -> Markup:
    """Return a figure as an <svg> element in the colours of the page's theme.

    Args:
        name: letters only, unique on the page; the prefix of ids.
        title: the description for screen readers.
    """
    file = io.StringIO()
    with warnings.catch_warnings():
        # Of letters that the font lacks: the page has them as text, which the browser draws.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        _save(figure, file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None  # matplotlib always writes it
    body = text[text.index("<defs>") :]
    # The default style would apply to the whole page; the metadata is not needed.
    body = re.sub(r"<style.*?</style>|<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", body)
    body = re.sub(r' d="[^"]*"', _rounded, body)
    for color, themed in THEMED.items():
        body = body.replace(color, themed)
    # Matplotlib escapes the texts in the SVG that it writes.
    return Markup(  # nosec B704
        f'<svg {box[0]} role="img" aria-label="{escape(title)}" stroke-linejoin="round">{body}'
    )


def _rounded(path: re.Match[str]) -> str:
    """Return a path with coordinates rounded to a tenth of a point, to halve its length."""
    return re.sub(r"(\.\d)\d+", r"\1", re.sub(r"\s+", " ", path[0]))
