"""Cross-validation: a run for each fold, whose validation figures are reported together.

The folds say how well this config does on data like these and how much that varies by chance; with
few images, the one validation split of a run says neither. Each fold's best epoch is chosen by its
own validation images, so the figures are slightly too high; the test split is in none of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from emodetect.config import ExperimentConfig
from emodetect.errors import ConfigError
from emodetect.machine.atomic_files import write_text
from emodetect.machine.csv_files import csv_text
from emodetect.model_file.artifact import read_artifact
from emodetect.model_file.shipped_models import RUN_MODEL
from emodetect.number_format import between, percent, points_apart

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoldResult:
    """The validation figures of a fold's run.

    Attributes:
        fold: its number, from 1.
        images: the number of its validation images.
        accuracy: of the best epoch on them, 0 to 1.
        loss: of the same epoch, as trained (with label smoothing, if any).
    """

    fold: int
    images: int
    accuracy: float
    loss: float


def cross_validate(
    config: ExperimentConfig, train_run: Callable[[ExperimentConfig], object], *, images: str
) -> tuple[FoldResult, ...]:
    """Train the runs of all folds in `folds` of the run folder, and write its folds.csv.

    Args:
        train_run: trains a run, or continues an interrupted one.
        images: the hash of the images of the run; see `Dataset.images_hash`.

    Returns:
        The results, of finished runs too; none if training.folds is 0.

    Raises ConfigError for a finished fold of other images.
    """
    count = config.training.folds
    results = []
    for number in range(1, count + 1):
        fold = fold_config(config, number)
        artifact = fold.output / RUN_MODEL
        if not artifact.is_file():
            logger.info("fold %d of %d: %s", number, count, fold.output)
            train_run(fold)
        metadata = read_artifact(artifact).metadata
        if metadata.dataset["images"] != images:
            raise ConfigError(
                f"{fold.output}: was trained on other images than the run has now; remove this "
                f"folder and resume the run {config.output}."
            )
        validated = sum(metadata.dataset["counts"]["val"].values())
        metrics = metadata.metrics
        results.append(FoldResult(number, validated, metrics["val_accuracy"], metrics["val_loss"]))
    if results:
        _write(config.output / "folds.csv", results)
        logger.info("%d folds are trained; now the final model", count)
    return tuple(results)


def fold_config(config: ExperimentConfig, number: int) -> ExperimentConfig:
    """Return the config of a fold's run."""
    folds = config.training.folds
    data = config.data.model_copy(update={"fold": (number, folds), "validation_fraction": None})
    # Trackers get the final run only.
    training = config.training.model_copy(update={"folds": 0, "track": ()})
    output = config.output / "folds" / str(number)
    return config.model_copy(update={"data": data, "training": training, "output": output})


def describe_folds(results: Sequence[FoldResult], *, too_good: bool = False) -> list[str]:
    """Return lines with the mean and spread of the folds' accuracy, and what they are worth.

    Args:
        too_good: the figures cannot be trusted, as another line says.
    """
    accuracies = np.array([result.accuracy for result in results])
    mean = percent(accuracies.mean())
    figures = (
        f"{len(results)} folds: validation accuracy {mean} on average, "
        f"{between((accuracies.min(), accuracies.max()), percent)}, standard deviation "
        f"{points_apart(accuracies.std(ddof=1))}"
    )
    if too_good:
        return [figures]
    return [
        figures,
        f"trust the {mean} of the folds, on {sum(result.images for result in results):,} images, "
        "more than the best epoch of the final model below; it is a little too high as well, "
        "because each fold's images chose its best epoch",
    ]


def _write(path: Path, results: Sequence[FoldResult]) -> None:
    rows = [asdict(result) for result in results]
    write_text(path, csv_text([rows[0], *(row.values() for row in rows)]))
