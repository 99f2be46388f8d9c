"""The advice after runs that were made to fail, each in a known way."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small import LENET, SMALL

from emodetect.config import load_config
from emodetect.data.synthetic import draw_dataset
from emodetect.errors import EmodetectError

THREE = ("happy", "sad", "surprise")

SummaryOf = Callable[..., str]


@pytest.fixture
def summary_of(cache_dir: Path, tmp_path: Path) -> SummaryOf:
    """A function that trains with changes to the small config, and returns the summary."""

    def run(*changes: str, config: str = SMALL) -> str:
        from emodetect.training.train import train

        usual = [
            f"data.cache_dir={cache_dir}",
            'data.classes=["happy", "sad", "surprise"]',
            "data.image_size=32",
            "data.synthetic.train_per_class=80",
            "data.synthetic.test_per_class=10",
            "model.backbone_size=32",
            "augmentation.rotation_degrees=0.0",
            "training.learning_rate=3e-3",
            "training.early_stopping_patience=0",
            f"output={tmp_path / 'run'}",
        ]
        return "\n".join(train(load_config(config, [*usual, *changes])).summary)

    return run


@pytest.mark.nightly
def test_an_average_that_is_too_long_for_the_run_is_named(summary_of: SummaryOf) -> None:
    """Flat validation because of the averaging is not blamed on the learning rate."""
    text = summary_of(*LENET, "training.epochs=8", "training.ema_momentum=0.9999")
    assert "the validated weights lag behind" in text
    assert "without training.ema_momentum (it was 0.9999)" in text
    assert "learning_rate" not in text


@pytest.mark.nightly
def test_the_same_run_with_the_default_average_learns(
    summary_of: SummaryOf, tmp_path: Path
) -> None:
    """An average over a tenth of the run follows it, however short it is."""
    config = tmp_path / "small.toml"
    lines = Path(SMALL).read_text().splitlines()
    config.write_text("\n".join(line for line in lines if "momentum" not in line))
    text = summary_of(*LENET, "training.epochs=8", config=str(config))
    assert "lag behind" not in text
    found = re.search(r"validation accuracy ([0-9.]+)%", text)
    assert found is not None
    assert float(found[1]) > 70


@pytest.mark.nightly
def test_batch_norm_statistics_that_do_not_follow_are_named(summary_of: SummaryOf) -> None:
    """Flat validation because of batch norm is not blamed on the learning rate."""
    changes = ["training.learning_rate=1e-2", "training.batch_norm_momentum=0.9999"]
    text = summary_of("training.epochs=16", *changes)
    assert "the validated weights lag behind" in text
    assert "without training.batch_norm_momentum (it was 0.9999)" in text
    assert "learning_rate" not in text


def test_validation_images_with_other_labels_are_named(
    summary_of: SummaryOf, tmp_path: Path
) -> None:
    """A validation split whose folders were mixed up is pointed out."""
    draw_dataset(tmp_path, counts={"faces/train": 40, "val": 20}, emotions=THREE, seed=1, size=64)
    for number, emotion in enumerate(THREE):
        folder = tmp_path / "faces" / "val" / THREE[(number + 1) % 3]
        folder.parent.mkdir(exist_ok=True)
        (tmp_path / "val" / emotion).rename(folder)
    data = f'data={{source="folder", path="{tmp_path / "faces"}", image_size=32}}'
    text = summary_of(data, *LENET, "training.epochs=10")
    assert "validation cannot be told from chance" in text
    assert "right labels" in text
    assert "learning_rate" not in text


def test_validation_images_that_are_trained_on_are_named(
    summary_of: SummaryOf, tmp_path: Path
) -> None:
    """Figures that are good because of leaks are not passed off as good."""
    draw_dataset(tmp_path, counts={"faces/train": 20}, emotions=THREE, seed=1, size=64)
    for emotion in THREE:
        (tmp_path / "faces" / "val" / emotion).mkdir(parents=True)
        for image in sorted((tmp_path / "faces" / "train" / emotion).iterdir()):
            shutil.copy(image, tmp_path / "faces" / "val" / emotion / f"copy_{image.name}")
    data = f'data={{source="folder", path="{tmp_path / "faces"}", image_size=32}}'
    leaks, *_ = summary_of(data, *LENET, "training.epochs=1").splitlines()
    assert re.match(r"\d+ of 60 val images are identical to training images", leaks)
    assert "`emodetect data audit`" in leaks


@pytest.mark.nightly
def test_a_rate_that_is_too_high_is_named(summary_of: SummaryOf) -> None:
    """After a loss far above that of guesses, the advice is a lower rate, and not to go on."""
    try:
        text = summary_of(*LENET, "training.epochs=4", "training.learning_rate=1000.0")
    except EmodetectError as error:  # the loss became NaN
        text = str(error)
    assert "lower training.learning_rate" in text
    assert "more epochs" not in text


@pytest.mark.nightly
def test_a_rate_that_leaves_only_guesses_is_named(summary_of: SummaryOf) -> None:
    """Where the loss shot up and came back to that of guesses, more epochs are not the advice."""
    text = summary_of("training.epochs=6", "training.learning_rate=1.0")
    assert "try in a new run: a lower training.learning_rate (it was 1)" in text
    assert "more epochs" not in text


def test_a_run_of_a_few_steps_is_told_to_be_longer(summary_of: SummaryOf) -> None:
    """A run that ended before it learnt anything gets more epochs as the first advice."""
    text = summary_of(*LENET, "training.epochs=3", "training.learning_rate=1e-6")
    assert "nothing learnt yet" in text
    epochs = re.search(r"try in a new run: more epochs \(--set training.epochs=(\d+)\)", text)
    assert epochs is not None
    # 192 images in batches of 16 to 32: six to twelve steps an epoch, of which 100 are enough.
    assert 100 / 12 <= int(epochs[1]) <= 100 / 6 + 1
    assert "steps of fine-tuning are few" in text


@pytest.mark.parametrize(("steps", "few"), [(99, True), (2000, False)])
def test_steps_are_called_few_only_where_they_are(steps: int, few: bool) -> None:
    """A run of thousands of steps needs other advice."""
    from emodetect.training.advice.fit_diagnosis import _longer

    run: Any = SimpleNamespace(
        config=SimpleNamespace(training=SimpleNamespace(epochs=20)),
        stopped_early=False,
        schedule=SimpleNamespace(steps=100, fine_tuning_steps=steps),
    )
    assert _longer(run).startswith("more epochs (--set training.epochs=40)")
    assert ("are few" in _longer(run)) == few
