"""The cache folder: the user's, or the configured one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from emodetect.machine.cache_folder import cache_root


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other cache folders")
@pytest.mark.parametrize(
    ("variable", "expected"),
    [(None, ".cache/emodetect"), ("", ".cache/emodetect"), ("elsewhere", "elsewhere/emodetect")],
)
def test_the_users_cache_follows_xdg(
    variable: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XDG_CACHE_HOME decides, and an empty one counts as unset; a configured folder wins."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if variable is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / variable) if variable else "")
    assert cache_root() == tmp_path / expected
    assert cache_root(tmp_path / "own") == tmp_path / "own"
