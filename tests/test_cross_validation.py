"""training.folds: a run for each fold, mean and spread of their figures, one final model."""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from small import LENET, SMALL

from emodetect.config import ExperimentConfig, load_config
from emodetect.data.dataset import load_dataset
from emodetect.data.splits import assign_splits
from emodetect.data.synthetic import draw_dataset
from emodetect.errors import ConfigError, DataError
from emodetect.machine.tensorflow_devices import use_tensorflow
from emodetect.model_file.artifact import read_artifact

use_tensorflow()

from emodetect.training import cross_validation  # noqa: E402
from emodetect.training.cross_validation import cross_validate, describe_folds  # noqa: E402
from emodetect.training.dry_run import describe_run  # noqa: E402


def _assign(labels: np.ndarray, fold: tuple[int, int], **values: object) -> np.ndarray:
    settings = {
        "digests": np.array([f"{i:032d}" for i in range(len(labels))]),
        "given": [None] * len(labels),
        "groups": None,
        **values,
    }
    return assign_splits(
        labels,
        settings["digests"],
        settings["given"],
        validation_fraction=None,
        test_fraction=0.1,
        seed=0,
        groups=settings["groups"],
        fold=fold,
    )


def test_every_image_is_validated_on_in_one_fold() -> None:
    """The folds cover train and validation once, with equal shares; test is in none of them."""
    labels = np.repeat([0, 1, 2], [100, 60, 20])
    folds = [_assign(labels, (number, 4)) for number in (1, 2, 3, 4)]
    tests = [fold == "test" for fold in folds]
    assert all(np.array_equal(test, tests[0]) for test in tests)
    validated = np.sum([fold == "val" for fold in folds], axis=0)
    assert np.array_equal(validated, ~tests[0])
    for fold in folds:
        counts = np.bincount(labels[fold == "val"], minlength=3)
        assert np.abs(counts - np.array([90, 54, 18]) / 4).max() <= 1


def test_given_validation_images_join_the_folds() -> None:
    """A validation split of the source is trained on in all folds but one."""
    given = ["test"] * 10 + ["val"] * 20 + ["train"] * 60
    labels = np.arange(90) % 2
    folds = [_assign(labels, (number, 5), given=given) for number in range(1, 6)]
    validated = np.sum([fold == "val" for fold in folds], axis=0)
    assert validated.tolist() == [0] * 10 + [1] * 80


@pytest.mark.parametrize("kind", ["digests", "groups"])
def test_images_that_belong_together_stay_in_one_fold(kind: str) -> None:
    """Identical images, and those of one person, are never on both sides."""
    together = np.random.default_rng(0).integers(0, 40, 200)
    values = np.array([f"{value:032d}" for value in together]) if kind == "digests" else together
    for number in (1, 2, 3):
        splits = _assign(np.arange(200) % 2, (number, 3), **{kind: values})
        for value in np.unique(together):
            assert len(set(splits[together == value])) == 1


def test_as_many_people_as_folds_are_validated_on_one_by_one() -> None:
    """No fold is empty, however unlike the people are."""
    people = np.repeat([0, 1, 2, 3, 4], [39, 4, 5, 2, 2])
    labels = np.array([int(one) for one in "1101011000111110000100110101011010100000000110011101"])
    given = ["train"] * 50 + ["test"] * 2
    validated = []
    for number in (1, 2, 3, 4):
        splits = _assign(labels, (number, 4), groups=people, given=given)
        validated.append(set(people[splits == "val"].tolist()))
    assert sorted(validated, key=min) == [{0}, {1}, {2}, {3}]


def test_too_few_images_for_the_folds_are_one_clear_error() -> None:
    """An emotion with three images cannot be in five folds."""
    with pytest.raises(DataError, match="5 folds"):
        _assign(np.repeat([0, 1], [60, 4]), (1, 5))
    copies = np.array([f"{value:032d}" for value in [*range(60), *range(60, 64), *range(60, 64)]])
    with pytest.raises(DataError, match="4 images of the rarest emotion"):
        _assign(np.repeat([0, 1], [60, 8]), (1, 5), digests=copies)


@pytest.mark.parametrize("kind", ["digests", "groups"])
def test_every_fold_leaves_images_of_each_emotion_to_train_on(kind: str) -> None:
    """An emotion all of whose images belong together is refused by each fold, not by one.

    Of identical images, one counts.
    """
    words = {
        "digests": "1 image of the rarest emotion",
        "groups": r"all 9 images of an emotion \(such as image 61 of 70",
    }
    labels = np.repeat([0, 1], [60, 10])
    together = np.minimum(np.arange(70), 60)
    values = np.array([f"{value:032d}" for value in together]) if kind == "digests" else together
    given = ["train"] * 69 + ["test"]
    for number in (1, 2, 3):
        with pytest.raises(DataError, match=words[kind]):
            _assign(labels, (number, 3), given=given, **{kind: values})


def test_folds_that_cannot_be_made_leave_no_run_behind(tmp_path: Path) -> None:
    """They are refused before the run folder is made, also by a dry run."""
    from emodetect.training.train import train

    draw_dataset(tmp_path, counts={"faces": 8}, emotions=("happy", "sad"), seed=1, size=64)
    words = [*LENET, f"data.cache_dir={tmp_path / 'cache'}", f"output={tmp_path / 'run'}"]
    data = f"folder:{tmp_path / 'faces'}"
    config = load_config(SMALL, [*words, "training.folds=10"], data=data)
    with pytest.raises(DataError, match="cannot make 10 folds"):
        train(config)
    assert not (tmp_path / "run").exists()
    with pytest.raises(DataError, match="cannot make 10 folds"):
        describe_run(config)


def test_folds_are_not_continued_on_other_data(tmp_path: Path) -> None:
    """A run killed between two folds, to which images were added meanwhile, is refused."""
    from emodetect.training.train import resume, train

    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    emotions = ("happy", "sad")
    draw_dataset(tmp_path, counts={"faces": 12, "more": 2}, emotions=emotions, seed=1, size=64)
    changes = ["training.epochs=1", "training.folds=2", "data.image_size=32"]
    words = [*LENET, *changes, "model.backbone_size=32", f"data.cache_dir={tmp_path / 'cache'}"]
    data = f"folder:{tmp_path / 'faces'}"
    run = tmp_path / "run"
    with pytest.raises(Killed):
        train(load_config(SMALL, [*words, f"output={run}"], data=data), draw=kill)
    for emotion in emotions:
        for number, image in enumerate((tmp_path / "more" / emotion).iterdir()):
            image.rename(tmp_path / "faces" / emotion / f"more{number}{image.suffix}")
    with pytest.raises(ConfigError, match="the data has changed"):
        resume(run)


def test_photos_that_go_between_folds_end_the_run(tmp_path: Path) -> None:
    """Or some images would be validated on twice, and some of the test split trained on."""
    from emodetect.training.train import train

    emotions = ("happy", "sad")
    draw_dataset(tmp_path, counts={"faces": 12}, emotions=emotions, seed=1, size=64)
    changes = ["training.epochs=1", "training.folds=2", "data.image_size=32"]
    words = [*LENET, *changes, "model.backbone_size=32", f"data.cache_dir={tmp_path / 'cache'}"]
    run = tmp_path / "run"
    config = load_config(SMALL, [*words, f"output={run}"], data=f"folder:{tmp_path / 'faces'}")

    def lose_a_photo(*_: object) -> list[Path]:
        next((tmp_path / "faces" / "sad").iterdir()).unlink()
        return []

    with pytest.raises(ConfigError, match="the data has changed since the run was started; bring"):
        train(config, draw=lose_a_photo)
    assert [fold.name for fold in (run / "folds").iterdir()] == ["1"]


def test_a_fold_of_other_images_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was trained while a photo was away cannot be averaged with the others."""

    def read(_: Path) -> Any:
        return SimpleNamespace(metadata=SimpleNamespace(dataset={"images": "others"}))

    monkeypatch.setattr(cross_validation, "read_artifact", read)
    config = load_config(SMALL, [*LENET, "training.folds=2", f"output={tmp_path / 'run'}"])
    with pytest.raises(ConfigError, match=r"folds.1: was trained on other images .* remove this"):
        cross_validate(config, lambda fold: None, images="these")


@pytest.mark.parametrize("change", ["training.folds=1", "data.fold=[4, 3]", "data.fold=[0, 3]"])
def test_impossible_folds_are_refused(change: str) -> None:
    """One fold, or the fourth of three, is a mistake in the config."""
    with pytest.raises(ConfigError, match="fold"):
        load_config(SMALL, [*LENET, change])


@pytest.fixture(scope="module")
def folded(
    small_overrides: list[str], tmp_path_factory: pytest.TempPathFactory
) -> ExperimentConfig:
    """A config with two folds."""
    output = tmp_path_factory.mktemp("folds") / "run"
    changes = [*small_overrides, *LENET, "training.epochs=1", "training.folds=2"]
    return load_config(SMALL, [*changes, f"output={output}"])


def test_a_run_with_folds_reports_mean_and_spread_and_ends_with_one_model(
    folded: ExperimentConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """The figures are those of the folds' own models; the final model is that of a plain run."""
    from emodetect.training.train import resume, train

    class Killed(BaseException):
        pass

    caplog.set_level(logging.INFO, "emodetect")
    # Killed after the first fold, renamed and resumed.
    runs = []

    def kill(run: Path, *_: object) -> None:
        runs.append(run)
        if len(runs) == 2:
            raise Killed

    with pytest.raises(Killed):
        train(folded, draw=kill)
    moved = folded.output.rename(folded.output.with_name("renamed"))
    result = resume(moved)
    assert not folded.output.exists()
    assert runs == [folded.output / "folds" / number for number in ("1", "2")]
    rows = list(csv.DictReader((moved / "folds.csv").read_text().splitlines()))
    accuracies = []
    for number, row in enumerate(rows, start=1):
        metadata = read_artifact(moved / "folds" / str(number) / "best_model.keras").metadata
        assert float(row["accuracy"]) == metadata.metrics["val_accuracy"]
        assert metadata.config["data"]["fold"] == [number, 2]
        accuracies.append(100 * float(row["accuracy"]))
    assert len(accuracies) == len(result.folds) == 2
    assert f"{np.mean(accuracies):.1f}% on average" in result.summary[0]
    assert f"{np.std(accuracies, ddof=1):.1f} points" in result.summary[0]
    assert result.summary[1].startswith(f"trust the {np.mean(accuracies):.1f}% of the folds")
    # The start of both runs says what the data is, and no fold says it again.
    lines = [line for line in caplog.messages if "images found" in line]
    assert len(lines) == 2
    assert sum("few validation images" in line for line in caplog.messages) == 1
    assert "retracing" not in caplog.text
    assert json.loads((moved / "run.json").read_text())["summary"] == result.summary
    plain = folded.model_copy(
        update={
            "training": folded.training.model_copy(update={"folds": 0}),
            "output": folded.output.with_name("plain"),
        }
    )
    train(plain)
    compiled = [read_artifact(run / "best_model.keras").compiled for run in (moved, plain.output)]
    assert compiled[0] == compiled[1]


def test_a_fold_is_validated_on_images_that_it_was_not_trained_on(
    folded: ExperimentConfig,
) -> None:
    """Loading a fold's config gives its own splits, so that evaluate judges it by them."""
    from emodetect.training.cross_validation import fold_config

    first, second = (load_dataset(fold_config(folded, number).data, seed=0) for number in (1, 2))
    assert set(first.indices("val").tolist()) == set(second.indices("train").tolist())


def test_the_figures_of_the_folds_are_of_their_validation_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """folds.csv has those of each fold, the summary the mean, the range and all images."""
    accuracies = iter([0.5, 0.9])

    def read(_: Path) -> Any:
        counts = {"train": {"happy": 80}, "val": {"happy": 12, "sad": 8}}
        metrics = {"val_accuracy": next(accuracies), "val_loss": 1.5}
        return SimpleNamespace(
            metadata=SimpleNamespace(dataset={"counts": counts, "images": "1"}, metrics=metrics)
        )

    monkeypatch.setattr(cross_validation, "read_artifact", read)
    config = load_config(SMALL, [*LENET, "training.folds=2", f"output={tmp_path}"])
    results = cross_validate(config, lambda fold: None, images="1")
    assert (tmp_path / "folds.csv").read_text().splitlines() == [
        "fold,images,accuracy,loss",
        "1,20,0.5,1.5",
        "2,20,0.9,1.5",
    ]
    spread, trust = describe_folds(results)
    assert "70.0% on average, 50.0% to 90.0%," in spread
    assert "on 40 images" in trust
