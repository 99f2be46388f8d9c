"""Summarise a finished run, with advice for the next one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from emodetect.config import ExperimentConfig
from emodetect.number_format import between, percent, quantity
from emodetect.training.advice.fit_diagnosis import FinishedRun, diagnose
from emodetect.training.fitting import PLAIN_IMAGES
from emodetect.training.schedule import run_schedule

# With fewer validation images, one standard error is 5 points or more.
FEW_IMAGES = 100
# An emotion is weak if its recall is this far below the mean.
WEAK_RECALL = 0.1


@dataclass(frozen=True, kw_only=True)
class ValidationResult:
    """The best epoch's predictions on the validation images.

    Attributes:
        emotions: the label order.
        labels: (n,) int, the true positions in `emotions`.
        probabilities: (n, emotions) float32.
        groups: (n,) int64, see `Dataset.groups`.
        train_counts: the number of training images of each emotion.
    """

    emotions: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    groups: np.ndarray
    train_counts: tuple[int, ...]

    @property
    def predicted(self) -> np.ndarray:
        """(n,) int, the most probable position of each image."""
        best: np.ndarray = self.probabilities.argmax(axis=1)
        return best

    def recalls(self) -> list[tuple[float, int]]:
        """Return the recall and position of each emotion that has validation images."""
        recalls = []
        for label in range(len(self.emotions)):
            mine = self.labels == label
            if mine.any():
                recalls.append((float(np.mean(self.predicted[mine] == label)), label))
        return recalls


def summarize(
    config: ExperimentConfig,
    history: Sequence[dict[str, float]],
    best_epoch: int,
    validation: ValidationResult,
    plain_accuracy: float | None = None,
) -> list[str]:
    """Return lines on the best epoch, the fit, the weakest emotions, and what to try next.

    Args:
        history: the figures of each epoch: accuracy, loss, val_accuracy, val_loss.
        best_epoch: its position in `history`.
        plain_accuracy: of the last epoch's weights on training images without augmentation.
    """
    recalls = [recall for recall, _ in validation.recalls()]
    count, groups = len(validation.labels), len(np.unique(validation.groups))
    run = FinishedRun(
        config=config,
        schedule=run_schedule(config.training, sum(validation.train_counts)),
        history=history,
        best_epoch=best_epoch,
        mean_recall=float(np.mean(recalls)),
        chance_recall=1 / len(validation.emotions),
        chance_accuracy=np.bincount(validation.labels).max() / count,
        val_images=groups,
        plain_accuracy=plain_accuracy,
        plain_images=min(PLAIN_IMAGES, sum(validation.train_counts)),
    )
    by = " (lowest validation loss)" if config.training.monitor == "val_loss" else ""
    stopped = f"; early stopping after {len(history)} epochs" if run.stopped_early else ""
    lines = [
        f"best epoch: {best_epoch + 1} of {run.planned_epochs}{by}, validation accuracy "
        f"{percent(run.val_accuracy)}{stopped}"
    ]
    if groups < min(count, FEW_IMAGES):
        lines.append(
            f"the {count:,} validation images are in {quantity(groups, 'group')}, such as of one "
            "person each: the accuracy is less certain than so many images suggest"
        )
    elif count < FEW_IMAGES:
        right = round(run.val_accuracy * count)
        # Wilson 1927: also valid if all predictions are correct, or none.
        interval = binomtest(right, count).proportion_ci(method="wilson")
        lines.append(
            f"only {count} validation images: the 95% interval of the accuracy is "
            f"{between(interval, percent)}"
        )
    fit, advice = diagnose(run)
    advices = [advice, _advice_on_weakest(config, validation)]
    return [
        *lines,
        fit,
        *_weakest(validation),
        *(f"try in a new run: {text}" for text in advices if text),
    ]


def _weakest(validation: ValidationResult) -> list[str]:
    recalls = validation.recalls()
    emotions = validation.emotions
    parts: list[str] = []
    # Of two emotions, one is the weaker.
    for recall, label in sorted(recalls)[: min(2, len(recalls) - 1) or 1]:
        if parts and recall == 1:
            break
        mine = validation.labels == label
        taken_for = np.bincount(validation.predicted[mine], minlength=len(emotions))
        taken_for[label] = 0
        most = int(np.argmax(taken_for))
        confusion = f", most often confused with {emotions[most]}" if taken_for[most] else ""
        parts.append(
            f"{emotions[label]} (recall {percent(recall)} on {quantity(int(mine.sum()), 'image')}"
            f"{confusion})"
        )
    lines = [f"weakest: {'; '.join(parts)}"]
    if min(recalls)[0] == 1:
        lines = ["weakest: none; every validation image was classified correctly"]
    seen = {label for _, label in recalls}
    if missing := [emotion for label, emotion in enumerate(emotions) if label not in seen]:
        lines.append(f"no validation images: {', '.join(missing)}")
    return lines


def _advice_on_weakest(config: ExperimentConfig, validation: ValidationResult) -> str:
    recalls = validation.recalls()
    recall, weakest = min(recalls)
    counts = validation.train_counts
    weak = recall < np.mean([recall for recall, _ in recalls]) - WEAK_RECALL
    rare = counts[weakest] < 0.5 * np.mean(counts)
    if not (weak and rare and config.training.imbalance == "none"):
        return ""
    return (
        f"more images of {validation.emotions[weakest]} (it has {counts[weakest]:,} of "
        f"{sum(counts):,} training images), or --set training.imbalance=class_weights"
    )
