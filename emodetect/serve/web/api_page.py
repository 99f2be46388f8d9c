"""The API's description as a page, on which each route can be tried."""

from __future__ import annotations

import json
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from emodetect.serve.web.schemas import STREAM_EXAMPLE


def api_page(api: dict[str, Any]) -> str:
    """Return the HTML of an OpenAPI description whose answers have an example each."""
    environment = Environment(
        loader=PackageLoader("emodetect.serve.web", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["example"] = _example
    return environment.get_template("api.html").render(api=api, stream_example=STREAM_EXAMPLE)


def _example(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2)
