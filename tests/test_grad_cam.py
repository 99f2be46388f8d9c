"""Grad-CAM: on networks whose answer is known, in reports, and beside the faces of photos."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from click.testing import CliRunner
from labelled import predictions_of

from emodetect.cli import app
from emodetect.errors import EmodetectError, ModelError
from emodetect.evaluation import grad_cam
from emodetect.evaluation.grad_cam import GradCam, explain_mistakes, overlay
from emodetect.model_file.artifact import write_artifact
from emodetect.model_file.metadata import Metadata
from emodetect.model_file.shipped_models import shipped_models
from emodetect.recognition.face import Face
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.reports.evaluation_report import EvaluationOptions, evaluate

SIDE = 16


def _artifact(model: keras.Model, folder: Path) -> Path:
    """Save a network of two emotions as an artifact; it is not compiled."""
    model.save(folder / "plain.keras")
    metadata = Metadata(name="it", emotions=("happy", "sad"), image_size=SIDE, color="gray")
    path = folder / "it.keras"
    write_artifact(path, keras_file=folder / "plain.keras", compiled=b"", metadata=metadata)
    return path


def _corner(x: keras.KerasTensor, *, first: bool) -> keras.KerasTensor:
    """Keep the upper left quarter of a map, or the lower right one; the rest is 0."""
    half = SIDE // 2
    rest = ((0, half), (0, half)) if first else ((half, 0), (half, 0))
    cropped = keras.layers.Cropping2D(rest)(x)
    return keras.layers.ZeroPadding2D(rest)(cropped)


def _corners(end: str, *, sure: float = 1.0) -> keras.Model:
    """Build a network that says happy by what is upper left, sad by what is lower right.

    Args:
        end: what it ends in: "softmax", "layer", "activation", "inner" (a model in the model) or
            "rescaled".
        sure: factor of the scores.
    """
    inputs = keras.Input((SIDE, SIDE, 1))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Concatenate()([_corner(x, first=True), _corner(x, first=False)])
    body = keras.layers.Conv2D(2, 1, use_bias=False, name="map")
    x = keras.layers.GlobalAveragePooling2D()(body(x))
    plain = end in ("softmax", "inner", "rescaled")
    head = keras.layers.Dense(2, activation="softmax" if plain else None, name="head")
    x = head(x)
    if end == "layer":
        x = keras.layers.Softmax()(x)
    if end == "activation":
        x = keras.layers.Activation("softmax")(x)
    model = keras.Model(inputs, x)
    body.set_weights([np.eye(2).reshape(1, 1, 2, 2)])
    head.set_weights([sure * np.array([[1.0, -1.0], [-1.0, 1.0]]), np.zeros(2)])
    if end == "inner":
        outer = keras.Input((SIDE, SIDE, 1))
        return keras.Model(outer, model(outer))
    if end == "rescaled":
        return keras.Model(inputs, keras.layers.Rescaling(1.0)(x))
    return model


@pytest.fixture(scope="module")
def explainer(tmp_path_factory: pytest.TempPathFactory) -> GradCam:
    """Grad-CAM of a network that says happy by what is upper left, sad by what is lower right."""
    return GradCam(_artifact(_corners("softmax"), tmp_path_factory.mktemp("corners")))


@pytest.mark.parametrize("end", ["softmax", "layer", "activation", "inner", "rescaled"])
def test_the_heat_lies_where_the_network_looks(end: str, tmp_path: Path) -> None:
    """Of a bright image each emotion's heat is in the corner that speaks for it, nowhere else."""
    explainer = GradCam(_artifact(_corners(end), tmp_path))
    images = np.full((2, SIDE, SIDE, 1), 255, np.uint8)
    happy, sad = explainer.explain(images, np.array([0, 1]))
    assert happy.dtype == np.float32
    assert explainer.cells == (SIDE, SIDE)
    corner = np.zeros((SIDE, SIDE))
    corner[: SIDE // 2, : SIDE // 2] = 1
    np.testing.assert_allclose(happy, corner)
    np.testing.assert_allclose(sad, corner[::-1, ::-1])


def test_sure_answers_are_explained_too(tmp_path: Path) -> None:
    """Where the softmax is at 1 and flat, the score before it still tells what spoke for it."""
    explainer = GradCam(_artifact(_corners("softmax", sure=1e6), tmp_path))
    image = np.zeros((1, SIDE, SIDE, 1), np.uint8)
    image[0, 2, 3] = 255
    (heat,) = explainer.explain(image, np.array([0]))
    assert np.argwhere(heat == 1).tolist() == [[2, 3]]
    assert heat.sum() == 1


def test_each_image_has_a_map_of_its_own(
    explainer: GradCam, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images in several batches, dark or bright, are explained as each of them alone."""
    images = np.stack([np.full((SIDE, SIDE, 1), value, np.uint8) for value in (255, 50, 100)])
    emotions = np.array([0, 1, 1])
    alone = [explainer.explain(images[[n]], emotions[[n]])[0] for n in range(len(images))]
    assert [heat.max() for heat in alone] == [1, 1, 1]
    monkeypatch.setattr(grad_cam, "MAX_BATCH", 2)
    np.testing.assert_allclose(explainer.explain(images, emotions), alone)


def test_a_mistake_is_explained_by_what_spoke_for_it(explainer: GradCam, tmp_path: Path) -> None:
    """The heat beside a mistake is that of the wrong answer given, not of the right one."""
    sad_taken_for_happy = predictions_of([1], [[0.9, 0.1]], ("happy", "sad"))
    heat = explain_mistakes(_artifact(_corners("softmax"), tmp_path), sad_taken_for_happy)
    (expected,) = explainer.explain(sad_taken_for_happy.images, np.array([0]))
    np.testing.assert_allclose(heat.maps, [expected])
    assert heat.cells == (SIDE, SIDE)


def _drawn(explainer: GradCam, crop: np.ndarray, *, happy: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the two pictures of a crop, plain and with heat, for a face with these scores."""
    scores = {"happy": happy, "sad": 1 - happy}
    best = max(scores, key=scores.__getitem__)
    (picture,) = explainer.draw([crop], [Face((0, 0, 9, 9), best, scores[best], scores)])
    side = len(picture)
    return picture[:, :side], picture[:, side : 2 * side]


def _hot(picture: np.ndarray) -> np.ndarray:
    """Whether each pixel of an overlay on grey is yellow rather than violet."""
    return picture[..., 1] > picture[..., 0]  # more green than blue


@pytest.mark.parametrize("happy", [0.9, 0.1])
def test_a_face_is_shown_beside_what_speaks_for_its_emotion(
    explainer: GradCam, happy: float
) -> None:
    """The crop has its colours, and the heat is that of the most probable emotion."""
    red = np.full((2 * SIDE, 2 * SIDE, 3), (0, 0, 255), np.uint8)
    plain, heat = _drawn(explainer, red, happy=happy)
    assert (plain == (0, 0, 255)).all()
    half = len(heat) // 2
    upper_left, lower_right = _hot(heat[:half, :half]).mean(), _hot(heat[half:, half:]).mean()
    assert (upper_left > lower_right) == (happy > 0.5)


def test_the_heat_lines_up_with_a_crop_that_is_not_square(explainer: GradCam) -> None:
    """What is bright in an oblong crop, and speaks for the emotion, is where the heat is drawn."""
    crop = np.zeros((SIDE, 2 * SIDE, 3), np.uint8)
    crop[2:6, 4:8] = 255
    plain, heat = _drawn(explainer, crop, happy=0.9)
    bright = np.argwhere(plain[..., 0] > 128)
    hot = np.argwhere(_hot(heat))
    cell = len(plain) / SIDE
    assert np.abs(bright.mean(axis=0) - hot.mean(axis=0)).max() < cell / 2
    assert np.abs(np.ptp(bright, axis=0) - np.ptp(hot, axis=0)).max() < cell


def test_an_image_that_says_nothing_has_no_heat(explainer: GradCam) -> None:
    """Where nothing speaks for the emotion the map is 0, not a division by 0."""
    assert not explainer.explain(np.zeros((1, SIDE, SIDE, 1), np.uint8), np.array([0])).any()
    assert explainer.explain(np.zeros((0, SIDE, SIDE, 1), np.uint8), np.array([], int)).shape == (
        0,
        SIDE,
        SIDE,
    )


def test_a_map_of_too_few_cells_is_passed_over(tmp_path: Path) -> None:
    """The last map of at least four cells a side is taken, not a coarser one after it."""
    inputs = keras.Input((SIDE, SIDE, 1))
    x = keras.layers.Conv2D(2, 3, strides=4, padding="same", name="fine")(inputs)
    x = keras.layers.Conv2D(2, 3, strides=2, padding="same", name="coarse")(x)
    x = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(x))
    assert GradCam(_artifact(keras.Model(inputs, x), tmp_path)).cells == (4, 4)


def test_a_network_without_convolutions_is_refused(tmp_path: Path) -> None:
    """Grad-CAM has no map to show there, and says so in one line."""
    inputs = keras.Input((SIDE, SIDE, 1))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    with pytest.raises(ModelError, match="convolutions"):
        GradCam(_artifact(model, tmp_path))


def test_the_overlay_is_brightest_where_the_heat_is() -> None:
    """Over an even face the hottest part is the brightest, in colour and in grey."""
    face = np.full((40, 40, 3), 128, np.uint8)
    heat = np.zeros((8, 8), np.float32)
    heat[6:, :2] = 1
    drawn = overlay(face, heat)
    assert drawn.shape == face.shape
    gray = cv2.cvtColor(drawn, cv2.COLOR_BGR2GRAY)
    assert gray[36, 4] > gray[4, 36] + 40


# --- through the command line


def test_a_report_shows_heat_beside_the_worst_mistakes(
    artifact: Path, faces: Path, tmp_path: Path
) -> None:
    """Each mistake has two pictures, the face and its heat map; without --no-explain."""
    # In folders of other emotions, so that some answers are wrong, whatever they are.
    for folder in ("sad", "surprise"):
        for file in (faces / "happy").iterdir():
            copy = faces / folder / f"not_{file.name}"
            copy.write_bytes(file.read_bytes())
    out = tmp_path / "report"
    words = [
        "evaluate",
        "--model",
        str(artifact),
        "--data",
        f"folder:{faces}",
        "--output",
        str(out),
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.exception
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Grad-CAM" in page
    assert 0 < page.count('alt="heat map"') <= 24


def test_nothing_is_explained_without_a_mistake(
    artifact: Path, faces: Path, tmp_path: Path
) -> None:
    """Images that are all classified correctly have no heat maps, so TensorFlow is not loaded."""
    recognizer = EmotionRecognizer(artifact, detector="none")
    data = tmp_path / "correct"
    for file in (faces / "happy").iterdir():
        (face,) = recognizer.analyze(file)
        (data / face.emotion).mkdir(parents=True, exist_ok=True)
        (data / face.emotion / file.name).write_bytes(file.read_bytes())
    words = ["evaluate", "--model", str(artifact), "--data", f"folder:{data}", "--split", "all"]
    result = CliRunner().invoke(app, [*words, "--output", str(tmp_path / "report")])
    assert result.exit_code == 0, result.output
    assert "explaining the worst mistakes" not in result.stderr
    assert "no heat maps" not in result.stderr
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "No mistakes on these images." in page


def test_a_report_is_written_where_tensorflow_is_missing(
    artifact: Path, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it has no heat maps, says why, in the page and on stderr, and is no failure."""

    def missing() -> None:
        raise ImportError("No module named 'tensorflow'")

    monkeypatch.setattr("emodetect.recognition.runtimes.keras.use_tensorflow", missing)
    out = tmp_path / "report"
    words = [
        "evaluate",
        "--model",
        str(artifact),
        "--data",
        f"folder:{faces}",
        "--output",
        str(out),
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.exception
    assert "needs TensorFlow" in result.stderr
    page = (out / "report.html").read_text(encoding="utf-8")
    assert 'alt="heat map"' not in page
    assert 'id="confidence"' in page


def test_heat_maps_of_another_model_are_not_shown(
    artifact: Path, faces: Path, tmp_path: Path
) -> None:
    """If the file is replaced during the evaluation, there are none, and the page says why."""
    model = tmp_path / "model.keras"
    shutil.copy(artifact, model)
    options = EvaluationOptions(
        models=(str(model),), data=(f"folder:{faces}",), output=tmp_path / "report"
    )
    shipped = shipped_models()["ferplus"]
    report = evaluate(options, on_result=lambda _: shutil.copy(shipped, model))
    assert "was replaced by another model during the evaluation" in report.no_heat_maps


def test_predict_explains_each_face(artifact: Path, faces: Path, tmp_path: Path) -> None:
    """--explain leaves a picture a face, named and sorted as its crop is, twice as wide or more."""
    why, crops = tmp_path / "why", tmp_path / "crops"
    photos = [str(file) for file in sorted(faces.rglob("*_00000.png"))]
    words = ["predict", *photos, "--model", str(artifact), "--detector", "none"]
    result = CliRunner().invoke(app, [*words, "--explain", str(why), "--save-crops", str(crops)])
    assert result.exit_code == 0, result.exception
    names = {file.relative_to(why) for file in why.rglob("*.png")}
    assert names == {file.relative_to(crops) for file in crops.rglob("*.png")}
    assert len(names) == 3
    picture = cv2.imread(str(why / min(names)))
    height, width = picture.shape[:2]
    assert width > 2 * height
    assert (picture[:, :height] != picture[:, height : 2 * height]).any()
    again = CliRunner().invoke(app, [*words, "--explain", str(why)])
    assert isinstance(again.exception, EmodetectError)
    assert "--force" in str(again.exception)


def test_explaining_takes_no_workers(artifact: Path, faces: Path, tmp_path: Path) -> None:
    """Each worker would load TensorFlow: asked for both, predict refuses."""
    words = ["predict", str(faces), "--model", str(artifact), "--workers", "2"]
    result = CliRunner().invoke(app, [*words, "--explain", str(tmp_path / "why")])
    assert result.exit_code == 2
    assert "--workers" in result.stderr
