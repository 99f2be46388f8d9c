"""What the packages hold, and the demo that a new user runs first."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import emodetect
from emodetect.config import preset_names
from emodetect.model_file.shipped_models import shipped_models

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of this tree."""
    folder = tmp_path_factory.mktemp("dist")
    _build(ROOT, folder, "--wheel", "--sdist")
    return folder


def _build(source: Path, folder: Path, *kinds: str) -> None:
    command = [sys.executable, "-m", "build", "--no-isolation", *kinds, "--outdir", folder, source]
    subprocess.run(command, check=True, capture_output=True)


def test_wheel_holds_presets_models_and_types(packages: Path) -> None:
    """An installed wheel has the presets, the shipped models, their cards, the typing marker."""
    (wheel,) = packages.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"emodetect/py.typed", "emodetect/reports/templates/evaluation.html"} <= names
    for model in shipped_models():
        assert {f"emodetect/assets/{model}.keras", f"emodetect/assets/{model}.md"} <= names
    assert {f"emodetect/serve/web/{name}" for name in ("index.html", "app.css", "app.js")} <= names
    for preset in preset_names():
        assert f"emodetect/configs/{preset}.toml" in names
    assert "emodetect/serve/web/responsible_use.md" in names
    assert not any("test" in name.split("/")[0] for name in names)


def test_the_wheel_is_built_from_what_docker_copies(packages: Path, tmp_path: Path) -> None:
    """The image's build sees only what .dockerignore lets through."""
    for line in (ROOT / ".dockerignore").read_text().splitlines()[1:]:
        source, copy = ROOT / line[1:], tmp_path / "context" / line[1:]
        copy.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy)
    _build(tmp_path / "context", tmp_path / "dist", "--wheel")
    (wheel,), (built,) = packages.glob("*.whl"), (tmp_path / "dist").glob("*.whl")
    assert zipfile.ZipFile(built).namelist() == zipfile.ZipFile(wheel).namelist()


def test_the_sdist_builds_the_same_wheel(packages: Path, tmp_path: Path) -> None:
    """A distributor who builds from the sdist gets, byte for byte, the wheel that is published."""
    (sdist,) = packages.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    _build(source, tmp_path / "dist", "--wheel")
    (wheel,), (rebuilt,) = packages.glob("*.whl"), (tmp_path / "dist").glob("*.whl")
    assert rebuilt.read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize(
    ("tool", "pattern"),
    [
        (("twine", "check", "--strict"), "*"),
        (("check_wheel_contents",), "*.whl"),
        (("validate_pyproject",), None),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_the_package_index_would_take_the_packages(
    packages: Path, tool: tuple[str, ...], pattern: str | None
) -> None:
    """The tools that packagers use find nothing to complain about."""
    files = sorted(packages.glob(pattern)) if pattern else [ROOT / "pyproject.toml"]
    done = subprocess.run(
        [sys.executable, "-m", *tool, *files], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_citation_names_this_version() -> None:
    """Who cites emodetect cites the version that was installed."""
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert f"version: {emodetect.__version__}" in lines


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell: str) -> None:
    """The completion of a shell, as docs/use.md turns it on, offers commands and options."""
    script = _completion(f"{shell}_source")
    assert "_EMODETECT_COMPLETE" in script
    # Fish passes the unfinished word, the others its number.
    word = "ev" if shell == "fish" else "1"
    assert "evaluate" in _completion(f"{shell}_complete", words="emodetect ev", word=word)
    word = "--no-tr" if shell == "fish" else "2"
    offered = _completion(f"{shell}_complete", words="emodetect video --no-tr", word=word)
    assert "--no-tracking" in offered


def _completion(step: str, *, words: str = "", word: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from emodetect.cli import app; app(prog_name='emodetect')"],
        env={**os.environ, "_EMODETECT_COMPLETE": step, "COMP_WORDS": words, "COMP_CWORD": word},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    return done.stdout
