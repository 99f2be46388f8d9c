"""Self-contained HTML pages: one file with its pictures inside that loads nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from emodetect.emotions import hex_colors
from emodetect.machine.atomic_files import write_text
from emodetect.machine.output_folder import writing
from emodetect.notebook import data_uri
from emodetect.number_format import decimal, percent, points, quantity
from emodetect.reports.glossary import MEANINGS

THUMBNAIL_SIDE = 96  # pixels
BLACK = "#000000"
SCRIPT = resources.files("emodetect.reports").joinpath("templates/report.js").read_text("utf-8")


def page_colors(emotions: Sequence[str]) -> dict[str, str]:
    """Return the CSS colour of each emotion; contempt's black would be invisible on a dark page."""
    colors = hex_colors(emotions)
    return {name: "var(--ink)" if color == BLACK else color for name, color in colors.items()}


def render_page(template: str, **values: Any) -> str:
    """Return a template of `emodetect/reports/templates` filled with the values.

    Values are escaped, because file names and labels may contain anything.
    """
    environment = Environment(
        loader=PackageLoader("emodetect.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "picture": picture,
        "percent": percent,
        "points": points,
        "decimal": decimal,
        "quantity": quantity,
    }
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    environment.globals |= {
        "date": f"{datetime.now():%Y-%m-%d %H:%M}",
        "meanings": MEANINGS,
        # A file of this package, without anything from the data.
        "script": Markup(SCRIPT),  # nosec B704
        "script_source": f"'sha256-{digest}'",  # the page allows this script and no other
    }
    return environment.get_template(template).render(**values)


def write_page(template: str, path: Path, **values: Any) -> None:
    """Write the page of `render_page`. Raises EmodetectError if `path` cannot be written."""
    page = render_page(template, **values)
    with writing(path):
        # File names that are not UTF-8 contain lone surrogates.
        write_text(path, page, errors="backslashreplace")


def picture(image: np.ndarray, kind: Literal["png", "jpeg"] = "png") -> str:
    """Return an image as a data URI, for the `src` of an <img>.

    Args:
        image: (height, width), (height, width, 1) or (height, width, 3) uint8, grey or BGR.
        kind: JPEG takes a fifth of the space, for pages with many photos.
    """
    return data_uri(cv2.imencode(f".{kind}", image)[1].tobytes(), kind)


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Return a model input, grey or RGB, as a grey or BGR image of at most 96 pixels a side."""
    pixels = image[:, :, ::-1] if image.shape[2] == 3 else image
    if len(pixels) > THUMBNAIL_SIDE:
        pixels = cv2.resize(
            np.ascontiguousarray(pixels),
            (THUMBNAIL_SIDE, THUMBNAIL_SIDE),
            interpolation=cv2.INTER_AREA,
        )
    return np.ascontiguousarray(pixels)
