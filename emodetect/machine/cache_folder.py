"""Where things are kept that can be made or fetched again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root(configured: Path | None = None) -> Path:
    """Return the folder of all caches: the configured one, else one in the user's cache."""
    if configured is not None:
        return configured
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emodetect"
