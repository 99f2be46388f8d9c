"""The cache folder, for files that can be created or downloaded again."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_cache_path


def cache_root(configured: Path | None = None) -> Path:
    """Return the root of all caches: the configured folder, or the platform's user cache.

    On Linux that is $XDG_CACHE_HOME/emodetect, or ~/.cache/emodetect if the variable is not set.
    """
    return configured or user_cache_path("emodetect", appauthor=False)
