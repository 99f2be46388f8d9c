"""Arguments as Python users give them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emodetect.errors import OptionsError

AnyPath = str | os.PathLike[str]


def texts(given: AnyPath | Sequence[AnyPath]) -> tuple[str, ...]:
    """Return one or several names or paths as text. Raises OptionsError for something else."""
    many = [given] if isinstance(given, str | os.PathLike) else given
    try:
        return tuple(os.fspath(one) for one in many)
    except TypeError:
        raise OptionsError(
            f"expected a name or path, or a sequence of them, got {given!r}."
        ) from None


def emotions_of_labels(given: Mapping[Any, str] | None) -> dict[str, str]:
    """Return the emotions of labels by other names. Raises OptionsError for something else."""
    if not isinstance(given, Mapping | None):
        raise OptionsError(
            f'label_names: expected a mapping, such as {{"3": "happy"}}, got {given!r}.'
        )
    return {str(label): emotion for label, emotion in (given or {}).items()}


def plain(value: Any) -> Any:
    """Return NumPy's numbers, also in mappings and sequences, as Python's; all else as it is."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value))
    return value
