"""`compare`: statistics against values worked out by hand, pairing, and the page."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from labelled import dataset_of, predictions_of
from rich.console import Console
from small import LENET, SMALL
from test_report import assert_self_contained

from emodetect.cli import app
from emodetect.cli.compare import accuracy_table
from emodetect.config import load_config
from emodetect.data.dataset import Dataset, number_crops
from emodetect.data.synthetic import draw_dataset
from emodetect.errors import DataError, EmodetectError
from emodetect.evaluation.comparison import (
    compare_models,
    match_images,
    only_right,
)
from emodetect.evaluation.evaluate import images_fingerprint
from emodetect.evaluation.evaluated_models import (
    EvaluatedModel,
    changed_data,
    load_evaluated_model,
)
from emodetect.evaluation.labelled_images.labelled_data import OWN_DATA
from emodetect.evaluation.metrics.significance import holm, paired_accuracy_p
from emodetect.evaluation.predictions import Predictions, write_predictions
from emodetect.evaluation.verdict import unequal_terms, verdict
from emodetect.model_file.artifact import read_artifact
from emodetect.reports.comparison_page import write_comparison

EMOTIONS = ("happy", "sad")


def _answers(
    labels: list[int], predicted: list[int], emotions: tuple[str, ...] = EMOTIONS
) -> Predictions:
    probabilities = np.full((len(labels), len(emotions)), 0.1, np.float32)
    probabilities[np.arange(len(labels)), predicted] = 0.8
    return Predictions(
        emotions=emotions,
        labels=np.array(labels),
        probabilities=probabilities,
        paths=np.array([f"{number}.png" for number in range(len(labels))], object),
        crops=np.array(["1/1"] * len(labels)),
        groups=np.arange(len(labels)),
    )


def _mcnemar(lost: int, won: int) -> float:
    """Return the p of independent images: only the first model is right on `lost`."""
    gains = np.repeat([-1, 1, 0], [lost, won, 10])
    return paired_accuracy_p(gains, np.arange(len(gains)))


def test_mcnemar_is_exact() -> None:
    """5 against 15 is a binomial test of a fair coin; equal or no differences say nothing."""
    assert _mcnemar(5, 15) == pytest.approx(0.04139, abs=1e-5)
    assert _mcnemar(0, 10) == pytest.approx(2 / 2**10)
    assert _mcnemar(7, 7) == pytest.approx(1)
    assert _mcnemar(0, 0) == 1


def test_holm_corrects_by_rank_and_never_falls() -> None:
    """The smallest is taken times their number, the next times one less, up to 1."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1, 1]
    assert holm([0.02]) == [0.02]


def test_the_comparison_is_that_worked_out_by_hand() -> None:
    """Differences, who is right where, recalls and disagreements follow their definitions."""
    # 100 images, half happy. A errs on the last 20 happy ones, B on the first 10 and those.
    labels = [0] * 50 + [1] * 50
    first = [0] * 30 + [1] * 20 + [1] * 50
    second = [1] * 10 + [0] * 20 + [0] * 5 + [1] * 15 + [1] * 50
    comparison = compare_models(["A", "B"], [_answers(labels, first), _answers(labels, second)])
    (row,) = comparison["comparisons"]
    assert comparison["holm"] is False
    assert row["differences"]["accuracy"]["difference"] == pytest.approx(-0.05)
    low, high = row["differences"]["accuracy"]["interval_95"]
    assert low < -0.05 < high
    # The standard error of the paired difference is sqrt(15 - 25 / 100) / 100 = 0.038.
    assert high - low == pytest.approx(2 * 1.96 * 0.0384, rel=0.15)
    assert (row["both_right"], row["neither_right"]) == (70, 15)
    assert (row["only_reference_right"], row["only_other_right"]) == (10, 5)
    assert row["p"] == _mcnemar(10, 5)
    assert row["recall"]["happy"] == {"images": 50, "reference": 0.6, "other": 0.5}
    assert row["disagreements"] == [["happy", "sad", 10], ["sad", "happy", 5]]


def test_the_same_answers_differ_by_nothing() -> None:
    """Paired, a model differs from itself by exactly 0, whatever is drawn."""
    same = _answers([0, 1] * 20, [0, 0] * 20)
    comparison = compare_models(["A", "B", "C"], [same, same, same], resamples=100)
    assert comparison["holm"] is True
    for row in comparison["comparisons"]:
        for change in row["differences"].values():
            assert change == {"difference": 0, "interval_95": [0, 0]}
        assert row["p"] == 1
        assert row["disagreements"] == []


def test_a_better_model_has_an_interval_above_zero() -> None:
    """Where the second is right on 30 more of 100, its accuracy and log-loss say so."""
    labels = [0, 1] * 50
    worse = [0 if number < 60 else label for number, label in enumerate(labels)]
    pair = [_answers(labels, worse), _answers(labels, labels)]
    (row,) = compare_models(["A", "B"], pair)["comparisons"]
    assert row["differences"]["accuracy"]["difference"] == pytest.approx(0.3)
    assert row["differences"]["accuracy"]["interval_95"][0] > 0.2
    assert row["differences"]["log_loss"]["interval_95"][1] < 0
    assert row["p"] < 1e-6
    assert only_right(*pair).tolist() == []
    assert len(only_right(*pair[::-1])) == 30


def test_images_are_matched_by_name() -> None:
    """Models with other orders of images and of emotions are compared image by image."""
    labels = [0, 1, 0, 1, 1]
    first = _answers(labels, [0, 1, 0, 0, 1])
    turned = _answers([1 - label for label in labels], [1, 0, 1, 1, 0], ("sad", "happy"))
    order = np.array([4, 2, 0, 1, 3])
    mixed = replace(
        turned,
        labels=turned.labels[order],
        probabilities=turned.probabilities[order],
        paths=turned.paths[order],
    )
    matched, left_out = match_images(["A", "B"], [first, mixed])
    assert left_out == [0, 0]
    assert matched[1].paths.tolist() == first.paths.tolist()
    (row,) = compare_models(["A", "B"], matched, resamples=100)["comparisons"]
    assert row["differences"]["accuracy"]["difference"] == 0
    assert row["disagreements"] == []


def test_crops_of_one_photo_stay_apart() -> None:
    """Faces of the same path are matched by which they are, also where one was left out."""
    answers = replace(
        _answers([0, 0, 0], [0, 1, 1]),
        paths=np.array(["a.png", "a.png", "b.png"], object),
        crops=np.array(["1/2", "2/2", "1/1"], object),
    )
    matched, _ = match_images(["A", "B"], [answers, answers])
    assert matched[1].predicted.tolist() == [0, 1, 1]
    rest = _answers([0, 0], [1, 1])
    without_first = replace(rest, paths=answers.paths[1:], crops=answers.crops[1:])
    matched, left_out = match_images(["A", "B"], [answers, without_first], common=True)
    assert left_out == [1, 0]
    assert matched[0].predicted.tolist() == [1, 1]
    # Where the photo has one crop only, nobody can tell which of the two it is.
    alone = replace(without_first, crops=np.array(["1/1", "1/1"], object))
    matched, _ = match_images(["A", "B"], [answers, alone], common=True)
    assert matched[1].paths.tolist() == ["b.png"]


def test_crops_are_counted_in_the_whole_data_set() -> None:
    """Which crop of its photo an image is does not depend on what is left out of a selection."""
    paths = np.array(["b.png", "a.png", "b.png", "b.png"], object)
    assert number_crops(paths).tolist() == ["1/3", "1/1", "2/3", "3/3"]


def test_other_images_are_refused() -> None:
    """Sets that differ are told with their sizes; --common takes what is in both."""
    long, short = _answers([0, 1, 0], [0, 1, 1]), _answers([0, 1], [1, 1])
    with pytest.raises(DataError, match=r"3 in A, 2 in B, of which 2 are common.*--common"):
        match_images(["A", "B"], [long, short])
    matched, left_out = match_images(["A", "B"], [long, short], common=True)
    assert [len(entry.labels) for entry in matched] == [2, 2]
    assert left_out == [1, 0]
    elsewhere = replace(short, paths=np.array(["x", "y"], object))
    with pytest.raises(DataError, match="no image in common"):
        match_images(["A", "B"], [long, elsewhere], common=True)


def test_other_labels_are_refused() -> None:
    """Models judged by different truths are not compared; the first such image is named."""
    with pytest.raises(DataError, match=r"of 1 images differ.*2\.png: happy and sad"):
        match_images(["A", "B"], [_answers([0, 1, 0], [0] * 3), _answers([0, 1, 1], [0] * 3)])


# --- the verdict


def _compared(*counts: tuple[int, int], images: int = 200) -> dict[str, Any]:
    """Compare "first" with others that are right on (won, lost) images where it is not."""
    labels = [0] * images
    reference = [1] * 50 + [0] * (images - 50)
    entries = [_answers(labels, reference)]
    for won, lost in counts:
        predicted = [0] * won + [1] * (50 - won) + [1] * lost + [0] * (images - 50 - lost)
        entries.append(_answers(labels, predicted))
    names = ["first", *(f"other {number}" for number in range(1, len(entries)))]
    return compare_models(names, entries, resamples=100)


def test_models_of_other_emotions_are_told_apart() -> None:
    """A model that knows fewer emotions has an easier task; figures on the same one are given."""
    three = predictions_of(
        [0, 1, 1], [[0.5, 0.1, 0.4], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3]], ("happy", "sad", "surprise")
    )
    two = predictions_of([0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], ("happy", "sad"))
    (sentence,) = unequal_terms(["a", "b"], [three, two], [0, 0])
    assert "(a among 3, b among 2)" in sentence
    assert "the 2 that all know, a has 100.0%, b has 66.7%" in sentence
    assert unequal_terms(["a", "b"], [two, two], [0, 0]) == []


def test_copies_of_training_images_are_told_of_each_model() -> None:
    """If one model was trained on more of the test images, its figures do not count."""
    same = predictions_of([0, 1], [[0.9, 0.1], [0.6, 0.4]], ("happy", "sad"))
    (sentence,) = unequal_terms(["a", "b"], [same, same], [3, 0])
    assert "(a 3, b 0)" in sentence
    assert unequal_terms(["a", "b"], [same, same], [3, 3]) == []
    assert unequal_terms(["a", "b"], [same, same], [None, 0]) == []
    (sentence,) = unequal_terms(["a", "b"], [same, same], [3, None])
    assert "(a 3, b unknown)" in sentence
    metrics = {"data": "folder:faces", "split": "test", "leaked": 2}
    model = EvaluatedModel(name="a", predictions=same, metrics=metrics)
    assert model.leaked == 2
    assert model.setting("a").endswith("with 2 copies of training images")
    for unknown in (None, -1, 3, True, "2"):  # of two images, and by another hand
        assert replace(model, metrics={**metrics, "leaked": unknown}).leaked is None


def _verdict(*counts: tuple[int, int]) -> list[str]:
    return verdict(_compared(*counts))


def test_no_difference_is_shown_with_its_p() -> None:
    """A difference that chance explains is not called one; the interval says what is possible."""
    (sentence,) = _verdict((20, 12))
    p = _mcnemar(12, 20)
    assert p == pytest.approx(0.215, abs=0.001)
    assert "first and other 1: no difference shown, p = 0.22." in sentence
    assert "Difference in accuracy: +4.0 points for other 1 (95% interval -" in sentence


@pytest.mark.parametrize(
    ("won", "lost", "expected"),
    [
        (30, 5, "other 1 is better than first by 12.5 points of accuracy (95% interval +"),
        (5, 30, "first is better than other 1 by 12.5 points of accuracy (95% interval +"),
    ],
)
def test_the_better_model_is_named(won: int, lost: int, expected: str) -> None:
    """Whichever of the two is better, the sentence names it, the difference and p."""
    (sentence,) = _verdict((won, lost))
    assert sentence.startswith(expected)
    assert sentence.endswith("p < 0.0001.")


def test_models_that_do_not_differ_are_told() -> None:
    """Equal predictions, and few images that separate two models, are said in so many words."""
    assert "predict the same for every image" in _verdict((0, 0))[0]
    assert "only 5 images separate them" in _verdict((5, 0))[0]
    same = [
        _answers([0, 0], [1, 0], (*EMOTIONS, "fear")),
        _answers([0, 0], [2, 0], (*EMOTIONS, "fear")),
    ]
    (sentence,) = verdict(compare_models(["a", "b"], same, resamples=100))
    assert "both are correct on the same images" in sentence


def test_an_interval_that_disagrees_with_the_test_is_explained() -> None:
    """Of five images in 200 all for one model, the bootstrap excludes 0, but p is 0.063."""
    (few,) = _verdict((5, 0))
    assert "no difference shown, p = 0.062" in few or "p = 0.063" in few
    assert "(95% interval +" in few
    assert "The interval excludes 0, but it is approximate" in few
    first, *_ = _verdict((8, 1), (8, 1))
    assert "it is not corrected for several comparisons" in first
    (agreed,) = _verdict((20, 12))
    assert "excludes 0" not in agreed


def test_several_comparisons_name_their_correction() -> None:
    """A p of 0.039 alone is 0.078 among two, which shows no difference; the last line says why."""
    alone = _verdict((8, 1))
    assert "is better" in alone[0]
    assert alone[0].endswith("p = 0.039.")
    first, second, correction = _verdict((8, 1), (8, 1))
    assert "first and other 1: no difference shown, p = 0.078." in first
    assert "other 2" in second
    assert "corrected for 2 comparisons with first (Holm 1979)" in correction


# --- through the command line


@pytest.fixture
def reports(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two reports on four drawn faces of each emotion; the second's answers are turned."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    emotions = read_artifact(artifact).metadata.emotions
    draw_dataset(tmp_path, counts={"faces": 4}, emotions=emotions, seed=9, size=64)
    data = f"folder:{tmp_path / 'faces'}"
    folders = tmp_path / "first", tmp_path / "second"
    words = ["evaluate", "--model", str(artifact), "--data", data, "--no-explain", "--output"]
    result = CliRunner().invoke(app, [*words, str(folders[0])])
    assert result.exit_code == 0, result.exception
    from emodetect.evaluation.predictions import read_predictions

    answers = read_predictions(folders[0] / "predictions.csv")
    folders[1].mkdir()
    turned = replace(answers, probabilities=np.roll(answers.probabilities, 1, axis=1))
    write_predictions(turned, folders[1] / "predictions.csv")
    return folders


def _compare(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def test_compare_leaves_a_page_and_figures(
    reports: tuple[Path, Path], artifact: Path, tmp_path: Path
) -> None:
    """Print, compare.json and a self-contained compare.html tell the same, with faces."""
    out = tmp_path / "out"
    result = _compare(*reports, "--output", out)
    assert result.exit_code == 0, result.exception
    told = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    assert told["images"] == 12
    assert [model["name"] for model in told["models"]] == [str(artifact.parent), str(reports[1])]
    assert f"{artifact.parent}: report {reports[0]}, folder:" in result.stdout
    (row,) = told["comparisons"]
    right = [model["figures"]["accuracy"] * 12 for model in told["models"]]
    assert row["only_other_right"] - row["only_reference_right"] == pytest.approx(
        right[1] - right[0]
    )
    page = (out / "compare.html").read_text(encoding="utf-8")
    tags = assert_self_contained(page)
    assert tags.tags.count("img") == row["only_other_right"] + row["only_reference_right"] > 0
    assert f"{100 * told['models'][1]['figures']['accuracy']:.1f}%" in result.stdout
    again = _compare(*reports, "--output", out)
    assert isinstance(again.exception, EmodetectError)
    assert "--force" in str(again.exception)
    assert _compare(*reports, "--output", out, "--force").exit_code == 0


def test_compare_goes_without_pictures_where_the_data_moved(
    reports: tuple[Path, Path], tmp_path: Path
) -> None:
    """The figures need only the reports; that the faces are gone is said and no failure."""
    (tmp_path / "faces").rename(tmp_path / "elsewhere")
    result = _compare(*reports, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.exception
    assert "no pictures" in result.stderr
    page = (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
    assert "No pictures" in assert_self_contained(page).words


def test_an_emotion_that_one_model_lacks_has_no_empty_row(tmp_path: Path) -> None:
    """In the disagreements it has a column, as the other answers it, and no row without numbers."""
    labels = [0, 1, 1]
    pair = [_answers(labels, [0, 1, 0]), _answers(labels, [2, 1, 2], (*EMOTIONS, "contempt"))]
    told = {"left_out": [0, 0], "settings": ["faces", "faces"], "changed": [], "verdict": []}
    comparison = {**compare_models(["A", "B"], pair, resamples=100), **told}
    page, _ = write_comparison(comparison, pair, tmp_path / "out", images="none")
    words = assert_self_contained(page.read_text(encoding="utf-8")).words
    assert words.count("contempt") == 1


def test_left_out_images_are_told_of_the_right_model(tmp_path: Path) -> None:
    """Where one of three has fewer images, the page names the two that lose some."""
    trio = [_answers([0, 1], [0, 1])] * 3
    told = {"left_out": [3, 0, 5], "settings": ["faces"] * 3, "changed": [], "verdict": []}
    comparison = {**compare_models(["A", "B", "C"], trio, resamples=100), **told}
    page, _ = write_comparison(comparison, trio, tmp_path / "out", images="none")
    words = assert_self_contained(page.read_text(encoding="utf-8")).words
    assert "A: faces; 3 images excluded" in words
    assert "B: faces; " not in words
    assert "C: faces; 5 images excluded" in words


def test_pictures_of_data_that_changed_are_not_shown(
    reports: tuple[Path, Path], tmp_path: Path
) -> None:
    """Another face under the name of one that was judged is not shown in its place."""
    first, second = sorted((tmp_path / "faces").glob("*/*.png"))[:2]
    first.write_bytes(second.read_bytes())
    result = _compare(*reports, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.exception
    assert "has changed since" in result.stderr
    page = (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
    assert "img" not in assert_self_contained(page).tags


def test_a_record_that_is_nested_without_end_counts_as_none(
    reports: tuple[Path, Path], tmp_path: Path
) -> None:
    """Python gives up on it with an error of its own; the predictions are what is compared."""
    (reports[1] / "metrics.json").write_text("[" * 100_000)
    result = _compare(*reports, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.exception


def test_how_each_was_judged_is_told(reports: tuple[Path, Path], tmp_path: Path) -> None:
    """Print and page tell how each was judged, and that the data changed in between."""
    metrics = json.loads((reports[0] / "metrics.json").read_text(encoding="utf-8"))
    metrics |= {"tta": "flip", "seen": True, "images_fingerprint": "of other images"}
    (reports[1] / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    result = _compare(*reports, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.exception
    page = (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
    words = assert_self_contained(page).words
    data = f"folder:{tmp_path / 'faces'}, split all"
    how = f"{data}, test-time augmentation flip, with training images"
    for told in (how, "was not the same"):
        assert told in words
        assert told in result.output
    assert result.stdout.count(data) == 2


def test_other_images_by_the_same_names_are_told(
    reports: tuple[Path, Path], tmp_path: Path
) -> None:
    """Data sets that number their images alike are paired with a warning; copies of one without."""
    metrics = json.loads((reports[0] / "metrics.json").read_text(encoding="utf-8"))
    metrics["data"] = "folder:copy"
    for fingerprint, warned in ((metrics["images_fingerprint"], False), ("of other images", True)):
        metrics["images_fingerprint"] = fingerprint
        (reports[1] / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        result = _compare(*reports, "--output", tmp_path / "out", "--force")
        assert result.exit_code == 0, result.exception
        assert ("folder:copy" in result.stderr and "are not the same" in result.stderr) is warned


def test_compare_takes_a_run(artifact: Path, tmp_path: Path) -> None:
    """A run folder without a report is evaluated on its own test split."""
    result = _compare(artifact.parent, artifact.parent, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.exception
    told = json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8"))
    assert told["images"] == 30
    assert not (artifact.parent / "evaluation-test").exists()


def test_an_outdated_report_of_a_run_is_not_compared(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """That of another model or of other images, whatever the dates of the files say."""
    from emodetect.training.train import train

    caplog.set_level("INFO")
    faces, run = tmp_path / "faces", tmp_path / "run"
    draw_dataset(faces, counts={"train": 8, "test": 4}, emotions=EMOTIONS, seed=1, size=64)
    changes = ["training.epochs=1", "data.image_size=32", "model.backbone_size=32"]
    words = [*LENET, *changes, f"data.cache_dir={tmp_path / 'cache'}", f"output={run}"]
    artifact = train(load_config(SMALL, words, data=f"folder:{faces}")).artifact
    evaluated = CliRunner().invoke(app, ["evaluate", "--model", str(run), "--no-explain"])
    assert evaluated.exit_code == 0, evaluated.exception

    def loaded() -> tuple[Predictions, str]:
        caplog.clear()
        predictions = load_evaluated_model(run).predictions
        return predictions, "".join(one for one in caplog.messages if "again" in one)

    reported, told = loaded()
    assert told == ""

    (faces / "test/happy").rename(tmp_path / "happy")
    (faces / "test/sad").rename(faces / "test/happy")
    (tmp_path / "happy").rename(faces / "test/sad")
    now, told = loaded()
    assert told.endswith("because its data has changed since")
    assert now.labels.tolist() == reported.labels.tolist()
    first = {
        Path(path).name: row for path, row in zip(reported.paths, reported.labels, strict=True)
    }
    assert all(
        first[Path(path).name] != row for path, row in zip(now.paths, now.labels, strict=True)
    )

    faces.rename(tmp_path / "moved")  # so that the report is all there is
    assert loaded()[1] == ""

    before = artifact.stat()
    content = json.loads(zipfile.ZipFile(artifact).read("emodetect.json"))
    content["temperature"] *= 2
    with zipfile.ZipFile(artifact) as old, zipfile.ZipFile(tmp_path / "new", "w") as new:
        for name in old.namelist():
            member = json.dumps(content) if name == "emodetect.json" else old.read(name)
            new.writestr(name, member)
    (tmp_path / "new").replace(artifact)
    os.utime(artifact, ns=(before.st_atime_ns, before.st_mtime_ns))
    (tmp_path / "moved").rename(faces)
    cooler, told = loaded()
    assert told.endswith("because its report is of another model")
    assert np.all(cooler.probabilities.max(axis=1) < now.probabilities.max(axis=1))


@pytest.mark.parametrize("damage", ["nan", "cut"])
def test_damaged_predictions_are_told(
    reports: tuple[Path, Path], tmp_path: Path, damage: str
) -> None:
    """A probability that is none, or rows that are gone, are no figures of a comparison."""
    report = tmp_path / "damaged"
    shutil.copytree(reports[0], report)
    lines = (report / "predictions.csv").read_text().splitlines()
    if damage == "nan":
        lines[1] = ",".join([*lines[1].split(",")[:-1], "nan"])
    else:
        lines = lines[:-1]
    (report / "predictions.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match="run evaluate again"):
        load_evaluated_model(report)


def test_folders_of_something_else_are_told(tmp_path: Path) -> None:
    """A folder that is neither run nor report, and a single one, end in one clear error."""
    result = _compare(tmp_path, tmp_path, "--output", tmp_path / "out")
    assert isinstance(result.exception, DataError)
    assert "predictions.csv" in str(result.exception)
    assert _compare(tmp_path).exit_code == 2


def test_a_file_of_a_report_is_told(tmp_path: Path) -> None:
    """Its page stands for the report, so the error gives the folder."""
    for name in ("report.html", "predictions.csv"):
        (tmp_path / name).touch()
    result = _compare(tmp_path / "report.html", tmp_path, "--output", tmp_path / "out")
    assert f"report.html: is a file of a report; give its folder, {tmp_path}." in str(
        result.exception
    )


def test_numbers_stay_whole_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.00016 broken after 0.00 reads as another p-value."""
    monkeypatch.setenv("COLUMNS", "60")
    with (console := Console()).capture() as captured:
        console.print(accuracy_table(_compared((12, 41), (0, 0))))
    table = captured.get()
    assert "0.00016 ┃" in table.replace("│", "┃")
    for word in ("accuracy", "gains", "losses"):
        assert f"┃ {word} ┃" in table
    assert all(len(line) <= 60 for line in table.splitlines())


def test_other_splits_of_the_same_images_are_no_change() -> None:
    """A run that split the data in training has the same images; other pixels are a change."""
    labels = [0, 1, 0, 1]
    whole = dataset_of(EMOTIONS, labels, [1, 2, 3, 4], fingerprint="of all")
    splits = ["train", "test", "val", "test"]
    split = dataset_of(EMOTIONS, labels, [1, 2, 3, 4], splits, fingerprint="of the run")
    redrawn = dataset_of(EMOTIONS, labels, [1, 2, 3, 5], fingerprint="of others")
    relabelled = dataset_of(EMOTIONS, [0, 1, 1, 1], [1, 2, 3, 4], fingerprint="of other labels")

    def model(name: str, data: Dataset, named: str = "folder:faces") -> EvaluatedModel:
        metrics = {
            "data": named,
            "fingerprint": data.fingerprint,
            "images_fingerprint": images_fingerprint(data),
        }
        return EvaluatedModel(name=name, predictions=_answers([0], [0]), metrics=metrics)

    assert changed_data([model("fer2013", whole), model("mine", split)]) == []
    for other in (redrawn, relabelled):
        (warning,) = changed_data([model("fer2013", whole), model("mine", other)])
        assert "images or labels differ" in warning
    runs = [model("runs/a", whole, OWN_DATA), model("runs/b", split, OWN_DATA)]
    assert changed_data(runs) == []
    (warning,) = changed_data([*runs, model("runs/c", redrawn, OWN_DATA)])
    assert "the data of runs/a and runs/c is not the same" in warning


@pytest.mark.parametrize("named", ["folder:faces", OWN_DATA])
def test_other_places_are_other_images_where_inputs_differ(named: str) -> None:
    """Crops of two sizes have no common fingerprint; files may have the same names anywhere."""

    def model(name: str, side: int, place: str | None) -> EvaluatedModel:
        metrics = {
            "data": named,
            "place": place,
            "input": [side, "gray", 0.0],
            "images_fingerprint": f"{side} {place}",
        }
        return EvaluatedModel(name=name, predictions=_answers([0], [0]), metrics=metrics)

    assert changed_data([model("a", 48, "here"), model("b", 96, "here")]) == []
    assert changed_data([model("a", 48, None), model("b", 96, "here")]) == []
    (warning,) = changed_data([model("a", 48, "here"), model("b", 96, "there")])
    assert "a" in warning
    assert "not" in warning
    both = [model(name, 96, "there") for name in ("b", "c")]
    assert len(changed_data([model("a", 48, "here"), *both])) == 1


def test_the_verdict_and_the_words_are_printed(
    reports: tuple[Path, Path], artifact: Path, tmp_path: Path
) -> None:
    """Print, page and compare.json carry the same sentence; names stand where letters stood."""
    result = _compare(*reports, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.exception
    (sentence,) = json.loads((tmp_path / "out" / "compare.json").read_text())["verdict"]
    names = str(artifact.parent), str(reports[1])
    assert all(name in sentence for name in names)
    assert sentence in result.stdout
    page = (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
    words = assert_self_contained(page).words
    assert sentence in words
    assert f"Where {names[0]} and {names[1]} disagree" in words
    for word in ("McNemar's test: ", "95% interval: ", "recall: "):
        assert word in result.stdout
