"""Diagnose a finished run from what happened: overfitting, underfitting, too short, or a fault."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emodetect.config import AugmentationConfig, ExperimentConfig
from emodetect.number_format import decimal, percent
from emodetect.training.schedule import Schedule

# A curve of fewer epochs says nothing.
FEW_EPOCHS = 3
# With fewer steps, a network from ImageNet has barely left its first weights.
FEW_STEPS = 100
# An average over a run of fewer of its horizons still contains the first weights (exp(-2): 14%).
FEW_HORIZONS = 2
# A training accuracy this far above validation's is overfitting, whatever the loss does.
LARGE_GAP = 0.1
# A training loss of so many times that of guesses is too high for a run that is still learning.
DIVERGED = 2
# A loss that rose by this share and stayed there did not rise by chance.
LOSS_RISE = 0.05
# An accuracy that rose by less in the last quarter of a run has levelled off.
ACCURACY_RISE = 0.01
# Below this share of the way from chance to perfect is underfitting.
LOW_SHARE = 0.4


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """What the diagnosis of a run is based on.

    Attributes:
        history: the figures of each epoch: accuracy, loss, val_accuracy, val_loss.
        best_epoch: its position in `history`.
        mean_recall: of the emotions in the validation set, at the best epoch.
        chance_recall: the mean recall of random guesses.
        chance_accuracy: the accuracy of always predicting the most common emotion.
        val_images: the number of validation images that are independent: of their groups.
        plain_accuracy: of the last epoch's weights, as validated, on `plain_images` training images
            without augmentation; None if not measured.
    """

    config: ExperimentConfig
    schedule: Schedule
    history: Sequence[dict[str, float]]
    best_epoch: int
    mean_recall: float
    chance_recall: float
    chance_accuracy: float
    val_images: int
    plain_accuracy: float | None
    plain_images: int

    @property
    def train_accuracy(self) -> float:
        """The training accuracy of the best epoch."""
        return self.history[self.best_epoch]["accuracy"]

    @property
    def val_accuracy(self) -> float:
        """The validation accuracy of the best epoch."""
        return self.history[self.best_epoch]["val_accuracy"]

    @property
    def overfitting_gap(self) -> bool:
        """Whether training accuracy is far above validation accuracy."""
        accuracy = self.train_accuracy
        if self.balanced and self.plain_accuracy is not None:
            accuracy = self.plain_accuracy
        return accuracy - self.val_accuracy > LARGE_GAP

    @property
    def balanced(self) -> bool:
        """Whether the training accuracy is that of other frequencies than the data's."""
        return self.config.training.imbalance == "balanced_sampling"

    @property
    def val_guesses(self) -> bool:
        """Whether the best epoch's validation accuracy and recall may be those of chance."""
        return self.may_be_chance(self.val_accuracy)

    def may_be_chance(self, val_accuracy: float) -> bool:
        """Return whether a validation accuracy, and the best epoch's recall, may be chance."""
        # Predictions that favour rare emotions may be less accurate than the most common one.
        recall = _by_chance(self.mean_recall, self.chance_recall, self.val_images, least=0.05)
        return recall and _by_chance(val_accuracy, self.chance_accuracy, self.val_images)

    @property
    def train_guesses(self) -> bool:
        """Whether the training accuracy may be that of chance."""
        if self.plain_accuracy is None:
            return not self.overfitting_gap
        return _by_chance(self.plain_accuracy, self.chance_accuracy, self.plain_images)

    @property
    def loss_of_guesses(self) -> float:
        """The loss of giving each emotion the same probability."""
        training, loss = self.config.training, math.log(1 / self.chance_recall)
        if training.imbalance == "focal":
            loss *= (1 - self.chance_recall) ** training.focal_gamma
        return loss

    def is_lost(self, loss: float) -> bool:
        """Whether a training loss is too high for a run that is still learning."""
        usual = self.loss_of_guesses
        # The L2 penalty is part of the loss, of unknown size, which training lowers too. And with
        # dropout, a narrow network may begin far above guesses, and learn.
        if self.config.model.l2 or self.val_learns:
            usual = max(usual, self.history[0]["loss"])
        return loss > DIVERGED * usual

    @property
    def val_learns(self) -> bool:
        """Whether the validation loss is no larger than before, nor much than that of guesses."""
        losses = [row["val_loss"] for row in self.history]
        least = min(1.02 * min(losses), losses[0])  # nearly the lowest is no rise
        return losses[-1] <= min(least, DIVERGED * self.loss_of_guesses)

    @property
    def planned_epochs(self) -> int:
        """The number of epochs without early stopping."""
        return self.config.training.head_epochs + self.config.training.epochs

    @property
    def stopped_early(self) -> bool:
        """Whether early stopping ended the run."""
        return len(self.history) < self.planned_epochs

    @property
    def first_epoch(self) -> int:
        """The first epoch of the phase to judge.

        The first epochs of fine-tuning undo the head's, so the two phases are not one curve.
        """
        head_epochs = self.config.training.head_epochs
        return head_epochs if len(self.history) > head_epochs else 0


def diagnose(run: FinishedRun) -> tuple[str, str]:
    """Return what the curves say, and what to try next ("" for nothing)."""
    figures = _figures(run)
    if run.is_lost(loss := run.history[-1]["loss"]):
        return (
            f"diverged: {figures}; the training loss is {decimal(loss)}, {_that_of_guesses(run)}",
            _slower(run),
        )
    if run.plain_accuracy is not None:
        if not run.balanced and run.plain_accuracy < run.history[-1]["accuracy"] - LARGE_GAP:
            return _diagnose_lag(run, run.plain_accuracy)
        learnt = run.plain_accuracy > _low(run.chance_accuracy)
        if learnt and run.may_be_chance(run.history[-1]["val_accuracy"]):
            return (
                f"validation cannot be told from chance: {figures}; training images without "
                f"augmentation {percent(run.plain_accuracy)}",
                "checking that the validation images have the right labels and show the same kind "
                "of faces as the training images (`emodetect data audit`, `emodetect data show`)",
            )
    if run.val_guesses and run.train_guesses:
        if run.is_lost(highest := _curve(run, "loss").max()):
            return (
                f"nothing learnt: {figures}; the training loss was up to {decimal(highest)}, "
                f"{_that_of_guesses(run)}",
                _slower(run),
            )
        return (
            f"nothing learnt yet: {figures}; always predicting the most common emotion gives "
            f"{percent(run.chance_accuracy)}",
            _learn_more(run),
        )
    if run.val_accuracy == 1:
        return f"no validation image is misclassified: {figures}", ""
    if len(run.history) - run.first_epoch < FEW_EPOCHS:
        return f"too few epochs to judge the fit: {figures}", _longer(run)
    if _still_improves(run):
        return f"still improving when training ended: {figures}", _longer(run)
    if run.best_epoch < run.first_epoch:
        return (
            f"fine-tuning did not improve on the frozen backbone: {figures}, both before it",
            _slower(run),
        )
    return _diagnose_levelled(run, figures)


def _that_of_guesses(run: FinishedRun) -> str:
    l2 = " without the L2 penalty" if run.config.model.l2 else ""
    return f"that of guesses{l2} is {decimal(run.loss_of_guesses)}"


def _by_chance(share: float, chance: float, count: int, *, least: float = 0.02) -> bool:
    # Two standard errors, so that some correct guesses in a few images are not learning.
    return share <= chance + max(least, 2 * math.sqrt(chance * (1 - chance) / count))


def _diagnose_lag(run: FinishedRun, plain_accuracy: float) -> tuple[str, str]:
    """Return the diagnosis and advice if the validated weights are not those that were trained."""
    training, schedule = run.config.training, run.schedule
    fit = (
        f"the validated weights lag behind: on training images without augmentation their accuracy "
        f"is {percent(plain_accuracy)}, in training it was {percent(run.history[-1]['accuracy'])}"
    )
    # The head's phase averages nothing.
    averaged = run.first_epoch < len(run.history) and schedule.ema_momentum > 0
    trained = (len(run.history) - run.first_epoch) * schedule.steps
    if averaged and (1 - schedule.ema_momentum) * trained < FEW_HORIZONS:
        return (
            f"{fit}; they are an average over {1 / (1 - schedule.ema_momentum):,.0f} steps, and "
            f"fine-tuning had {trained:,}",
            f"without training.ema_momentum (it was {schedule.ema_momentum:g}), so that the "
            "average fits the run",
        )
    if training.batch_norm_momentum is not None and not training.freeze_batch_norm:
        return (
            f"{fit}, with the statistics of each batch",
            "without training.batch_norm_momentum (it was "
            f"{training.batch_norm_momentum:g}), so that batch norm's statistics follow the run",
        )
    return (
        f"{fit}, with the statistics of each batch",
        "--set training.freeze_batch_norm=true, or larger batches (they had "
        f"{schedule.batch_size} images)",
    )


def _learn_more(run: FinishedRun) -> str:
    check = "checking the images and labels with `emodetect data show`"
    if run.schedule.fine_tuning_steps < FEW_STEPS:
        return f"{_longer(run)}; or {check}"
    return f"{check}, another training.learning_rate, or more epochs"


def _longer(run: FinishedRun) -> str:
    training = run.config.training
    if run.stopped_early:
        patience = 2 * training.early_stopping_patience
        return f"more patience (--set training.early_stopping_patience={patience})"
    # Twice as many, and enough to judge the curve and to leave the first weights.
    enough = math.ceil(FEW_STEPS / run.schedule.steps)
    epochs = max(FEW_EPOCHS, 2 * training.epochs, enough)
    done = run.schedule.fine_tuning_steps
    few = f", because {done} steps of fine-tuning are few" if done < FEW_STEPS else ""
    return f"more epochs (--set training.epochs={epochs}){few}"


def _slower(run: FinishedRun) -> str:
    return f"a lower training.learning_rate (it was {run.config.training.learning_rate:g})"


def _curve(run: FinishedRun, name: str) -> np.ndarray:
    return np.array([row[name] for row in run.history[run.first_epoch :]])


def _still_improves(run: FinishedRun) -> bool:
    val_losses, accuracies = _curve(run, "val_loss"), _curve(run, "val_accuracy")
    recent = max(1, len(accuracies) // 4)
    rise = accuracies[-recent:].max() - accuracies[:-recent].max()
    falling = val_losses[-recent:].min() < val_losses[:-recent].min()
    behind_head = run.best_epoch < run.first_epoch
    return bool(falling and not run.stopped_early and (rise > ACCURACY_RISE or behind_head))


def _diagnose_levelled(run: FinishedRun, figures: str) -> tuple[str, str]:
    """Return the diagnosis and advice for curves that have levelled off."""
    losses, val_losses = _curve(run, "loss"), _curve(run, "val_loss")
    lowest = int(val_losses.argmin())
    # One epoch may be bad by chance, the median of the last three is not.
    after = slice(max(lowest + 1, len(val_losses) - 3), None)
    highest = (1 + LOSS_RISE) * val_losses[lowest]
    risen = len(val_losses) - lowest > 2 and np.median(val_losses[after]) > highest
    if risen:
        figures += (
            f"; the validation loss rose from {decimal(val_losses[lowest])} in epoch "
            f"{run.first_epoch + lowest + 1} to {decimal(val_losses[-1])}"
        )
        if np.median(losses[after]) > (1 + LOSS_RISE) * losses[lowest]:
            return f"unstable: {figures}, and the training loss rose too", _slower(run)
    if run.overfitting_gap or (risen and np.median(losses[after]) < losses[lowest]):
        mixes = _mixes(run.config.augmentation)
        how = "more dropout or weight decay" if mixes else "--set augmentation.mixup=0.2"
        return f"overfitting: {figures}", f"more images, or stronger regularisation ({how})"
    if run.train_accuracy < _low(run.chance_accuracy) and run.mean_recall < _low(run.chance_recall):
        return (
            f"underfitting: {figures}",
            "more epochs, a larger network (model.width, model.backbone_size), weaker "
            "augmentation, or another training.learning_rate",
        )
    return f"a good fit: {figures}", ""


def _figures(run: FinishedRun) -> str:
    augmentation = run.config.augmentation
    changes = [
        text
        for text, on in (
            ("augmented", any(augmentation.model_dump(exclude={"mixup", "cutmix"}).values())),
            ("lowered by mixup or cutmix", _mixes(augmentation)),
            ("balanced", run.balanced),
        )
        if on
    ]
    how = f" ({', '.join(changes)})" if changes else ""
    return (
        f"training accuracy {percent(run.train_accuracy)}{how}, validation "
        f"{percent(run.val_accuracy)}"
    )


def _mixes(augmentation: AugmentationConfig) -> bool:
    return augmentation.mixup > 0 or augmentation.cutmix > 0


def _low(chance: float) -> float:
    return chance + LOW_SHARE * (1 - chance)
