"""Models across data sets: the matrix, what is left out of it, and what it must not hide."""

from __future__ import annotations

import csv
import errno
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from pictures import save

from emodetect.cli import app
from emodetect.config import validate_config
from emodetect.data.dataset import load_dataset
from emodetect.data.named_data import NamedData
from emodetect.data.synthetic import draw_dataset, draw_face, draw_scene
from emodetect.errors import DataError, EmodetectError
from emodetect.evaluation.cross_dataset import (
    CrossDatasetResult,
    DataSource,
    NamedModel,
    evaluate_across,
    trained_on,
)
from emodetect.model_file.metadata import Metadata
from emodetect.model_file.shipped_models import TRAINED_ON, shipped_models
from emodetect.reports.cross_dataset_files import write_matrix

CKPLUS = {"anger": "angry", "contempt": "contempt", "happy": "happy", "sadness": "sad"}
RAF_DB = {1: "surprise", 4: "happy", 5: "sad", 7: "neutral"}


def _save(path: Path, emotion: str, seed: int) -> None:
    save(path, draw_face(emotion, np.random.default_rng(seed), size=48))


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RAF-DB of two training and two test images, CK+ of three crops, for each label."""
    root = tmp_path_factory.mktemp("sets")
    lines = []
    for number, emotion in RAF_DB.items():
        for seed, split in enumerate(("train", "train", "test", "test")):
            name = f"{split}_{number}{seed}"
            lines.append(f"{name}.jpg {number}\n")
            aligned = root / "RAF-DB" / "Image" / "aligned"
            _save(aligned / f"{name}_aligned.jpg", emotion, 10 * number + seed)
    (root / "RAF-DB" / "EmoLabel").mkdir()
    (root / "RAF-DB" / "EmoLabel" / "list_patition_label.txt").write_text("".join(lines))
    for number, (folder, emotion) in enumerate(CKPLUS.items()):
        for person in range(3):
            name = f"S{person:03d}_001_00000001.png"
            _save(root / "CK+48" / folder / name, emotion, 100 + 10 * number + person)
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded images are kept outside of the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def _evaluate(*words: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


# --- through the command line


@pytest.fixture(scope="module")
def matrix(sets: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """What the two shipped models on both data sets print, and the folder they write."""
    out = tmp_path_factory.mktemp("out") / "matrix"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.setenv("COLUMNS", "200")
        result = _evaluate(
            *("--model", "fer2013", "--model", "ferplus", "--output", out),
            *("--data", f"raf_db:{sets / 'RAF-DB'}", "--data", f"ckplus:{sets / 'CK+48'}"),
        )
    assert result.exit_code == 0, result.exception
    return result, out


def _cells(out: Path) -> dict[tuple[str, str], CrossDatasetResult]:
    content = json.loads((out / "matrix.json").read_text(encoding="utf-8"))
    cells = [CrossDatasetResult(**values) for values in content]
    return {(cell.model, cell.data.partition(":")[0]): cell for cell in cells}


def test_each_model_is_judged_on_each_data_set(matrix: tuple[Result, Path]) -> None:
    """The test split where the data has one, all images elsewhere, for every pair."""
    cells = _cells(matrix[1])
    assert list(cells) == [
        ("fer2013", "raf_db"),
        ("fer2013", "ckplus"),
        ("ferplus", "raf_db"),
        ("ferplus", "ckplus"),
    ]
    assert {pair: (cell.split, cell.metrics["images"]) for pair, cell in cells.items()} == {
        ("fer2013", "raf_db"): ("test", 8),
        ("fer2013", "ckplus"): ("all", 9),
        ("ferplus", "raf_db"): ("test", 8),
        ("ferplus", "ckplus"): ("all", 12),
    }
    assert [cell.trained_on for cell in cells.values()] == [
        *["FER2013"] * 2,
        *["FER2013 with FER+ votes"] * 2,
    ]
    assert not any(cell.same_data for cell in cells.values())


@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
def test_a_disk_that_fills_up_takes_no_figures_along(
    several: bool, sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was measured is in print, though none of the files can be written."""

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("emodetect.reports.evaluation_report.write_matrix", full)
    monkeypatch.setattr("emodetect.reports.evaluation_report.write_report", full)
    models = ("--model", "fer2013", "--model", "ferplus") if several else ("--no-explain",)
    data = f"raf_db:{sets / 'RAF-DB'}"
    result = _evaluate(*models, "--data", data, "--output", tmp_path / "out")
    assert isinstance(result.exception, OSError)
    assert "accuracy" in result.stdout


def test_what_a_model_does_not_know_is_left_out_and_counted(matrix: tuple[Result, Path]) -> None:
    """Contempt is left out for the model of seven emotions alone, in print and in the files."""
    result, out = matrix
    cells = _cells(out)
    reason = "the model was not trained on contempt"
    assert cells["fer2013", "ckplus"].metrics["left_out"] == {reason: 3}
    assert cells["ferplus", "ckplus"].metrics["left_out"] == {}
    assert f"excluded 3: {reason}" in result.stdout
    assert "9 of 12 images" in result.stdout
    assert "12 of 12 images" in result.stdout
    assert "--classes angry,happy,sad compares them" in result.stdout
    assert "compares them" in result.stdout.partition("CK+48")[2]
    assert result.stdout.count("compares them") == 1  # both know all emotions of the other set


def test_the_mapping_of_the_labels_is_shown(matrix: tuple[Result, Path]) -> None:
    """Each label of a data set stands beside its emotion, its images and the models' recall."""
    lines = [
        [part.strip() for part in line.strip("│").split("│")]
        for line in matrix[0].stdout.splitlines()
    ]
    cells = _cells(matrix[1])
    recall = [
        f"{cells[model, 'ckplus'].metrics['per_class']['sad']['recall']:.1%}"
        for model in ("fer2013", "ferplus")
    ]
    assert ["sadness", "sad", "3", *recall] in lines
    answer = f"{cells['ferplus', 'ckplus'].metrics['per_class']['contempt']['recall']:.1%}"
    assert ["contempt", "contempt", "3", "excluded", answer] in lines
    assert ["-", "fear", "0", "-", "-"] in lines
    assert [line for line in lines if line[:3] == ["1", "surprise", "2"]]


def test_the_matrix_is_written_as_table_and_picture(matrix: tuple[Result, Path]) -> None:
    """matrix.csv has a row for each pair with the figures of matrix.json; the picture opens."""
    result, out = matrix
    assert {file.name for file in out.iterdir()} == {"matrix.json", "matrix.csv", "matrix.png"}
    with (out / "matrix.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row, cell in zip(rows, _cells(out).values(), strict=True):
        assert (row["model"], row["tested_on"]) == (cell.model, cell.data)
        assert float(row["accuracy"]) == pytest.approx(cell.metrics["accuracy"])
        assert float(row["macro_f1"]) == pytest.approx(cell.metrics["macro_f1"])
        assert f"accuracy {cell.metrics['accuracy']:.1%}" in result.stdout
    assert rows[1]["emotions"] == "angry happy sad"
    picture = cv2.imread(str(out / "matrix.png"))
    assert picture is not None
    assert picture.std() > 1


def test_a_pair_has_the_figures_of_an_evaluation_of_its_own(
    matrix: tuple[Result, Path], sets: Path, tmp_path: Path
) -> None:
    """With one model and one data set the report is the usual one, and the figures are the same."""
    words = ("--data", f"ckplus:{sets / 'CK+48'}", "--output", tmp_path / "one")
    result = _evaluate(*words)
    assert isinstance(result.exception, DataError)  # as ever, contempt is refused here
    assert "contempt" in str(result.exception)
    result = _evaluate(*words, "--classes", "anger,happy,sad")
    assert result.exit_code == 0, result.exception
    one = json.loads((tmp_path / "one" / "metrics.json").read_text(encoding="utf-8"))
    cell = _cells(matrix[1])["fer2013", "ckplus"]
    assert one["confusion_matrix"] == cell.metrics["confusion_matrix"]
    assert one["log_loss"] == pytest.approx(cell.metrics["log_loss"])


def test_a_matrix_is_not_replaced(sets: Path, tmp_path: Path) -> None:
    """A folder with files is refused before anything is read, and left as it was."""
    (tmp_path / "matrix.json").write_text("mine", encoding="utf-8")
    words = ("--data", "ckplus:nowhere", "--data", "raf_db:nowhere", "--output", tmp_path)
    result = _evaluate(*words)
    assert isinstance(result.exception, EmodetectError)
    assert "--force" in str(result.exception)
    assert [file.name for file in tmp_path.iterdir()] == ["matrix.json"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "fer2013", "--model", "ferplus"), "--data"),
        (("--model", "fer2013", "--model", "fer2013", "--data", "folder:a"), "--model"),
        (("--data", "folder:a", "--data", "folder:a"), "--data"),
        (("--data", "folder:a", "--data", "folder:b", "--config", "demo"), "--config"),
        (("--data", "folder:a", "--data", "folder:b", "--robustness"), "--robustness"),
        (
            ("--data", "folder:a", *("--model", "a.keras", "--model", "b.keras"), "--labels", "a"),
            "--labels",
        ),
        (("--data", "folder:a", "--faces", "whole", "--faces", "detect"), "--faces"),
        (("--data", "folder:a", "--data", "folder:b", *(("--faces", "whole") * 3)), "--faces"),
    ],
)
def test_what_cannot_be_asked_of_several_is_a_usage_error(
    words: tuple[str, ...], said: str
) -> None:
    """Options that would be ambiguous, or ignored, are refused by name."""
    result = _evaluate(*words)
    assert result.exit_code == 2
    assert said in result.stderr


# --- without the command line


@dataclass
class _Constant:
    """A recognizer that gives every image the same emotion, and counts its calls."""

    metadata: Metadata
    answer: str = "happy"
    calls: int = 0
    tta: None = None

    @property
    def emotions(self) -> tuple[str, ...]:
        return self.metadata.emotions

    def classify_inputs(self, inputs: np.ndarray) -> np.ndarray:
        self.calls += 1
        probabilities = np.full((len(inputs), len(self.emotions)), 0.01, np.float32)
        probabilities[:, self.emotions.index(self.answer)] = 1
        return probabilities / probabilities.sum(axis=1, keepdims=True)


def _model(emotions: tuple[str, ...] = ("happy", "sad"), **values: object) -> NamedModel:
    metadata = Metadata(name="it", emotions=emotions, image_size=32, color="gray", **values)
    return NamedModel("it", _Constant(metadata))


def _source(source: str, path: Path) -> DataSource:
    return DataSource(NamedData(source, str(path)))


def test_a_class_that_one_data_set_lacks_is_no_error(sets: Path) -> None:
    """--classes takes from each data set those it has; one that has none of them is told."""
    sources = [_source("raf_db", sets / "RAF-DB"), _source("ckplus", sets / "CK+48")]
    model = _model(("angry", "happy", "neutral"))
    cells = evaluate_across([model], sources, emotions=("anger", "happy"))
    assert [cell.emotions() for cell in cells] == [("happy",), ("angry", "happy")]
    with pytest.raises(DataError, match=r"--classes: raf_db:.*no images of angry"):
        evaluate_across([model], sources, emotions=("anger",))


def test_a_model_that_knows_nothing_of_the_data_is_told(sets: Path) -> None:
    """A data set without any emotion of the model is an error that names both."""
    model = NamedModel("it", _Constant(_model(("disgust", "fear")).recognizer.metadata, "fear"))
    with pytest.raises(DataError, match=r"it on ckplus:.*knows only disgust, fear"):
        evaluate_across([model], [_source("ckplus", sets / "CK+48")])


def test_a_fault_of_the_last_data_set_comes_before_the_work(sets: Path) -> None:
    """Nothing is classified where some data set of the matrix cannot be read."""
    model = _model()
    sources = [_source("ckplus", sets / "CK+48"), _source("raf_db", sets / "nowhere")]
    with pytest.raises(DataError, match="nowhere"):
        evaluate_across([model], sources)
    assert model.recognizer.calls == 0


def test_images_that_were_trained_on_are_left_out_of_each_pair(sets: Path, tmp_path: Path) -> None:
    """Copies of training images go from every data set that has them."""
    copy = tmp_path / "trained" / "happy" / "copy.png"
    copy.parent.mkdir(parents=True)
    shutil.copy(sets / "CK+48" / "happy" / "S001_001_00000001.png", copy)
    name = NamedData("folder", str(tmp_path / "trained"))
    sources = [_source("ckplus", sets / "CK+48"), _source("raf_db", sets / "RAF-DB")]
    cells = evaluate_across([_model()], sources, exclude_duplicates_of=[name])
    assert [cell.metrics["left_out"][f"also in {name}"] for cell in cells] == [1, 0]
    assert cells[0].metrics["images"] == 5


def test_each_data_set_has_its_own_framing(sets: Path, tmp_path: Path) -> None:
    """--faces once for each --data goes by their order, and each pair tells how it was framed."""
    scene = draw_scene(["happy"], np.random.default_rng(1), width=200, height=220)
    photos, out, rows = tmp_path / "photos", tmp_path / "out", tmp_path / "fer2013.csv"
    pixels = " ".join(["7"] * 48 * 48)
    rows.write_text(f"emotion,pixels,Usage\n3,{pixels},Training\n", encoding="utf-8")
    (photos / "happy").mkdir(parents=True)
    (photos / "happy" / "a.png").write_bytes(cv2.imencode(".png", scene.image)[1].tobytes())
    result = _evaluate(
        *("--data", f"ckplus:{sets / 'CK+48'}", "--faces", "whole"),
        *("--data", f"folder:{photos}", "--faces", "detect", "--output", out),
        # The data that is excluded has crops, whatever --faces says of the others.
        *("--exclude-duplicates-of", f"fer2013_csv:{rows}"),
    )
    assert result.exit_code == 0, result.exception
    found = {pair[1]: cell.faces for pair, cell in _cells(out).items()}
    assert found == {"ckplus": "whole", "folder": "detect"}


@pytest.fixture
def trained(sets: Path, tmp_path: Path) -> tuple[NamedModel, DataSource, set[str]]:
    """A model trained on class folders, these, and the test images that its training took out."""
    draw_dataset(tmp_path / "faces", counts={"": 12}, emotions=("happy", "sad"), seed=5, size=32)
    data = {
        "source": "folder",
        "path": str(tmp_path / "faces"),
        "image_size": 32,
        "test_fraction": 0.25,
        "cache_dir": str(tmp_path / "cache"),
    }
    config = validate_config({"data": data}, origin="test")
    dataset = load_dataset(config.data, seed=config.seed)
    model = _model(
        config=config.model_dump(mode="json", exclude_none=True),
        dataset={"fingerprint": dataset.fingerprint},
    )
    test = set(dataset.paths[dataset.indices("test")].tolist())
    return model, _source("folder", tmp_path / "faces"), test


def test_a_model_is_not_judged_on_what_it_was_trained_on(
    trained: tuple[NamedModel, DataSource, set[str]], tmp_path: Path
) -> None:
    """On its own data, no other, a model is judged on the test images its training kept apart."""
    model, source, test = trained
    (cell,) = evaluate_across([model], [source])
    assert (cell.split, cell.same_data) == ("test", True)
    assert cell.metrics["images"] == len(test) == 6
    draw_dataset(tmp_path / "others", counts={"": 2}, emotions=("happy",), seed=6, size=32)
    (cell,) = evaluate_across([model], [_source("folder", tmp_path / "others")])
    assert (cell.split, cell.same_data, cell.metrics["images"]) == ("all", False, 2)
    stranger = NamedModel("other", _model().recognizer)
    (cell,) = evaluate_across([stranger], [source])
    assert (cell.split, cell.same_data, cell.metrics["images"]) == ("all", False, 24)


def test_all_images_of_the_own_data_are_marked(
    trained: tuple[NamedModel, DataSource, set[str]],
) -> None:
    """--split all includes training images; the pair is marked as the model's own data."""
    model, source, _ = trained
    (cell,) = evaluate_across([model], [source], split="all")
    assert (cell.split, cell.same_data, cell.metrics["images"]) == ("all", True, 24)
    assert cell.seen
    (cell,) = evaluate_across([model], [source], split="val")
    assert (cell.split, cell.same_data, cell.seen) == ("val", True, False)


def test_the_own_data_framed_otherwise_is_refused(
    trained: tuple[NamedModel, DataSource, set[str]], tmp_path: Path
) -> None:
    """Framed otherwise, test images cannot be told from those that were trained on."""
    model, source, _ = trained
    draw_dataset(tmp_path / "faces", counts={"": 12}, emotions=("happy", "sad"), seed=5, size=160)
    with pytest.raises(DataError, match=r"trained on this data with faces = 'whole'"):
        evaluate_across([model], [DataSource(source.data, "detect")])


def test_a_model_from_elsewhere_has_no_known_data() -> None:
    """A foreign model is said to be trained on unknown data, one on drawn faces on synthetic.

    Of every shipped one it is known.
    """
    assert trained_on(_model()) == "unknown"
    assert trained_on(_model(config={"data": {"source": "synthetic"}})) == "synthetic"
    assert TRAINED_ON.keys() == shipped_models().keys()


def test_a_manifest_whose_files_have_moved_is_told(tmp_path: Path) -> None:
    """The error counts the missing images, and names the first with the reason."""
    (tmp_path / "faces.csv").write_text("path,label\nhappy/1.png,happy\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"1 of 1 images.*happy/1\.png: no such file\. Were"):
        evaluate_across([_model()], [_source("manifest", tmp_path / "faces.csv")])


def test_a_single_image_has_a_matrix_too(tmp_path: Path) -> None:
    """One image of one emotion, and a model that never answers it, give files without a warning."""
    _save(tmp_path / "faces" / "sad" / "a.png", "sad", 1)
    cells = evaluate_across([_model()], [_source("folder", tmp_path / "faces")])
    files = write_matrix(cells, tmp_path / "deep" / "out")
    assert all(file.stat().st_size for file in files)
    assert cells[0].metrics["accuracy"] == 0
    assert cells[0].metrics["never_predicted"] == ["sad"]
