"""Images of one person or photo: intervals and p-values count them together."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from labelled import dataset_of, list_faces, predictions_of
from small import LENET, SMALL

import emodetect
from emodetect.cli import app
from emodetect.config import DataConfig
from emodetect.data.dataset import group_images
from emodetect.data.readers.manifest import read_manifest
from emodetect.data.synthetic import draw_dataset
from emodetect.errors import DataError, OptionsError
from emodetect.evaluation.comparison import compare_models, match_images
from emodetect.evaluation.metrics.intervals import (
    metric_intervals,
    percentile_interval,
    resampled_metrics,
    wilson_interval,
)
from emodetect.evaluation.metrics.significance import equal_accuracy_p, paired_accuracy_p
from emodetect.evaluation.metrics.slices import measure_slices
from emodetect.evaluation.predictions import (
    ImagePredictions,
    Predictions,
    read_predictions,
    write_predictions,
)
from emodetect.evaluation.verdict import verdict

EMOTIONS = ("happy", "sad")


def _random_predictions(count: int, *, seed: int = 0, share: float = 0.7) -> ImagePredictions:
    """Return predictions of which about that share is correct, of independent images."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(2, size=count)
    correct = generator.random(count) < share
    confidence = generator.uniform(0.5, 1, count)
    first = np.where((labels == 0) == correct, confidence, 1 - confidence)
    return predictions_of(labels.tolist(), np.stack([first, 1 - first], 1).tolist(), EMOTIONS)


def _repeated(predictions: ImagePredictions, copies: int) -> ImagePredictions:
    """Return each image that often, as one group, shuffled."""
    count = len(predictions.labels)
    places = np.random.default_rng(1).permutation(np.repeat(np.arange(count), copies))
    return replace(
        predictions,
        labels=predictions.labels[places],
        probabilities=predictions.probabilities[places],
        images=predictions.images[places],
        paths=np.array([f"{number}.png" for number in range(len(places))], object),
        crops=np.array(["1/1"] * len(places)),
        groups=places,
    )


# --- intervals


def test_copies_in_a_group_tell_no_more_than_one_image() -> None:
    """Five copies of each image, as groups, have the intervals of the images; else narrower."""
    once = _random_predictions(120)
    grouped = _repeated(once, 5)
    expected = metric_intervals(once, resampled_metrics(once, resamples=300))
    found = metric_intervals(grouped, resampled_metrics(grouped, resamples=300))
    for name, limits in expected.items():
        # Accuracy: n - 1 and Student's t for few groups make a difference below a point.
        assert found[name] == pytest.approx(limits, abs=0.01 if name == "accuracy" else 1e-9)
    alone = replace(grouped, groups=np.arange(600))
    naive = metric_intervals(alone, resampled_metrics(alone, resamples=300))
    for name, limits in expected.items():
        assert np.ptp(naive[name]) < 0.6 * np.ptp(limits)


@pytest.mark.parametrize(("people", "photos"), [(10, 10), (40, 3), (40, 12)])
@pytest.mark.parametrize("share", [0.7, 0.95])
def test_intervals_by_person_contain_the_truth(people: int, photos: int, share: float) -> None:
    """Of simulated people, some easy and some hard, nine in ten intervals or more are right.

    As if all photos were independent, they are right less often than that.
    """
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(people), photos)
    shape = 1.5  # an intraclass correlation of 0.4
    hits = {"grouped": 0, "alone": 0}
    for _ in range(400):
        of_person = generator.beta(share * shape, (1 - share) * shape, people)
        correct = generator.random(len(groups)) < of_person[groups]
        for name, grouping in (("grouped", groups), ("alone", np.arange(len(groups)))):
            limits = wilson_interval(correct, grouping)
            assert limits is not None
            hits[name] += limits[0] <= share <= limits[1]
    assert hits["grouped"] >= 0.9 * 400
    assert hits["alone"] < 0.9 * 400


def test_groups_never_make_an_interval_narrower() -> None:
    """Not if the images of a group differ more than others, nor if all are right."""
    opposite = np.tile([True, False], 50)
    pairs = np.repeat(np.arange(50), 2)
    assert np.ptp(wilson_interval(opposite, pairs)) >= np.ptp(
        wilson_interval(opposite, np.arange(100))
    )
    perfect = np.ones(100, bool)
    fifty, hundred = wilson_interval(perfect, pairs), wilson_interval(perfect, np.arange(100))
    assert fifty is not None
    assert hundred is not None
    # At 100%, the lower end of n images is n / (n + 1.96^2). With the factors of Student's t in
    # tables, 1.984 for 99 degrees and 2.010 for 49, the 50 pairs count as 48.7 images.
    assert fifty[0] == pytest.approx(48.7 / (48.7 + 1.96**2), abs=1e-4)
    assert hundred[0] == pytest.approx(100 / (100 + 1.96**2), abs=1e-4)


def test_a_single_mistake_does_not_make_an_interval_narrow() -> None:
    """Of ten people with 100 photos each, one mistake says nothing about how alike theirs are."""
    people, correct = np.repeat(np.arange(10), 100), np.ones(1000, bool)
    (perfect, _), before = wilson_interval(correct, people), correct.copy()
    before[0] = False
    limits = wilson_interval(before, people)
    assert limits is not None
    assert limits[0] == pytest.approx(perfect, abs=0.01)


def test_percentiles_are_expanded_for_few_groups() -> None:
    """Of 20 groups, 1.59% lie on either side: Student's t of 19 degrees is 2.093 in tables."""
    values = np.linspace(0, 1, 100_001)
    few = percentile_interval(values, np.repeat(np.arange(20), 7))
    assert few == pytest.approx([0.0159, 0.9841], abs=1e-4)  # the normal tail beyond 2.093 x 1.026
    many = percentile_interval(values, np.arange(100_000))
    assert many == pytest.approx([0.025, 0.975], abs=1e-4)
    one = percentile_interval(values, np.minimum(np.arange(100_000), 3))
    assert one == pytest.approx([0, 1], abs=1e-4)


@pytest.mark.parametrize("sizes", [[1000] + [1] * 20, [200] + [10] * 20])
def test_one_person_with_most_photos_is_one_person(sizes: list[int]) -> None:
    """The 1,000 photos of one and one photo of twenty others tell nearly nothing about others."""
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    hits = 0
    for _ in range(300):
        of_person = generator.beta(0.7 * 2.3, 0.3 * 2.3, len(sizes))
        limits = wilson_interval(generator.random(len(groups)) < of_person[groups], groups)
        assert limits is not None
        hits += limits[0] <= 0.7 <= limits[1]
    assert hits > 0.9 * 300


def test_one_group_alone_has_no_interval() -> None:
    """Ten photos of one person say nothing about others; one photo is a group of one."""
    assert wilson_interval(np.arange(10) < 8, np.zeros(10, int)) is None
    assert wilson_interval(np.array([True]), np.array([7])) is not None


# --- p-values


def test_the_signs_of_whole_groups_are_flipped() -> None:
    """The p is the share of all signs of the groups whose difference is as large."""
    generator = np.random.default_rng(0)
    for _ in range(50):
        groups = generator.integers(8, size=25)
        gains = generator.choice([-1, 0, 1], 25)
        sums = np.bincount(groups, gains, minlength=8)
        flipped = np.array(list(itertools.product((-1, 1), repeat=8))) @ sums
        expected = np.mean(np.abs(flipped) >= abs(sums.sum()))
        assert paired_accuracy_p(gains, groups) == pytest.approx(expected)


def test_a_few_people_are_no_proof() -> None:
    """Twenty images more that are right, all of two people: p is 1/2; of twenty people, small."""
    gains = np.ones(20, int)
    assert paired_accuracy_p(gains, np.repeat([0, 1], 10)) == pytest.approx(0.5)
    assert paired_accuracy_p(gains, np.arange(20)) == pytest.approx(2 / 2**20)


def test_the_signs_are_random_deviations_from_the_common_accuracy() -> None:
    """For a few groups, p is the share of all signs of which the recentred sums are as large."""
    groups = np.repeat(np.arange(10), [9, 3, 5, 8, 6, 4, 9, 7, 5, 4])
    subsets = groups % 3
    correct = np.random.default_rng(5).random(60) < np.where(subsets == 0, 0.75, 0.6)
    sizes = np.bincount(subsets)
    sums = np.zeros((10, 3))
    for group, subset, right in zip(groups, subsets, correct, strict=True):
        sums[group, subset] += right - correct.mean()
    signed = np.array(list(itertools.product((-1, 1), repeat=10))) @ sums
    shares = (signed - signed.sum(axis=1, keepdims=True) * sizes / 60) ** 2 / sizes
    observed = (sums.sum(axis=0) ** 2 / sizes).sum()
    expected = float(np.mean(shares.sum(axis=1) >= observed - 1e-9))
    assert 0.01 < expected < 0.3
    assert equal_accuracy_p(correct, subsets, groups) == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize("within", [False, True])
def test_subsets_of_equal_accuracy_are_rarely_told_apart(within: bool) -> None:
    """Whether people are in one subset or in several, 5% of the p-values are below 0.05.

    If photos counted on their own, people who are in one subset would make many more small.
    """
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 8)
    below = {"grouped": 0, "alone": 0}
    for _ in range(100):
        of_person = generator.beta(1.05, 0.45, 40)
        correct = generator.random(320) < of_person[groups]
        subsets = generator.integers(3, size=320 if within else 40)
        subsets = subsets if within else subsets[groups]
        below["grouped"] += equal_accuracy_p(correct, subsets, groups) < 0.05
        below["alone"] += equal_accuracy_p(correct, subsets, np.arange(320)) < 0.05
    assert below["grouped"] <= 12  # by chance alone, 13 or more of 100 are in 0.2% of the cases
    assert within or below["alone"] > 25


@pytest.mark.parametrize("within", [False, True])
def test_a_real_gap_is_found(within: bool) -> None:
    """90% and 50% differ, whether of 40 people each or of two halves of each one's photos."""
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(80), 5)
    subsets = np.arange(400) % 2 if within else (groups >= 40).astype(int)
    correct = generator.random(400) < np.where(subsets, 0.5, 0.9)
    assert equal_accuracy_p(correct, subsets, groups) < 0.001


def test_single_people_are_no_subsets_to_compare() -> None:
    """By person, each with 40 photos, there is no gap to test; by five people each, there is."""
    predictions = _random_predictions(480)
    predictions = replace(predictions, groups=np.arange(480) // 40)
    for size, few in ((1, True), (6, False)):
        column = np.array([f"p{number // size}" for number in predictions.groups], object)
        dataset = dataset_of(EMOTIONS, [0] * 480, [0] * 480, traits={"column": column})
        way = measure_slices(predictions, dataset, np.arange(480))[-1]
        assert way["by"] == "column"
        assert {row["small"] for row in way["slices"]} == {few}
        assert (way["gap"] is None) == few


# --- comparisons


def _favouring(won: np.ndarray, groups: np.ndarray) -> list[Predictions]:
    """Return a model that is right on no image, and one that is right where `won`."""
    labels = [0] * len(won)
    reference = predictions_of(labels, [[0.3, 0.7]] * len(won), EMOTIONS)
    other = predictions_of(labels, [[0.7, 0.3] if one else [0.3, 0.7] for one in won], EMOTIONS)
    return [replace(one, groups=groups) for one in (reference, other)]


def test_the_verdict_counts_people_not_photos() -> None:
    """Thirty photos of three people separate the models, but show no difference."""
    won, people = np.arange(100) < 30, np.arange(100) // 10
    alone = compare_models(["a", "b"], _favouring(won, np.arange(100)), resamples=200)
    assert verdict(alone)[0].startswith("b is better than a")
    grouped = compare_models(["a", "b"], _favouring(won, people), resamples=200)
    assert (grouped["images"], grouped["groups"], alone["groups"]) == (100, 10, 100)
    (sentence,) = verdict(grouped)
    assert "no difference shown, p = 0.25; only 3 groups separate them." in sentence
    # Paired: the resamples of both are of the same people.
    wide, narrow = (
        comparison["comparisons"][0]["differences"]["accuracy"]["interval_95"]
        for comparison in (grouped, alone)
    )
    assert np.ptp(wide) > 2 * np.ptp(narrow)


def test_groups_that_balance_out_favour_neither() -> None:
    """Each model is right on one photo of each of three people: that is said in words."""
    people = np.repeat(np.arange(3), 2)
    models = _favouring(np.arange(6) % 2 == 0, people), _favouring(np.arange(6) % 2 == 1, people)
    told = verdict(compare_models(["a", "b"], [pair[1] for pair in models], resamples=100))
    assert "no difference shown, p = 1; in each group, both are correct equally often" in told[0]


def test_models_share_the_groups_that_one_of_them_knows() -> None:
    """A report with groups and one without are compared by group, in the first one's order."""
    known, unknown = _favouring(np.arange(6) < 3, np.array([0, 0, 1, 1, 2, 3]))
    turned = replace(
        unknown,
        labels=unknown.labels[::-1],
        probabilities=unknown.probabilities[::-1],
        paths=unknown.paths[::-1],
        groups=np.array([0, 1, 2, 3, 4, 4]),  # the images 1 and 0
    )
    matched, _ = match_images(["a", "b"], [known, turned])
    for entry in matched:
        first = np.unique(entry.groups, return_inverse=True)[1]
        assert [np.flatnonzero(first == number).tolist() for number in dict.fromkeys(first)] == [
            *([0, 1], [2, 3]),
            *([4], [5]),
        ]


# --- files and commands


def test_predictions_keep_their_groups(tmp_path: Path) -> None:
    """predictions.csv numbers the groups of several images; others are alone when read again."""
    given = replace(_random_predictions(6), groups=np.array([9, 4, 9, 9, 1, 4]))
    write_predictions(given, tmp_path / "predictions.csv")
    lines = (tmp_path / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[2] for line in lines] == ["group", "2", "1", "2", "2", "", "1"]
    read = read_predictions(tmp_path / "predictions.csv").groups
    np.testing.assert_array_equal(
        read[:, np.newaxis] == read, given.groups[:, np.newaxis] == given.groups
    )


@pytest.fixture
def people(faces: Path) -> Path:
    """A manifest of twelve drawn faces of eight people: of four of them two, of the others one."""
    return list_faces(faces, "person", lambda number: f"{'abcab'[number % 5]}{number // 5}")


def _run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def _evaluate(artifact: Path, out: Path, *words: object) -> Result:
    return _run("evaluate", "--model", artifact, "--no-explain", "--output", out, *words)


def _metrics(report: Path) -> dict:
    return json.loads((report / "metrics.json").read_text(encoding="utf-8"))


def test_evaluate_counts_by_a_column(artifact: Path, people: Path, tmp_path: Path) -> None:
    """--group names a column; print, page and files say that groups count, and how many."""
    names = {line.split(",")[2] for line in people.read_text().splitlines()[1:]}
    plain, grouped = tmp_path / "plain", tmp_path / "grouped"
    result = _evaluate(artifact, plain, "--data", people)
    assert result.exit_code == 0, result.exception
    assert "groups" not in result.stdout
    result = _evaluate(artifact, grouped, "--data", people, "--group", "person")
    assert result.exit_code == 0, result.exception
    sentence = f"The 12 images are in {len(names)} groups, such as of one person each"
    assert sentence in result.stdout
    assert sentence in (grouped / "report.html").read_text(encoding="utf-8")
    assert "in 12 groups" not in (plain / "report.html").read_text(encoding="utf-8")
    assert (_metrics(plain)["groups"], _metrics(grouped)["groups"]) == (12, len(names))
    # The figures are those of the same images; only what they are worth differs.
    assert _metrics(plain)["accuracy"] == _metrics(grouped)["accuracy"]
    assert _metrics(plain)["intervals_95"] != _metrics(grouped)["intervals_95"]
    told = _run("compare", plain, grouped, "--output", tmp_path / "compared")
    assert told.exit_code == 0, told.exception
    assert sentence in told.stdout
    assert "sign-flip test" in told.stdout
    page = (tmp_path / "compared" / "compare.html").read_text(encoding="utf-8")
    assert sentence in page
    assert "McNemar" not in page


@pytest.mark.parametrize("unknown", ["", "NaN", "<NA>", "None", "NULL"])
def test_people_who_are_not_known_are_not_one_person(faces: Path, unknown: str) -> None:
    """What pandas and databases write for a missing value groups nothing, and is told.

    But NA is a person of JAFFE.
    """
    data = list_faces(faces, "person", lambda number: unknown if number % 2 else "NA")
    config = DataConfig(source="manifest", path=data, group=("person",), image_size=48)
    listing = read_manifest(config)
    columns = [[sample.groups[0] for sample in listing.samples]]
    names = np.array([sample.name for sample in listing.samples], object)
    for values in (columns, [[unknown if number % 2 else "NA" for number in range(12)]]):
        assert len(set(group_images(values, names, names.astype(bytes)))) == 1 + 6
    told = f"person {unknown!r} is taken for missing in 6 images"
    assert any(told in note for note in listing.notes) == bool(unknown)


def test_groups_do_not_move_images(artifact: Path, people: Path, tmp_path: Path) -> None:
    """With a config that draws splits, the same images are evaluated, whoever is in two splits."""
    config = tmp_path / "people.toml"
    text = f'output = "x"\n[data]\nsource = "manifest"\npath = "{people.as_posix()}"\n'
    config.write_text(text + "test_fraction = 0.25\nvalidation_fraction = 0.34\n", "utf-8")
    matrices = []
    for options in ((), ("--group", "person")):
        result = _evaluate(artifact, tmp_path / "out", "--config", config, *options, "--force")
        assert result.exit_code == 0, result.exception
        matrices.append(_metrics(tmp_path / "out")["confusion_matrix"])
    assert matrices[0] == matrices[1]
    assert "person" not in {way["by"] for way in _metrics(tmp_path / "out")["slices"]}


def test_groups_without_effect_are_told(
    artifact: Path, people: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A column in which all values differ leaves each image on its own, and a warning says so."""
    result = _evaluate(artifact, tmp_path / "out", "--data", people, "--group", "path")
    assert result.exit_code == 0, result.exception
    assert "--group path: no two of these images have the same value" in caplog.text


def test_notebooks_say_that_groups_count(artifact: Path, people: Path, tmp_path: Path) -> None:
    """What a notebook shows of an evaluation and of a comparison has the sentence, too."""
    settings = {"group": "person", "explain": False, "output": tmp_path / "report"}
    evaluation = emodetect.evaluate(artifact, people, **settings)
    models = [artifact, "fer2013"]
    comparison = emodetect.compare(models, people, group="person", output=tmp_path / "compared")
    for report in (evaluation, comparison):
        assert "groups, such as of one person each" in report._repr_html_()


def test_images_of_a_single_person_have_no_interval(
    artifact: Path, people: Path, tmp_path: Path
) -> None:
    """The report is complete without them: nothing is known about other people."""
    rows = [line.rpartition(",")[0] for line in people.read_text().splitlines()]
    people.write_text("\n".join([rows[0] + ",person", *(f"{row},ann" for row in rows[1:])]))
    result = _evaluate(artifact, tmp_path / "report", "--data", people, "--group", "person")
    assert result.exit_code == 0, result.exception
    assert set(_metrics(tmp_path / "report")["intervals_95"].values()) == {None}
    assert "The 12 images are in one group" in result.stdout
    assert "there are no intervals" in (tmp_path / "report" / "report.html").read_text("utf-8")
    words = ("--data", people, "--group", "person", "--output", tmp_path / "compared")
    result = _run("compare", artifact, "fer2013", *words)
    assert result.exit_code == 0, result.exception
    told = json.loads((tmp_path / "compared" / "compare.json").read_text(encoding="utf-8"))
    (row,) = told["comparisons"]
    assert {change["interval_95"] for change in row["differences"].values()} == {None}
    assert row["p"] == 1
    sentence, unequal = told["verdict"]
    assert unequal.startswith("The models do not choose among the same emotions")
    assert "no difference" in sentence
    assert "interval" not in sentence


def test_the_people_of_ckplus_are_groups(artifact: Path, faces: Path, tmp_path: Path) -> None:
    """Its file names tell the person, so no option is needed, alone and in a matrix."""
    root = tmp_path / "ckplus"
    for number, file in enumerate(sorted(faces.rglob("*.png"))):
        target = root / file.parent.name / f"S{number % 3:03d}_001_{number:08d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    result = _evaluate(artifact, tmp_path / "report", "--data", f"ckplus:{root}")
    assert result.exit_code == 0, result.exception
    assert "The 12 images are in 3 groups" in result.stdout
    several = ("--data", f"ckplus:{root}", "--data", f"folder:{faces}")
    result = _evaluate(artifact, tmp_path / "matrix", *several)
    assert result.exit_code == 0, result.exception
    assert f"on ckplus:{root}: The 12 images are in 3 groups" in result.stdout
    assert f"on folder:{faces}: The" not in result.stdout


def test_compare_counts_by_a_column(artifact: Path, people: Path, tmp_path: Path) -> None:
    """compare --data --group does too, and says what --group without --data would need."""
    words = ("compare", artifact, "fer2013", "--output", tmp_path / "out")
    result = _run(*words, "--data", people, "--group", "person")
    assert result.exit_code == 0, result.exception
    told = json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8"))
    assert told["groups"] < told["images"] == 12
    result = _run(*words, "--group", "person", "--force")
    assert isinstance(result.exception, OptionsError) or result.exit_code == 2
    assert "--group requires --data" in result.output + str(result.exception)


def test_a_group_that_is_not_there_is_told(artifact: Path, people: Path, tmp_path: Path) -> None:
    """A missing column, a folder, a model's own drawn data and a matrix end in one error."""
    out = tmp_path / "report"
    result = _evaluate(artifact, out, "--data", people, "--group", "actor")
    assert isinstance(result.exception, DataError)
    assert "missing: actor" in str(result.exception)
    faces = people.parent / "faces"
    result = _evaluate(artifact, out, "--data", f"folder:{faces}", "--group", "person")
    assert isinstance(result.exception, DataError)
    assert "--group: expected a manifest with columns, got the source folder" in str(
        result.exception
    )
    result = _evaluate(artifact, out, "--group", "person")
    assert isinstance(result.exception, DataError)
    assert "--group: expected a manifest" in str(result.exception)
    words = ("--data", people, "--data", f"folder:{faces}", "--group", "person")
    result = _evaluate(artifact, out, *words)
    assert "--group works only with one --model and one --data" in result.output + str(
        result.exception
    )
    assert not out.exists()


def test_a_model_knows_the_groups_of_its_own_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained by person, it is evaluated by person without an option; no other column will do."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    draw_dataset(tmp_path, counts={"faces": 12}, emotions=EMOTIONS, seed=3, size=48)
    data = list_faces(tmp_path / "faces", "person", lambda number: f"p{number % 8}")
    run = tmp_path / "run"
    settings = ('data.group=["person"]', "data.test_fraction=0.4", "training.epochs=1", *LENET)
    words = [word for setting in settings for word in ("--set", setting)]
    result = _run("train", "--config", SMALL, "--data", data, *words, "--output", run)
    assert result.exit_code == 0, result.exception
    for options in ((), ("--data", data), ("--group", "person")):
        result = _evaluate(run, tmp_path / "report", *options, "--force")
        assert result.exit_code == 0, result.exception
        metrics = _metrics(tmp_path / "report")
        # Three images of each person: 24 of 8.
        assert metrics["images"] == 3 * metrics["groups"] > 3
    # Another column changes what counts together, not which images were held out.
    result = _evaluate(run, tmp_path / "other", "--data", data, "--group", "label")
    assert result.exit_code == 0, result.exception
    assert _metrics(tmp_path / "other")["groups"] == 2
    assert _metrics(tmp_path / "other")["confusion_matrix"] == metrics["confusion_matrix"]


def test_groups_that_are_in_train_too_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Intervals by person say nothing of new people if all have trained the model."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    draw_dataset(tmp_path, counts={"faces": 12}, emotions=("happy", "sad"), seed=3, size=48)
    data = list_faces(tmp_path / "faces", "person", lambda number: f"p{number % 3}")
    run = tmp_path / "run"
    settings = ("data.test_fraction=0.5", "training.epochs=1", *LENET)
    words = [word for setting in settings for word in ("--set", setting)]
    result = _run("train", "--config", SMALL, "--data", data, *words, "--output", run)
    assert result.exit_code == 0, result.exception
    told = "12 of 12 images are of groups that also have training images"
    for options in ((), ("--group", "path"), ("--group", "person")):
        result = _evaluate(run, tmp_path / "report", "--data", data, *options, "--force")
        assert result.exit_code == 0, result.exception
        assert (told in caplog.text) == ("person" in options)
