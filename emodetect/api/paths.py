"""Paths and names as Python users give them."""

from __future__ import annotations

import os
from collections.abc import Sequence

AnyPath = str | os.PathLike[str]


def texts(given: AnyPath | Sequence[AnyPath]) -> tuple[str, ...]:
    """Return one or several paths as text."""
    many = [given] if isinstance(given, str | os.PathLike) else given
    return tuple(os.fspath(one) for one in many)
