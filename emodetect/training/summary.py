"""What a finished run says about itself, in words that a person can act on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emodetect.config import ExperimentConfig

# Validation figures of fewer images say little: one standard error is then 5 points or more.
FEW_IMAGES = 100
# Training accuracy this far above validation's is overfitting, whatever the loss does.
LARGE_GAP = 0.1
# A validation loss that rose by this share since its lowest is overfitting.
LOSS_RISE = 0.05
# Accuracy below this on the training images themselves is underfitting.
LOW_TRAINING_ACCURACY = 0.5


@dataclass(frozen=True, kw_only=True)
class ValidationResult:
    """The best epoch's answers on the validation images.

    Attributes:
        emotions: the label order.
        labels: (n,) int, the true positions in `emotions`.
        predicted: (n,) int.
        train_counts: the number of training images of each emotion.
    """

    emotions: tuple[str, ...]
    labels: np.ndarray
    predicted: np.ndarray
    train_counts: tuple[int, ...]


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
    stopped = f"early stopping ended the run after {len(history)}" if len(history) < planned else ""
    lines = [
        f"best epoch: {best_epoch + 1} of {planned}, validation accuracy "
        f"{best['val_accuracy']:.3f}" + (f"; {stopped}" if stopped else "")
    ]
    if len(validation.labels) < FEW_IMAGES:
        error = np.sqrt(best["val_accuracy"] * (1 - best["val_accuracy"]) / len(validation.labels))
        lines.append(
            f"validation has only {len(validation.labels)} images: its accuracy is known to "
            f"about ±{2 * error:.2f}"
        )
    fit, advice = _fit(config, history, best_epoch, validation)
    lines.append(fit)
    weakest, weak_advice = _weakest(config, validation)
    lines.append(weakest)
    lines += [f"next to try: {text}" for text in (advice, weak_advice) if text]
    return lines


def _fit(
    config: ExperimentConfig,
    history: Sequence[dict[str, float]],
    best_epoch: int,
    validation: ValidationResult,
) -> tuple[str, str]:
    best, last = history[best_epoch], history[-1]
    train, val = best["accuracy"], best["val_accuracy"]
    mixing = config.augmentation.mixup > 0 or config.augmentation.cutmix > 0
    figures = f"accuracy {train:.3f} on training images (augmented), {val:.3f} on validation"
    if mixing:
        figures += "; mixed images lower the first"
    common = np.bincount(validation.labels).max() / len(validation.labels)
    if val <= common + 0.02:
        return (
            f"nothing learnt yet: {figures}, where always answering the most common emotion "
            f"gives {common:.3f}",
            "look at the images and labels with `emodetect data show`; another "
            "training.learning_rate, or more epochs",
        )
    losses = [row["val_loss"] for row in history]
    lowest = int(np.argmin(losses))
    risen = last["val_loss"] > (1 + LOSS_RISE) * losses[lowest]
    falling = last["loss"] < history[lowest]["loss"]
    if (risen and falling) or (train - val > LARGE_GAP and not mixing):
        rise = (
            f"; the validation loss rose from {losses[lowest]:.3f} (epoch {lowest + 1}) to "
            f"{last['val_loss']:.3f}"
            if risen
            else ""
        )
        stronger = "more dropout or weight decay" if mixing else "--set augmentation.mixup=0.2"
        return (
            f"overfitting: {figures}{rise}",
            f"more images, or stronger augmentation ({stronger})",
        )
    if best_epoch == len(history) - 1 and len(history) > 1:
        return (
            f"still improving when it ended: {figures}",
            f"more epochs: --set training.epochs={max(2, 2 * config.training.epochs)}",
        )
    if train < LOW_TRAINING_ACCURACY and not mixing:
        return (
            f"underfitting: {figures}",
            "a larger network (model.width, model.backbone_size), weaker augmentation, or another "
            "training.learning_rate",
        )
    return f"a good fit: {figures}", ""


def _weakest(config: ExperimentConfig, validation: ValidationResult) -> tuple[str, str]:
    recalls = []
    for label, emotion in enumerate(validation.emotions):
        mine = validation.labels == label
        if mine.any():
            recalls.append((float(np.mean(validation.predicted[mine] == label)), label, emotion))
    parts = []
    for recall, label, emotion in sorted(recalls)[:2]:
        mine = validation.labels == label
        taken_for = np.bincount(validation.predicted[mine], minlength=len(validation.emotions))
        taken_for[label] = 0
        most = int(np.argmax(taken_for))
        confusion = f", most often taken for {validation.emotions[most]}" if taken_for[most] else ""
        parts.append(f"{emotion} (recall {recall:.2f} of {mine.sum()}{confusion})")
    _, weakest, emotion = min(recalls)
    counts = validation.train_counts
    rare = counts[weakest] < 0.5 * np.mean(counts)
    advice = (
        f"{emotion} has {counts[weakest]:,} of {sum(counts):,} training images: add some, or "
        "--set training.imbalance=class_weights"
        if rare and config.training.imbalance == "none"
        else ""
    )
    return f"weakest: {'; '.join(parts)}", advice
