"""The functions and results that Python users call: their examples, and what notebooks show."""

from __future__ import annotations

import doctest
import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import LENET, SMALL

import emodetect
from emodetect import ConfigError, DataError, EmodetectError, OptionsError
from emodetect.api.arguments import emotions_of_labels, plain
from emodetect.api.python_words import python_words
from emodetect.config import config_toml, load_config
from emodetect.data.synthetic import draw_dataset, draw_film
from emodetect.emotions import EMOTIONS
from emodetect.recognition.videos.reading.capture import Frame
from emodetect.recognition.videos.recording.video_writer import VideoWriter

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def users_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples speak of: a picture, a video, folders of faces, a config."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "scene.jpg", folder / "docs")
    counts = {"faces": 10, "kept_apart": 4}
    draw_dataset(folder, counts=counts, emotions=EMOTIONS[:7], seed=9, size=64)
    config = load_config(SMALL, [*LENET, f"data.cache_dir={folder / 'cache'}"])
    (folder / "my_config.toml").write_text(config_toml(config))
    with VideoWriter(folder / "talk.mp4", fps=10) as writer:
        scenes = draw_film(["happy"], np.random.default_rng(0), frames=10, width=320, height=200)
        for index, scene in enumerate(scenes):
            writer.write(Frame(index, index / 10, scene.image))
    return folder


def public_examples() -> list[doctest.DocTest]:
    """Return the examples of what `emodetect` exports, training first, as others use its run."""
    found = []
    for name in sorted(emodetect.__all__, key=lambda name: (name != "train", name)):
        value = getattr(emodetect, name)
        if getattr(value, "__module__", "").startswith("emodetect."):
            module = importlib.import_module(value.__module__)
            found += doctest.DocTestFinder(recurse=False).find(value, name, module=module)
    return [test for test in found if test.examples]


def test_the_examples_of_the_docstrings_are_right(
    users_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each function has an example, and it prints what the docstring says."""
    monkeypatch.chdir(users_folder)
    tests = public_examples()
    functions = {"train", "evaluate", "compare", "audit", "export", "analyze_video", "read_image"}
    assert functions | {"EmotionRecognizer", "Result"} <= {test.name for test in tests}
    runner = doctest.DocTestRunner()
    failed = [test.name for test in tests if runner.run(test).failed]
    assert not failed, capsys.readouterr().out


def test_a_training_shows_its_figures_and_curves(users_folder: Path, tmp_path: Path) -> None:
    """Overrides of each form reach the run; what the result says is what the run folder holds."""
    result = emodetect.train(
        users_folder / "my_config.toml",
        users_folder / "faces",
        output=tmp_path / "run",
        training={"epochs": 2},
        data__image_size=32,
        model__width=1.0,
    )
    assert result.config.training.epochs == len(result.history) == 2
    assert result.config.data.image_size == 32
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert result.best_epoch == record["best_epoch"]
    assert result.accuracy == record["validation"]["accuracy"]
    assert result.loss == record["validation"]["loss"]
    assert result.history[result.best_epoch - 1]["val_loss"] == result.loss
    page = result._repr_html_()
    assert f"best epoch {result.best_epoch} of 2" in page
    assert page.count("data:image/png;base64,") == 1
    assert "ndarray" not in repr(result)
    with pytest.raises(ConfigError, match="already finished"):
        emodetect.train(resume=tmp_path / "run")


def test_mistakes_in_a_training_are_told(users_folder: Path) -> None:
    """An unknown key, preset or data set, and arguments that contradict, are one clear error."""
    config = users_folder / "my_config.toml"
    with pytest.raises(ConfigError, match=r"training\.epoch"):
        emodetect.train(config, training__epoch=3)
    with pytest.raises(ConfigError, match="seed"):
        emodetect.train(config, seed={"a": 1})
    with pytest.raises(ConfigError, match="fine_tuning"):
        emodetect.train("fine_tunning")
    with pytest.raises(DataError, match="no such file or folder"):
        emodetect.train(config, "none")
    with pytest.raises(ConfigError, match="omit"):
        emodetect.train(config, resume="runs/mine")
    with pytest.raises(ConfigError, match="omit"):
        emodetect.train(load_config(str(config)), "faces")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("x: already exists; add --force to replace it.", "add force=True to replace it."),
        ("more epochs (--set training.epochs=20)", "(training__epochs=20)"),
        (
            "with --set model.weights=none --set training.head_epochs=0.",
            "model__weights='none' training__head_epochs=0.",
        ),
        ("or --label-name 3=happy; or", "or label_names={'3': 'happy'}; or"),
        ("continue it with --resume runs/mine, or", "with resume='runs/mine', or"),
        ("add --resume to continue it", "add resume to continue it"),
        ("--classes: the data has no images", "emotions: the data has no images"),
        ("Use --split all to use every image.", "Use split='all' to use every image."),
        ("finish it with: emodetect train --resume runs/a", "emodetect train --resume runs/a"),
        ("pip install --upgrade pillow", "pip install --upgrade pillow"),
    ],
)
def test_advice_names_parameters(said: str, expected: str) -> None:
    """Options of the command line become what a Python caller writes; commands stay commands."""
    assert expected in python_words(said)


def test_errors_and_summaries_advise_python_callers(
    artifact: Path, users_folder: Path, tmp_path: Path
) -> None:
    """What a caller is told to add is a parameter of the function that was called."""
    (tmp_path / "a.tflite").touch()
    with pytest.raises(EmodetectError, match="force=True"):
        emodetect.export(artifact, output=tmp_path / "a.tflite")
    with pytest.raises(EmodetectError, match="force=True"):
        emodetect.evaluate(artifact, users_folder / "faces", output=tmp_path)
    for emotion in ("bored", "happy"):
        (tmp_path / "own" / emotion).mkdir(parents=True)
        shutil.copy(next((users_folder / "faces" / "happy").iterdir()), tmp_path / "own" / emotion)
    with pytest.raises(EmodetectError, match=r"own_labels=True.*label_names=\{'bored'") as error:
        emodetect.train(data=tmp_path / "own", output=tmp_path / "run")
    assert "--" not in str(error.value)
    with pytest.raises(EmodetectError, match="cannot draw a test split"):  # "bored" is accepted
        emodetect.train(data=tmp_path / "own", output=tmp_path / "run", own_labels=True)


def test_an_evaluation_has_its_figures_as_attributes(
    artifact: Path, faces: Path, tmp_path: Path
) -> None:
    """They are those of metrics.json; a notebook shows them with the confusion matrix."""
    out = tmp_path / "report"
    options = {"split": "all", "explain": False, "bootstrap": 100, "output": out}
    report = emodetect.evaluate(artifact, faces, **options)
    metrics = json.loads((out / "metrics.json").read_text())
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "images"):
        assert getattr(report, name) == metrics[name]
    assert report.expected_calibration_error == metrics["expected_calibration_error"]
    assert report in [report, None]
    assert len({report}) == 1
    assert report.confusion_matrix.tolist() == metrics["confusion_matrix"]
    assert report.recall == {name: row["recall"] for name, row in metrics["per_class"].items()}
    page = report._repr_html_()
    assert "data:image/png;base64," in page
    assert f"{report.accuracy:.1%}" in page
    with pytest.raises(EmodetectError, match="force=True"):
        emodetect.evaluate(artifact, faces, **options, emotions=None, group=None, config=None)
    with pytest.raises(EmodetectError, match=r"gone\.toml"):
        emodetect.evaluate(artifact, config=tmp_path / "gone.toml")
    assert emodetect.evaluate(artifact, faces, **options, emotions=["happy"], force=True).images < (
        report.images
    )


def test_several_data_sets_give_a_matrix(artifact: Path, faces: Path, tmp_path: Path) -> None:
    """Each model and data set has an accuracy, and a notebook shows the table and the picture."""
    other = tmp_path / "other"
    shutil.copytree(faces, other)
    report = emodetect.evaluate(
        artifact, [faces, other], faces="whole", bootstrap=100, output=tmp_path / "matrix"
    )
    assert len(report.accuracy) == 2
    assert all(0 <= share <= 1 for share in report.accuracy.values())
    page = report._repr_html_()
    assert page.count("<tr>") == 3
    assert "data:image/png;base64," in page


def test_a_comparison_has_its_figures_as_attributes(
    artifact: Path, faces: Path, tmp_path: Path
) -> None:
    """They are those of compare.json; one model alone cannot be compared."""
    other = tmp_path / "other.keras"
    shutil.copy(artifact, other)
    report = emodetect.compare([artifact, other], faces, output=tmp_path / "comparison")
    record = json.loads((tmp_path / "comparison" / "compare.json").read_text())
    assert report.images == record["images"]
    assert list(report.accuracy) == report.models
    assert report.differences == {report.models[1]: 0.0}
    assert report.p_values == {report.models[1]: 1.0}
    assert report.verdict == record["verdict"]
    assert report.verdict[0] in report._repr_html_()
    for models in ([artifact], artifact):
        with pytest.raises(EmodetectError, match="at least 2"):
            emodetect.compare(models, faces)


def test_an_audit_has_its_findings_as_attributes(faces: Path, tmp_path: Path) -> None:
    """They are those of audit.json; a notebook shows them by name."""
    shutil.copy(next((faces / "happy").iterdir()), faces / "sad" / "copy.png")
    report = emodetect.audit(faces, detector="none", output=tmp_path / "audit")
    figures = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert report.images == figures["images"]
    assert report.duplicates == figures["duplicates"]
    assert report.conflicts["groups"] == 1
    assert report.findings["groups of identical images with different labels"] == 1
    assert "groups of identical images with different labels" in report._repr_html_()


def test_an_export_shows_how_it_compares(artifact: Path, tmp_path: Path) -> None:
    """A notebook shows size, time and agreement of the file."""
    exported = emodetect.export(artifact, "tflite", output=tmp_path / "small.tflite")
    assert exported.path.is_file()
    assert exported.comparison.same_emotion == 1.0
    page = exported._repr_html_()
    assert "small.tflite" in page
    assert "100.0%" in page
    with pytest.raises(EmodetectError, match="expected one of"):
        emodetect.export(artifact, "tflit")


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("evaluate", {"model": ["fer2013", "ferplus"]}, "at least one data to be evaluated on"),
        (
            "evaluate",
            {"model": ["fer2013"] * 2, "data": "faces"},
            "model: expected each value once",
        ),
        ("evaluate", {"data": ["faces", "faces"]}, "data: expected each value once"),
        (
            "evaluate",
            {"data": ["faces", "others"], "faces": ["detect"]},
            "expected one value, or 2",
        ),
        ("evaluate", {"model": [], "data": "faces"}, "model: expected at least one model"),
        ("evaluate", {"data": []}, "data: expected at least one data set"),
        ("evaluate", {"model": None}, "expected a name or path, or a sequence of them, got None"),
        ("evaluate", {"data": 3}, "expected a name or path, or a sequence of them, got 3"),
        ("export", {"to": "tflite", "least_agreement": 5}, "least_agreement: expected 0 to 1"),
        ("evaluate", {"faces": "detect"}, "faces requires data"),
        (
            "evaluate",
            {"data": "faces", "bootstrap": 0},
            "bootstrap: expected a whole number of at least 1, got 0",
        ),
        ("evaluate", {"data": "faces", "bootstrap": 10.5}, "whole number of at least 1, got 10.5"),
        ("evaluate", {"data": "faces", "config": "demo"}, "give the data once"),
        ("evaluate", {"data": "faces", "pixel_range": (0, 1)}, "pixel_range requires labels"),
        (
            "evaluate",
            {"model": ["a", "b"], "data": "faces", "robustness": True},
            "robustness works",
        ),
        ("compare", {"models": ["a", "b"], "label_names": {"3": "happy"}}, "requires data"),
        ("compare", {"models": ["a"]}, "expected at least 2"),
        ("compare", {"models": 5}, "a sequence of them, got 5"),
        ("compare", {"models": "a", "data": "b"}, r"list of at least 2, such as \[.*got 'a'"),
        ("audit", {"data": []}, "expected at least one data set"),
        (
            "audit",
            {"data": "faces", "detector": Path("no.onnx"), "output": "new"},
            "no.onnx: no such file",
        ),
        ("audit", {"data": "faces", "unseen": True}, "unseen=True requires model"),
        (
            "export",
            {"model": "fer2013", "to": "tflite", "split": "test"},
            "split requires data",
        ),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(
    name: str,
    arguments: dict[str, Any],
    said: str,
    users_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is silently ignored: Python callers get the errors of the command line."""
    monkeypatch.chdir(users_folder)
    with pytest.raises(EmodetectError, match=said):
        getattr(emodetect, name)(**arguments)


def test_numbers_of_numpy_are_taken() -> None:
    """A sweep over np.arange or np.logspace gives no Python numbers."""
    given = {"epochs": np.int64(3), "rates": (np.float64(0.5), 1), "flip": np.bool_(True)}
    taken = plain(given)
    assert taken == {"epochs": 3, "rates": (0.5, 1), "flip": True}
    assert [type(one) for one in (taken["epochs"], taken["flip"])] == [int, bool]


@pytest.mark.parametrize(
    "call",
    [
        lambda names: emodetect.audit("any", label_names=names),
        lambda names: emodetect.compare(["a", "b"], "any", label_names=names, output="c"),
        lambda names: emodetect.evaluate(data="any", label_names=names, output="c"),
        lambda names: emodetect.export("fer2013", "onnx", data="any", label_names=names),
        lambda names: emodetect.train(data="synthetic:", label_names=names),
    ],
)
def test_names_of_labels_that_are_no_mapping_are_refused(call: Callable[[Any], object]) -> None:
    """In a line, before anything is read; numbers may be its keys."""
    with pytest.raises(OptionsError, match=r"^label_names: expected a mapping, .* got 'happy'"):
        call("happy")
    assert emotions_of_labels({3: "happy"}) == {"3": "happy"}
