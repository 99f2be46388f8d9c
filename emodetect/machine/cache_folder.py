"""The cache folder, for files that can be created or downloaded again."""

from __future__ import annotations

from pathlib import Path


def cache_root(configured: Path | None = None) -> Path:
    """Return the root of all caches: the configured folder, or the platform's user cache.

    On Linux that is $XDG_CACHE_HOME/emodetect, or ~/.cache/emodetect if the variable is not set.
    """
    if configured is not None:
        return configured
    from platformdirs import user_cache_path

    return user_cache_path("emodetect", appauthor=False)
