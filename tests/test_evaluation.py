"""Figures and reports: against values worked out by hand, and through the command line."""

from __future__ import annotations

import csv
import json
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from labelled import dataset_of, predictions_of
from running import posix_only
from small import SMALL

from emodetect.auditing.doubtful_labels import unseen_by
from emodetect.cli import app
from emodetect.config import ExperimentConfig, load_config
from emodetect.data.dataset import Dataset, load_dataset, place_of
from emodetect.data.named_data import NamedData
from emodetect.data.synthetic import draw_dataset
from emodetect.errors import DataError, EmodetectError
from emodetect.evaluation.classify import batch_size_difference, predict_images
from emodetect.evaluation.evaluate import open_task
from emodetect.evaluation.labelled_images.image_selection import select_images
from emodetect.evaluation.labelled_images.training_data import (
    open_training_data,
)
from emodetect.evaluation.metrics.classification import compute_metrics
from emodetect.evaluation.metrics.intervals import metric_intervals, resampled_metrics
from emodetect.evaluation.predictions import ImagePredictions
from emodetect.model_file.metadata import Metadata
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.runtimes.mirrored import MirroredRuntime
from emodetect.reports.evaluation_files import write_report
from emodetect.reports.evaluation_page import ReportedModel
from emodetect.reports.glossary import MEANINGS
from emodetect.reports.plots.one_vs_rest import precision_recall

REPORT = {
    "report.html",
    "metrics.json",
    "classification_report.csv",
    "predictions.csv",
    "confusion_matrix.png",
    "roc.png",
    "precision_recall.png",
    "reliability.png",
    "mistakes.png",
}


def _write_report(predictions: ImagePredictions, metrics: dict, out: Path) -> list[Path]:
    """Write a report with all that `evaluate` adds to the metrics."""
    every = {
        **{
            "model": "mine",
            "data": "faces",
            "split": "test",
            "tta": None,
            "robustness": None,
            "seen": False,
            "caveats": [],
            "leaked": 0,
        },
        **{"skipped": [], "left_out": {}, "slices": [], "bootstrap": 100},
        "intervals_95": metric_intervals(
            predictions, resampled_metrics(predictions, resamples=100)
        ),
        **metrics,
    }
    metadata = Metadata(name="mine", emotions=predictions.emotions, image_size=16, color="gray")
    return write_report(
        predictions, every, out, model=ReportedModel(metadata=metadata, run=out, heat="No reason.")
    )


@pytest.fixture
def six() -> ImagePredictions:
    """Six answers; in the order (sad, happy, fear) three, two and one are true.

    Predicted: sad, sad, happy; happy, happy; sad. The confusion matrix is therefore
    [[2, 1, 0], [0, 2, 0], [1, 0, 0]].
    """
    return predictions_of(
        [0, 0, 0, 1, 1, 2],
        [
            [0.7, 0.2, 0.1],
            [0.6, 0.3, 0.1],
            [0.3, 0.6, 0.1],
            [0.1, 0.8, 0.1],
            [0.3, 0.5, 0.2],
            [0.6, 0.3, 0.1],
        ],
        ("sad", "happy", "fear"),
    )


def test_the_figures_are_those_worked_out_by_hand(six: ImagePredictions) -> None:
    """Accuracy, precision, recall, F1, averages and log-loss follow their definitions."""
    metrics = compute_metrics(six)
    assert metrics["images"] == 6
    assert metrics["accuracy"] == pytest.approx(4 / 6)
    assert metrics["confusion_matrix"] == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    expected = {
        "sad": (2 / 3, 2 / 3, 2 / 3, 3),
        "happy": (2 / 3, 1, 4 / 5, 2),
        "fear": (0, 0, 0, 1),
    }
    for emotion, values in expected.items():
        row = metrics["per_class"][emotion]
        found = (row["precision"], row["recall"], row["f1-score"], row["support"])
        assert found == pytest.approx(values)
    macro, weighted = metrics["macro_average"], metrics["weighted_average"]
    assert macro["precision"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert macro["recall"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert macro["f1-score"] == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)
    assert weighted["f1-score"] == pytest.approx((3 * 2 / 3 + 2 * 4 / 5 + 0) / 6)
    assert metrics["balanced_accuracy"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    of_the_truth = [0.7, 0.6, 0.3, 0.8, 0.5, 0.1]
    log_loss = -sum(math.log(probability) for probability in of_the_truth) / 6
    assert metrics["log_loss"] == pytest.approx(log_loss, abs=1e-5)
    assert metrics["absent"] == []
    assert metrics["never_predicted"] == ["fear"]
    assert metrics["emotions"] == ["sad", "happy", "fear"]


def test_the_figures_can_be_written_as_strict_json(six: ImagePredictions) -> None:
    """metrics.json holds plain numbers that any JSON reader takes, no NaN."""
    text = json.dumps(compute_metrics(six), allow_nan=False)
    assert json.loads(text)["images"] == 6


def test_an_emotion_that_the_data_lacks_is_left_out_of_the_averages() -> None:
    """Averages go over the emotions there are; an answer of an absent one is an error."""
    # True: sad, sad, happy, happy. Predictions: sad, fear, happy, happy.
    predictions = predictions_of(
        [0, 0, 1, 1],
        [[0.8, 0.1, 0.1], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1]],
        ("sad", "happy", "fear"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = compute_metrics(predictions)
    assert metrics["absent"] == ["fear"]
    assert metrics["never_predicted"] == []
    assert list(metrics["per_class"]) == ["sad", "happy"]
    assert metrics["accuracy"] == pytest.approx(3 / 4)
    assert metrics["balanced_accuracy"] == pytest.approx((1 / 2 + 1) / 2)
    assert metrics["macro_average"]["recall"] == pytest.approx((1 / 2 + 1) / 2)
    assert metrics["macro_average"]["precision"] == pytest.approx(1)
    assert metrics["macro_average"]["f1-score"] == pytest.approx((2 / 3 + 1) / 2)
    assert metrics["confusion_matrix"] == [[1, 0, 1], [0, 2, 0], [0, 0, 0]]


def test_an_emotion_never_predicted_raises_no_warning(
    six: ImagePredictions, tmp_path: Path
) -> None:
    """Undefined precisions count as 0 in silence, in the figures and in the pictures."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = compute_metrics(six)
        _write_report(six, metrics, tmp_path)
    assert metrics["per_class"]["fear"]["precision"] == 0


def _assert_report(folder: Path) -> None:
    assert {file.name for file in folder.iterdir()} == REPORT
    for file in folder.glob("*.png"):
        picture = cv2.imread(str(file))
        assert picture is not None
        assert min(picture.shape[:2]) > 50
        assert picture.std() > 1


def test_a_report_is_complete(six: ImagePredictions, tmp_path: Path) -> None:
    """A report holds the figures as JSON and CSV, and pictures that open."""
    metrics = compute_metrics(six)
    files = _write_report(six, metrics, tmp_path / "deep" / "report")
    assert {file.name for file in files} == REPORT
    _assert_report(tmp_path / "deep" / "report")
    stored = (tmp_path / "deep" / "report" / "metrics.json").read_text(encoding="utf-8")
    assert metrics.items() <= json.loads(stored).items()
    with (tmp_path / "deep" / "report" / "classification_report.csv").open(
        newline="", encoding="utf-8"
    ) as file:
        rows = {row["emotion"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["sad", "happy", "fear", "macro average", "weighted average"]
    assert float(rows["happy"]["precision"]) == pytest.approx(2 / 3)
    assert float(rows["happy"]["recall"]) == pytest.approx(1)
    assert float(rows["happy"]["f1"]) == pytest.approx(0.8)
    assert int(rows["happy"]["support"]) == 2
    assert int(rows["macro average"]["support"]) == 6


def test_perfect_answers_have_a_report_too(tmp_path: Path) -> None:
    """Without a single mistake every figure is 1 and the mistakes picture says there are none."""
    predictions = predictions_of([0, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], ("sad", "happy"))
    metrics = compute_metrics(predictions)
    assert metrics["accuracy"] == 1
    assert metrics["macro_average"]["f1-score"] == 1
    _write_report(predictions, metrics, tmp_path)
    _assert_report(tmp_path)


@pytest.mark.parametrize("probabilities", [[0.9, 0.1], [0.1, 0.9]])
def test_a_single_image_has_a_report_too(probabilities: list[float], tmp_path: Path) -> None:
    """One image, answered right or wrong, gives figures and pictures without a warning."""
    predictions = predictions_of([0], [probabilities], ("sad", "happy"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = compute_metrics(predictions)
        _write_report(predictions, metrics, tmp_path)
    assert metrics["accuracy"] == (1 if probabilities[0] > 0.5 else 0)
    assert metrics["absent"] == ["happy"]
    _assert_report(tmp_path)


def test_emotions_that_are_recognised_equally_well_are_named_together(tmp_path: Path) -> None:
    """All that share the best or worst recall are named, at most three, and the rest counted."""
    emotions = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    answers = np.eye(7)[[0, 1, 2, 3, 4, 0, 0]]  # the last two are wrong
    predictions = predictions_of(list(range(7)), answers.tolist(), emotions)
    _write_report(predictions, compute_metrics(predictions), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    best = f"{emotions[0]}, {emotions[1]}, {emotions[2]} and 2 more (recall 100.0%)"
    worst = f"{emotions[5]} and {emotions[6]} (recall 0.0%)."
    assert f"Best recognised: {best}; worst: {worst}" in page


def test_many_mistakes_fit_a_picture(tmp_path: Path) -> None:
    """A model that is always wrong on colour images of eight emotions gets its report too."""
    count = 40
    probabilities = np.full((count, 8), 0.05)
    probabilities[:, 7] = 0.65
    emotions = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise", "contempt")
    predictions = predictions_of([number % 7 for number in range(count)], probabilities, emotions)
    colour = replace(predictions, images=np.repeat(predictions.images, 3, axis=3))
    metrics = compute_metrics(colour)
    assert metrics["accuracy"] == 0
    _write_report(colour, metrics, tmp_path)
    _assert_report(tmp_path)


def test_the_names_of_a_weak_models_curves_can_be_read() -> None:
    """The legend stands where the curves are not, also where they run along the bottom."""
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), 280)
    emotions = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    figure = precision_recall(
        predictions_of([number % 7 for number in range(280)], probabilities.tolist(), emotions),
        {},
    )
    figure.canvas.draw()
    axes = figure.axes[0]
    legend = axes.get_legend()
    assert legend is not None
    area = legend.get_window_extent()
    points = np.concatenate(
        [line.get_transform().transform(line.get_xydata()) for line in axes.lines]
    )
    assert not any(area.contains(x, y) for x, y in points)


class _ReadsPixels:
    """Answers with the emotion whose position each image's pixels hold; recogniser and runtime."""

    emotions = ("sad", "fear", "happy")

    def run(self, batch: np.ndarray) -> np.ndarray:
        return self.classify_inputs(batch.astype(int))

    def classify_inputs(self, inputs: np.ndarray) -> np.ndarray:
        probabilities = np.full((len(inputs), 3), 0.1, np.float32)
        probabilities[np.arange(len(inputs)), inputs[:, 0, 0, 0]] = 0.8
        return probabilities


def test_labels_are_matched_by_name() -> None:
    """Data whose emotions stand in another order, or are fewer, is judged by their names."""
    # Model: sad 0, fear 1, happy 2. Data: happy 0, sad 1. The third answer is wrong.
    dataset = dataset_of(("happy", "sad"), [0, 1, 1], [2, 0, 2], ["test"] * 3)
    predictions = predict_images(_ReadsPixels(), dataset, np.arange(3))
    assert predictions.emotions == ("sad", "fear", "happy")
    assert predictions.labels.tolist() == [2, 0, 0]
    assert predictions.predicted.tolist() == [2, 0, 2]
    metrics = compute_metrics(predictions)
    assert metrics["accuracy"] == pytest.approx(2 / 3)
    assert metrics["absent"] == ["fear"]


def test_an_emotion_that_the_model_does_not_know_is_refused() -> None:
    """Data of an emotion the model cannot answer is an error that names it and the way out."""
    dataset = dataset_of(("angry", "happy"), [0, 1], [0, 2], ["test"] * 2)
    with pytest.raises(DataError, match=r"angry.*--classes"):
        predict_images(_ReadsPixels(), dataset, np.arange(2))


def test_only_the_images_of_the_split_are_judged() -> None:
    """A split's images alone count, in order, over more than one batch; `all` takes every one."""
    splits = ["test" if number % 3 == 0 else "train" for number in range(300)]
    dataset = dataset_of(("sad", "happy"), [0] * 300, [0] * 300, splits)
    members = select_images(dataset, "test").members
    predictions = predict_images(_ReadsPixels(), dataset, members)
    assert predictions.paths.tolist() == [f"{number}.png" for number in range(0, 300, 3)]
    assert len(predictions.probabilities) == 100
    assert select_images(dataset, "all").members.tolist() == list(range(300))


def test_an_empty_split_is_told() -> None:
    """A split without images is an error that names those there are."""
    dataset = dataset_of(("sad", "happy"), [0, 1], [0, 2], ["train", "test"])
    with pytest.raises(DataError, match=r"'val'.*test, train"):
        select_images(dataset, "val")


def test_what_the_data_left_out_is_not_counted_as_of_a_split() -> None:
    """Of a tied vote, the split is not always known; so the whole data's count says that it is."""
    splits = ["test", "test", "train"]
    data = dataset_of(("sad",), [0] * 3, [10, 11, 12], splits, left_out={"tie": 7})
    assert select_images(data, "test").left_out == {"tie (in all splits)": 7}
    assert select_images(data, "all").left_out == {"tie": 7}


def test_images_that_were_trained_on_are_left_out() -> None:
    """Images equal to a source's train, val or unsplit images go, those equal to its test stay."""
    dataset = dataset_of(("sad", "happy"), [0, 0, 1, 1, 1], [10, 11, 12, 13, 14], ["test"] * 5)
    splits = ["train", "val", "test", ""]
    trained_on = {"mine": dataset_of(("happy",), [0] * 4, [10, 11, 12, 13], splits)}
    selection = select_images(dataset, "test", trained_on=trained_on)
    assert selection.members.tolist() == [2, 4]
    assert selection.left_out == {"also in mine": 3}


def test_each_source_of_duplicates_is_counted_apart() -> None:
    """An image that two sources hold counts for the first; a source that holds none says 0."""
    dataset = dataset_of(("sad",), [0] * 4, [10, 11, 12, 13], [""] * 4)
    trained_on = {
        "first": dataset_of(("sad",), [0] * 2, [10, 11], ["train"] * 2),
        "second": dataset_of(("sad",), [0] * 2, [11, 12], ["train"] * 2),
        "third": dataset_of(("sad",), [0], [20], ["train"]),
    }
    selection = select_images(dataset, "all", trained_on=trained_on)
    assert selection.members.tolist() == [3]
    assert selection.left_out == {"also in first": 2, "also in second": 1, "also in third": 0}


def test_nothing_left_to_judge_is_told() -> None:
    """Images that all were trained on are an error, as is a source without training images."""
    dataset = dataset_of(("sad",), [0] * 2, [10, 11], ["test", "train"])
    with pytest.raises(DataError, match=r"no image is left.*1 are also among.*mine"):
        select_images(dataset, "train", trained_on={"mine": dataset})
    only_test = dataset_of(("sad",), [0], [10], ["test"])
    with pytest.raises(DataError, match=r"--exclude-duplicates-of other.*only a test split"):
        select_images(dataset, "test", trained_on={"other": only_test})


def test_flip_takes_the_mean_of_an_image_and_its_mirror_image() -> None:
    """With tta="flip" the left and the right edge of each image count alike."""
    images = np.zeros((2, 4, 4, 1), np.float32)
    images[:, :, 2:] = 2
    images[1, :, :2] = 1
    # The network reads the left edge: 0, or 1 of the last; mirrored it reads 2.
    flipped = MirroredRuntime(_ReadsPixels()).run(images)
    assert flipped == pytest.approx(np.array([[0.45, 0.1, 0.45], [0.1, 0.45, 0.45]]))


class _NormalisesByBatch:
    """A recognizer whose answer to an image depends on the images beside it."""

    emotions = ("sad", "happy")

    def classify_inputs(self, inputs: np.ndarray) -> np.ndarray:
        brightness = inputs.mean(axis=(1, 2, 3)) / 255
        first = np.clip(0.5 + brightness - brightness.mean(), 0, 1)
        return np.stack([first, 1 - first], axis=1).astype(np.float32)


def test_answers_that_depend_on_the_batch_are_measured() -> None:
    """The difference between one at a time and together is that of the worst image, 0 if none."""
    images = np.zeros((5, 4, 4, 1), np.uint8)
    images[0] = 255
    # Mean brightness 0.2: together the first gets 0.5 + 1 - 0.2 = 1.3, cut to 1; alone 0.5.
    assert batch_size_difference(_NormalisesByBatch(), images) == pytest.approx(0.5)
    assert batch_size_difference(_NormalisesByBatch(), images[:1]) == 0
    assert batch_size_difference(_ReadsPixels(), np.zeros((300, 4, 4, 1), np.uint8)) == 0


# --- through the command line


def _evaluate(artifact: Path, *arguments: object) -> Result:
    words = ["evaluate", "--model", str(artifact), "--no-explain", *map(str, arguments)]
    return CliRunner().invoke(app, words)


def test_evaluate_counts_what_predict_answers(artifact: Path, faces: Path, tmp_path: Path) -> None:
    """The accuracy in metrics.json is the share of files that `predict` names rightly."""
    result = _evaluate(artifact, "--data", f"folder:{faces}", "--output", tmp_path / "report")
    assert result.exit_code == 0
    _assert_report(tmp_path / "report")
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text(encoding="utf-8"))
    words = ["predict", str(faces), "--detector", "none", "--format", "jsonl"]
    lines = CliRunner().invoke(app, [*words, "--model", str(artifact)]).stdout.splitlines()
    pairs = []
    for line in lines:
        record = json.loads(line)
        pairs.append((Path(record["path"]).parent.name, record["faces"][0]["emotion"]))
    assert metrics["images"] == len(pairs) == 4 * len(metrics["emotions"])
    right = sum(true == answer for true, answer in pairs)
    assert metrics["accuracy"] == pytest.approx(right / len(pairs))
    order = metrics["emotions"]
    for true, row in zip(order, metrics["confusion_matrix"], strict=True):
        assert row == [pairs.count((true, answer)) for answer in order]
    assert f"{metrics['accuracy']:.1%}" in result.stdout
    assert metrics["split"] == "all"


def test_evaluate_replaces_no_report(artifact: Path, faces: Path, tmp_path: Path) -> None:
    """A report that is there is refused without --force, left as it was, and replaced with it."""
    report = tmp_path / "report"
    report.mkdir()
    (report / "metrics.json").write_text("mine", encoding="utf-8")
    words = ("--data", f"folder:{faces}", "--output", report)
    result = _evaluate(artifact, *words)
    assert isinstance(result.exception, EmodetectError)
    assert "--force" in str(result.exception)
    assert (report / "metrics.json").read_text(encoding="utf-8") == "mine"
    assert [file.name for file in report.iterdir()] == ["metrics.json"]
    assert _evaluate(artifact, *words, "--force").exit_code == 0
    _assert_report(report)


@posix_only
def test_a_report_is_written_though_nobody_reads(
    artifact: Path, faces: Path, tmp_path: Path
) -> None:
    """`evaluate | head` ends the output, not the work."""
    read, write = os.pipe()
    os.close(read)
    out = tmp_path / "report"
    words = ["evaluate", "--model", artifact, "--data", faces, "--split", "all", "--output", out]
    done = subprocess.run(
        [sys.executable, "-m", "emodetect", *map(str, words), "--no-explain"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    for name in ("report.html", "metrics.json", "predictions.csv", "confusion_matrix.png"):
        assert (out / name).is_file()


def test_evaluate_takes_a_subset_of_classes(artifact: Path, faces: Path, tmp_path: Path) -> None:
    """--classes judges on these emotions alone, by any of their names, and counts the rest."""
    out = tmp_path / "report"
    words = ("--data", f"folder:{faces}", "--classes", "Happiness,sad", "--output", out)
    assert _evaluate(artifact, *words).exit_code == 0
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["images"] == 8
    assert set(metrics["per_class"]) == {"happy", "sad"}
    assert sum(metrics["left_out"].values()) == 4 * (len(metrics["emotions"]) - 2)


def test_evaluate_leaves_out_what_was_trained_on(
    artifact: Path, faces: Path, tmp_path: Path
) -> None:
    """Copies of training images, in any lossless format, go, and their number is told."""
    source = faces / "happy"
    for number, suffix in enumerate((".png", ".bmp")):
        copy = tmp_path / "trained" / "sad" / f"copy{suffix}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        pixels = cv2.imread(str(source / f"happy_0000{number}.png"))
        cv2.imwrite(str(copy), pixels)
    trained = f"folder:{tmp_path / 'trained'}"
    out = tmp_path / "report"
    words = ("--data", f"folder:{faces}", "--exclude-duplicates-of", trained, "--output", out)
    result = _evaluate(artifact, *words)
    assert result.exit_code == 0, result.exception
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["images"] == 4 * len(metrics["emotions"]) - 2
    assert metrics["per_class"]["happy"]["support"] == 2
    assert metrics["left_out"] == {f"also in {trained}": 2}
    assert f"excluded 2: also in {trained}" in result.stdout


def test_evaluate_reports_what_it_was_asked_for(
    artifact: Path, faces: Path, tmp_path: Path
) -> None:
    """Flip and altered copies stand in print and in metrics.json, null if not asked."""
    plain, full = tmp_path / "plain", tmp_path / "full"
    words = ("--data", f"folder:{faces}", "--output")
    result = _evaluate(artifact, *words, plain)
    assert result.exit_code == 0
    metrics = json.loads((plain / "metrics.json").read_text(encoding="utf-8"))
    assert "tta" not in result.stdout
    assert (metrics["tta"], metrics["robustness"], metrics["bootstrap"]) == (None, None, 1000)
    result = _evaluate(
        artifact, *words, full, "--tta", "flip", "--bootstrap", "100", "--robustness"
    )
    assert result.exit_code == 0
    metrics = json.loads((full / "metrics.json").read_text(encoding="utf-8"))
    assert (metrics["tta"], metrics["bootstrap"]) == ("flip", 100)
    assert "tta flip" in result.stdout
    low, high = metrics["intervals_95"]["accuracy"]
    assert low <= metrics["accuracy"] <= high
    rows = [line.replace("│", "").split() for line in result.stdout.splitlines()]
    assert ["accuracy", f"{metrics['accuracy']:.1%}", f"{low:.1%}", "to", f"{high:.1%}"] in rows
    # Mirrored copies are the same two images to the mean of both.
    assert metrics["robustness"]["mirrored"]["accuracy"] == metrics["accuracy"]
    assert metrics["robustness"]["mirrored"]["difference_points"] == 0
    assert all(name in result.stdout for name in metrics["robustness"])
    assert ["mirrored", f"{metrics['accuracy']:.1%}", "0.0", "points"] in [
        line.replace("│", "").split() for line in result.stdout.splitlines()
    ]
    for word in ("recall", "log-loss", "calibration error (ECE)", "bootstrap", "points"):
        assert f"  {word}: {MEANINGS[word]}" in result.stdout


def test_evaluate_warns_of_a_model_that_answers_by_batch(
    artifact: Path, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sound model raises no warning; one that answers by its batch raises one line on stderr."""
    words = ("--data", f"folder:{faces}", "--output")
    result = _evaluate(artifact, *words, tmp_path / "sound")
    assert "warning" not in result.stderr
    stored = (tmp_path / "sound" / "metrics.json").read_text(encoding="utf-8")
    assert json.loads(stored)["batch_size_difference"] < 1e-4

    def one_is_sure(self: EmotionRecognizer, inputs: np.ndarray) -> np.ndarray:
        emotions = len(self.emotions)
        rows = np.full((len(inputs), emotions), 1 / emotions, np.float32)
        return np.eye(emotions, dtype=np.float32)[[0]] if len(inputs) == 1 else rows

    monkeypatch.setattr(EmotionRecognizer, "classify_inputs", one_is_sure)
    result = _evaluate(artifact, *words, tmp_path / "unsound")
    (warning,) = [line for line in result.stderr.splitlines() if line.startswith("warning")]
    assert "differs by 0.67" in warning  # one of three emotions: 1 alone, 1/3 together


def test_evaluate_takes_one_class_alone(artifact: Path, faces: Path, tmp_path: Path) -> None:
    """--classes happy measures how many happy faces are found."""
    out = tmp_path / "report"
    words = ("--data", f"folder:{faces}", "--classes", "happy", "--output", out)
    assert _evaluate(artifact, *words).exit_code == 0
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["images"] == 4
    assert metrics["accuracy"] == metrics["per_class"]["happy"]["recall"]


def test_skipped_files_are_named_in_the_report(artifact: Path, faces: Path, tmp_path: Path) -> None:
    """A broken file among many is skipped, said so, and named in metrics.json."""
    for number in range(30):
        source = faces / "happy" / "happy_00000.png"
        (faces / "happy" / f"more_{number}.png").write_bytes(source.read_bytes())
    broken = faces / "happy" / "happy_00001.png"
    broken.write_text("no image", encoding="utf-8")
    result = _evaluate(artifact, "--data", f"folder:{faces}", "--output", tmp_path / "report")
    assert result.exit_code == 0
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text(encoding="utf-8"))
    (skipped,) = metrics["skipped"]
    assert str(broken) in skipped
    assert "skipped 1" in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--data", "faces"), "SOURCE:PATH"),
        (("--data", "csv:faces"), "sources"),
        (("--data", "folder:nowhere"), "no such folder"),
        (("--data", "folder:"), "path"),
        (("--data", "folder:{faces}", "--classes", "hapy"), "'happy'"),
        (("--data", "folder:{faces}", "--classes", "contempt"), "contempt"),
        (("--data", "folder:{faces}", "--classes", "happy,happy"), "once"),
        (("--data", "folder:{faces}", "--classes", "happy,"), "--classes"),
        (("--data", "folder:{faces}", "--split", "test"), "--split all"),
        (("--data", "synthetic:somewhere"), "path"),
        (("--config", "dmeo"), "'demo'"),
        (("--data", "folder:{faces}", "--exclude-duplicates-of", "folder:{faces}"), "no image is"),
        (
            ("--data", "folder:{faces}", "--exclude-duplicates-of", "faces"),
            "--exclude-duplicates-of: faces: no such file or folder",
        ),
        (
            ("--data", "folder:{faces}", "--exclude-duplicates-of", "folder:"),
            "--exclude-duplicates-of: folder:: expected a path",
        ),
    ],
)
def test_data_that_cannot_be_judged_on_is_told(
    artifact: Path, faces: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    """Wrong names of data, classes, splits and configs end in one clear error."""
    named = [word.format(faces=faces) for word in words]
    result = _evaluate(artifact, *named, "--output", tmp_path / "report")
    assert isinstance(result.exception, EmodetectError)
    assert said in str(result.exception)
    assert not (tmp_path / "report").exists()


def test_data_and_config_exclude_each_other(artifact: Path, faces: Path) -> None:
    """Naming the data twice is a usage error, not a silent choice."""
    result = _evaluate(artifact, "--data", f"folder:{faces}", "--config", "demo")
    assert result.exit_code == 2


@pytest.mark.parametrize(
    "words", [("--bootstrap", "0"), ("--bootstrap", "many"), ("--tta", "crop")]
)
def test_options_of_other_values_are_usage_errors(
    artifact: Path, faces: Path, words: tuple[str, str]
) -> None:
    """Too few resamples, text for a number and unknown augmentations are refused by name."""
    result = _evaluate(artifact, "--data", f"folder:{faces}", *words)
    assert result.exit_code == 2
    assert words[0] in result.stderr


def test_a_report_that_cannot_be_written_is_told(
    artifact: Path, faces: Path, tmp_path: Path
) -> None:
    """An --output below a file ends in one error that names the place."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    out = tmp_path / "file" / "report"
    result = _evaluate(artifact, "--data", f"folder:{faces}", "--output", out)
    assert isinstance(result.exception, EmodetectError)
    assert str(tmp_path / "file") in str(result.exception)


def _trained_on(config: ExperimentConfig) -> SimpleNamespace:
    """Stands in for a recogniser whose model was trained with a config."""
    dataset = load_dataset(config.data, seed=config.seed)
    metadata = Metadata(
        name="mine",
        emotions=dataset.emotions,
        image_size=32,
        color="gray",
        config=config.model_dump(mode="json", exclude_none=True),
        dataset={
            **dataset.identity(),
            "served": dataset.sketch(("train", "val")).text,
            "place": place_of(config.data.data_path),
        },
    )
    return SimpleNamespace(metadata=metadata)


def test_test_images_that_were_trained_on_are_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A drawn test split is not judged by a model that another drawing of it trained.

    Under its folder's name, too, it is judged on the images that training took out, or told.
    """
    faces = tmp_path / "faces"
    draw_dataset(faces, counts={"": 12}, emotions=("happy", "sad"), seed=5, size=32)
    config = load_config(
        SMALL,
        [
            'data={source="folder", image_size=32, validation_fraction=0.25, test_fraction=0.25,'
            f' path="{faces}", cache_dir="{tmp_path / "cache"}"}}'
        ],
    )
    trained = load_dataset(config.data, seed=config.seed)
    own = _trained_on(config)
    metadata = own.metadata
    assert open_training_data(config, metadata).fingerprint == trained.fingerprint
    elsewhere = config.data.model_copy(update={"path": faces / ".." / "faces"})
    for data in (config.data, elsewhere):  # one place, however it is written
        with pytest.raises(DataError, match="have changed"):
            open_training_data(config.model_copy(update={"seed": 1, "data": data}), metadata)

    # Named by the user, it is the same data.
    named = NamedData("folder", str(faces))
    kept = open_task("mine", own, source=named)
    assert kept.description["split"] == "test"
    assert not kept.description["seen"]
    assert len(kept.selection.members) == len(trained.indices("test"))
    assert not open_task("mine", own).description["seen"]
    assert not open_task("mine", own, split="val").description["seen"]
    assert "trained on most of these" not in caplog.text
    assert "chose the model's best epoch" in caplog.text
    for split in ("train", "all"):
        for source in (None, named):
            caplog.clear()
            assert open_task("mine", own, source=source, split=split).description["seen"]
            assert "trained on most of these" in caplog.text


def _in_split_folders(dataset: Dataset, faces: Path, out: Path, *, turned: int) -> None:
    """Copy images into train, val and test: as they were split, or each to the `turned`th after."""
    names = ("train", "val", "test")
    for path, split in zip(dataset.paths, dataset.splits, strict=True):
        name = names[(names.index(split) + turned) % 3]
        (out / name / Path(path).parent).mkdir(parents=True, exist_ok=True)
        shutil.copy(faces / path, out / name / path)


def test_images_that_were_trained_on_are_refused_in_copies(tmp_path: Path) -> None:
    """Corrected labels, or images sorted into other splits, do not make training images test ones.

    Where the test images are the same ones, the copy is evaluated.
    """
    faces = tmp_path / "faces"
    draw_dataset(faces, counts={"": 12}, emotions=("happy", "sad"), seed=5, size=32)
    place = f'data={{source="folder", image_size=32, path="{faces}"}}'
    config = load_config(SMALL, [place, f"data.cache_dir={tmp_path / 'cache'}"])
    own, trained = _trained_on(config), load_dataset(config.data, seed=config.seed)

    corrected = shutil.copytree(faces, tmp_path / "corrected")
    one = min((corrected / "happy").iterdir())
    one.rename(corrected / "sad" / one.name)
    _in_split_folders(trained, faces, tmp_path / "sorted", turned=1)
    for name in ("corrected", "sorted"):
        with pytest.raises(DataError, match="labels, the splits or the seed have changed"):
            open_task("mine", own, source=NamedData("folder", str(tmp_path / name)))

    _in_split_folders(trained, faces, tmp_path / "same", turned=0)
    kept = open_task("mine", own, source=NamedData("folder", str(tmp_path / "same")))
    assert len(kept.selection.members) == len(trained.indices("test"))

    shutil.move(faces, tmp_path / "old")
    draw_dataset(faces, counts={"test": 3}, emotions=("happy", "sad"), seed=9, size=32)
    shutil.move(tmp_path / "old", faces / "train")  # and new ones beside them
    assert len(open_task("mine", own).selection.members) == 6

    shutil.rmtree(faces)
    (tmp_path / "sorted").rename(faces)  # where the training had them
    with pytest.raises(DataError, match="labels, the splits or the seed have changed"):
        open_task("mine", own)

    # The other way round: they had splits in training, and lie in one folder now.
    config = load_config(SMALL, [place, f"data.cache_dir={tmp_path / 'cache'}"])
    with pytest.raises(DataError, match="labels, the splits or the seed have changed"):
        open_task("mine", _trained_on(config), source=NamedData("folder", str(corrected)))


def test_a_part_of_the_training_data_is_told(tmp_path: Path) -> None:
    """Its training folder, named alone, is no new data, but its test folder is."""
    faces = tmp_path / "faces"
    counts = {"train": 8, "val": 4, "test": 4}
    draw_dataset(faces, counts=counts, emotions=("happy", "sad"), seed=5, size=32)
    place = f'data={{source="folder", image_size=32, path="{faces}"}}'
    own = _trained_on(load_config(SMALL, [place, f"data.cache_dir={tmp_path / 'cache'}"]))
    for name, parts in (("train", 1), ("val", 1), ("test", 0)):
        task = open_task("mine", own, source=NamedData("folder", str(faces / name)))
        assert len(task.description["caveats"]) == parts
    with pytest.raises(EmodetectError, match=f"was trained on {re.escape(str(faces))};"):
        unseen_by(own.metadata, [], [faces / "train"], stated=True)
    assert unseen_by(own.metadata, [], [faces / "test"], stated=True).size == 0


def test_a_model_knows_its_data_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data that was named relative to the folder of the training, and a copy of it, are its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "else").mkdir()
    draw_dataset(tmp_path, counts={"faces": 12}, emotions=("happy", "sad"), seed=5, size=32)
    values = f'data={{source="folder", image_size=32, path="faces", cache_dir="{tmp_path}/c"}}'
    config = load_config(SMALL, [values])
    trained = load_dataset(config.data, seed=config.seed)
    own = _trained_on(config)
    shutil.copytree("faces", "else/copy")
    monkeypatch.chdir(tmp_path / "else")
    for path in ("../faces", "copy"):
        kept = open_task("mine", own, source=NamedData("folder", path))
        assert kept.description["split"] == "test"
        assert len(kept.selection.members) == len(trained.indices("test"))
        assert open_task("mine", own, source=NamedData("folder", path), split="all").description[
            "seen"
        ]
    next((tmp_path / "faces" / "happy").iterdir()).unlink()
    with pytest.raises(DataError, match="have changed"):
        open_task("mine", own, source=NamedData("folder", "../faces"))


def _moved(tmp_path: Path, *keys: str) -> tuple[SimpleNamespace, list[str]]:
    """Train on faces, which are then moved to moved/; return a recogniser, and the test images."""
    values = f'data={{source="folder", image_size=32, path="faces", cache_dir="{tmp_path}/c"}}'
    config = load_config(SMALL, [values, *keys])
    own = _trained_on(config)
    trained = load_dataset(config.data, seed=config.seed)
    Path("faces").rename("moved")
    return own, sorted(trained.paths[trained.indices("test")])


def test_moved_data_is_known_though_some_of_it_was_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of some of the classes, or of what an audit left, is judged on its test images."""
    monkeypatch.chdir(tmp_path)
    emotions = ("fear", "happy", "sad")
    draw_dataset(tmp_path, counts={"faces": 12}, emotions=emotions, seed=5, size=32)
    for number, file in enumerate(sorted(Path("faces/sad").iterdir())[:3]):
        shutil.copy(file, f"faces/sad/copy{number}.png")
    words = ["data", "audit", "faces", "--detector", "none", "--output", "audit"]
    assert CliRunner().invoke(app, words).exit_code == 0
    keys = 'data.classes=["happy", "sad"]', "data.manifest=audit/manifest.csv"
    for used in (keys[:1], keys[1:], keys):
        own, tests = _moved(tmp_path, *used)
        known = own.metadata.emotions
        task = open_task("mine", own, source=NamedData("folder", "moved"), emotions=known)
        assert sorted(task.dataset.paths[task.selection.members]) == tests
        assert not task.description["seen"]
        Path("moved").rename("faces")
    Path("audit/manifest.csv").unlink()
    with pytest.raises(
        DataError, match=r"manifest\.csv: not found; mine was trained on faces with"
    ):
        open_task("mine", own, source=NamedData("folder", "faces"), emotions=known)


def test_a_config_of_moved_data_splits_it_as_training_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another seed, its test images would be training images."""
    monkeypatch.chdir(tmp_path)
    draw_dataset(tmp_path, counts={"faces": 12}, emotions=("happy", "sad"), seed=5, size=32)
    own, tests = _moved(tmp_path)
    values = f'source = "folder"\nimage_size = 32\npath = "moved"\ncache_dir = "{tmp_path}/c"\n'
    Path("mine.toml").write_text(f"[data]\n{values}")
    task = open_task("mine", own, config_name="mine.toml")
    assert sorted(task.dataset.paths[task.selection.members]) == tests
    Path("mine.toml").write_text(f"seed = 7\n[data]\n{values}")
    with pytest.raises(DataError, match="have changed"):
        open_task("mine", own, config_name="mine.toml")


def test_training_images_among_others_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moved data that has grown is another data set, but most of it was trained on."""
    monkeypatch.chdir(tmp_path)
    draw_dataset(tmp_path, counts={"faces": 12}, emotions=("happy", "sad"), seed=5, size=32)
    draw_dataset(tmp_path, counts={"new": 12}, emotions=("happy", "sad"), seed=6, size=32)
    own, _ = _moved(tmp_path)
    new = NamedData("folder", "new")
    assert not open_task("mine", own, source=new).description["seen"]
    for file in sorted(Path("moved").rglob("*.png")):
        shutil.copy(file, f"new/{file.parent.name}/old_{file.name}")
    task = open_task("mine", own, source=new)
    assert task.description["seen"]
    (caveat,) = task.description["caveats"]
    # 24 of 48, but for those of the test split, which trained nothing.
    served = sum(sum(own.metadata.dataset["counts"][split].values()) for split in ("train", "val"))
    assert caveat.startswith(f"About {served / 48:.0%} of these images, by a sample, trained")
    moved = NamedData("folder", "moved")
    task = open_task("mine", own, source=new, exclude_duplicates_of=[moved])
    assert (len(task.selection.members), task.description["caveats"]) == (24, [])
    for number in range(50):  # of many others, they are few
        draw_dataset(tmp_path, counts={f"{number}": 10}, emotions=("happy",), seed=number, size=32)
        for file in Path(f"{number}/happy").iterdir():
            file.rename(f"new/happy/{number}_{file.name}")
    assert not open_task("mine", own, source=new).description["seen"]


def test_a_folder_of_the_same_name_elsewhere_is_other_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that was trained on faces here knows nothing of faces on another machine."""
    (tmp_path / "else").mkdir()
    draw_dataset(tmp_path, counts={"faces": 12}, emotions=("happy", "sad"), seed=5, size=32)
    draw_dataset(tmp_path / "else", counts={"faces": 9}, emotions=("happy", "sad"), seed=6, size=32)
    monkeypatch.chdir(tmp_path)
    own, _ = _moved(tmp_path)
    monkeypatch.chdir(tmp_path / "else")
    task = open_task("mine", own, source=NamedData("folder", "faces"))
    assert len(task.selection.members) == 18
    assert not task.description["seen"]
    Path("mine.toml").write_text('[data]\nsource = "folder"\nimage_size = 32\npath = "faces"\n')
    assert not open_task("mine", own, config_name="mine.toml").description["seen"]
    with pytest.raises(DataError, match="have changed"):  # what it was trained on is not there
        open_task("mine", own)
    draw_dataset(Path("faces"), counts={"new": 3}, emotions=("happy", "sad"), seed=8, size=32)
    part = open_task("mine", own, source=NamedData("folder", "faces/new"))
    assert part.description["caveats"] == []


def test_training_data_in_another_container_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine of another name, where images were added to the data, is no reason to leak."""
    monkeypatch.chdir(tmp_path)
    draw_dataset(tmp_path, counts={"faces": 24}, emotions=("happy", "sad"), seed=5, size=32)
    own, _ = _moved(tmp_path)
    Path("moved").rename("faces")
    monkeypatch.setattr(platform, "node", lambda: "another")
    draw_dataset(tmp_path, counts={"more": 2}, emotions=("happy", "sad"), seed=6, size=32)
    for file in sorted(Path("more").rglob("*.png")):
        file.rename(f"faces/{file.parent.name}/new_{file.name}")
    for source in (None, NamedData("folder", "faces")):
        with pytest.raises(DataError, match="have changed"):
            open_task("mine", own, source=source)


def test_what_numbers_mean_is_told_where_the_training_says_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In other data, 0 may be another emotion than in the training data."""
    for name, seed in (("faces", 5), ("new", 6)):
        draw_dataset(tmp_path, counts={name: 12}, emotions=("happy", "sad"), seed=seed, size=32)
        for number, emotion in enumerate(("happy", "sad")):
            (tmp_path / name / emotion).rename(tmp_path / name / str(number))
    names = {"0": "happy", "1": "sad"}
    values = f'source="folder", image_size=32, path="{tmp_path}/faces", cache_dir="{tmp_path}/c"'
    told = ", ".join(f'{label}="{name}"' for label, name in names.items())
    own = _trained_on(load_config(SMALL, [f"data={{{values}, label_names={{{told}}}}}"]))
    open_task("mine", own, source=NamedData("folder", f"{tmp_path}/faces"))
    open_task("mine", own, source=NamedData("folder", f"{tmp_path}/new"), label_names=names)
    assert "mean something else" not in caplog.text
    open_task("mine", own, source=NamedData("folder", f"{tmp_path}/new"))
    assert "0 is happy, 1 is sad, as in the training data of mine" in caplog.text


def test_validation_images_that_were_trained_on_are_refused(tmp_path: Path) -> None:
    """Where only test is given, validation is drawn, and drawn otherwise once an image is gone."""
    faces = tmp_path / "faces"
    draw_dataset(faces, counts={"train": 12, "test": 6}, emotions=("happy", "sad"), seed=5, size=32)
    values = f'data={{source="folder", image_size=32, path="{faces}", cache_dir="{tmp_path}"}}'
    config = load_config(SMALL, [values])
    trained = load_dataset(config.data, seed=config.seed)
    own = _trained_on(config)
    named = NamedData("folder", str(faces))
    for source in (None, named):
        kept = open_task("mine", own, source=source, split="val")
        assert len(kept.selection.members) == len(trained.indices("val"))
    next((faces / "train" / "happy").iterdir()).unlink()
    for source in (None, named):
        with pytest.raises(DataError, match="its validation images can no longer"):
            open_task("mine", own, source=source, split="val")
        assert open_task("mine", own, source=source).description["split"] == "test"


def test_a_fold_is_validated_on_its_own_part_of_the_data_however_that_is_named(
    tmp_path: Path,
) -> None:
    """Validation images of the source may be a fold's training images."""
    faces = tmp_path / "faces"
    counts = {"train": 12, "val": 12, "test": 6}
    draw_dataset(faces, counts=counts, emotions=("happy", "sad"), seed=5, size=32)
    values = f'{{source="folder", image_size=32, path="{faces}", cache_dir="{tmp_path}"}}'
    config = load_config(SMALL, [f"data={values}", "data.fold=[2, 3]"])
    trained = load_dataset(config.data, seed=config.seed)
    own = _trained_on(config)
    named = NamedData("folder", str(faces))
    for split in ("train", "val", "test"):
        expected = sorted(trained.paths[trained.indices(split)])
        for source in (None, named):
            kept = open_task("mine", own, source=source, split=split)
            members = kept.selection.members
            assert sorted(kept.dataset.paths[members]) == expected, split
    (faces / "val" / "happy").rename(tmp_path / "gone")
    for source in (None, named):
        with pytest.raises(DataError, match="its validation images can no longer"):
            open_task("mine", own, source=source, split="val")


def test_test_images_among_the_training_images_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """However the training data is named, copies of training images are counted."""
    caplog.set_level("INFO")
    faces = tmp_path / "faces"
    counts = {"train": 12, "val": 6, "test": 6}
    draw_dataset(faces, counts=counts, emotions=("happy", "sad"), seed=5, size=32)
    for number, file in enumerate(sorted((faces / "train" / "sad").iterdir())[:3]):
        shutil.copy(file, faces / "test" / "sad" / f"copy{number}.png")
    values = f'data={{source="folder", image_size=32, path="{faces}", cache_dir="{tmp_path}"}}'
    config = load_config(SMALL, [values])
    own = _trained_on(config)
    named = NamedData("folder", str(faces))
    for source in (None, named):
        caplog.clear()
        assert open_task("mine", own, source=source).description["leaked"] == 3
        assert "3 of 15 test images are identical" in caplog.text
        without = open_task("mine", own, source=source, exclude_duplicates_of=[named])
        assert (len(without.selection.members), without.description["leaked"]) == (12, 0)
        assert open_task("mine", own, source=source, split="all").description["seen"]
        whole = open_task("mine", own, source=source, split="all", exclude_duplicates_of=[named])
        assert set(whole.dataset.splits[whole.selection.members]) == {"test"}
        assert (whole.description["seen"], whole.description["caveats"]) == (False, [])
    own.metadata = replace(own.metadata, config={})  # trained elsewhere, on who knows what
    assert open_task("mine", own, source=source).description["leaked"] is None


def test_where_a_manifests_images_are_now_is_known_from_training(tmp_path: Path) -> None:
    """The data.path_prefix of the training holds for its own manifest, named by the user.

    A manifest with the images' new paths needs none.
    """
    draw_dataset(tmp_path, counts={"faces": 12}, emotions=("happy", "sad"), seed=5, size=32)
    images = sorted((tmp_path / "faces").rglob("*.png"))
    rows = [f"/old/{path.parent.name}/{path.name},{path.parent.name}" for path in images]
    table = tmp_path / "all.csv"
    table.write_text("\n".join(["path,label", *rows, ""]))
    values = (
        f'data={{source="manifest", image_size=32, path="{table}", cache_dir="{tmp_path}/c", '
        f'path_prefix={{"/old"="{tmp_path}/faces"}}}}'
    )
    own = _trained_on(load_config(SMALL, [values]))
    task = open_task("mine", own, source=NamedData("manifest", str(table)), split="all")
    assert len(task.selection.members) == len(images)
    corrected = tmp_path / "corrected.csv"
    corrected.write_text(table.read_text().replace("/old/", f"{tmp_path}/faces/"))
    task = open_task("mine", own, source=NamedData("manifest", str(corrected)))
    assert task.description["split"] == "test"


def test_leaks_that_cleaning_removed_are_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies of test images that training left out, as an audit advised, are no leaks."""
    monkeypatch.chdir(tmp_path)
    draw_dataset(
        tmp_path / "faces",
        counts={"train": 12, "val": 6, "test": 6},
        emotions=("happy", "sad"),
        seed=5,
        size=32,
    )
    for number, file in enumerate(sorted(Path("faces/test/sad").iterdir())[:3]):
        shutil.copy(file, f"faces/train/sad/copy{number}.png")
    words = ["data", "audit", "faces", "--detector", "none", "--output", "audit"]
    assert CliRunner().invoke(app, words).exit_code == 0
    values = (
        'data={source="folder", image_size=32, path="faces", manifest="audit/manifest.csv", '
        'cache_dir="c"}'
    )
    own = _trained_on(load_config(SMALL, [values]))
    named = NamedData("folder", "faces")
    assert open_task("mine", own, source=named).description["leaked"] == 0
    own.metadata.config["data"].pop("manifest")
    assert open_task("mine", own, source=named).description["leaked"] == 3


def test_a_report_among_the_images_is_refused(
    artifact: Path, faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its plots would be images of the next evaluation; a matrix is no different."""
    monkeypatch.chdir(faces)
    before = sorted(faces.iterdir())
    for words in (["--output", "report"], ["--data", "happy", "--output", "matrix"]):
        result = _evaluate(artifact, "--data", ".", *words)
        assert isinstance(result.exception, EmodetectError)
        assert "is inside" in str(result.exception) or "happy" in str(result.exception)
    assert sorted(faces.iterdir()) == before


def test_a_run_folder_gets_its_report_as_its_model_does(
    artifact: Path, faces: Path, tmp_path: Path
) -> None:
    """`evaluate --model RUN` evaluates the model of the run and reports into its folder."""
    run = tmp_path / "mine"
    run.mkdir()
    shutil.copy(artifact, run)
    result = _evaluate(run, "--data", f"folder:{faces}", "--no-explain", "--bootstrap", 100)
    assert result.exit_code == 0, result.exception
    metrics = json.loads((run / "evaluation-all" / "metrics.json").read_text())
    assert metrics["model"] == str(run)
    assert metrics["images"] == 12
