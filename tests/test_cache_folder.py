"""The cache folder: which one it is, and how `data cache` clears it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from emodetect.cli import app
from emodetect.config import DataConfig
from emodetect.data.dataset import load_dataset
from emodetect.data.synthetic import draw_dataset
from emodetect.errors import EmodetectError
from emodetect.machine.computer import cache_root


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


def data_cache(*arguments: object) -> str:
    """Run `data cache` and return what it prints."""
    result = CliRunner().invoke(app, ["data", "cache", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_data_cache_removes_pictures_and_nothing_else(tmp_path: Path) -> None:
    """Decoded images go, also half-written ones of killed runs; models and other files stay."""
    faces, cache = tmp_path / "faces", tmp_path / "cache"
    draw_dataset(faces, counts={"train": 8, "test": 4}, emotions=("happy", "sad"), seed=0)
    config = DataConfig(source="folder", path=faces, classes=("happy", "sad"), cache_dir=cache)
    dataset = load_dataset(config, seed=0)
    (cache / "models").mkdir()
    (cache / "models" / "yunet.onnx").write_bytes(b"network")
    (cache / "images-of-my-holiday").mkdir()
    abandoned = cache / ".unfinished" / "tmp0"
    abandoned.mkdir(parents=True)
    (abandoned / "images.bin").write_bytes(b"face")
    (cache / f"images-{'0' * 24}").symlink_to(faces)

    sets = [each for each in cache.glob("images-*") if (each / "images.bin").exists()]
    size = sum(file.stat().st_size for each in sets for file in each.iterdir())
    expected = f"{len(sets)} set{'s' if len(sets) > 1 else ''} of images, {size / 1e3:,.0f} kB"
    assert sets
    assert data_cache("--folder", cache) == f"{cache}: {expected}\n"
    assert data_cache("--folder", cache, "--clear") == f"{cache}: removed {expected}\n"
    assert data_cache("--folder", cache) == f"{cache}: 0 sets of images, 0 bytes\n"

    left = {str(file.relative_to(cache)) for file in cache.rglob("*") if file.is_file()}
    assert left == {"models/yunet.onnx"}
    assert (cache / "images-of-my-holiday").is_dir()
    assert len(list(faces.rglob("*.png"))) == 24  # what the link points to
    # The open data set can still be read, and the next one is decoded anew.
    again = load_dataset(config, seed=0)
    assert (dataset.images[:] == again.images[:]).all()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other cache folders")
def test_data_cache_names_a_cache_it_cannot_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing cache is an empty one; a file in its place is an error in a line."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = tmp_path / "emodetect"
    assert data_cache("--clear") == f"{cache}: removed 0 sets of images, 0 bytes\n"
    cache.write_text("a file")
    result = CliRunner().invoke(app, ["data", "cache"])
    assert isinstance(result.exception, EmodetectError)
    assert str(result.exception) == f"{cache}: cannot read the cache: Not a directory."
