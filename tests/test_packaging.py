"""What the packages hold, and the demo that a new user runs first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner
from running import run_emodetect

import emodetect
from emodetect.cli import app
from emodetect.config import preset_names
from emodetect.errors import EmodetectError
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


def test_demo_trains_a_model_worth_showing(tmp_path: Path) -> None:
    """The demo ends with a model that is good on unseen drawn faces, but not faultless."""
    done = run_emodetect("demo", "--output", tmp_path / "demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "demo"
    accuracy = json.loads((out / "report" / "metrics.json").read_text())["accuracy"]
    assert 0.8 <= accuracy <= 0.98  # with mistakes for the report to show
    assert "too few epochs" not in done.stdout
    assert "weakest: none" not in done.stdout
    for picture in (
        "run/curves.png",
        "run/samples.png",
        "report/confusion_matrix.png",
        "report/roc.png",
        "report/mistakes.png",
        "annotated/scene.png",
    ):
        assert str(out / picture) in done.stdout or picture in (
            "run/samples.png",
            "report/roc.png",
            "report/mistakes.png",
        )
        assert cv2.imread(str(out / picture)) is not None
    assert "Traceback" not in done.stderr
    assert "0000 00:00" not in done.stderr  # TensorFlow's start-up messages


def test_demo_replaces_only_its_own_folder(tmp_path: Path) -> None:
    """A folder that holds anything but an earlier demo is left alone, also by --force."""
    (tmp_path / "scene.png").write_text("mine")
    (tmp_path / "run").mkdir()
    for words in ([], ["--force"]):
        result = CliRunner().invoke(app, ["demo", "--output", str(tmp_path), *words])
        assert isinstance(result.exception, EmodetectError)
        assert str(tmp_path) in str(result.exception)
    assert (tmp_path / "scene.png").read_text() == "mine"
    assert (tmp_path / "run").is_dir()


def test_an_earlier_demo_is_replaced_only_by_force(tmp_path: Path) -> None:
    """The results of a demo are kept until --force says otherwise."""
    (tmp_path / ".emodetect-demo").touch()
    (tmp_path / "scene.png").write_text("of an earlier demo")
    result = CliRunner().invoke(app, ["demo", "--output", str(tmp_path)])
    assert isinstance(result.exception, EmodetectError)
    assert "--force" in str(result.exception)
    assert (tmp_path / "scene.png").read_text() == "of an earlier demo"
