"""Matplotlib's settings, for all that is drawn with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_LOCK = threading.RLock()  # Matplotlib's settings are those of all threads


@contextmanager
def own_style(settings: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Draw and save with these settings, and else those that Matplotlib has by default.

    A user's matplotlibrc may turn images upside down, or need LaTeX.
    """
    import matplotlib.style

    with _LOCK, matplotlib.style.context(["default", dict(settings or {})]):
        yield
