"""Draw the plots of a training run: its learning curves and a sample of its images."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from emodetect.config import ExperimentConfig
from emodetect.data.dataset import Dataset
from emodetect.reports.plots.image_grids import contact_sheet
from emodetect.reports.plots.learning_curves import learning_curves
from emodetect.reports.plots.style import save_png


def draw_run(run: Path, config: ExperimentConfig, dataset: Dataset, best_epoch: int) -> None:
    """Write curves.png and samples.png (augmented training images) to a run folder.

    Args:
        best_epoch: the epoch, counted from 1, whose weights were kept.
    """
    from emodetect.data.augmentation import augment_images  # here, because it loads TensorFlow

    curves = learning_curves(
        run / "history.csv", best_epoch=best_epoch, head_epochs=config.training.head_epochs
    )
    save_png(curves, run / "curves.png")
    augment = partial(augment_images, config=config.augmentation, seed=config.seed)
    contact_sheet(dataset, run / "samples.png", augment=augment)
