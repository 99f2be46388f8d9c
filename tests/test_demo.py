"""The demo: what a newcomer runs first, from drawn faces to a report that has something to show."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner
from running import run_emodetect

from emodetect.cli import app
from emodetect.errors import EmodetectError


@pytest.mark.nightly
def test_demo_trains_a_model_worth_showing(tmp_path: Path) -> None:
    """The demo ends with a model that is good on unseen drawn faces, but not faultless."""
    done = run_emodetect("demo", "--output", tmp_path / "demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "demo"
    accuracy = json.loads((out / "report" / "metrics.json").read_text())["accuracy"]
    assert 0.8 <= accuracy <= 0.98  # with mistakes for the report to show
    assert "Worst mistakes" in (out / "report" / "report.html").read_text(encoding="utf-8")
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
