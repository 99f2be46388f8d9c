"""What a finished run says about itself, in words that a person can act on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emodetect.config import AugmentationConfig, ExperimentConfig

# Validation figures of fewer images say little: one standard error is then 5 points or more.
FEW_IMAGES = 100
# Averaged weights and batch norm lag behind at first, so that fewer epochs tell nothing.
FEW_EPOCHS = 3
# Training accuracy this far above validation's is overfitting, whatever the loss does.
LARGE_GAP = 0.1
# A loss that rose by this share and stayed there did not rise by chance.
LOSS_RISE = 0.05
# An accuracy that rose by less in the last quarter of a run has levelled off.
ACCURACY_RISE = 0.01
# Below this share of the way from guessing to always right is underfitting.
LOW_SHARE = 0.4
# An emotion whose recall is this far below the mean is a weak one.
WEAK_RECALL = 0.1


@dataclass(frozen=True, kw_only=True)
class ValidationResult:
    """The best epoch's answers on the validation images.

    Attributes:
        emotions: the label order.
        labels: (n,) int, the true positions in `emotions`.
        probabilities: (n, emotions) float32.
        train_counts: the number of training images of each emotion.
    """

    emotions: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    train_counts: tuple[int, ...]

    @property
    def predicted(self) -> np.ndarray:
        """(n,) int, the most probable position of each image."""
        best: np.ndarray = self.probabilities.argmax(axis=1)
        return best


def summarize(
    config: ExperimentConfig,
    history: Sequence[dict[str, float]],
    best_epoch: int,
    validation: ValidationResult,
) -> list[str]:
    """Return lines on the best epoch, the fit, the weakest emotions, and what to try next.

    Args:
        history: the figures of each epoch: accuracy, loss, val_accuracy, val_loss.
        best_epoch: its position in `history`.
    """
    best = history[best_epoch]
    planned = config.training.head_epochs + config.training.epochs
    stopped = len(history) < planned
    by = " (of lowest validation loss)" if config.training.monitor == "val_loss" else ""
    lines = [
        f"best epoch: {best_epoch + 1} of {planned}{by}, validation accuracy "
        f"{best['val_accuracy']:.3f}"
        + (f"; early stopping ended the run after {len(history)}" if stopped else "")
    ]
    count = len(validation.labels)
    if count < FEW_IMAGES:
        # Agresti and Coull 1998: also right where all answers are right, or none.
        middle = (best["val_accuracy"] * count + 2) / (count + 4)
        error = 2 * math.sqrt(middle * (1 - middle) / (count + 4))
        lines.append(
            f"validation has only {count} images: its accuracy is known to about ±{error:.2f}"
        )
    fit, advice = _fit(config, history, best_epoch, validation, stopped=stopped)
    lines.append(fit)
    weakest, weak_advice = _weakest(config, validation)
    lines += weakest
    lines += [f"next to try, in a new run: {text}" for text in (advice, weak_advice) if text]
    return lines


def _fit(
    config: ExperimentConfig,
    history: Sequence[dict[str, float]],
    best_epoch: int,
    validation: ValidationResult,
    *,
    stopped: bool,
) -> tuple[str, str]:
    """Return what the curves say, and what to try."""
    training = config.training
    train, val = history[best_epoch]["accuracy"], history[best_epoch]["val_accuracy"]
    common = np.bincount(validation.labels).max() / len(validation.labels)
    recalls = [recall for recall, _ in _recalls(validation)]
    recall, guessing = float(np.mean(recalls)), 1 / len(recalls)
    figures = _figures(config, train, val)
    # The first epochs of fine-tuning undo the head's: they are no part of one curve.
    first = training.head_epochs if len(history) > training.head_epochs else 0
    phase = history[first:]
    more_epochs = f"more epochs: --set training.epochs={max(2, 2 * training.epochs)}"
    if stopped:
        patience = 2 * training.early_stopping_patience
        more_epochs = f"more patience: --set training.early_stopping_patience={patience}"

    # Answers that favour rare emotions may be less often right than always the common one.
    if val <= common + 0.02 and recall <= guessing + 0.05 and train - val <= LARGE_GAP:
        return (
            f"nothing learnt yet: {figures}, where always answering the most common emotion "
            f"gives {common:.3f}",
            "look at the images and labels with `emodetect data show`; another "
            "training.learning_rate, or more epochs",
        )
    if len(phase) < FEW_EPOCHS:
        return f"too few epochs to judge the fit: {figures}", more_epochs
    val_losses = np.array([row["val_loss"] for row in phase])
    losses = np.array([row["loss"] for row in phase])
    accuracies = np.array([row["val_accuracy"] for row in phase])
    recent = max(1, len(phase) // 4)
    rise = accuracies[-recent:].max() - accuracies[:-recent].max()
    falling = val_losses[-recent:].min() < val_losses[:-recent].min()
    if falling and not stopped and (rise > ACCURACY_RISE or best_epoch < first):
        return f"still improving when it ended: {figures}", more_epochs
    if best_epoch < first:
        return (
            f"fine-tuning did not beat the frozen backbone: {figures}, both before it",
            f"a lower training.learning_rate (it was {training.learning_rate:g})",
        )
    lowest = int(val_losses.argmin())
    after = slice(max(lowest + 1, len(phase) - 3), None)
    # One epoch may be bad by chance, the median of the last three is not.
    risen = len(phase) - lowest > 2 and (
        np.median(val_losses[after]) > (1 + LOSS_RISE) * val_losses[lowest]
    )
    rose = (
        f"; from epoch {first + lowest + 1} on the validation loss rose from "
        f"{val_losses[lowest]:.3f} to {val_losses[-1]:.3f}"
        if risen
        else ""
    )
    if risen and np.median(losses[after]) > (1 + LOSS_RISE) * losses[lowest]:
        return (
            f"unstable: {figures}{rose}, and the training loss rose too",
            f"a lower training.learning_rate (it was {training.learning_rate:g})",
        )
    if train - val > LARGE_GAP or (risen and np.median(losses[after]) < losses[lowest]):
        stronger = (
            "more dropout or weight decay"
            if _mixes(config.augmentation)
            else "--set augmentation.mixup=0.2"
        )
        return (
            f"overfitting: {figures}{rose}",
            f"more images, or stronger regularization ({stronger})",
        )
    if train < _low(common) and recall < _low(guessing):
        return (
            f"underfitting: {figures}",
            "more epochs, a larger network (model.width, model.backbone_size), weaker "
            "augmentation, or another training.learning_rate",
        )
    return f"a good fit: {figures}", ""


def _figures(config: ExperimentConfig, train: float, val: float) -> str:
    augmentation = config.augmentation
    changes = [
        text
        for text, on in (
            ("augmented", any(augmentation.model_dump(exclude={"mixup", "cutmix"}).values())),
            ("mixed, which lowers it", _mixes(augmentation)),
            ("balanced", config.training.imbalance == "balanced_sampling"),
        )
        if on
    ]
    how = f" ({', '.join(changes)})" if changes else ""
    return f"accuracy {train:.3f} on training images{how}, {val:.3f} on validation"


def _mixes(augmentation: AugmentationConfig) -> bool:
    return augmentation.mixup > 0 or augmentation.cutmix > 0


def _low(chance: float) -> float:
    return chance + LOW_SHARE * (1 - chance)


def _recalls(validation: ValidationResult) -> list[tuple[float, int]]:
    """Return the recall of each emotion that validation has, and its position."""
    recalls = []
    for label in range(len(validation.emotions)):
        mine = validation.labels == label
        if mine.any():
            recalls.append((float(np.mean(validation.predicted[mine] == label)), label))
    return recalls


def _weakest(config: ExperimentConfig, validation: ValidationResult) -> tuple[list[str], str]:
    recalls = _recalls(validation)
    emotions = validation.emotions
    parts = []
    # Of two emotions one is the weaker.
    for recall, label in sorted(recalls)[: min(2, len(recalls) - 1) or 1]:
        mine = validation.labels == label
        taken_for = np.bincount(validation.predicted[mine], minlength=len(emotions))
        taken_for[label] = 0
        most = int(np.argmax(taken_for))
        confusion = f", most often taken for {emotions[most]}" if taken_for[most] else ""
        parts.append(f"{emotions[label]} (recall {recall:.2f} of {mine.sum()}{confusion})")
    lines = [f"weakest: {'; '.join(parts)}"]
    if min(recalls)[0] == 1:
        lines = ["weakest: none; every validation image was named rightly"]
    seen = {label for _, label in recalls}
    if missing := [emotion for label, emotion in enumerate(emotions) if label not in seen]:
        lines.append(f"not validated, without an image: {', '.join(missing)}")
    recall, weakest = min(recalls)
    counts = validation.train_counts
    weak = recall < np.mean([recall for recall, _ in recalls]) - WEAK_RECALL
    rare = counts[weakest] < 0.5 * np.mean(counts)
    advice = (
        f"{emotions[weakest]} has {counts[weakest]:,} of {sum(counts):,} training images: add "
        "some, or --set training.imbalance=class_weights"
        if weak and rare and config.training.imbalance == "none"
        else ""
    )
    return lines, advice
