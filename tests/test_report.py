"""report.html: complete, self-contained, and honest about small and odd data; slices."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import math
import re
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from click.testing import CliRunner, Result
from labelled import dataset_of, list_faces, predictions_of
from scipy.stats import fisher_exact

from emodetect.cli import app
from emodetect.data.dataset import Dataset
from emodetect.data.listing import SkippedFile
from emodetect.errors import DataError
from emodetect.evaluation.evaluate import Evaluation, evaluate_model
from emodetect.evaluation.grad_cam import HeatMaps
from emodetect.evaluation.labelled_images.image_selection import Selection
from emodetect.evaluation.metrics.intervals import wilson_interval
from emodetect.evaluation.metrics.significance import equal_accuracy_p
from emodetect.evaluation.predictions import read_predictions, write_predictions
from emodetect.model_file.metadata import Metadata
from emodetect.reports.evaluation_page import ReportedModel, write_report_page
from emodetect.reports.glossary import MEANINGS, METRIC_NAMES
from emodetect.reports.html import page_colors
from emodetect.reports.plots.confusion_matrix import confusion_matrix
from emodetect.reports.plots.learning_curves import learning_curves
from emodetect.reports.plots.one_vs_rest import precision_recall, roc
from emodetect.reports.plots.reliability import reliability
from emodetect.reports.plots.style import png_of

EMOTIONS = ("angry", "happy", "sad")
SECTIONS = (
    *("headline", "emotions", "where", "mistakes", "examples", "confidence", "training"),
    "left-out",
)
HOSTILE = "<script>alert(1)</script>"


class _ReadsPixels:
    """A recognizer that answers with the emotion whose position each image's pixels hold."""

    emotions = EMOTIONS
    tta = None

    def classify_inputs(self, inputs: np.ndarray) -> np.ndarray:
        answers = np.asarray(inputs)[:, 0, 0, 0].astype(int) % len(EMOTIONS)
        probabilities = np.full((len(inputs), 3), 0.2, np.float32)
        probabilities[np.arange(len(inputs)), answers] = 0.6
        return probabilities


def _dataset(labels: list[int], answers: list[int], **others: object) -> Dataset:
    """Return images that `_ReadsPixels` answers so."""
    return dataset_of(EMOTIONS, labels, answers, **others)


def _evaluate(dataset: Dataset) -> Evaluation:
    selection = Selection(np.arange(len(dataset.labels)), dataset.left_out)
    return evaluate_model(_ReadsPixels(), dataset, selection, bootstrap=100)


def _page(
    evaluation: Evaluation, out: Path, *, heat: HeatMaps | str = "Not asked.", model: str = "mine"
) -> str:
    metrics = {
        "model": model,
        "data": "folder:faces",
        "split": "test",
        "seen": False,
        "caveats": [],
        "leaked": 0,
        **evaluation.metrics,
    }
    metadata = Metadata(
        name=model,
        emotions=EMOTIONS,
        image_size=16,
        color="gray",
        config={"data": {"path": model}},
        dataset={"fingerprint": "of mine"},
    )
    predictions = evaluation.predictions
    figures = {
        "roc": roc(predictions, metrics),
        "precision_recall": precision_recall(predictions, metrics),
        "reliability": reliability(predictions, metrics),
    }
    out.mkdir(exist_ok=True)
    write_report_page(
        predictions,
        metrics,
        out / "report.html",
        figures=figures,
        model=ReportedModel(metadata=metadata, run=out, heat=heat),
    )
    return (out / "report.html").read_text(encoding="utf-8")


class _Tags(HTMLParser):
    """Collects what a page loads, its ids, its tags and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.words = ""
        self.scripts: list[str] = []
        self.policy = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if dict(attributes).get("http-equiv") == "Content-Security-Policy":
            self.policy = str(dict(attributes)["content"])
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
                self.loaded.append(str(value))
            if name == "id":
                self.ids.append(str(value))
            if name.startswith("on"):
                raise AssertionError(f"{name} runs code")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script":
            self.scripts.append(data)
        elif self.tags and self.tags[-1] != "style":
            self.words += data


def assert_self_contained(page: str) -> _Tags:
    """Assert that a page loads nothing and runs only its own script; return its tags."""
    tags = _Tags(page)
    assert tags.tags.count("script") == 1
    digest = base64.b64encode(hashlib.sha256(tags.scripts[0].encode()).digest()).decode()
    assert tags.policy.startswith("default-src 'none';")
    assert tags.policy.endswith(f"script-src 'sha256-{digest}'")
    assert not {"link", "iframe", "object", "embed", "base", "form"} & set(tags.tags)
    assert all(place.startswith(("data:image/png;base64,", "#")) for place in tags.loaded)
    assert "@import" not in page
    assert "url(http" not in page
    assert len(tags.ids) == len(set(tags.ids))
    inner = {place[1:] for place in tags.loaded if place.startswith("#")}
    assert inner <= set(tags.ids)
    assert page.count("<svg") == page.count("</svg>")
    return tags


@pytest.fixture
def some() -> Dataset:
    """Forty images of three emotions, a quarter of them answered wrongly."""
    labels = [number % 3 for number in range(40)]
    answers = [(label + (number % 4 == 0)) % 3 for number, label in enumerate(labels)]
    return _dataset(labels, answers)


def test_a_matplotlibrc_turns_no_picture_upside_down(some: Dataset) -> None:
    """Pictures look the same on every machine, whatever Matplotlib's settings are there."""
    evaluation = _evaluate(some)

    def drawn() -> list[bytes]:
        matrix = confusion_matrix(evaluation.predictions, evaluation.metrics)
        return [png_of(matrix), png_of(roc(evaluation.predictions, evaluation.metrics))]

    before = drawn()
    settings = {"image.origin": "lower", "text.usetex": True, "savefig.transparent": True}
    with matplotlib.rc_context(settings):
        assert drawn() == before


def test_a_matrix_of_many_emotions_is_no_larger(some: Dataset) -> None:
    """Labels of one's own may be hundreds; a picture that grew with them took gigabytes."""
    evaluation = _evaluate(some)
    emotions = [f"label {number}" for number in range(200)]
    metrics = {"emotions": emotions, "confusion_matrix": np.eye(200, dtype=int).tolist()}
    figure = confusion_matrix(evaluation.predictions, metrics)
    assert max(figure.get_size_inches()) < 50
    (axes,) = figure.axes
    assert not axes.texts
    assert [text.get_text() for text in axes.get_yticklabels()] == emotions


def test_an_emotion_without_images_has_no_shares(some: Dataset) -> None:
    """The matrix of a selection shows a dash where there is nothing to divide, not 0.0%."""
    evaluation = _evaluate(some)
    (metrics := dict(evaluation.metrics))["confusion_matrix"] = [[3, 1, 0], [0, 0, 0], [0, 2, 2]]
    shares = confusion_matrix(evaluation.predictions, metrics).axes[1]
    texts = " ".join(text.get_text() for text in shares.texts)
    assert texts == "75.0% 25.0% 0.0% - - - 0.0% 50.0% 50.0%"


def test_the_page_is_complete_and_loads_nothing(some: Dataset, tmp_path: Path) -> None:
    """Every section is there, each picture inside the page, and no address of elsewhere."""
    page = _page(_evaluate(some), tmp_path, heat="No heat, for a reason.")
    assert "No heat, for a reason." in page
    assert "No learning curves" in page
    tags = assert_self_contained(page)
    assert [name for name in tags.ids if name in SECTIONS] == list(SECTIONS)
    assert {"roc", "precision_recall", "reliability"} == {
        name.split("-")[0] for name in tags.ids if name.endswith("figure_1")
    }
    assert "75.0%" in page
    assert tags.loaded.count("#emotions") == 1


def test_the_page_takes_its_colours_from_its_theme(some: Dataset, tmp_path: Path) -> None:
    """No ink, grid or paper of a plot is of a fixed colour, which would vanish in the dark."""
    page = _page(_evaluate(some), tmp_path)
    drawn = page[page.index("<svg") : page.rindex("</svg>")]
    for color in ("#222222", "#dddddd", "#ffffff", "#000000"):
        assert color not in drawn
    assert "currentColor" in drawn
    assert "var(--line)" in drawn


def test_names_are_text_never_markup(some: Dataset, tmp_path: Path) -> None:
    """Names of files, models, columns and reasons that look like markup are shown as they are."""
    count = len(some.labels)
    hostile = replace(
        some,
        paths=np.array([f"{HOSTILE}{number}.png" for number in range(count)], object),
        traits={HOSTILE: np.array([HOSTILE, "b"] * (count // 2), object)},
        left_out={HOSTILE: 3},
        skipped=(SkippedFile(HOSTILE, "no image"), SkippedFile("\udcff.png", "no image")),
    )
    page = _page(_evaluate(hostile), tmp_path, model=HOSTILE)
    tags = assert_self_contained(page)
    assert HOSTILE in tags.words
    assert HOSTILE not in page


def test_a_class_never_predicted_and_an_absent_one_are_told(tmp_path: Path) -> None:
    """A dash stands for the precision that has no value, a note says why, and nothing warns."""
    dataset = _dataset([0, 0, 1, 1], [0, 0, 0, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = _page(_evaluate(dataset), tmp_path)
    words = assert_self_contained(page).words
    assert page.count("<td>—</td>") == 1
    assert "Never predicted: happy, sad. Their precision is undefined (—)." in words
    assert "No images of: sad." in words
    assert "nan" not in words.lower()


@pytest.mark.parametrize(("count", "copies"), [(1, "1 copy"), (12, "12 copies")])
def test_what_makes_figures_too_good_is_told(tmp_path: Path, count: int, copies: str) -> None:
    """The page says what the model saw, and how many images are copies of training images."""
    evaluation = _evaluate(_dataset([0, 0, 1, 1], [0, 0, 0, 1]))
    evaluation.metrics.update({"caveats": ["Seen in training."], "leaked": count})
    words = _Tags(_page(evaluation, tmp_path)).words
    assert "Seen in training." in words
    assert f"Includes {copies} of training images, so" in words


@pytest.mark.parametrize("answer", [0, 1])
def test_a_single_image_has_a_page(answer: int, tmp_path: Path) -> None:
    """One image, right or wrong: no warning, no NaN, and a note that this says little."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = _page(_evaluate(_dataset([0], [answer])), tmp_path)
    words = assert_self_contained(page).words
    assert "Only 1 image: these results are not reliable" in words
    assert "100.0% to 100.0%" not in words
    assert "nan" not in words.lower()
    assert ("No mistakes on these images." in words) == (answer == 0)


def test_heat_maps_stand_beside_the_mistakes(some: Dataset, tmp_path: Path) -> None:
    """Each mistake then has two pictures, and the caption says how coarse the map is."""
    evaluation = _evaluate(some)
    mistakes = len(evaluation.predictions.worst_mistakes())
    heat = HeatMaps(np.zeros((mistakes, 16, 16), np.float32), (4, 5))
    page = _page(evaluation, tmp_path, heat=heat)
    assert page.count('alt="heat map"') == mistakes > 0
    assert "4x5 cells" in page


def test_colour_images_keep_their_colours(tmp_path: Path) -> None:
    """Images of models that take RGB are shown in RGB, and large ones are made smaller."""
    import cv2

    images = np.zeros((2, 200, 200, 3), np.uint8)
    images[..., 0] = 240  # red
    dataset = _dataset([0, 1], [0, 0], images=images)
    page = _page(_evaluate(dataset), tmp_path)
    source = next(place for place in assert_self_contained(page).loaded if place[0] != "#")
    data = np.frombuffer(base64.b64decode(source.partition(",")[2]), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert picture.shape == (96, 96, 3)
    assert picture[0, 0].tolist() == [0, 0, 240]


def test_the_history_of_its_own_run_is_drawn(some: Dataset, tmp_path: Path) -> None:
    """The curves and summary of the run that the model lies in are shown, those of others not."""
    evaluation = _evaluate(some)
    history, record = tmp_path / "history.csv", tmp_path / "run.json"
    history.write_text(
        "epoch,accuracy,loss,val_accuracy,val_loss\n1,0.5,1,0.4,1.2\n2,0.6,0.9,0.5,1.1\n"
    )
    told = {
        "best_epoch": 2,
        "summary": ["a good fit & more"],
        "dataset": {"fingerprint": "of mine"},
    }
    record.write_text(json.dumps(told))
    page = _page(evaluation, tmp_path)
    assert "Accuracy and loss by epoch" in page
    assert "a good fit &amp; more" in page
    assert_self_contained(page)
    assert "best epoch: 2 (" in page
    history.write_text("epoch,price\n1,3\n")
    assert "is not a training history" in _page(evaluation, tmp_path)
    record.write_text(json.dumps({**told, "dataset": {"fingerprint": "of another"}}))
    page = _page(evaluation, tmp_path)
    assert "No learning curves" in page
    assert "a good fit" not in page


def test_learning_curves_mark_the_best_epoch_and_the_phases(tmp_path: Path) -> None:
    """A line stands at the epoch whose weights are kept, and each phase is named and bounded."""
    history = tmp_path / "history.csv"
    rows = [
        (0.5, 1.0, 0.4, 1.2),
        (0.6, 0.9, 0.61, 1.1),
        (0.7, 0.8, 0.7, 0.8),
        (0.8, 0.7, 0.69, 0.7),
    ]
    lines = [",".join(map(str, (number, *row))) for number, row in enumerate(rows, 1)]
    history.write_text("epoch,accuracy,loss,val_accuracy,val_loss\n" + "\n".join(lines) + "\n")
    figure = learning_curves(history, best_epoch=3, head_epochs=2)
    for axes in figure.axes:
        marks = [line for line in axes.get_lines() if "best epoch" in str(line.get_label())]
        assert [list(line.get_xdata()) for line in marks] == [[3, 3]]
        assert [text.get_text() for text in axes.texts] == ["head", "fine-tuning"]
        (shade,) = axes.patches
        assert (shade.get_x(), shade.get_width()) == (0.5, 2)
    (legend,) = figure.legends
    told = [text.get_text() for text in legend.get_texts()]
    assert told[-1] == "best epoch: 3 (validation accuracy 70.0%, loss 0.800)"
    without_head = learning_curves(history, best_epoch=4).axes[0]
    assert list(without_head.get_lines()[-1].get_xdata()) == [4, 4]
    assert [text.get_text() for text in without_head.texts] == ["fine-tuning"]


def test_technical_words_are_explained_on_the_page(some: Dataset, tmp_path: Path) -> None:
    """What each metric means stands where it is first read, not in another document."""
    words = assert_self_contained(_page(_evaluate(some), tmp_path)).words
    for word, meaning in MEANINGS.items():
        if word in METRIC_NAMES.values() or word in ("recall", "precision", "F1", "AUC"):
            assert meaning in words
    assert "The network's outputs (logits) are divided by it" in words


def test_a_gap_of_nothing_is_no_gap(tmp_path: Path) -> None:
    """Where every subset has the same accuracy, no best and worst are made up."""
    ages = np.array(["young"] * 40 + ["old"] * 40, object)
    page = _page(_evaluate(_dataset([0, 1] * 40, [0, 1] * 40, traits={"age": ages})), tmp_path)
    words = assert_self_contained(page).words
    assert "No gap: all subsets have the same accuracy." in words
    assert "0.0 points" not in words
    assert "All emotions are recognised equally well (recall 100.0%)." in words


def test_long_names_and_many_classes_stay_in_the_plots() -> None:
    """The legend of 24 curves stands beside them, and a long name is cut with a sign of it."""
    names = tuple(f"class {number}: {'a very long name ' * 4}" for number in range(24))
    labels = [number % 24 for number in range(96)]
    draws = np.random.default_rng(0).dirichlet(np.ones(24), 96).tolist()
    figure = roc(predictions_of(labels, draws, names), {})
    (axes,) = figure.axes
    assert axes.get_legend() is None
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(texts) == 24
    assert all(text.partition(" (AUC")[0].endswith("…") for text in texts)


def test_a_page_of_thousands_of_images_stays_small(tmp_path: Path) -> None:
    """As many images as FER2013's test split has, all of noise, make a page below 4 MB."""
    generator = np.random.default_rng(0)
    count = 3589
    images = generator.integers(0, 256, (count, 48, 48, 1), np.uint8)
    dataset = _dataset(generator.integers(3, size=count).tolist(), [0] * count, images=images)
    page = _page(_evaluate(dataset), tmp_path)
    assert len(page) < 4_000_000


def test_predictions_can_be_read_again(some: Dataset, tmp_path: Path) -> None:
    """predictions.csv holds every answer exactly, whatever the images are called."""
    names = np.array(['a,"b"\n.png', "\udcff.png", *some.paths[2:]], object)
    drawn = np.random.default_rng(0).dirichlet(np.ones(3), len(names)).astype(np.float32)
    given = replace(
        _evaluate(some).predictions,
        paths=names,
        probabilities=drawn,
        crops=np.array(["1/1"] * (len(names) - 1) + ["2/2"], object),
    )
    write_predictions(given, tmp_path / "predictions.csv")
    answers = read_predictions(tmp_path / "predictions.csv")
    assert answers.emotions == EMOTIONS
    assert answers.crops.tolist() == given.crops.tolist()
    assert answers.paths.tolist() == ['a,"b"\n.png', "\\udcff.png", *some.paths[2:]]
    np.testing.assert_array_equal(answers.labels, given.labels)
    np.testing.assert_array_equal(answers.probabilities, given.probabilities)
    with (tmp_path / "predictions.csv").open(newline="", encoding="utf-8") as file:
        row = list(csv.DictReader(file))[4]
    predicted = EMOTIONS[drawn[4].argmax()]
    assert (row["path"], row["true"], row["predicted"]) == ("4.png", "happy", predicted)


@pytest.mark.parametrize(
    "text",
    [
        *("", "path,true\n", "path,true,predicted,happy,sad\n"),
        "path,crop,group,true,predicted,happy,sad\n",
        "path,crop,group,true,predicted,happy,sad\n" + 2 * "a.png,1/1,,sad,sad,0,1\n",
        "path,crop,group,true,predicted,happy,sad\n" + "a.png,1/1,,sad,sad,1\n",
    ],
)
def test_other_files_are_no_predictions(text: str, tmp_path: Path) -> None:
    """An empty or foreign file ends in one error that says what to do."""
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(DataError, match="run evaluate again"):
        read_predictions(tmp_path / "p.csv")


def test_wilson_intervals_are_those_of_the_books() -> None:
    """8 of 10 is 0.490 to 0.943; none and all stay within 0 and 1."""
    assert _wilson(8, 10) == pytest.approx([0.4902, 0.9433], abs=1e-4)
    assert _wilson(0, 10) == pytest.approx([0, 0.2775], abs=1e-4)
    assert _wilson(1, 1)[1] == 1


def _wilson(right: int, total: int) -> list[float]:
    limits = wilson_interval(np.arange(total) < right, np.arange(total))
    assert limits is not None
    return limits


def _equal(right: list[int], images: list[int]) -> float:
    """Return the p of subsets of independent images, of which so many are right."""
    correct = [
        place < hits for hits, count in zip(right, images, strict=True) for place in range(count)
    ]
    subsets = np.repeat(np.arange(len(images)), images)
    return equal_accuracy_p(np.array(correct), subsets, np.arange(len(correct)))


# --- slices


def _slices(dataset: Dataset) -> dict[str, dict]:
    return {way["by"]: way for way in _evaluate(dataset).metrics["slices"]}


def _gaps(labels: list[int], answers: list[int], **traits: np.ndarray) -> list[dict]:
    """Return the slices with a gap; those of the pixels and sizes have none."""
    return [way for way in _slices(_dataset(labels, answers, traits=traits)).values() if way["gap"]]


def test_slices_are_counted_as_by_hand() -> None:
    """Accuracy, balanced accuracy and the gap of the sizes of faces follow their definitions."""
    # 30 of 20 pixels: 10 angry, all right; 20 happy, 10 right. 40 of 50 pixels, all right.
    labels = [0] * 10 + [1] * 20 + [2] * 40
    answers = [0] * 10 + [1] * 10 + [0] * 10 + [2] * 40
    way = _slices(_dataset(labels, answers, sides=np.array([20] * 30 + [50] * 40)))["face size"]
    small, large = way["slices"]
    assert (small["name"], small["images"], large["images"]) == ("below 32", 30, 40)
    assert small["accuracy"] == pytest.approx(2 / 3)
    assert small["balanced_accuracy"] == pytest.approx((1 + 0.5) / 2)
    assert small["interval_95"] == _wilson(20, 30)
    assert way["gap"] == {
        "best": "48 to 63",
        "worst": "below 32",
        "points": pytest.approx(100 / 3),
        "p": _equal([20, 40], [30, 40]),
    }


def test_subsets_are_compared_by_a_test_not_by_their_intervals() -> None:
    """Intervals that overlap do not hide a difference, and p is that of the exact test."""
    assert _wilson(180, 200)[0] < _wilson(162, 200)[1]
    for right, images in (([180, 162], [200, 200]), ([30, 27], [30, 31])):
        table = [right, [total - hits for hits, total in zip(right, images, strict=True)]]
        p = _equal(right, images)
        # Random tables: three standard errors.
        assert p == pytest.approx(fisher_exact(table).pvalue, abs=3 * math.sqrt(p / 10_000))
    # Three mistakes, all in one of three equal subsets.
    assert _equal([27, 30, 30], [30, 30, 30]) == pytest.approx(
        3 * math.comb(30, 3) / math.comb(90, 3), abs=0.01
    )


def test_gaps_are_corrected_for_their_number() -> None:
    """The same gap by two columns has twice the p that it has by one."""
    labels, answers = [0] * 400, [0] * 180 + [1] * 20 + [0] * 162 + [1] * 38
    ages = np.array(["young"] * 200 + ["old"] * 200, object)
    (p,) = {way["gap"]["p"] for way in _gaps(labels, answers, age=ages)}
    both = _gaps(labels, answers, age=ages, era=ages)
    assert [way["gap"]["p"] for way in both] == [2 * p, 2 * p]


def test_small_slices_are_in_no_gap() -> None:
    """Of a column's values those with fewer than 30 images are shown, and not compared."""
    labels = [0] * 80
    answers = [0] * 30 + [0] * 20 + [1] * 10 + [1] * 20
    ages = np.array(["young"] * 30 + ["old"] * 30 + [""] * 20, object)
    way = _slices(_dataset(labels, answers, traits={"age": ages}))["age"]
    by_name = {row["name"]: row for row in way["slices"]}
    assert by_name["(empty)"]["small"]
    assert not by_name["old"]["small"]
    assert (way["gap"]["best"], way["gap"]["worst"]) == ("young", "old")
    alone = _slices(_dataset(labels[:50], answers[:50], traits={"age": ages[:50]}))["age"]
    assert alone["gap"] is None


def test_a_column_of_many_values_is_cut() -> None:
    """The most frequent values have a slice each, the others one together, none is lost."""
    names = np.array([f"person {number % 40:02}" for number in range(100)] + ["me"] * 50, object)
    way = _slices(_dataset([0] * 150, [0] * 150, traits={"who": names}))["who"]
    assert len(way["slices"]) == 12
    assert way["slices"][-1]["name"] == "other values"
    assert sum(row["images"] for row in way["slices"]) == 150
    assert "me" in {row["name"] for row in way["slices"]}


def test_a_column_of_splits_is_not_sliced_twice() -> None:
    """Twice the same slices would count as two comparisons, and raise all p-values."""
    splits = np.repeat(np.array(["val", "test"], object), 40)
    for traits in ({}, {"split": splits}):
        dataset = replace(_dataset([0] * 80, [0] * 80, traits=traits), splits=splits.astype("U5"))
        ways = [way["by"] for way in _evaluate(dataset).metrics["slices"]]
        assert ways.count("split") == 1


def test_a_columns_own_words_stay_apart() -> None:
    """A value called as the rest or the empty one is called here is a slice of its own."""
    own = ["other values"] * 40 + ["(empty)"] * 35 + [""] * 30
    names = np.array([*own, *(f"person {number}" for number in range(20))], object)
    way = _slices(_dataset([0] * 125, [0] * 125, traits={"who": names}))["who"]
    images = {row["name"]: row["images"] for row in way["slices"]}
    assert len(images) == len(way["slices"]) == 12
    assert (images["other values"], images["(empty)"], images["((empty))"]) == (40, 35, 30)
    assert way["slices"][-1]["name"] == "(other values)"


@pytest.mark.parametrize(
    ("levels", "why"),
    [([0, 102, 201], "only 3 in total"), ([0] * 119 + [201], "too many values are equal")],
    ids=["few", "equal"],
)
def test_no_group_of_few_images_is_called_a_third(
    levels: list[int], why: str, tmp_path: Path
) -> None:
    """Where thirds would be empty or of few images there are none, and the page says why."""
    evaluation = _evaluate(_dataset([0] * len(levels), levels))
    way = {way["by"]: way for way in evaluation.metrics["slices"]}["brightness"]
    assert (way["slices"], way["gap"]) == ([], None)
    assert why in way["unformed"]
    assert why in assert_self_contained(_page(evaluation, tmp_path)).words


def test_thirds_go_by_the_pixels() -> None:
    """The dark third of the images is the one that is wrong, and is named so with its range."""
    levels = [0] * 40 + [102] * 40 + [201] * 40
    way = _slices(_dataset([1] * 40 + [0] * 80, levels))["brightness"]
    assert [row["name"] for row in way["slices"]] == [
        "darkest third (0 to 0)",
        "middle third (102 to 102)",
        "brightest third (201 to 201)",
    ]
    assert [row["accuracy"] for row in way["slices"]] == [0, 1, 1]


def test_splits_are_told_apart_where_there_are_several(some: Dataset) -> None:
    """With --split all of a data set with splits each has a slice; of one split there is none."""
    assert "split" not in _slices(some)
    splits = np.array(["train"] * 20 + ["test"] * 20, "U5")
    way = _slices(replace(some, splits=splits))["split"]
    assert [row["name"] for row in way["slices"]] == ["train", "test"]


# --- through the command line


@pytest.fixture
def people(faces: Path) -> Path:
    """A manifest of drawn faces with a column age."""
    return list_faces(faces, "age", lambda number: "young" if number % 2 else "old")


def _run(artifact: Path, out: Path, *arguments: str) -> Result:
    words = ["evaluate", "--model", str(artifact), "--output", str(out), "--no-explain", *arguments]
    return CliRunner().invoke(app, words)


def test_evaluate_tells_results_by_a_column(artifact: Path, people: Path, tmp_path: Path) -> None:
    """--slice-by gives each value of a manifest's column its figures, also in metrics.json."""
    out = tmp_path / "report"
    result = _run(artifact, out, "--data", f"manifest:{people}", "--slice-by", "age")
    assert result.exit_code == 0, result.exception
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    ways = {way["by"]: way["slices"] for way in metrics["slices"]}
    assert [(row["name"], row["images"]) for row in ways["age"]] == [("old", 6), ("young", 6)]
    assert [row["name"] for row in ways["face size"]] == ["64 to 95"]
    page = assert_self_contained((out / "report.html").read_text(encoding="utf-8"))
    assert "column of the manifest" in page.words


def test_columns_that_are_not_there_are_told(artifact: Path, people: Path, tmp_path: Path) -> None:
    """A missing column, a source without columns and a model's own drawn data end in one error."""
    out = tmp_path / "report"
    result = _run(artifact, out, "--data", f"manifest:{people}", "--slice-by", "gender")
    assert isinstance(result.exception, DataError)
    assert "missing: gender" in str(result.exception)
    faces = f"folder:{people.parent / 'faces'}"
    result = _run(artifact, out, "--data", faces, "--slice-by", "age")
    assert isinstance(result.exception, DataError)
    assert "--slice-by: expected a manifest" in str(result.exception)
    result = _run(artifact, out, "--slice-by", "age")
    assert isinstance(result.exception, DataError)
    assert "expected a manifest" in str(result.exception)
    assert not out.exists()


def test_a_manifest_whose_files_have_moved_is_told(
    artifact: Path, people: Path, tmp_path: Path
) -> None:
    """One error that names the first file and what is wrong with it, and no report."""
    (tmp_path / "faces").rename(tmp_path / "elsewhere")
    result = _run(artifact, tmp_path / "report", "--data", f"manifest:{people}")
    assert isinstance(result.exception, DataError)
    assert "no such file" in str(result.exception)
    assert not (tmp_path / "report").exists()


def test_contempt_has_the_ink_of_the_page() -> None:
    """Its black would be invisible on a dark page; the other emotions keep their colours."""
    colors = page_colors(("happy", "contempt"))
    assert colors["contempt"] == "var(--ink)"
    assert re.fullmatch("#[0-9a-f]{6}", colors["happy"])
