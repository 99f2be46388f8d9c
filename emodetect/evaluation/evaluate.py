"""Evaluation from a model and the name of some data to predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast, get_args

from emodetect.artifact import Metadata
from emodetect.config import DataConfig, ExperimentConfig, validate_config
from emodetect.data.dataset import Dataset, load_dataset, load_for_evaluation
from emodetect.emotions import canonical_emotion
from emodetect.errors import ConfigError, DataError
from emodetect.evaluation.metrics import Predictions, predict_dataset
from emodetect.inference.recognizer import EmotionRecognizer

Split = Literal["train", "val", "test", "all"]


def evaluate_source(
    recognizer: EmotionRecognizer,
    source: str,
    *,
    split: Split | None = None,
    classes: str | None = None,
) -> tuple[Predictions, Dataset, Split]:
    """Classify labelled images named as SOURCE:PATH, for example "folder:data/fer2013".

    Args:
        split: one that the source itself has, or "all"; None takes "test" where there is one.
        classes: emotions to keep, separated by commas; None keeps all.

    Raises:
        DataError: for data that is not there, an empty split, or emotions unknown to the model.
    """
    kind, separator, path = source.partition(":")
    kinds = get_args(DataConfig.model_fields["source"].annotation)
    if not separator or kind not in kinds:
        raise DataError(
            f"--data: expected SOURCE:PATH such as folder:data/fer2013 (sources: "
            f"{', '.join(kinds)}), got {source!r}."
        )
    config = DataConfig(
        source=cast(Literal["folder", "synthetic"], kind),
        path=Path(path) if path else None,
        image_size=recognizer.metadata.image_size,
        color=recognizer.metadata.color,
        classes=tuple(canonical_emotion(name, where="--classes") for name in classes.split(","))
        if classes
        else None,
    )
    dataset = load_for_evaluation(config)
    split = split or ("test" if "test" in dataset.splits else "all")
    return predict_dataset(recognizer, dataset, split), dataset, split


def evaluate_config(
    recognizer: EmotionRecognizer, config: ExperimentConfig, *, split: Split | None = None
) -> tuple[Predictions, Dataset, Split]:
    """Classify the data of a training config, split exactly as in training; see above."""
    data = config.data.model_copy(
        update={
            "image_size": recognizer.metadata.image_size,
            "color": recognizer.metadata.color,
        }
    )
    dataset = load_dataset(data, seed=config.seed)
    split = split or "test"
    return predict_dataset(recognizer, dataset, split), dataset, split


def training_config(metadata: Metadata) -> ExperimentConfig:
    """Return the config that a model was trained with, as it carries it."""
    if not metadata.config:
        raise ConfigError(
            f"{metadata.name}: the model carries no training config; name the data with "
            "--data SOURCE:PATH or --config FILE."
        )
    return validate_config(metadata.config, origin=metadata.name)
