"""Arguments as Python users give them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

AnyPath = str | os.PathLike[str]


def texts(given: AnyPath | Sequence[AnyPath]) -> tuple[str, ...]:
    """Return one or several paths as text."""
    many = [given] if isinstance(given, str | os.PathLike) else given
    return tuple(os.fspath(one) for one in many)


def plain(value: Any) -> Any:
    """Return NumPy's numbers, also in mappings and sequences, as Python's; all else as it is."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value))
    return value
