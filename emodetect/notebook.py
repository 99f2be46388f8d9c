"""The HTML that results show in a notebook: headings, tables, lines and pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape


def heading(text: str) -> str:
    """Return a bold line."""
    return f"<p><b>{escape(text)}</b></p>"


def lines(texts: Iterable[str]) -> str:
    """Return a paragraph with a line for each text that is not empty."""
    return f"<p>{'<br>'.join(map(escape, filter(None, texts)))}</p>"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; notebooks style it as they do data frames."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(value)}</td>' for value in row)}</tr>" for row in rows
    )
    return f'<table class="dataframe"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def data_uri(data: bytes, kind: str) -> str:
    """Return a picture for the `src` of an <img>; `kind` is its format, such as "png" or "jpeg"."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def picture(data: bytes, *, kind: str = "png", alt: str = "") -> str:
    """Return a picture that is part of the page.

    Args:
        data: a file of the format `kind`, such as "png" or "jpeg".
    """
    return f'<img src="{data_uri(data, kind)}" alt="{escape(alt)}" style="max-width: 100%">'
