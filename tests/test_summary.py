"""The summary of a run: what it says of curves drawn by hand, and that its words are true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from emodetect.config import ExperimentConfig, validate_config
from emodetect.machine.tensorflow_devices import use_tensorflow

use_tensorflow()  # the package of summary imports Keras

from emodetect.training.advice.summary import ValidationResult, summarize  # noqa: E402

THREE = ("happy", "sad", "surprise")


def _config(epochs: int = 8, **values: Any) -> ExperimentConfig:
    sections: dict[str, Any] = {
        "data": {"source": "synthetic"},
        "model": {"name": "lenet5", "weights": "none"},
        "training": {"head_epochs": 0, "epochs": epochs, **values.pop("training", {})},
        **values,
    }
    if sections["training"]["head_epochs"]:
        sections["model"] = {}
    return validate_config(sections, origin="test")


def _history(
    accuracy: Sequence[float],
    val_accuracy: Sequence[float],
    loss: Sequence[float],
    val_loss: Sequence[float],
) -> list[dict[str, float]]:
    names = ("accuracy", "val_accuracy", "loss", "val_loss")
    columns = zip(accuracy, val_accuracy, loss, val_loss, strict=True)
    return [dict(zip(names, row, strict=True)) for row in columns]


def _answers(
    right: Sequence[int] = (80, 80, 80),
    wrong: Sequence[int] = (20, 20, 20),
    *,
    train_counts: Sequence[int] = (1000, 1000, 1000),
    emotions: tuple[str, ...] = THREE,
) -> ValidationResult:
    """Answers of which `right` and `wrong` are so for each emotion; wrong is the next one."""
    labels, predicted = [], []
    for label, (good, bad) in enumerate(zip(right, wrong, strict=True)):
        labels += [label] * (good + bad)
        predicted += [label] * good + [(label + 1) % len(emotions)] * bad
    return ValidationResult(
        emotions=emotions,
        labels=np.array(labels),
        probabilities=np.eye(len(emotions))[predicted],
        groups=np.arange(len(labels)),
        train_counts=tuple(train_counts),
    )


def _summary(
    history: list[dict[str, float]],
    config: ExperimentConfig | None = None,
    answers: ValidationResult | None = None,
    plain_accuracy: float | None = None,
) -> str:
    config = config or _config(len(history))
    by_loss = config.training.monitor == "val_loss"
    best = (
        min(range(len(history)), key=lambda epoch: history[epoch]["val_loss"])
        if by_loss
        else max(range(len(history)), key=lambda epoch: history[epoch]["val_accuracy"])
    )
    return "\n".join(summarize(config, history, best, answers or _answers(), plain_accuracy))


LEVEL = _history(
    accuracy=[0.50, 0.60, 0.68, 0.74, 0.78, 0.80, 0.81, 0.82],
    val_accuracy=[0.52, 0.63, 0.70, 0.76, 0.79, 0.80, 0.801, 0.80],
    loss=[1.0, 0.85, 0.74, 0.66, 0.60, 0.57, 0.55, 0.54],
    val_loss=[0.95, 0.80, 0.70, 0.62, 0.58, 0.571, 0.570, 0.572],
)


def test_curves_that_level_off_together_are_a_good_fit() -> None:
    """Training and validation that end close together, and flat, need no advice on the fit."""
    text = _summary(LEVEL)
    assert "best epoch: 7 of 8, validation accuracy 80.1%" in text
    assert "a good fit: training accuracy 81.0% (augmented), validation 80.1%" in text
    assert "try in a new run" not in text


def test_a_validation_of_one_emotion_is_no_divergence() -> None:
    """The loss of guesses is that of all emotions trained on, not of those validated on."""
    text = _summary(LEVEL, answers=_answers((80, 0, 0), (20, 0, 0)))
    assert "a good fit" in text
    assert "diverged" not in text


def test_a_validation_loss_that_rises_while_training_falls_is_overfitting() -> None:
    """The line names the epoch of the turn and both losses, and advises against overfitting."""
    history = _history(
        accuracy=[0.5, 0.6, 0.7, 0.74, 0.76, 0.78, 0.80, 0.81],
        val_accuracy=[0.5, 0.6, 0.70, 0.70, 0.69, 0.70, 0.69, 0.69],
        loss=[1.0, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2],
        val_loss=[0.95, 0.80, 0.70, 0.75, 0.82, 0.90, 1.00, 1.10],
    )
    text = _summary(history)
    assert "overfitting: " in text
    assert "the validation loss rose from 0.700 in epoch 3 to 1.100" in text
    assert "augmentation.mixup" in text


@pytest.mark.parametrize("mixup", [0.0, 0.2])
def test_training_far_above_validation_is_overfitting(mixup: float) -> None:
    """A wide gap is overfitting, all the more with mixup, which lowers training's accuracy."""
    history = _history(
        accuracy=[0.6, 0.8, 0.9, 0.95],
        val_accuracy=[0.5, 0.6, 0.61, 0.612],
        loss=[0.9, 0.5, 0.3, 0.2],
        val_loss=[1.0, 0.9, 0.89, 0.891],
    )
    text = _summary(history, _config(4, augmentation={"mixup": mixup}))
    assert "overfitting: training accuracy 95.0%" in text
    assert ("augmentation.mixup=" in text) == (mixup == 0)
    assert ("lowered by mixup or cutmix" in text) == (mixup > 0)


def test_one_bad_epoch_is_not_overfitting() -> None:
    """A single validation loss out of line, at the end or on the way, is no rise."""
    for position in (4, 7):
        noisy = [dict(row) for row in LEVEL]
        noisy[position]["val_loss"] *= 1.4
        noisy[position]["val_accuracy"] -= 0.1
        assert "a good fit" in _summary(noisy)


def test_a_memorised_set_is_not_called_unlearnt() -> None:
    """Training near 1 with validation at chance is overfitting, not a lack of learning."""
    history = _history(
        accuracy=[0.6, 0.9, 0.97, 0.99],
        val_accuracy=[0.34, 0.33, 0.33, 0.34],
        loss=[0.9, 0.3, 0.1, 0.05],
        val_loss=[1.2, 1.6, 2.0, 2.4],
    )
    text = _summary(history, answers=_answers((34, 33, 33), (66, 67, 67)))
    assert "overfitting" in text
    assert "nothing learnt" not in text


def test_curves_that_still_rise_ask_for_more_epochs() -> None:
    """Validation that rises to the end asks for twice the epochs."""
    history = _history(
        accuracy=[0.40, 0.48, 0.56, 0.64],
        val_accuracy=[0.42, 0.50, 0.58, 0.66],
        loss=[1.0, 0.9, 0.8, 0.7],
        val_loss=[1.0, 0.9, 0.8, 0.7],
    )
    text = _summary(history)
    assert "still improving when training ended" in text
    assert "--set training.epochs=8" in text
    assert "still improving" in _summary(history, _config(4, training={"monitor": "val_loss"}))


def test_a_best_last_epoch_alone_is_not_still_improving() -> None:
    """With a falling learning rate the last epoch is often the best by a hair: no advice then."""
    history = [dict(row) for row in LEVEL]
    history[-1]["val_accuracy"] = 0.804
    text = _summary(history)
    assert "best epoch: 8 of 8" in text
    assert "a good fit" in text


def test_a_noisy_rise_is_seen_though_the_last_epoch_is_not_the_best() -> None:
    """A run that rises with dips asks for more epochs, wherever exactly its best one lies."""
    history = _history(
        accuracy=[0.40, 0.46, 0.50, 0.55, 0.60, 0.63, 0.66, 0.69],
        val_accuracy=[0.40, 0.47, 0.45, 0.55, 0.58, 0.57, 0.68, 0.66],
        loss=[1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.66],
        val_loss=[1.0, 0.93, 0.95, 0.85, 0.80, 0.82, 0.70, 0.72],
    )
    assert "still improving" in _summary(history)


def test_weak_on_training_images_too_is_underfitting() -> None:
    """A model that has levelled off far below right on its own training images is too weak."""
    history = _history(
        accuracy=[0.40, 0.45, 0.48, 0.49, 0.49, 0.49, 0.495, 0.495],
        val_accuracy=[0.40, 0.46, 0.48, 0.50, 0.495, 0.50, 0.50, 0.50],
        loss=[1.05, 1.03, 1.02, 1.01, 1.01, 1.01, 1.005, 1.005],
        val_loss=[1.05, 1.03, 1.02, 1.00, 1.00, 1.00, 1.001, 1.00],
    )
    text = _summary(history, answers=_answers((50, 50, 50), (50, 50, 50)))
    assert "underfitting: " in text
    assert "model.width" in text


def test_barely_better_than_a_coin_is_no_good_fit() -> None:
    """Of two emotions 0.6 is weak, of seven it is not: chance counts."""
    history = [{**row, "accuracy": 0.6, "val_accuracy": 0.6} for row in LEVEL]
    two = _answers((60, 60), (40, 40), train_counts=(500, 500), emotions=("happy", "sad"))
    seven = _answers(
        [60] * 7,
        [40] * 7,
        train_counts=[500] * 7,
        emotions=("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"),
    )
    assert "underfitting" in _summary(history, answers=two)
    assert "a good fit" in _summary(history, answers=seven)


@pytest.mark.parametrize("augmentation", [{}, {"mixup": 0.4}])
def test_augmented_training_far_below_validation_is_no_fault(augmentation: dict[str, Any]) -> None:
    """Hard augmentation or mixup lowers training's accuracy; validation tells that all is well."""
    history = [{**row, "accuracy": 0.6 * row["accuracy"]} for row in LEVEL]
    assert "a good fit" in _summary(history, _config(8, augmentation=augmentation))


def test_nothing_learnt_is_told_with_the_accuracy_of_guessing() -> None:
    """A model that always gives one answer is told so, with what such answers score."""
    history = _history(
        accuracy=[0.49, 0.50, 0.50, 0.50],
        val_accuracy=[0.5, 0.5, 0.5, 0.5],
        loss=[1.1, 1.04, 1.04, 1.04],
        val_loss=[1.04, 1.04, 1.04, 1.04],
    )
    labels = np.repeat([0, 1, 2], [100, 50, 50])
    constant = ValidationResult(
        emotions=THREE,
        labels=labels,
        probabilities=np.eye(3)[np.zeros_like(labels)],
        groups=np.arange(len(labels)),
        train_counts=(1000, 500, 500),
    )
    text = _summary(history, answers=constant)
    assert "nothing learnt yet" in text
    assert "gives 50.0%" in text
    assert "sad (recall 0.0% on 50 images, most often confused with happy)" in text


def test_answers_in_favour_of_rare_emotions_are_not_nothing() -> None:
    """Fewer right answers than "always happy" gives may be a good model of all emotions."""
    history = [{**row, "val_accuracy": 0.85 - 0.001 * abs(n - 6)} for n, row in enumerate(LEVEL)]
    answers = _answers((850, 42, 42), (150, 8, 8), train_counts=(9000, 500, 500))
    assert 850 + 42 + 42 < 1000
    text = _summary(history, _config(8, training={"imbalance": "class_weights"}), answers)
    assert "nothing learnt" not in text


def test_fine_tuning_that_fails_is_not_a_good_fit() -> None:
    """Where the head on the frozen backbone was best, a lower learning rate is advised."""
    history = _history(
        accuracy=[0.60, 0.30, 0.35, 0.36, 0.35],
        val_accuracy=[0.62, 0.34, 0.36, 0.33, 0.36],
        loss=[0.9, 1.6, 1.2, 1.15, 1.16],
        val_loss=[0.9, 1.1, 1.10, 1.12, 1.12],
    )
    text = _summary(history, _config(4, training={"head_epochs": 1}))
    assert "best epoch: 1 of 5" in text
    assert "fine-tuning did not improve on the frozen backbone" in text
    assert "a lower training.learning_rate (it was 0.0007)" in text


def test_fine_tuning_that_has_not_caught_up_needs_more_epochs() -> None:
    """Averaged weights lag at first: behind the head but rising is neither worse nor overfit."""
    history = _history(
        accuracy=[0.40, 0.55, 0.62, 0.68, 0.72],
        val_accuracy=[0.45, 0.30, 0.35, 0.40, 0.44],
        loss=[1.2, 1.0, 0.8, 0.7, 0.6],
        val_loss=[1.1, 1.5, 1.4, 1.3, 1.2],
    )
    text = _summary(history, _config(4, training={"head_epochs": 1}))
    assert "still improving" in text
    assert "--set training.epochs=8" in text


def test_the_dip_after_the_head_is_no_rise_of_the_loss() -> None:
    """A validation loss that fine-tuning raises first and then lowers is not overfitting."""
    history = _history(
        accuracy=[0.60, 0.55, 0.65, 0.70, 0.73, 0.74, 0.75, 0.75],
        val_accuracy=[0.61, 0.50, 0.66, 0.71, 0.73, 0.735, 0.74, 0.74],
        loss=[0.95, 1.0, 0.9, 0.8, 0.75, 0.72, 0.71, 0.71],
        val_loss=[0.70, 1.2, 0.9, 0.80, 0.76, 0.751, 0.750, 0.751],
    )
    text = _summary(history, _config(7, training={"head_epochs": 1}))
    assert "a good fit" in text


@pytest.mark.parametrize("epochs", [1, 2])
def test_one_or_two_epochs_are_not_judged(epochs: int) -> None:
    """A trial of an epoch or two gets no diagnosis, however its figures lie."""
    history = _history([0.7, 0.8], [0.5, 0.55], [0.8, 0.6], [1.2, 1.5])[:epochs]
    text = _summary(history)
    assert "too few epochs to judge" in text
    assert "overfitting" not in text
    # Three epochs can be judged, and one that has two is doubled.
    assert f"--set training.epochs={max(3, 2 * epochs)}" in text


def test_losses_that_both_rise_are_unstable() -> None:
    """A run that falls apart half way is told to learn more slowly, not that it overfits."""
    history = _history(
        accuracy=[0.5, 0.6, 0.7, 0.5, 0.4, 0.35],
        val_accuracy=[0.5, 0.6, 0.7, 0.5, 0.4, 0.35],
        loss=[1.0, 0.8, 0.7, 1.2, 1.6, 1.9],
        val_loss=[1.0, 0.8, 0.7, 1.2, 1.6, 1.9],
    )
    text = _summary(history)
    assert "unstable: " in text
    assert "training.learning_rate" in text


@pytest.mark.parametrize(
    ("training", "advice"),
    [
        ({"ema_momentum": 0.9999}, "without training.ema_momentum (it was 0.9999)"),
        (
            {"ema_momentum": 0.0, "batch_norm_momentum": 0.9999},
            "without training.batch_norm_momentum (it was 0.9999)",
        ),
        ({"ema_momentum": 0.0, "batch_size": 4}, "--set training.freeze_batch_norm=true"),
    ],
)
def test_validation_that_stays_flat_while_training_rises_is_not_the_rate(
    training: dict[str, float], advice: str
) -> None:
    """If the validated weights fail on training images too, averaging or batch norm is named."""
    history = _history(
        accuracy=[0.4, 0.5, 0.6, 0.65, 0.67],
        val_accuracy=[0.33] * 5,
        loss=[1.1, 0.9, 0.8, 0.7, 0.6],
        val_loss=[1.1] * 5,
    )
    guesses = _answers(right=(100, 0, 0), wrong=(0, 100, 100))
    text = _summary(history, _config(5, training=training), guesses, plain_accuracy=0.34)
    assert "the validated weights lag behind" in text
    assert f"try in a new run: {advice}" in text
    assert "learning_rate" not in text


def test_balanced_batches_are_no_lag() -> None:
    """Their accuracy is that of other frequencies than the images' own, so no gap is a fault."""
    config = _config(8, training={"imbalance": "balanced_sampling"})
    assert "a good fit" in _summary(LEVEL, config, plain_accuracy=0.65)
    assert "lag behind" in _summary(LEVEL, plain_accuracy=0.65)


def test_balanced_batches_are_no_overfitting() -> None:
    """Rare emotions that are learnt raise the accuracy on balanced batches, not that on others."""
    history = [{**row, "accuracy": row["accuracy"] + 0.12} for row in LEVEL]
    config = _config(8, training={"imbalance": "balanced_sampling"})
    assert "a good fit" in _summary(history, config, plain_accuracy=0.82)
    assert "overfitting" in _summary(history, config, plain_accuracy=0.95)


def test_a_common_emotion_that_is_often_missed_is_not_chance() -> None:
    """Below the share of the most common emotion, all may be recognised far more often than not."""
    answers = _answers((200, 15, 16), (75, 5, 4))
    history = [{**row, "val_accuracy": row["val_accuracy"] - 0.05} for row in LEVEL]
    text = _summary(history, answers=answers, plain_accuracy=0.9)
    assert "chance" not in text


def test_guesses_have_the_loss_of_the_run() -> None:
    """Focal loss gives guesses of three emotions less than half of their cross-entropy."""
    history = [{**row, "loss": 1.0, "val_loss": 1.0 + n} for n, row in enumerate(LEVEL)]
    text = _summary(history, _config(8, training={"imbalance": "focal"}))
    assert "diverged" in text
    guesses = (2 / 3) ** 2 * np.log(3)
    assert f"that of guesses is {guesses:.3f}" in text


def test_a_training_loss_above_guesses_is_no_divergence_while_validation_learns() -> None:
    """Dropout keeps a narrow network's training loss high; it needs more epochs, not less rate."""
    history = _history(
        accuracy=[0.34, 0.35, 0.37, 0.36, 0.38, 0.39],
        val_accuracy=[0.33, 0.35, 0.40, 0.42, 0.45, 0.46],
        loss=[2.05, 2.10, 2.12, 2.20, 2.15, 2.202],
        val_loss=[1.412, 1.316, 1.284, 1.269, 1.262, 1.257],
    )
    text = _summary(history, answers=_answers((46, 46, 46), (54, 54, 54)))
    assert "diverged" not in text
    assert "training.epochs=" in text
    rising = [{**row, "val_loss": 1.2 + n} for n, row in enumerate(history)]
    assert "diverged" in _summary(rising, answers=_answers((46, 46, 46), (54, 54, 54)))


def test_a_penalty_on_the_weights_is_no_divergence() -> None:
    """The L2 penalty is part of the loss, and may be many times the loss of guesses."""
    penalised = [{**row, "loss": row["loss"] + 6 - n / 2} for n, row in enumerate(LEVEL)]
    config = _config(8, model={"name": "lenet5", "weights": "none", "l2": 0.01})
    assert "a good fit" in _summary(penalised, config)
    unlearnt = [{**row, "accuracy": 0.33, "val_accuracy": 0.33} for row in penalised]
    guesses = _answers(right=(100, 0, 0), wrong=(0, 100, 100))
    assert "nothing learnt yet" in _summary(unlearnt, config, guesses)
    risen = [*penalised[:-1], {**penalised[-1], "loss": 20.0}]
    assert "diverged: " in _summary(risen, config)


def test_a_loss_that_shot_up_and_came_back_to_guesses_is_too_high_a_rate() -> None:
    """Who learns nothing after such a jump is told of the rate, and not to wait for longer."""
    history = _history(
        accuracy=[0.32, 0.29, 0.38, 0.28, 0.32, 0.33],
        val_accuracy=[0.33, 0.31, 0.33, 0.34, 0.31, 0.29],
        loss=[4.35, 5.21, 1.46, 1.23, 1.14, 1.11],
        val_loss=[52.2, 3.9, 4.7, 1.12, 1.10, 1.73],
    )
    guesses = _answers(right=(100, 0, 0), wrong=(0, 100, 100))
    text = _summary(history, answers=guesses)
    assert "nothing learnt: " in text
    assert "the training loss was up to 5.210, that of guesses is 1.099" in text
    assert "try in a new run: a lower training.learning_rate" in text
    assert "more epochs" not in text
    calm = [row | {"loss": 1.1} for row in history]
    assert "more epochs" in _summary(calm, answers=guesses)


def test_early_stopping_is_told_and_asks_for_no_more_epochs() -> None:
    """A run that patience ended says after how many epochs, and epochs are not what it lacks."""
    text = _summary(LEVEL, _config(50))
    assert "best epoch: 7 of 50" in text
    assert "early stopping after 8 epochs" in text
    assert "training.epochs" not in text
    assert "early stopping" not in _summary(LEVEL)
    short = _summary(LEVEL[:2], _config(50, training={"early_stopping_patience": 1}))
    assert "training.early_stopping_patience=2" in short
    assert "training.epochs" not in short


def test_the_best_epoch_of_another_monitor_is_called_so() -> None:
    """Chosen by validation loss, the best epoch is not taken for that of highest accuracy."""
    history = [dict(row) for row in LEVEL]
    history[3]["val_accuracy"] = 0.9
    text = _summary(history, _config(8, training={"monitor": "val_loss"}))
    assert "best epoch: 7 of 8 (lowest validation loss), validation accuracy 80.1%" in text


@pytest.mark.parametrize(
    ("right", "interval"), [(10, "72.2% to 100.0%"), (8, "49.0% to 94.3%")], ids=["all", "most"]
)
def test_few_validation_images_are_told_with_what_is_known(right: int, interval: str) -> None:
    """Of ten images, Wilson's interval is told: 10 / (10 + 1.96^2) to 1 if all are right."""
    answers = _answers((right, 0), (10 - right, 0), emotions=("happy", "sad"), train_counts=(9, 9))
    history = [{**row, "val_accuracy": right / 10} for row in LEVEL]
    text = _summary(history, answers=answers)
    assert f"only 10 validation images: the 95% interval of the accuracy is {interval}" in text
    assert "validation images" not in _summary(LEVEL)


def test_images_of_few_people_are_told() -> None:
    """300 images of 20 people are no 300 answers; of ten images, no interval is told then."""
    answers = _answers((80, 80, 80), (20, 20, 20))
    text = _summary(LEVEL, answers=replace(answers, groups=np.arange(300) % 20))
    assert "the 300 validation images are in 20 groups, such as of one person each" in text
    ten = _answers((5, 3), (1, 1), emotions=("happy", "sad"), train_counts=(9, 9))
    text = _summary(LEVEL, answers=replace(ten, groups=np.arange(10) // 2))
    assert "the 10 validation images are in 5 groups" in text
    assert "interval" not in text


def test_augmentation_is_named_only_where_there_is_one() -> None:
    """Plain training images are not called augmented, balanced ones are called balanced."""
    off = {
        "flip": False,
        **dict.fromkeys(("rotation_degrees", "zoom", "translation", "brightness"), 0.0),
        **dict.fromkeys(("contrast", "erasing"), 0.0),
    }
    assert "training accuracy 81.0%, validation 80.1%" in _summary(
        LEVEL, _config(8, augmentation=off)
    )
    balanced = _config(8, training={"imbalance": "balanced_sampling"})
    assert "(augmented, balanced)" in _summary(LEVEL, balanced)


def test_the_weakest_emotions_are_named_with_their_confusion() -> None:
    """The two lowest recalls are shown, lowest first, with what they are taken for."""
    text = _summary(LEVEL, answers=_answers((90, 40, 70), (10, 60, 30)))
    assert (
        "weakest: sad (recall 40.0% on 100 images, most often confused with surprise); "
        "surprise (recall 70.0% on 100 images, most often confused with happy)" in text
    )


def test_an_emotion_without_mistakes_is_not_among_the_weakest() -> None:
    """Where only one emotion is mistaken for others, it is the only one named."""
    text = _summary(LEVEL, answers=_answers((90, 100, 100), (10, 0, 0)))
    weakest = "weakest: happy (recall 90.0% on 100 images, most often confused with sad)"
    assert weakest in text.splitlines()


def test_a_rare_weak_emotion_is_advised_on_once() -> None:
    """Weighing is advised for a weak emotion with few images, unless it is in use already."""
    answers = _answers((90, 2, 90), (10, 8, 10), train_counts=(1000, 90, 1000))
    text = _summary(LEVEL, answers=answers)
    assert "more images of sad (it has 90 of 2,090 training images)" in text
    assert "training.imbalance=class_weights" in text
    weighed = _config(8, training={"imbalance": "focal"})
    assert "training.imbalance" not in _summary(LEVEL, weighed, answers)


def test_a_rare_emotion_that_is_recognised_needs_no_advice() -> None:
    """An emotion with few images but good recall is no reason to weigh anything."""
    answers = _answers((90, 9, 95), (10, 1, 5), train_counts=(1000, 90, 1000))
    assert "try in a new run" not in _summary(LEVEL, answers=answers)


def test_a_weak_emotion_with_many_images_is_no_matter_of_weights() -> None:
    """Weighing is not advised for an emotion that is weak but has as many images as others."""
    assert "imbalance" not in _summary(LEVEL, answers=_answers((90, 40, 90), (10, 60, 10)))


def test_an_emotion_without_validation_images_is_named() -> None:
    """What nothing is known about is said, and not shown as weak or strong."""
    text = _summary(LEVEL, answers=_answers((80, 0, 70), (20, 0, 30)))
    assert "no validation images: sad" in text
    assert (
        "weakest: surprise (recall 70.0% on 100 images, most often confused with happy)\n"
        in f"{text}\n"
    )


def test_no_emotion_is_called_weak_where_all_answers_are_right() -> None:
    """A faultless validation names no weakest emotion."""
    answers = ValidationResult(
        emotions=("happy", "sad"),
        labels=np.array([0, 1] * 60),
        probabilities=np.eye(2)[[0, 1] * 60],
        groups=np.arange(120),
        train_counts=(60, 60),
    )
    assert "weakest: none" in _summary(LEVEL, answers=answers)


def test_no_more_epochs_are_advised_after_a_perfect_validation() -> None:
    """A short run without a mistake on validation says so, and needs nothing else tried."""
    history = _history([0.97, 1.0], [1.0, 1.0], [0.15, 0.01], [0.01, 0.005])
    text = _summary(history, answers=_answers((100, 100, 100), (0, 0, 0)))
    assert "no validation image is misclassified: training accuracy 97.0%" in text
    assert "too few epochs" not in text
    assert "try in a new run" not in text
