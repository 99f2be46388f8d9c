"""Labels of the user's own, from the folders to every output."""

from __future__ import annotations

import csv
import json
import re
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from matplotlib.figure import Figure
from serving import serving
from small import LENET, SMALL

from emodetect.auditing.audit import AuditOptions
from emodetect.cli import app
from emodetect.cli.options.source import label_names
from emodetect.config import DataConfig, load_config, validate_data
from emodetect.data.dataset import load_dataset, load_for_evaluation
from emodetect.data.named_data import NamedData, find_data
from emodetect.data.synthetic import draw_face, draw_scene
from emodetect.emotions import EMOTIONS, hex_colors, luminance
from emodetect.errors import ConfigError, DataError, ModelError
from emodetect.evaluation.classify import labels_among
from emodetect.evaluation.labelled_images.labelled_data import load_source, shared_label_names
from emodetect.exporting.export import ExportOptions, export_model
from emodetect.faces.boxes import Box
from emodetect.model_file.artifact import read_artifact
from emodetect.model_file.metadata import Metadata, parse_metadata
from emodetect.recognition.drawn_text import put_text, text_size, warn_of_boxes
from emodetect.recognition.face import Face
from emodetect.recognition.overlay import correction_keys, draw_faces, draw_panel
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.reports.audit_report import audit_to_folder
from emodetect.reports.plots.style import save_png
from emodetect.serve.app import create_app

# An emotion, words, and what a file, a page, a table or a plot could trip over.
ODD = 'müde, $x$ |"sehr" <img src=x>'
LABELS = {"happy": "happy", "bored": "neutral", ODD: "sad"}
NAMES = ("happy", "bored", ODD)


def draw(folder: Path, labels: dict[str, str], count: int = 12) -> Path:
    """Write class folders of drawn faces."""
    rng = np.random.default_rng(0)
    for label, emotion in labels.items():
        (folder / label).mkdir(parents=True)
        for number in range(count):
            encoded: Any = cv2.imencode(".png", draw_face(emotion, rng, size=32))[1]
            (folder / label / f"{number}.png").write_bytes(encoded.tobytes())
    return folder


def run(*words: object) -> Result:
    """Run the command line."""
    return CliRunner().invoke(app, list(map(str, words)))


def own(folder: Path, **others: Any) -> DataConfig:
    """Return the config of a folder of labels of one's own."""
    return validate_data({"path": str(folder), "labels": "own", **others}, origin="test")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of an emotion and of two labels that are none."""
    return draw(tmp_path_factory.mktemp("own") / "faces", LABELS)


@pytest.fixture(scope="module")
def model(
    data: Path, small_overrides: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A model of these labels."""
    from emodetect.training.train import train

    output = tmp_path_factory.mktemp("runs") / "mine"
    drawn = ("data.classes", "data.synthetic")
    kept = [line for line in small_overrides if not line.startswith(drawn)]
    overrides = [*kept, *LENET, "data.labels=own", f"output={output}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(output.parent / "cache"))
        yield train(load_config(SMALL, overrides, data=f"folder:{data}")).artifact


@pytest.fixture
def recognizer(model: Path) -> EmotionRecognizer:
    """The model, open."""
    return EmotionRecognizer(model, detector="none")


# Reading


def test_the_error_says_how_to_use_labels_of_ones_own(tmp_path: Path) -> None:
    """bored/ and yawning/ are refused with the option that takes them, which then does."""
    faces = draw(tmp_path / "faces", {"bored": "sad", "yawning": "surprise"})
    refused = run("train", "--dry-run", "--data", faces)
    assert "faces/bored: expected an emotion" in str(refused.exception)
    assert "'yawning'" in str(refused.exception)
    assert "add --own-labels" in str(refused.exception)
    assert '"happy"' not in str(refused.exception)
    for option in (("--own-labels",), ("--set", "data.labels=own")):
        done = run("train", "--dry-run", "--data", faces, *option)
        assert "2 emotions: bored, yawning" in done.output


def test_all_unknown_labels_are_named_at_once(tmp_path: Path) -> None:
    """Folders, and labels of a manifest, are named together, so that one look fixes them."""
    draw(tmp_path / "faces", {"bored": "sad", "happy": "happy", "so so": "surprise"}, 1)
    rows = [f"faces/{name}/0.png,{name}" for name in ("bored", "happy", "so so")]
    (tmp_path / "list.csv").write_text("path,label\n" + "\n".join(rows))
    for data in ("faces", "list.csv"):
        error = str(run("data", "show", tmp_path / data).exception)
        assert "'bored'" in error
        assert "'so so'" in error
        assert "'happy'." not in error
        assert "--label-name bored=EMOTION" in error


@pytest.fixture
def renamed(tmp_path: Path) -> Path:
    """Class folders of drawn faces whose names are no emotions."""
    return draw(tmp_path / "faces", {"a": "happy", "b": "sad"}, 12)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("sad=angry", "sad=fear"), "sad is given twice, as angry and as fear"),
        (("sad=",), "expected LABEL=EMOTION such as 3=happy, got sad="),
        (("=sad",), "expected LABEL=EMOTION such as 3=happy, got =sad"),
    ],
)
def test_label_names_that_contradict_are_refused(names: tuple[str, ...], words: str) -> None:
    """No value is dropped in silence; the same value twice does no harm."""
    with pytest.raises(click.BadParameter, match=re.escape(words)):
        label_names(names)
    assert label_names(("sad=angry", "sad=angry")) == {"sad": "angry"}


LABEL_NAMES = ("--label-name", "a=happy", "--label-name", "b=sad")


@pytest.mark.parametrize(
    "words",
    [
        "train --dry-run --data {}",
        "data show {} --output sheet.png",
        "evaluate --no-explain --bootstrap 100 --output report --data {}",
        "compare --output compared fer2013 ferplus --data {}",
        "export --to onnx --output model.onnx --data {}",
    ],
)
def test_every_command_that_reads_labels_takes_their_names(
    words: str, renamed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--label-name says what a folder means, wherever labelled images are read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    result = run(*(renamed if word == "{}" else word for word in words.split()), *LABEL_NAMES)
    assert result.exit_code == 0, result.exception or result.output


def test_what_a_run_calls_labels_holds_for_the_models_it_is_compared_with(
    renamed: Path, artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The label names of one model's training data are known to the other, unless they disagree."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = NamedData("folder", str(renamed))
    names = {"a": "happy", "b": "sad"}
    knowing = Metadata(
        name="knowing",
        emotions=("happy", "sad"),
        image_size=32,
        color="gray",
        config={"data": {"label_names": names}},
    )
    other = replace(knowing, name="other", config={"data": {"label_names": {"b": "angry"}}})
    plain = read_artifact(artifact).metadata
    assert shared_label_names(source, [knowing, plain], {}) == names
    assert shared_label_names(source, [knowing, other], {}) == {"a": "happy"}
    assert shared_label_names(source, [knowing, other], {"b": "fear"}) == {
        "a": "happy",
        "b": "fear",
    }
    numbers = {"0": "happy", "1": "sad"}
    known = [replace(knowing, config={"data": {"label_names": numbers}}) for _ in range(2)]
    assert shared_label_names(source, known, {}) == numbers
    assert shared_label_names(source, [known[0], plain], {}) == {}  # which may mean other ones
    assert shared_label_names(NamedData("synthetic", ""), [knowing, plain], {}) == {}


def test_letters_that_pictures_cannot_show_are_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of labels that the font lacks, one line names the letters, for pictures and for plots."""
    monkeypatch.setattr("emodetect.recognition.drawn_text._named", set())
    warn_of_boxes(["müde", "happy"])
    assert caplog.messages == []
    warn_of_boxes(["困惑", "müde"])
    warn_of_boxes(["困"])
    (line,) = caplog.messages
    assert "困 惑" in line
    assert "ü" not in line
    figure = Figure()
    figure.suptitle("困惑 ก")
    save_png(figure, tmp_path / "plot.png")
    save_png(figure, tmp_path / "plot.png")
    assert len(caplog.messages) == 2
    assert "ก" in caplog.messages[1]
    assert "困" not in caplog.messages[1]


def test_classes_and_label_names_may_be_ones_own(tmp_path: Path) -> None:
    """data.classes chooses among them in its order, and data.label_names renames them."""
    faces = draw(tmp_path / "faces", {"bored": "sad", "Happy": "happy", "tired": "neutral"}, 2)
    config = own(faces, classes=["sleepy", "happy"], label_names={"tired": "sleepy"})
    dataset = load_for_evaluation(config)
    assert dataset.emotions == ("sleepy", "happy")
    assert len(dataset.labels) == 4
    with pytest.raises(ConfigError, match=r"--own-labels"):
        validate_data({"path": "x", "classes": ["bored", "happy"]}, origin="test")


def test_a_label_name_fits_the_folder_however_it_is_encoded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Archives of a Mac spell an umlaut as two characters, keyboards as one."""
    folder = unicodedata.normalize("NFD", "Ärger")
    faces = draw(tmp_path / "faces", {folder: "angry", "happy": "happy"}, 2)
    config = DataConfig(path=faces, label_names={"Ärger": "angry"}, cache_dir=tmp_path / "cache")
    with caplog.at_level("INFO", logger="emodetect"):
        assert load_for_evaluation(config).emotions == ("angry", "happy")
    assert not [line for line in caplog.messages if "no label is called" in line]


def test_a_label_name_that_matches_nothing_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Folder names are taken as they are written, so "tired" does not rename "Tired"."""
    faces = draw(tmp_path / "faces", {"bored": "sad", "Tired": "neutral"}, 2)
    with caplog.at_level("INFO", logger="emodetect"):
        dataset = load_for_evaluation(own(faces, label_names={"tired": "sleepy", "bored": "idle"}))
    assert dataset.emotions == ("Tired", "idle")
    assert f"{faces}: no label is called 'tired'" in caplog.messages
    assert "labels: bored is idle" in caplog.messages


def test_a_misspelt_emotion_is_asked_about_and_can_be_kept(tmp_path: Path) -> None:
    """The error says how to keep the name on purpose, and that works."""
    faces = draw(tmp_path / "faces", {"hapy": "happy", "bored": "sad"}, 2)
    with pytest.raises(DataError, match="'hapy' looks like a misspelt 'happy'") as refused:
        load_for_evaluation(own(faces))
    assert 'data.label_names = {"hapy" = "hapy"}' in str(refused.value)
    kept = load_for_evaluation(own(faces, label_names={"hapy": "hapy"}))
    assert kept.emotions == ("bored", "hapy")
    assert load_for_evaluation(own(faces, label_names={"hapy": "happy"})).emotions == (
        "happy",
        "bored",
    )


def test_labels_that_differ_in_case_are_asked_about(tmp_path: Path) -> None:
    """train/Bored and test/bored are hardly two classes."""
    draw(tmp_path / "train", {"Bored": "sad", "tired": "neutral"}, 2)
    draw(tmp_path / "test", {"bored": "sad", "tired": "neutral"}, 2)
    with pytest.raises(DataError, match="'Bored' and 'bored' differ only in case"):
        load_for_evaluation(own(tmp_path))
    joined = load_for_evaluation(own(tmp_path, label_names={"Bored": "bored"}))
    assert joined.emotions == ("bored", "tired")


def test_class_folders_are_found_below_others(tmp_path: Path) -> None:
    """A download may nest them, split them, and hold folders without images."""
    for split in ("train", "val"):
        draw(tmp_path / "archive" / split, {"bored": "sad", "tired": "neutral"}, 2)
    (tmp_path / "archive" / "train" / "code").mkdir()
    dataset = load_for_evaluation(own(tmp_path))
    assert dataset.emotions == ("bored", "tired")
    assert sorted(set(dataset.splits.tolist())) == ["train", "val"]
    assert find_data(tmp_path, option="--data").source == "folder"


def test_a_manifest_may_weigh_labels_of_ones_own(tmp_path: Path) -> None:
    """With data.classes, columns of weights are soft labels as those of emotions are."""
    draw(tmp_path, {"bored": "sad", "tired": "neutral"}, 10)
    rows = [f"{name}/{n}.png,{name},3,1" for name in ("bored", "tired") for n in range(10)]
    (tmp_path / "list.csv").write_text("path,label,tired,bored\n" + "\n".join(rows))
    values = {"source": "manifest", "soft_labels": True, "classes": ["bored", "tired"]}
    dataset = load_dataset(own(tmp_path / "list.csv", **values), seed=0)
    np.testing.assert_allclose(dataset.targets[0], [0.25, 0.75])
    with pytest.raises(ConfigError, match=r"list in data\.classes which columns"):
        own(tmp_path / "list.csv", **{**values, "classes": None})


def test_sources_with_fixed_labels_have_no_others() -> None:
    """RAF-DB's numbers mean emotions, whatever a config says."""
    with pytest.raises(ConfigError, match="labels: only for the source folder or manifest"):
        own(Path("x"), source="raf_db")


def test_other_layouts_and_manifests_keep_the_labels(data: Path, tmp_path: Path) -> None:
    """Split and converted, the data has the same labels; fer2013.csv cannot hold them."""
    words = (("split", data, "--output", tmp_path / "a.csv"),)
    words += tuple(("convert", data, tmp_path / to, "--to", to) for to in ("folder", "tfrecord"))
    for command in words:
        refused = run("data", *command)
        assert "--own-labels" in str(refused.exception)
        assert run("data", *command, "--own-labels").exit_code == 0
    for source, path in (("manifest", "a.csv"), ("folder", "folder"), ("tfrecord", "tfrecord")):
        dataset = load_for_evaluation(own(tmp_path / path, source=source))
        assert dataset.emotions == NAMES
    refused = run("data", "convert", data, tmp_path / "f.csv", "--to", "fer2013_csv")
    assert isinstance(refused.exception, DataError)


# The model and its figures


def test_a_model_has_the_labels_of_its_data(model: Path) -> None:
    """Emotions first, others by name; the card shows them in Markdown that stays a table."""
    assert read_artifact(model).metadata.emotions == NAMES
    card = run("models", "show", model).output
    assert f"| | happy | bored | {ODD.replace('|', chr(92) + '|')} |" in card


def test_metadata_with_unsafe_labels_is_refused(model: Path) -> None:
    """A model file cannot make predict write outside the folder that the user names."""
    with zipfile.ZipFile(model) as archive:
        content = json.loads(archive.read("emodetect.json"))
    parse_metadata(content)
    for emotions in (["happy", "../../x"], ["happy", "=1+1"], ["happy", "happy"], ["happy"]):
        with pytest.raises(ValueError, match="different emotions or labels"):
            parse_metadata({**content, "emotions": emotions})


def test_evaluation_reports_labels_of_ones_own(model: Path, data: Path, tmp_path: Path) -> None:
    """A path alone is enough; every file has the labels as they are, the page escaped."""
    out = tmp_path / "report"
    words = ("evaluate", "--model", model, "--data", data, "--split", "all", "--no-explain")
    done = run(*words, "--output", out)
    assert done.exit_code == 0, done.exception
    metrics = json.loads((out / "metrics.json").read_text("utf-8"))
    assert list(metrics["per_class"]) == list(NAMES)
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file))[5:] == list(NAMES)
    page = (out / "report.html").read_text("utf-8")
    assert "<img src=x>" not in page
    assert all(color in page for color in hex_colors(NAMES).values())
    chosen = run(*words, "--classes", f'bored,"{ODD.replace(chr(34), chr(34) * 2)}"', "--force")
    assert chosen.exit_code == 0, chosen.exception
    assert "emotion outside --classes" in chosen.output
    compared = run("compare", out, out, "--output", tmp_path / "compared")
    assert compared.exit_code == 0, compared.exception


def test_another_vocabulary_is_one_clear_line(model: Path, artifact: Path, data: Path) -> None:
    """A model and data of other labels: the error names both, and says how to leave them out."""
    refused = run("evaluate", "--model", artifact, "--data", data, "--split", "all")
    message = str(refused.exception)
    assert isinstance(refused.exception, DataError)
    assert f"not trained on: bored, {ODD}." in message
    assert "trained on happy, sad, surprise" in message
    assert "\n" not in message
    compared = run("compare", model, artifact, "--data", data)
    assert "not trained on: bored" in str(compared.exception)


def test_an_unknown_label_leaves_the_others_as_they_are(artifact: Path, tmp_path: Path) -> None:
    """Beside a folder that no emotion is named after, the others are still known by any name."""
    folders = {"Anger": "angry", "1_happiness": "happy", "SAD faces": "sad", "Other": "neutral"}
    folder = draw(tmp_path / "faces", folders, count=2)
    dataset = load_source(NamedData("folder", str(folder)), read_artifact(artifact).metadata)
    assert dataset.emotions == ("angry", "happy", "sad", "Other")
    (folder / "Hapy").mkdir()
    for file in (folder / "Other").iterdir():
        file.rename(folder / "Hapy" / file.name)
    with pytest.raises(DataError, match="misspelt 'happy'"):
        load_source(NamedData("folder", str(folder)), read_artifact(artifact).metadata)


def test_a_matrix_leaves_out_what_a_model_does_not_know(
    model: Path, artifact: Path, data: Path, tmp_path: Path
) -> None:
    """Models of two vocabularies are each evaluated on the labels that they have."""
    done = run(
        *("evaluate", "--model", model, "--model", artifact, "--data", data, "--split", "all"),
        *("--output", tmp_path / "matrix"),
    )
    assert done.exit_code == 0, done.exception
    assert "excluded 12: the model was not trained on bored" in done.output


def test_an_audit_takes_labels_of_ones_own(data: Path, tmp_path: Path) -> None:
    """The page counts them, in their colours."""
    options = AuditOptions(sources=(f"folder:{data}",), detector="none", own_labels=True)
    figures = audit_to_folder(options, tmp_path / "audit").figures
    assert figures["classes"]["no split"] == dict.fromkeys(NAMES, 12)
    page = (tmp_path / "audit" / "audit.html").read_text("utf-8")
    assert "<img src=x>" not in page
    assert all(color in page for color in hex_colors(NAMES).values())


# Using the model


def test_predict_writes_labels_as_they_are(model: Path, data: Path, tmp_path: Path) -> None:
    """As columns, as keys, and as folders of crops."""
    photo = next((data / "bored").iterdir())
    words = ("predict", photo, "--model", model, "--detector", "none")
    rows = list(csv.DictReader(run(*words, "--format", "csv").stdout.splitlines()))
    assert [name for name in rows[0] if name in NAMES] == list(NAMES)
    (record,) = json.loads(run(*words, "--format", "json").stdout)
    assert list(record["faces"][0]["scores"]) == list(NAMES)
    assert run(*words, "--save-crops", tmp_path / "crops").exit_code == 0
    assert {path.name for path in (tmp_path / "crops").iterdir()} <= {*NAMES}


def test_an_overlay_has_the_colour_of_the_label() -> None:
    """Box and bar of a label have its colour; long and foreign names are drawn, not refused."""
    scores = dict(zip(NAMES, (0.1, 0.2, 0.7), strict=True))
    face = Face((100, 150, 80, 80), ODD, 0.7, scores, 1)
    drawn = draw_faces(np.zeros((300, 400, 3), np.uint8), [face])
    assert "#" + bytes(drawn[230, 140][::-1]).hex() == hex_colors(NAMES)[ODD]
    panel = np.full((300, 400, 3), 90, np.uint8)
    draw_panel(panel, face)
    colors = {"#" + bytes(pixel[::-1]).hex() for pixel in panel.reshape(-1, 3)}
    assert {*hex_colors(NAMES).values()} <= colors


def test_labels_hide_neither_each_other_nor_faces() -> None:
    """Each is beside its box where there is room; with small faces, text is small too."""
    scores = {"happy": 1.0}

    def drawn(*boxes: Box) -> np.ndarray:
        faces = [Face(box, "happy", 1.0, scores) for box in boxes]
        return draw_faces(np.zeros((900, 900, 3), np.uint8), faces)

    upper, lower = (300, 300, 100, 100), (300, 401, 100, 100)
    both, alone = drawn(upper, lower), drawn(upper)
    assert np.array_equal(both[300:400, 300:400], alone[300:400, 300:400])  # its face is free
    assert both[502:520, 300:400].any()  # the lower label is below
    beside = drawn(upper, (340, 301, 100, 100))
    labels = (beside == beside[299, 301]).all(axis=2)
    assert labels[280:300].any()
    assert labels[402:420].any()
    small, large = (
        np.count_nonzero(drawn((300, 300, side, side)).any(axis=2)) for side in (40, 200)
    )
    assert small < large / 3


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_labels_can_be_read_on_their_colour(emotion: str) -> None:
    """The contrast of the text is that of WCAG's level AA, 4.5, or more."""
    face = Face((100, 150, 80, 80), emotion, 1.0, dict.fromkeys(EMOTIONS, 1.0))
    drawn = draw_faces(np.zeros((300, 400, 3), np.uint8), [face])
    strip = drawn[135:148, 102:200].reshape(-1, 3) / 255
    dark, light = (extreme([luminance(*pixel[::-1]) for pixel in strip]) for extreme in (min, max))
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_letters_beyond_ascii_are_drawn() -> None:
    """OpenCV draws ü as two question marks; a font draws it, also half outside the image."""

    def drawn(text: str, place: tuple[int, int] = (5, 30)) -> np.ndarray:
        image = np.zeros((40, 200, 3), np.uint8)
        put_text(image, text, place, 0.8, (0, 255, 0), 1)
        return image

    assert (drawn("müde") != drawn("m??de")).any()
    assert drawn("müde")[:, :, 1].max() > 200
    assert drawn("müde", (-20, 8)).any()
    assert text_size("müde", 0.8, 1)[0][0] < text_size("m??de" * 2, 0.8, 1)[0][0]


def test_a_video_is_drawn_and_logged(model: Path, tmp_path: Path) -> None:
    """Log and timeline have the labels."""
    image = draw_scene(["happy"], np.random.default_rng(0), width=320, height=240).image
    writer = cv2.VideoWriter(
        str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 240)
    )
    for _ in range(4):
        writer.write(image)
    writer.release()
    log, plot = tmp_path / "log.csv", tmp_path / "plot.png"
    words = ("video", tmp_path / "a.avi", "--model", model, "--log", log, "--timeline", plot)
    done = run(*words)
    assert done.exit_code == 0, done.exception
    with log.open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file))[-3:] == list(NAMES)
    assert plot.is_file()


def test_corrections_are_the_labels_of_the_model() -> None:
    """Keys save corrections of a model's own labels; for emotions, of all eight."""
    assert correction_keys(NAMES) == {"1": "happy", "2": "bored", "3": ODD}
    assert correction_keys(("happy", "sad"))["8"] == "contempt"
    assert len(correction_keys([f"label {number}" for number in range(20)])) == 9


def test_an_export_carries_the_labels(model: Path, tmp_path: Path) -> None:
    """labels.txt in the file has a line for each."""
    options = ExportOptions(format="tflite", output=tmp_path / "a.tflite")
    path = export_model(model, options).path
    with zipfile.ZipFile(path) as archive:
        assert archive.read("labels.txt").decode().splitlines() == list(NAMES)


def test_openvino_finds_a_label_for_each_output(model: Path, tmp_path: Path) -> None:
    """Its tools split the labels at spaces, so that those in a label are written as _."""
    path = export_model(model, ExportOptions(format="openvino", output=tmp_path / "a.xml")).path
    import openvino

    info = openvino.Core().read_model(path).get_rt_info(["model_info", "labels"])
    text = info if isinstance(info, str) else info.astype(str)
    assert text.split(" ") == ["happy", "bored", ODD.replace(" ", "_")]


def test_the_server_names_and_colours_the_labels(recognizer: EmotionRecognizer) -> None:
    """The page gets its colours from here; the card's HTML is escaped."""
    with serving(create_app(recognizer)) as client:
        about = client.get("/v1/model").json()
    assert about["emotions"] == list(NAMES)
    assert about["colors"] == hex_colors(NAMES)
    assert "<img" not in about["card_html"]


def test_a_keras_file_from_elsewhere_may_have_any_labels(tmp_path: Path) -> None:
    """--labels takes labels of one's own; a misspelt emotion among them is asked about."""
    from emodetect.training.models.import_keras import import_keras_model

    missing = tmp_path / "none.keras"
    for labels, error, match in (
        (["bored", "tired"], ModelError, "none.keras"),
        (["bored", "hapy"], DataError, "'hapy' looks like a misspelt 'happy'"),
        (["bored", "a/b"], DataError, "without slashes"),
    ):
        with pytest.raises(error, match=match):
            import_keras_model(missing, labels=labels)


def test_an_export_is_compared_on_images_that_were_not_trained_on(
    model: Path, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """On the data of the training, its test split is used; all images are used with a warning."""
    out = tmp_path / "model.onnx"
    options = ExportOptions(format="onnx", data=f"folder:{data}", output=out, force=True)
    held_out = export_model(model, options).comparison
    assert "split test" in held_out.origin
    assert held_out.faces < 36
    assert "was trained on" not in caplog.text
    assert export_model(model, replace(options, split="all")).comparison.faces == 36
    assert "The model was trained on most of these images" in caplog.text


def test_without_a_shared_label_no_empty_choice_is_advised() -> None:
    """Nothing is left to exclude the others from."""
    data = SimpleNamespace(emotions=("calm", "bored"), labels=np.array([0, 1]))
    with pytest.raises(DataError, match="not trained on: bored, calm") as caught:
        labels_among(("happy", "sad"), data, np.arange(2))  # type: ignore[arg-type]
    assert "--classes" not in str(caught.value)
    with pytest.raises(DataError, match="evaluate --classes bored"):
        labels_among(("happy", "bored"), data, np.arange(2))  # type: ignore[arg-type]
