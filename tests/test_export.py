"""An exported file predicts the same as the model, contains its labels, and needs no emodetect.

Tests that need ONNX Runtime or OpenVINO are skipped without them; the extra `dev` installs both.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import cv2
import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result
from running import run_python

from emodetect.cli import app
from emodetect.cli.export import QUANTIZATIONS
from emodetect.cli.export import export as command
from emodetect.config import ModelConfig
from emodetect.data.synthetic import draw_dataset, draw_face
from emodetect.errors import EmodetectError, ModelError
from emodetect.exporting.comparison_with_keras import Comparison
from emodetect.exporting.export import Export, ExportOptions, export_model
from emodetect.exporting.formats import saved_model, tflite
from emodetect.exporting.formats.format import Network
from emodetect.exporting.formats.registry import FORMAT_NAMES, format_named
from emodetect.exporting.output_files import default_out
from emodetect.exporting.sample_faces import DRAWN_FACES, labelled_faces
from emodetect.faces.framing import crop_face
from emodetect.images.model_input import to_input
from emodetect.model_file.artifact import Artifact, read_artifact, write_artifact
from emodetect.model_file.metadata import Metadata
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.runtimes.runtime import MissingRuntimeError
from emodetect.training.models.litert_conversion import compile_to_litert, with_temperature
from emodetect.training.models.registry import build_model

DOCS = Path(__file__).parent.parent / "docs" / "export.md"
EMOTIONS = ("happy", "sad", "surprise")
# Maximum difference of a probability in this small network.
ALLOWED = {"none": 1e-5, "float16": 5e-3, "dynamic": 5e-2, "int8": 5e-2}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model file with enlarged input, non-trivial batch norm and a temperature."""
    config = ModelConfig(name="lenet5", weights="none", backbone_size=40, dense=(16,))
    keras.utils.set_random_seed(0)  # some weights make a temperature matter little
    network = build_model(config, image_size=32, color="gray", class_count=3, weights="none")
    rng = np.random.default_rng(0)
    for weight in network.weights:
        if weight.path.endswith(("moving_variance", "gamma")):
            weight.assign(rng.uniform(0.5, 2, weight.shape))
        elif weight.path.endswith(("moving_mean", "beta")):
            weight.assign(rng.normal(0, 0.3, weight.shape))
    folder = tmp_path_factory.mktemp("models")
    network.save(folder / "plain.keras")
    metadata = Metadata(
        name="small", emotions=EMOTIONS, image_size=32, color="gray", temperature=1.7, margin=0.3
    )
    path = folder / "fer2013.keras"  # as in the examples of the docs
    write_artifact(
        path,
        keras_file=folder / "plain.keras",
        compiled=compile_to_litert(network),
        metadata=metadata,
    )
    return path


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of drawn faces and a file that is not an image."""
    folder = tmp_path_factory.mktemp("faces")
    draw_dataset(folder, counts={"train": 15}, emotions=EMOTIONS, seed=0, size=32)
    (folder / "train" / "happy" / "broken.png").write_bytes(b"no image")
    return folder / "train"


@pytest.fixture(scope="module")
def exported(
    model: Path, faces: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Export]:
    """A function that exports the model, once per format and precision."""
    folder = tmp_path_factory.mktemp("exports")
    done: dict[tuple[str, str], Export] = {}

    def export(format: str, quantize: str) -> Export:
        for module in format_named(format).needs:
            if importlib.util.find_spec(module) is None:
                pytest.skip(f"{module} is not installed")
        key = format, quantize
        if key not in done:
            precision = "float32" if quantize == "none" else quantize
            done[key] = export_model(
                model,
                ExportOptions(
                    format=format,
                    quantize=quantize,
                    representative=faces if quantize == "int8" else None,
                    output=folder / f"fer2013-{precision}{format_named(format).suffix}",
                ),
            )
        return done[key]

    return export


def run(*words: str | Path) -> Result:
    """Run `emodetect export`."""
    return CliRunner().invoke(app, ["export", *map(str, words)])


@pytest.mark.parametrize(
    ("format", "quantize"),
    [(name, quantize) for name in FORMAT_NAMES for quantize in format_named(name).quantizations],
)
def test_every_export_answers_as_the_model(
    exported: Callable[[str, str], Export], format: str, quantize: str
) -> None:
    """Each format returns the model's calibrated probabilities in each precision."""
    done = exported(format, quantize)
    assert done.comparison.max_difference <= ALLOWED[quantize]
    assert done.path.exists()
    told = json.loads(done.sidecar.read_text(encoding="utf-8"))
    assert told["labels"] == list(EMOTIONS)
    assert told["compared_with_keras"]["faces"] in (DRAWN_FACES, 22)
    beside = {path.name for path in done.path.parent.iterdir()}
    assert not any(name.startswith(".") for name in beside)
    for name in told["sha256"]:
        assert (done.path.parent / name).is_file()


def test_who_follows_the_card_crops_as_the_model_was_trained(
    exported: Callable[[str, str], Export],
) -> None:
    """Enlarging a box as `preprocessing` says gives the crop that the recogniser takes."""
    told = json.loads(exported("tflite", "none").sidecar.read_text(encoding="utf-8"))
    share = re.search(r"by ([\d.]+) of its side on each side", told["preprocessing"])
    assert share is not None
    grow = round(100 * float(share[1]))
    assert grow > 0
    image = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    by_hand = image[100 - grow : 200 + grow, 100 - grow : 200 + grow]
    assert np.array_equal(by_hand, crop_face(image, (100, 100, 100, 100), margin=told["margin"]))


def test_the_temperature_is_in_the_file(model: Path) -> None:
    """The comparison would detect a missing temperature, which makes predictions overconfident."""
    network = keras.models.load_model(model, compile=False)
    crops = np.stack([draw_face(name, np.random.default_rng(0), size=32) for name in EMOTIONS])
    crops = crops[:, :, :, :1].astype(np.float32)
    plain = np.asarray(network(crops, training=False))
    softened = np.asarray(with_temperature(network, 1.7, path=model)(crops, training=False))
    assert np.abs(softened - plain).max() > 10 * ALLOWED["float16"]
    expected = plain ** (1 / 1.7)
    np.testing.assert_allclose(softened, expected / expected.sum(axis=1, keepdims=True), atol=1e-5)


def test_an_exported_file_is_no_model_to_predict_with(
    exported: Callable[[str, str], Export],
) -> None:
    """It is not called damaged: the error says what to give instead."""
    with pytest.raises(ModelError, match="got an exported model; give the file that it was"):
        read_artifact(exported("tflite", "none").path)


def test_int8_takes_pixels_as_they_are(exported: Callable[[str, str], Export]) -> None:
    """An int8 file has 8-bit input and output, and takes raw pixels."""
    from ai_edge_litert.interpreter import Interpreter

    done = exported("tflite", "int8")
    interpreter = Interpreter(str(done.path))
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (source["dtype"], source["quantization"]) == (np.uint8, (1.0, 0))
    assert (target["dtype"], target["quantization"]) == (np.uint8, (1 / 256, 0))
    assert list(source["shape_signature"]) == [1, 32, 32, 1]
    assert all(one["dtype"] != np.float32 for one in interpreter.get_tensor_details())
    assert done.skipped == 1


def test_a_tflite_file_tells_its_labels(exported: Callable[[str, str], Export]) -> None:
    """Labels and card are in a zip that follows the network."""
    with zipfile.ZipFile(exported("tflite", "none").path) as archive:
        assert archive.read("labels.txt").decode().split() == list(EMOTIONS)
        assert json.loads(archive.read("emodetect.json"))["labels"] == list(EMOTIONS)


def test_a_saved_model_tells_its_labels(exported: Callable[[str, str], Export]) -> None:
    """Labels and card are in assets.extra."""
    extra = exported("saved_model", "none").path / "assets.extra"
    assert (extra / "labels.txt").read_text().split() == list(EMOTIONS)


def test_openvino_files_tell_their_labels(exported: Callable[[str, str], Export]) -> None:
    """Labels are where OpenVINO's own tools look for them."""
    text = exported("openvino", "float16").path.read_text(encoding="utf-8")
    assert 'labels value="happy sad surprise"' in text


def test_weights_of_half_precision_take_half_the_space(
    exported: Callable[[str, str], Export],
) -> None:
    """A float16 file has about half the size of the float32 one, int8 a quarter."""
    size = {key: exported("onnx", key).comparison.file_bytes for key in ("none", "float16")}
    assert size["float16"] < 0.6 * size["none"]
    size = {key: exported("tflite", key).comparison.file_bytes for key in ("none", "int8")}
    assert size["int8"] < 0.4 * size["none"]


def test_the_examples_of_the_docs_run_without_emodetect(
    exported: Callable[[str, str], Export], model: Path, tmp_path: Path
) -> None:
    """The Python examples in docs/export.md print what the recogniser says of an oblong photo."""
    files = [exported("tflite", "int8"), exported("onnx", "none")]
    for done in files:
        for path in (done.path, done.sidecar):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / model.name).write_bytes(model.read_bytes())
    face = draw_face("happy", np.random.default_rng(1), size=90)[:, 15:70]
    (tmp_path / "face.png").write_bytes(cv2.imencode(".png", face)[1].tobytes())
    prepare, *examples = re.findall(
        r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL
    )
    (tmp_path / "prepare.py").write_text(prepare, encoding="utf-8")
    assert len(examples) == 3
    answers = []
    for example in examples:
        code = f"import sys\nsys.modules['emodetect'] = None\n{example}"
        done = run_python(code, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        named, told = done.stdout.strip().split(" ", 1)
        answers.append(dict(eval(told)))  # a dict that our own example printed
        assert max(answers[-1], key=answers[-1].__getitem__) == named
    (expected,) = EmotionRecognizer(model, detector="none").analyze(face)
    for answer, tolerance in zip(answers, (0.05, 1e-3, 1e-3), strict=True):
        for name in EMOTIONS:
            assert answer[name] == pytest.approx(expected.scores[name], abs=tolerance)


@pytest.mark.parametrize("shape", [(300, 200), (21, 30), (32, 32), (500, 3)])
@pytest.mark.parametrize("color", ["gray", "rgb"])
def test_the_docs_prepare_a_face_as_the_recogniser_does(
    shape: tuple[int, int], color: Literal["gray", "rgb"]
) -> None:
    """Pixel by pixel: oblong, enlarged, and of any colour."""
    code = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[0]
    found: dict[str, Any] = {}
    exec(code, found)  # our own page
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    expected = to_input(image, size=32, color=color)
    assert np.array_equal(found["prepare"](image, 32, expected.shape[2]), expected)


def test_the_file_is_named_after_the_run(model: Path, tmp_path: Path) -> None:
    """best_model.keras says nothing of the run; other files have the model's own name."""
    run_model = tmp_path / "runs" / "mine" / "best_model.keras"
    assert default_out(run_model, "tflite", "float16") == Path("mine-float16.tflite")
    assert default_out(model, "saved_model", "none") == Path("fer2013-saved_model")


def test_the_table_tells_the_accuracy_on_labelled_images(
    model: Path, faces: Path, tmp_path: Path
) -> None:
    """With --data, the table includes the accuracy of both."""
    out = tmp_path / "small.tflite"
    words = [
        "--model",
        model,
        "--to",
        "tflite",
        "--data",
        f"folder:{faces.parent}",
        "--output",
        out,
    ]
    result = run(*words, "--split", "train")
    assert result.exit_code == 0, result.output
    for part in ("45 faces", "accuracy", "difference", "0.0 points", "small.tflite"):
        assert part in result.output
    result = run(*words, "--force", "--format", "json")
    told = json.loads(result.stdout)
    assert told["comparison"]["accuracy"] == told["comparison"]["keras_accuracy"]


def test_a_file_that_answers_otherwise_is_not_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong file, or one that returns NaN, is not written and does not replace an older one."""
    out = tmp_path / "small.tflite"
    out.write_text("older")
    for answer in ([0.98, 0.01, 0.01], [np.nan] * 3):
        wrong = np.array([answer], np.float32)
        kind = dataclasses.replace(
            tflite.FORMAT,
            write=lambda network, quantize, path: path.write_text("wrong"),
            open=lambda *_, wrong=wrong: lambda _: wrong,
        )
        monkeypatch.setattr(tflite, "FORMAT", kind)
        with pytest.raises(ModelError, match="not written, because its predictions differ"):
            export_model(model, ExportOptions(format="tflite", output=out, force=True))
        assert [path.name for path in tmp_path.iterdir()] == ["small.tflite"]
        assert out.read_text() == "older"


def test_a_saved_model_replaces_no_file(model: Path, tmp_path: Path) -> None:
    """A file in place of its folder is told before the model is converted."""
    out = tmp_path / "notes"
    out.write_text("precious")
    with pytest.raises(EmodetectError, match="notes: is a file"):
        export_model(model, ExportOptions(format="saved_model", output=out, force=True))
    assert out.read_text() == "precious"


def test_a_saved_model_is_replaced_as_a_whole(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--force replaces the whole older folder and leaves no temporary files."""

    def write(network: object, quantize: str, path: Path) -> None:
        path.mkdir()
        (path / "saved_model.pb").write_text("new")

    def compared(*_: object, **__: object) -> Comparison:
        return Comparison(**dict.fromkeys(names, 0.0) | {"same_emotion": 1.0})

    names = [one.name for one in dataclasses.fields(Comparison)]
    fake = dataclasses.replace(saved_model.FORMAT, write=write, open=lambda *_: None)
    monkeypatch.setattr(saved_model, "FORMAT", fake)
    monkeypatch.setattr("emodetect.exporting.export.compare_with_keras", compared)
    out = tmp_path / "small"
    (out / "variables").mkdir(parents=True)
    (out / "saved_model.pb").write_text("older")
    with pytest.raises(EmodetectError, match="--force"):
        export_model(model, ExportOptions(format="saved_model", output=out))
    export_model(model, ExportOptions(format="saved_model", output=out, force=True))
    assert [path.name for path in out.iterdir()] == ["saved_model.pb"]
    assert (out / "saved_model.pb").read_text() == "new"
    assert {path.name for path in tmp_path.iterdir()} == {"small", "small.json"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "onnx", "--quantize", "int8"], "onnx supports none, float16, got 'int8'"),
        (["--to", "saved_model", "--quantize", "float16"], "saved_model supports none, got"),
        (["--to", "tflite", "--quantize", "int8"], "--representative DIR"),
        (["--to", "tflite", "--representative", "."], "requires --quantize int8, got none"),
        (
            ["--to", "tflite", "--quantize", "int8", "--representative", "."],
            "expected at least 20 images of faces, ideally a few hundred, found 0",
        ),
        (["--to", "tflite", "--output", "a.onnx"], r"expected a file named \*.tflite"),
        (["--to", "saved_model", "--output", "a.onnx"], "expected the name of a folder"),
        (["--to", "tflite", "--output", "there.tflite"], "already exists"),
        (["--to", "tflite", "--output", "sidecar.tflite"], "sidecar.tflite.json: already exists"),
        (["--to", "openvino", "--output", "there.xml"], "there.bin: already exists"),
        (["--to", "tflite", "--output", "there.tflite/a.tflite"], "there.tflite is not a folder"),
        (["--to", "tflite", "--output", f"{'a' * 250}.tflite"], "File name too long"),
        (["--to", "tflite", "--output", f"{'a' * 246}.tflite"], "File name too long"),
        (["--to", "tflite", "--output", "folder.tflite", "--force"], "folder with other contents"),
        (["--to", "saved_model", "--output", "faces", "--force"], "folder with other contents"),
        (["--to", "saved_model", "--output", "mixed", "--force"], "folder with other contents"),
        (["--to", "saved_model", "--output", "link", "--force"], "is a link to a folder"),
        (["--to", "saved_model", "--output", ".", "--force"], "expected the name of a folder"),
        (["--to", "tflite", "--model", "nothing"], "expected the path of a .keras file"),
        (["--to", "tflite", "--data", "nonsense"], "nonsense: no such file or folder"),
    ],
)
def test_what_cannot_be_had_is_refused_in_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An impossible request ends with a one-line error and changes no file."""
    if "openvino" in words and importlib.util.find_spec("openvino") is None:
        pytest.skip("openvino is not installed")
    monkeypatch.chdir(tmp_path)
    for name in ("there.tflite", "sidecar.tflite.json", "there.bin"):
        Path(name).write_text("mine")
    for name in ("folder.tflite", "faces", "mixed"):
        Path(name).mkdir()
    for name in ("saved_model.pb", "thesis.tex"):
        Path("mixed", name).write_text("mine")
    Path("link").symlink_to("mixed")
    before = sorted(tmp_path.rglob("*"))
    result = run(*words)
    assert isinstance(result.exception, EmodetectError), result.output
    assert re.search(message, str(result.exception))
    assert "\n" not in str(result.exception)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "words",
    [
        ["--to", "coreml"],
        [],
        ["--to", "tflite", "--representative", "nowhere"],
        ["--to", "tflite", "--split", "test"],
        ["--to", "tflite", "--least-agreement", "90"],
    ],
)
def test_wrong_usage_is_exit_status_2(words: list[str]) -> None:
    """Invalid option values are usage errors, as in every command."""
    assert run(*words).exit_code == 2


@pytest.mark.parametrize(
    ("format", "module", "extra"),
    [("onnx", "onnxruntime", "onnxruntime"), ("openvino", "openvino", "openvino")],
)
def test_a_missing_library_tells_how_to_get_it(
    model: Path, monkeypatch: pytest.MonkeyPatch, format: str, module: str, extra: str
) -> None:
    """A format whose library is missing ends with a one-line error that says how to install it."""
    for name in format_named(format).needs:
        monkeypatch.setitem(sys.modules, name, sys)  # pretend that the others are installed
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingRuntimeError, match=rf'pip install "emodetect\[{extra}\]"'):
        export_model(model, ExportOptions(format=format))


def test_a_temperature_needs_a_softmax_to_go_into() -> None:
    """A network without a softmax layer is refused, not exported without its temperature."""
    inputs = keras.Input((4,))
    network = keras.Model(inputs, keras.layers.Softmax()(keras.layers.Dense(2)(inputs)))
    assert with_temperature(network, 1, path=Path("other.keras")) is network
    with pytest.raises(ModelError, match=r"other.keras: cannot be exported: .* dense layer"):
        with_temperature(network, 1.5, path=Path("other.keras"))


def test_int8_needs_a_softmax_at_the_end(tmp_path: Path) -> None:
    """The 8 bits of another output stand for what calibration met, not for 0 to 1."""
    inputs = keras.Input((8, 8, 1))
    heads = [keras.layers.Dense(3, activation="softmax") for _ in range(2)]
    mean = keras.layers.Average()([head(keras.layers.Flatten()(inputs)) for head in heads])
    network = Network(
        artifact=Artifact(
            Path("two.keras"),
            Metadata(name="two", emotions=EMOTIONS, image_size=8, color="gray"),
            b"",
        ),
        model=keras.Model(inputs, mean),
        calibration=np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), np.uint8),
        card={"labels": EMOTIONS},
    )
    with pytest.raises(ModelError, match=r"two.keras: .* does not end in a softmax; use float16"):
        tflite.write_tflite(network, "int8", tmp_path / "two.tflite")
    assert not list(tmp_path.iterdir())


def test_the_command_names_every_format() -> None:
    """--to and --quantize offer exactly what is available."""
    (option,) = (one for one in command.params if one.name == "format")
    assert tuple(option.type.choices) == FORMAT_NAMES
    found = {name for one in FORMAT_NAMES for name in format_named(one).quantizations}
    assert found == set(QUANTIZATIONS)


def test_labelled_images_of_other_emotions_are_excluded_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The accuracy is not that of the whole data."""
    draw_dataset(tmp_path, counts={"faces": 6}, emotions=("angry", "happy", "sad"), seed=0, size=32)
    metadata = Metadata(name="m", emotions=("happy", "sad"), image_size=32, color="gray")
    with caplog.at_level("WARNING"):
        crops = labelled_faces(str(tmp_path / "faces"), "all", metadata, label_names={})
    counts = Counter(path.parent.name for path in (tmp_path / "faces").rglob("*.png"))
    assert len(crops.images) == counts["happy"] + counts["sad"]
    assert f"excluded {counts['angry']} images of emotions that the model" in caplog.text
