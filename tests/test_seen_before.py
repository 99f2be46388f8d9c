"""A model that starts from another one may know images that it is validated or tested on."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from click.testing import CliRunner, Result
from small import LENET, SMALL

from emodetect.cli import app
from emodetect.config import ExperimentConfig, load_config
from emodetect.data.sketch import SKETCHED, Sketch, sketch_in
from emodetect.data.synthetic import draw_dataset
from emodetect.machine.tensorflow_devices import use_tensorflow
from emodetect.model_file.artifact import read_artifact
from emodetect.model_file.metadata import Metadata

use_tensorflow()

from emodetect.training.initial_model import shares_seen_before  # noqa: E402
from emodetect.training.train import TrainingResult, resume, train  # noqa: E402

TWO = ("happy", "sad")


def _config(run: str, data: str, *changes: str) -> ExperimentConfig:
    """Config of one epoch on a folder here, of which 9 in 16 images are the train split."""
    keys = [
        f'data={{source="folder", path="{data}", image_size=32, cache_dir="cache",'
        " validation_fraction=0.25, test_fraction=0.25}",
        *LENET,
        "training.epochs=1",
        f"output={run}",
        *changes,
    ]
    return load_config(SMALL, keys)


def _train(run: str, data: str = "faces", *changes: str) -> TrainingResult:
    return train(_config(run, data, *changes))


def _metadata(result: TrainingResult) -> Metadata:
    return read_artifact(result.artifact).metadata


def _evaluate(run: str, *words: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", "--model", run, *words])


@pytest.fixture
def faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with 40 drawn faces of each of two emotions, in the current folder."""
    monkeypatch.chdir(tmp_path)
    draw_dataset(tmp_path, counts={"faces": 40}, emotions=TWO, seed=5, size=32)
    return tmp_path / "faces"


@pytest.fixture
def grown(faces: Path) -> Path:
    """The same folder after a run on it, with some faces more, which are split otherwise."""
    _train("first")
    draw_dataset(faces.parent, counts={"more": 6}, emotions=TWO, seed=6, size=32)
    for file in sorted(Path("more").rglob("*.png")):
        shutil.copy(file, faces / file.parent.name / f"a_{file.name}")
    return faces


def test_images_that_trained_the_initial_model_are_told(
    grown: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """About as many of the new splits are told as were in the old train split, and kept in mind."""
    result = _train("second", "faces", "model.init=first")
    seen = _metadata(result).dataset["seen"]
    old = sketch_in(read_artifact(Path("first/best_model.keras")).metadata, "trained")
    assert len(old.hashes) == 45  # of 80: as few are sketched whole
    for split in ("val", "test"):
        digests = result.dataset.digests[result.dataset.indices(split)]
        assert seen[split] == old.knows(digests).mean()
        line = f"about {seen[split]:.0%} of the {len(digests)} {split} images"
        assert line in caplog.text
        assert any(told.startswith(line) for told in result.summary)
    for split in ("test", "val"):
        caplog.clear()
        evaluated = _evaluate("second", "--split", split, "--output", split)
        assert evaluated.exit_code == 0, evaluated.output
        share = f"{seen[split]:.0%}"
        told = f"About {share} of these images, by a sample, trained a model it started from"
        assert told in caplog.text
        assert ("chose the model's best epoch" in caplog.text) == (split == "val")
        assert json.loads(Path(split, "metrics.json").read_text(encoding="utf-8"))["seen"]


def test_the_same_splits_are_no_reason_for_a_word(
    faces: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """On the images of the initial model, split as then, the figures are what they seem."""
    _train("first")
    with caplog.at_level(logging.WARNING):
        result = _train("second", "faces", "model.init=first")
    assert _metadata(result).dataset["seen"] == {}
    assert _evaluate("second", "--output", "report").exit_code == 0
    assert "start" not in caplog.text
    assert not json.loads(Path("report", "metrics.json").read_text(encoding="utf-8"))["seen"]


def test_images_of_another_size_cannot_be_told(
    faces: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Crops of another size have other pixels, so what trained the initial model is not known."""
    _train("first")
    _train("second", "faces", "model.init=first", "data.image_size=40", "seed=3")
    assert caplog.text.count("cannot be told") == 1
    assert "data.image_size = 40 is not that of first/best_model.keras, 32" in caplog.text


def test_folds_of_images_that_were_trained_on_are_not_to_be_trusted(
    faces: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The folds validate on what trained the initial model, even if the run itself does not."""
    _train("first")
    result = _train("second", "faces", "model.init=first", "training.folds=2")
    assert not any(line.startswith("trust the") for line in result.summary)
    line = "about 75% of the images of the folds"  # train, of train and val
    assert line in caplog.text
    assert any(told.startswith(line) for told in result.summary)
    assert caplog.text.count("by a sample") == 1


def test_models_before_the_initial_one_are_remembered(
    faces: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A model that was trained on other faces since still knows those of the first run."""
    _train("first")
    draw_dataset(faces.parent, counts={"others": 40}, emotions=TWO, seed=6, size=32)
    second = _train("second", "others", "model.init=first")
    assert _metadata(second).dataset["seen"] == {}
    third = _train("third", "others", "model.init=second", "seed=3")
    assert _metadata(third).dataset["seen"].keys() == {"val", "test"}
    evaluated = _evaluate("third", "--data", "faces", "--split", "all")
    told = "About 56% of these images, by a sample, trained a model it started from"
    assert evaluated.exit_code == 0, evaluated.output
    assert told in caplog.text


def test_a_resumed_run_remembers_what_trained_its_initial_model(
    grown: Path,
) -> None:
    """The initial model may be gone by then."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(_config("second", "faces", "model.init=first"), draw=stop)
    shutil.rmtree("first")
    result = resume(Path("second"))
    assert _metadata(result).dataset["seen"].keys() == {"val", "test"}


def _digests(count: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.array([generator.bytes(16).hex().encode() for _ in range(count)], "S32")


@pytest.mark.parametrize("share", [0.15, 0.5, 1.0])
def test_a_sketch_estimates_the_share_of_known_images(share: float) -> None:
    """Of thousands of images, a sketch tells the share within a few points."""
    known, new = _digests(20_000, 0), _digests(5_000, 1)
    mixed = np.concatenate([known[: int(5_000 * share)], new[: int(5_000 * (1 - share))]])
    estimates = Sketch.of(known).share_of(mixed)
    assert len(Sketch.of(known).hashes) == SKETCHED
    assert estimates == pytest.approx(share, abs=0.04)
    assert Sketch.of(known).share_of(new) == 0


def test_the_sketch_of_two_sets_is_that_of_all_their_images() -> None:
    """Made from the two sketches or from the images, it is the same."""
    one, two = _digests(9_000, 0), _digests(1_200, 1)
    both = Sketch.of(np.concatenate([one, two]))
    assert Sketch.of(one).with_images_of(Sketch.of(two)) == both
    assert Sketch.of(two).with_images_of(Sketch.of(one)) == both


@pytest.mark.parametrize("carved", [("val",), ("val", "test")])
def test_a_split_too_small_to_judge_is_judged_by_what_it_was_drawn_from(
    carved: tuple[str, ...],
) -> None:
    """Of 15 images hardly any is in the sketch; a given split is not judged by the others."""
    known = _digests(20_000, 0)
    splits = np.repeat(["train", "val", "test"], [270, 15, 15])
    images = SimpleNamespace(digests=known[:300], splits=splits, carved=carved)
    assert shares_seen_before(cast(Any, images), Sketch.of(known)).keys() == {*carved}
    new = SimpleNamespace(digests=_digests(300, 1), splits=splits, carved=carved)
    assert shares_seen_before(cast(Any, new), Sketch.of(known)) == {}


def test_few_images_split_as_before_are_no_reason_for_a_word() -> None:
    """Of a small set all images are sketched, so that five new ones are known to be new."""
    splits = np.repeat(["train", "val", "test"], [30, 5, 5])
    images = SimpleNamespace(digests=_digests(40, 0), splits=splits, carved=("val", "test"))
    before = Sketch.of(images.digests[splits == "train"])
    assert shares_seen_before(cast(Any, images), before) == {}


def test_hashes_that_no_image_has_do_no_harm() -> None:
    """A sketch by another hand may hold anything that is hexadecimal."""
    known = Sketch.of(_digests(4_096, 0))
    hostile = Sketch(known.text[:-16] + "0" * 16)
    assert hostile.share_of(_digests(4_096, 0)) == 1


def test_copies_that_data_sets_share_are_not_told() -> None:
    """FER2013's test images, 7% of which are in train too, are new to a model."""
    known, new = _digests(20_000, 0), _digests(5_000, 1)
    assert Sketch.of(known).share_of(np.concatenate([known[:376], new])) == 0
    assert Sketch.of(known[:3]).share_of(known[:3]) == 0
