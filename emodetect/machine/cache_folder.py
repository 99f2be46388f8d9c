"""The cache folder, for files that can be created or downloaded again."""

from __future__ import annotations

from pathlib import Path

from emodetect.errors import EmodetectError


def cache_root(configured: Path | None = None) -> Path:
    """Return the root of all caches: the configured folder, or the platform's user cache.

    On Linux that is $XDG_CACHE_HOME/emodetect, or ~/.cache/emodetect if the variable is not set.
    Raises EmodetectError for a user without a home folder, as services may be.
    """
    if configured is not None:
        return configured
    from platformdirs import user_cache_path

    try:
        return user_cache_path("emodetect", appauthor=False)
    except RuntimeError:
        raise EmodetectError(
            "the cache: this user has no home folder; set XDG_CACHE_HOME to the full path of a "
            "folder that may be written to."
        ) from None
