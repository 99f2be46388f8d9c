"""`emodetect models`: the list of what is installed, and the card of a model."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from emodetect.cli import app
from emodetect.errors import ModelError
from emodetect.model_file import shipped_models
from emodetect.model_file.artifact import read_artifact
from emodetect.model_file.shipped_models import DEFAULT_MODEL, model_path
from emodetect.number_format import percent
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.training.initial_model import initial_artifact


def call(*words: object) -> Result:
    """Run `emodetect models` in this process; the user's mistakes are in `exception`."""
    return CliRunner().invoke(app, ["models", *map(str, words)])


@pytest.fixture
def installed(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an installation that carries two models, the second without a card."""
    assets = tmp_path / "assets"
    assets.mkdir()
    for name in ("first", "second"):
        shutil.copy(artifact, assets / f"{name}.keras")
    (assets / "first.md").write_text("# first\n\nKnows three emotions.\n\nMore.\n")
    monkeypatch.setattr(shipped_models, "ASSETS", assets)
    return assets


def card_of(artifact: Path, path: Path, **metadata: object) -> str:
    """Return the card of a copy of a model with some of its metadata replaced."""
    with zipfile.ZipFile(artifact) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "emodetect.json":
                data = json.dumps({**json.loads(data), **metadata}).encode()
            target.writestr(name, data)
    return call("show", path).stdout


def test_the_list_tells_what_is_installed(installed: Path) -> None:
    """The list names each model with its emotions, input, size and the first line of its card."""
    (installed / "second.md").write_text("<!-- made by a script -->\n# second\n\nAlso *this*.\n")
    result = call("--format", "json")
    assert result.exit_code == 0
    first, second = json.loads(result.stdout)
    assert first == {
        "name": "first",
        "default": False,
        "path": str(installed / "first.keras"),
        "emotions": ["happy", "sad", "surprise"],
        "image_size": 32,
        "color": "gray",
        "file_bytes": (installed / "first.keras").stat().st_size,
        "summary": "Knows three emotions.",
    }
    assert (second["name"], second["summary"]) == ("second", "Also *this*.")


def test_the_table_marks_the_default_model() -> None:
    """For people the list is a table, in which the model that is used by itself has a star.

    It fits into 80 columns, with no more than two lines for a model's summary or emotions.
    """
    result = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["models"])
    assert result.exit_code == 0
    assert f"{DEFAULT_MODEL} *" in result.stdout
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 5 + 6 * len(shipped_models.shipped_models())
    assert "48 x 48 gray" in result.stdout
    (model,) = (model for model in json.loads(call("--format", "json").stdout) if model["default"])
    assert model["name"] == DEFAULT_MODEL


def test_show_prints_the_card_of_a_shipped_model(installed: Path) -> None:
    """The card comes out as it was written, without the comments of the script that fills it."""
    card = (installed / "first.md").read_text()
    (installed / "first.md").write_text(f"{card}<!-- begin test -->\n")
    assert call("show", "first").stdout == card


def test_a_model_without_a_card_is_told(installed: Path) -> None:
    """An installation that lost a card says which, in the list and when it is asked for."""
    for words in ((), ("show", "second")):
        error = call(*words).exception
        assert isinstance(error, ModelError)
        assert str(error).startswith(f"second: its card {installed / 'second.md'} is missing")


def test_show_prints_what_a_model_of_ones_own_tells(artifact: Path) -> None:
    """Labels, input, images, validation figures and versions of a trained model are readable."""
    metadata = read_artifact(artifact).metadata
    lines = call("show", artifact).stdout.splitlines()
    assert lines[0] == f"# {metadata.name}"
    assert "- emotions, in output order: happy, sad, surprise" in lines
    assert "- input: 32 x 32 pixels, gray" in lines
    assert "| | happy | sad | surprise |" in lines
    # Of 40 drawn faces for each emotion, few as they are, a fifth is taken for validation.
    assert {"| train | 32 | 32 | 32 |", "| val | 8 | 8 | 8 |", "| test | 10 | 10 | 10 |"} < {*lines}
    assert f"Fingerprint: {metadata.dataset['fingerprint']}" in lines
    assert "## Metrics of the best epoch, without temperature scaling" in lines
    assert f"- validation accuracy: {metadata.metrics['val_accuracy']:.1%}" in lines
    assert f"- keras: {metadata.versions['keras']}" in lines


def test_a_card_cannot_change_the_terminal(artifact: Path, tmp_path: Path) -> None:
    """Line breaks and terminal codes in a stranger's model come out as text."""
    versions = {"keras\n": "\x1b]0;title\x07"}
    path = tmp_path / "m.keras"
    card = card_of(artifact, path, name="evil\x1b[31m\n# name", versions=versions)
    assert card.startswith("# evil\\x1b[31m\\n# name\n")
    assert "\x1b" not in card
    assert "\x07" not in card


def test_the_counts_of_a_card_are_a_table_whatever_their_names(
    artifact: Path, tmp_path: Path
) -> None:
    """Emotions stand in their usual order, and a name with the sign between cells is one cell."""
    lines = card_of(
        artifact,
        tmp_path / "m.keras",
        emotions=["surprise", "a|b", "happy"],
        dataset={"counts": {"c|d": {"surprise": 1, "a|b": 2, "happy": 3000}}},
    ).splitlines()
    assert lines[lines.index("## Images") + 2 :][:3] == [
        r"| | happy | surprise | a\|b |",
        "| --- | --- | --- | --- |",
        r"| c\|d | 3,000 | 1 | 2 |",
    ]


def test_an_unknown_model_is_answered_with_the_nearest(installed: Path) -> None:
    """A misspelt name is one line with the names there are, and the one probably meant."""
    with pytest.raises(ModelError, match=r"frist: .*\(first, second\)\. Did you mean first\?"):
        model_path("frist")
    with pytest.raises(ModelError, match=r"\(first, second\)\.$"):
        model_path("runs/mine/best_model.keras")
    assert isinstance(call("show", "frist").exception, ModelError)


def test_a_format_for_a_card_is_refused() -> None:
    """--format, which is for the list, is not taken and ignored."""
    assert call("--format", "json", "show", DEFAULT_MODEL).exit_code == 2


def test_a_run_folder_stands_for_its_model(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever takes a model takes the folder of its run, from the command line and Python."""
    run = artifact.parent
    monkeypatch.chdir(run.parent)
    assert model_path(run.name).samefile(artifact)
    assert model_path(run) == model_path(str(run)) == artifact
    assert call("show", str(run)).stdout == call("show", str(artifact)).stdout
    assert EmotionRecognizer(run).path == artifact
    assert initial_artifact(str(run)) == artifact


def test_a_file_named_like_a_shipped_model_is_that_file(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With "./" before it, whoever looks it up, and however often."""
    shutil.copy(artifact, tmp_path / DEFAULT_MODEL)
    monkeypatch.chdir(tmp_path)
    path = model_path(f"./{DEFAULT_MODEL}")
    assert model_path(path).samefile(tmp_path / DEFAULT_MODEL)
    assert model_path(DEFAULT_MODEL) != path


def test_a_folder_without_a_model_says_what_it_contains(tmp_path: Path) -> None:
    """A folder of something else is one line that names what is there, models first."""
    for name in (".DS_Store", *(f"{letter}.png" for letter in "abcdef"), "old.keras"):
        (tmp_path / name).touch()
    with pytest.raises(ModelError) as told:
        model_path(tmp_path)
    assert str(told.value) == (
        f"{tmp_path}: expected a run folder with best_model.keras; this folder contains old.keras, "
        "a.png, b.png, c.png, d.png and 2 more."
    )
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="this folder is empty"):
        EmotionRecognizer(tmp_path / "empty")


def test_a_run_that_is_not_finished_says_how_to_finish_it(tmp_path: Path) -> None:
    """Before best_model.keras is there, the line is about training, not about files."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.toml").touch()
    with pytest.raises(ModelError, match=f"emodetect train --resume {tmp_path}"):
        model_path(tmp_path)


def test_a_card_says_which_figures_are_of_training(artifact: Path) -> None:
    """Training and validation figures stand under their own names."""
    lines = call("show", str(artifact)).stdout.splitlines()
    metrics = read_artifact(artifact).metadata.metrics
    assert f"- training accuracy: {percent(metrics['accuracy'])}" in lines
    assert f"- validation accuracy: {percent(metrics['val_accuracy'])}" in lines
    assert not any(line.startswith("- accuracy") for line in lines)
