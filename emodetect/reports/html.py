"""Self-contained HTML pages: one file, pictures inside, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from emodetect.errors import EmodetectError
from emodetect.machine.atomic_files import write_text


def render_page(template: str, **values: Any) -> str:
    """Return the page that a template of `emodetect/reports/templates` makes of the values.

    Values are escaped, because names of files and labels are anybody's.
    """
    environment = Environment(
        loader=PackageLoader("emodetect.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["picture"] = picture
    return environment.get_template(template).render(**values)


def write_page(template: str, path: Path, **values: Any) -> None:
    """Write the page that `render_page` makes.

    Raises EmodetectError where `path` cannot be written.
    """
    page = render_page(template, **values)
    try:
        # File names that are not UTF-8 hold lone surrogates.
        write_text(path, page, errors="backslashreplace")
    except OSError as error:
        raise EmodetectError(f"{path}: cannot be written: {error.strerror}.") from None


def picture(image: np.ndarray, kind: Literal["png", "jpeg"] = "png") -> str:
    """Return an image as the `src` of an <img>, in a data URI.

    Args:
        image: (height, width), (height, width, 1) or (height, width, 3) uint8, grey or BGR.
        kind: a JPEG is a fifth of the size, for pages of many photos.
    """
    data = cv2.imencode(f".{kind}", image)[1]
    return f"data:image/{kind};base64," + base64.b64encode(data.tobytes()).decode()
