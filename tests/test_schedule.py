"""Defaults that follow from the length of a run, and what a run says about it beforehand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from small import LENET, SMALL

from emodetect.cli import app
from emodetect.config import TrainingConfig, load_config
from emodetect.data.dataset import load_dataset
from emodetect.data.splits import assign_splits
from emodetect.data.synthetic import draw_dataset
from emodetect.machine.tensorflow_devices import use_tensorflow

use_tensorflow()  # the package of schedule imports Keras

import tensorflow as tf  # noqa: E402

from emodetect.training.models.layers import BACKBONE, batch_norm_layers  # noqa: E402
from emodetect.training.models.registry import build_network  # noqa: E402
from emodetect.training.phases import compile_model, training_phases  # noqa: E402
from emodetect.training.schedule import run_schedule  # noqa: E402
from emodetect.training.weight_averaging import (  # noqa: E402
    CALIBRATION_BATCH_SIZE,
    AveragedWeights,
    statistics_batches,
)


@pytest.mark.parametrize("images", [20, 100, 300, 600, 3000, 28_000, 1_000_000])
@pytest.mark.parametrize("epochs", [1, 3, 14, 200])
def test_averages_and_warm_up_fit_into_the_run(images: int, epochs: int) -> None:
    """Whatever the length of a run, it is many times as long as what it averages over."""
    schedule = run_schedule(TrainingConfig(epochs=epochs), images)
    averaged_steps = 1 / (1 - schedule.ema_momentum)
    assert averaged_steps <= max(2, 0.1 * schedule.fine_tuning_steps) + 1e-6
    assert averaged_steps <= 1000 + 1e-6
    assert schedule.warmup_steps <= 0.1 * schedule.fine_tuning_steps
    batch_norm_steps = 1 / (1 - schedule.batch_norm_momentum)
    assert batch_norm_steps <= max(2, schedule.steps) + 1e-6
    assert batch_norm_steps <= 100 + 1e-6


@pytest.mark.parametrize(
    ("images", "epochs", "averaged", "warm_up", "batch_norm"),
    [(640, 30, 30, 30, 10), (64_000, 30, 1000, 3000, 100), (640, 1, 2, 1, 10)],
)
def test_averages_and_warm_up_follow_the_length_of_the_run(
    images: int, epochs: int, averaged: float, warm_up: int, batch_norm: float
) -> None:
    """Weights span a tenth of the steps, at most 1,000, and so does the warm-up, without a limit;
    batch norm spans an epoch, at most 100."""
    schedule = run_schedule(TrainingConfig(epochs=epochs, batch_size=64), images)
    assert schedule.ema_momentum == pytest.approx(1 - 1 / averaged)
    assert schedule.warmup_steps == warm_up
    assert schedule.batch_norm_momentum == pytest.approx(1 - 1 / batch_norm)


@pytest.mark.parametrize("images", [20, 600, 3000, 28_000])
def test_statistics_are_estimated_again_on_no_more_than_an_epoch(images: int) -> None:
    """Each validation of a small data set does not cost many epochs of it."""
    batches = statistics_batches(images)
    assert 2 <= batches <= 16
    assert batches == 2 or batches * CALIBRATION_BATCH_SIZE <= images


def test_values_of_the_config_are_kept() -> None:
    """A momentum or warm-up of the user's own replaces the default, also 0."""
    given = TrainingConfig(ema_momentum=0.0, batch_norm_momentum=0.6, warmup_epochs=2.0)
    schedule = run_schedule(given, 640)
    assert (schedule.ema_momentum, schedule.batch_norm_momentum) == (0.0, 0.6)
    assert schedule.warmup_steps == 2 * schedule.steps == 20


def test_a_run_of_the_head_alone_averages_nothing() -> None:
    """Without fine-tuning there is neither averaging nor a warm-up to speak of."""
    for ema_momentum in (None, 0.9):
        schedule = run_schedule(TrainingConfig(epochs=0, ema_momentum=ema_momentum), 640)
        assert "0 in fine-tuning, 0 of them warm-up; weights not averaged" in schedule.describe()


@pytest.mark.parametrize(
    ("count", "validation"), [(100, 20), (300, 50), (500, 50), (600, 60), (5000, 500)]
)
def test_a_small_data_set_validates_on_a_larger_share(count: int, validation: int) -> None:
    """A tenth is for validation, or 50 images, but a fifth at most."""
    labels = np.arange(count) % 2
    digests = np.array([f"{i:032d}" for i in range(count)])
    splits = assign_splits(
        labels,
        digests,
        ["test", *[None] * (count - 1)],
        validation_fraction=None,
        test_fraction=0.1,
        seed=0,
    )
    assert np.sum(splits == "val") == pytest.approx(validation, abs=1)


def _dry_run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["train", "--dry-run", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_dry_run_says_what_the_run_will_do(tmp_path: Path) -> None:
    """Batches, averaging, warm-up and validation images are shown, and so are few images."""
    draw_dataset(tmp_path, counts={"faces": 30}, emotions=("happy", "sad"), seed=0, size=64)
    draw_dataset(tmp_path, counts={"faces": 12}, emotions=("angry",), seed=0, size=64)
    base = ["--config", SMALL, "--data", str(tmp_path / "faces")]
    base += [f"--set={change}" for change in LENET]
    shown = _dry_run(*base, "--set", "training.ema_momentum=0.75")
    assert "training: 51 images, 13 for validation" in shown
    assert "5 batches of 10 an epoch" in shown
    assert "averaged over 4 batches (ema_momentum 0.75)" in shown
    assert re.search("few training images: angry [89];", shown)
    assert "few validation images: 13" in shown
    assert "training.folds=5" in shown
    with_folds = _dry_run(*base, "--set", "training.folds=3")
    assert "3 more runs" in with_folds
    assert "training.folds=5" not in with_folds


def test_the_counts_of_a_dry_run_are_those_of_the_run(tmp_path: Path) -> None:
    """If all images can be read and differ, the splits are the same; those of groups are near."""
    draw_dataset(tmp_path, counts={"faces": 31}, emotions=("happy", "sad"), seed=0, size=64)
    rows = [
        f"faces/{name}/{file.name},{name},{number // 3}"
        for name in ("happy", "sad")
        for number, file in enumerate(sorted((tmp_path / "faces" / name).iterdir()))
    ]
    (tmp_path / "list.csv").write_text("path,label,person\n" + "\n".join(rows))
    config = load_config(SMALL, LENET, data=f"folder:{tmp_path / 'faces'}")
    counts = load_dataset(config.data, seed=config.seed).counts()
    train, val = (sum(counts[split].values()) for split in ("train", "val"))
    words = ["--config", SMALL, *(f"--set={change}" for change in LENET)]
    shown = _dry_run(*words, "--data", str(tmp_path / "faces"))
    assert f"training: {train} images, {val} for validation" in shown
    assert "`emodetect data show` looks at them and counts exactly" in shown
    words += ["--data", str(tmp_path / "list.csv"), '--set=data.group=["person"]']
    assert "training, about: " in _dry_run(*words)


def test_each_phase_has_the_optimizer_of_the_config() -> None:
    """Its learning rate, and in fine-tuning warm-up, decay, averages and the layers it trains."""
    changes = ["training.learning_rate=0.01", "training.head_learning_rate=0.2"]
    changes += ["training.epochs=10", "training.warmup_epochs=2", "training.weight_decay=0.3"]
    changes += ["training.ema_momentum=0.9", "training.fine_tune_from=conv_pw_13"]
    config = load_config(SMALL, changes)
    schedule = run_schedule(config.training, 160)
    model = build_network(config, 3)
    head, fine_tuning = training_phases(config)
    compile_model(model, head, config, schedule)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.2)
    assert not model.optimizer.use_ema
    assert not model.get_layer(BACKBONE).trainable_variables
    compile_model(model, fine_tuning, config, schedule)
    optimizer = model.optimizer
    rates = [float(optimizer._learning_rate(step)) for step in (0, 10, 20, 60, 100)]
    assert rates == pytest.approx([0, 0.005, 0.01, 0.005, 0], abs=1e-6)
    assert (optimizer.use_ema, optimizer.ema_momentum) == (True, 0.9)
    assert {layer.momentum for layer in batch_norm_layers(model)} == {0.9}
    trained = model.trainable_variables
    assert len(trained) == 1 + 2 + 2  # the last convolution, its batch norm, and the head
    assert optimizer.weight_decay == 0.3
    decayed = [one.name for one in trained if optimizer._use_weight_decay(one)]
    assert decayed == ["kernel", "kernel"]


def test_averaged_weights_get_the_statistics_of_their_own_activations() -> None:
    """Those before count 3%, and training goes on with the momentum that it had."""
    changes = ["model.width=0.35", "model.backbone_size=32", "training.ema_momentum=0.9"]
    config = load_config(SMALL, changes)
    model = build_network(config, 3)
    compile_model(model, training_phases(config)[1], config, run_schedule(config.training, 64))
    first = batch_norm_layers(model)[0]
    usual = first.momentum
    images = tf.random.stateless_uniform((64, *model.input_shape[1:]), (1, 2), 0, 255)
    batches = tf.data.Dataset.from_tensor_slices((images, tf.zeros((64, 3)))).batch(16)
    averaging = AveragedWeights(batches)
    averaging.set_model(model)
    first.moving_mean.assign(tf.ones_like(first.moving_mean) * 100)
    averaging.on_test_begin()
    assert np.allclose(first.moving_mean, 3, atol=1)
    assert first.momentum == usual


def test_frozen_batch_norm_is_said() -> None:
    """Whatever its momentum would be, its statistics stay."""
    frozen = TrainingConfig(freeze_batch_norm=True, batch_norm_momentum=0.9)
    assert run_schedule(frozen, 640).describe().endswith("batch norm frozen")
