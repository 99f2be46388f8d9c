"""What a wheel holds, and the demo that a new user runs first."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
from click.testing import CliRunner

from emodetect.cli import app
from emodetect.config import preset_names
from emodetect.data.synthetic import draw_face
from emodetect.emotions import EMOTIONS
from emodetect.errors import EmodetectError
from emodetect.inference.recognizer import EmotionRecognizer
from emodetect.shipped import DEFAULT_MODEL

ROOT = Path(__file__).parent.parent


def test_wheel_holds_presets_models_and_types(tmp_path: Path) -> None:
    """An installed wheel has the presets, the shipped model and the typing marker."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert "emodetect/py.typed" in names
    assert f"emodetect/assets/{DEFAULT_MODEL}.keras" in names
    for preset in preset_names():
        assert f"emodetect/configs/{preset}.toml" in names
    assert not any("test" in name.split("/")[0] for name in names)


def test_demo_trains_a_model_worth_showing(tmp_path: Path) -> None:
    """The demo ends with a model of at least 0.90 on unseen drawn faces, and its pictures."""
    done = subprocess.run(
        [sys.executable, "-m", "emodetect", "demo", "--out", tmp_path / "demo"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    out = tmp_path / "demo"
    assert json.loads((out / "report" / "metrics.json").read_text())["accuracy"] >= 0.90
    for picture in (
        "run/curves.png",
        "run/samples.png",
        "report/confusion_matrix.png",
        "report/roc.png",
        "annotated/scene.png",
    ):
        assert str(out / picture) in done.stdout or picture in ("run/samples.png", "report/roc.png")
        assert cv2.imread(str(out / picture)) is not None
    assert "Traceback" not in done.stderr
    assert "0000 00:00" not in done.stderr  # TensorFlow's start-up messages


def test_shipped_model_is_sound() -> None:
    """The shipped model loads, answers probabilities, and knows FER2013's seven emotions."""
    recognizer = EmotionRecognizer(detector="none")
    assert recognizer.emotions == EMOTIONS[:7]
    rng = np.random.default_rng(0)
    scores = recognizer.classify([draw_face(emotion, rng) for emotion in EMOTIONS])
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert scores.argmax(axis=1)[EMOTIONS.index("happy")] == EMOTIONS.index("happy")


def test_demo_replaces_only_its_own_folder(tmp_path: Path) -> None:
    """A folder that holds anything but an earlier demo is left alone."""
    (tmp_path / "scene.png").write_text("mine")
    (tmp_path / "run").mkdir()
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path)])
    assert isinstance(result.exception, EmodetectError)
    assert (tmp_path / "scene.png").read_text() == "mine"
    assert (tmp_path / "run").is_dir()
