"""Describe what a config would train, without training it."""

from __future__ import annotations

from collections import Counter

from emodetect.config import DataConfig, ExperimentConfig, config_toml
from emodetect.data.readers.registry import list_samples
from emodetect.emotions import EMOTIONS
from emodetect.training.initial_model import build_network, initial_artifact
from emodetect.training.models.layers import freeze_below


def describe_run(config: ExperimentConfig) -> str:
    """Return the resolved config, the data found and the model's size, as text.

    Loads no pretrained weights, and draws or decodes no images; missing data is reported as
    "not found".

    Raises:
        DataError: if the data exists but cannot be used.
        ConfigError: if the backbone has no layer training.fine_tune_from.
        ModelError: if model.init does not exist.
    """
    if config.model.init:
        initial_artifact(config.model.init)
    emotions, data = _describe_data(config.data)
    model = build_network(config, len(emotions))
    freeze_below(model, config.training.fine_tune_from)
    return (
        f"{config_toml(config)}\n# data: {data}\n"
        f"# model: {config.model.name}, {model.count_params():,} parameters, "
        f"{len(emotions)} emotions: {', '.join(emotions)}"
    )


def _describe_data(config: DataConfig) -> tuple[tuple[str, ...], str]:
    emotions = config.classes or EMOTIONS
    if config.source == "synthetic":
        drawn = config.synthetic
        return emotions, (
            f"drawn faces; for each emotion {drawn.train_per_class} for training and validation, "
            f"{drawn.test_per_class} for testing"
        )
    if config.path is None or not config.path.exists():
        return emotions, f"{config.path}: not found; its emotions are unknown"
    listing = list_samples(config)
    counts = Counter(sample.split for sample in listing.samples)
    splits = ", ".join(f"{split or 'no split'} {count:,}" for split, count in counts.items())
    if set(counts) == {None}:
        splits = "no split given"
    excluded = "".join(
        f"; {count:,} excluded ({reason})" for reason, count in listing.left_out.items()
    )
    if listing.skipped:
        excluded += f"; {len(listing.skipped):,} cannot be used"
    images = f"{len(listing.samples):,} images ({splits})"
    return listing.emotions, f"{config.path}: {images}{excluded}"
