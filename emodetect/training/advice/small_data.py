"""Warnings, before a run, about too few images to learn from or to judge by."""

from __future__ import annotations

from collections.abc import Mapping

from emodetect.config import ExperimentConfig

FEW_TRAINING_IMAGES = 20
FEW_VALIDATION_IMAGES = 50


def small_data_warnings(
    counts: Mapping[str, Mapping[str, int]], config: ExperimentConfig
) -> list[str]:
    """Return lines about emotions with few training images, and few validation images.

    Args:
        counts: the number of images of each emotion in the splits "train" and "val".
    """
    lines = []
    few = {
        emotion: count for emotion, count in counts["train"].items() if count < FEW_TRAINING_IMAGES
    }
    if few:
        how = "add images, or exclude the emotion with data.classes"
        if config.model.init is None:
            how = "add images, start from the shipped model (preset fine_tuning), or use fewer "
            how += "emotions (data.classes)"
        shown = ", ".join(f"{emotion} {count}" for emotion, count in few.items())
        lines.append(
            f"few training images: {shown}; fewer than {FEW_TRAINING_IMAGES} of an emotion are "
            f"seldom enough: {how}"
        )
    validation = sum(counts["val"].values())
    if validation < FEW_VALIDATION_IMAGES:
        how = "" if config.training.folds else "; training.folds=5 validates on all of them"
        lines.append(
            f"few validation images: {validation}; chance has a large share in the choice of the "
            f"best epoch and in its figures{how}"
        )
    return lines
