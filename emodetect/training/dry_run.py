"""What a config would train, without training it."""

from __future__ import annotations

from collections import Counter

from emodetect.config import DataConfig, ExperimentConfig, config_toml
from emodetect.data.readers.registry import list_samples
from emodetect.emotions import EMOTIONS
from emodetect.training.initial_weights import initial_artifact
from emodetect.training.models.layers import freeze_below
from emodetect.training.models.registry import build_model


def describe_run(config: ExperimentConfig) -> str:
    """Return the resolved config, the data that is found and the model's size, as text.

    Pretrained weights are not loaded and nothing is drawn or decoded; absent data is reported
    as "not found".

    Raises:
        DataError: for data that is there but cannot be used.
        ConfigError: for a layer that the backbone does not have.
        ModelError: for a model.init that is not there.
    """
    if config.model.init:
        initial_artifact(config.model.init)
    emotions, data = _describe_data(config.data)
    model = build_model(
        config.model,
        image_size=config.data.image_size,
        color=config.data.color,
        class_count=len(emotions),
        weights="none",
    )
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
            f"drawn faces, for each emotion {drawn.train_per_class} to train and validate, "
            f"{drawn.test_per_class} to test"
        )
    if config.path is None or not config.path.exists():
        return emotions, f"{config.path}: not found; its emotions are not known yet"
    listing = list_samples(config)
    counts = Counter(sample.split or "no split" for sample in listing.samples)
    found = ", ".join(f"{split} {count:,}" for split, count in counts.items())
    left_out = "".join(
        f"; left out {count:,} ({reason})" for reason, count in listing.left_out.items()
    )
    if listing.skipped:
        left_out += f"; {len(listing.skipped):,} cannot be used"
    return listing.emotions, f"{config.path}: {found} images{left_out}"
