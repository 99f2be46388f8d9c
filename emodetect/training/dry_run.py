"""Describe what a config would train, without training it."""

from __future__ import annotations

from collections import Counter

from emodetect.config import DataConfig, ExperimentConfig, config_toml
from emodetect.data.dataset import require_trainable
from emodetect.data.readers.registry import list_samples
from emodetect.data.splits import usual_fraction
from emodetect.emotions import EMOTIONS
from emodetect.training.advice.small_data import small_data_warnings
from emodetect.training.initial_model import build_network, initial_artifact
from emodetect.training.models.layers import freeze_below
from emodetect.training.schedule import run_schedule

Counts = dict[str, dict[str, int]]


def describe_run(config: ExperimentConfig) -> str:
    """Return the resolved config, the data found, the model's size and the schedule, as text.

    Loads no pretrained weights, and draws or decodes no images; missing data is reported as
    "not found".

    Raises:
        DataError: if the data exists but cannot be used.
        ConfigError: if the backbone has no layer training.fine_tune_from.
        ModelError: if model.init does not exist.
    """
    if config.model.init:
        initial_artifact(config.model.init)
    emotions, data, counts = _describe_data(config.data)
    model = build_network(config, len(emotions))
    freeze_below(model, config.training.fine_tune_from)
    lines = [
        f"data: {data}",
        f"model: {config.model.name}, {model.count_params():,} parameters, "
        f"{len(emotions)} emotions: {', '.join(emotions)}",
        *(_describe_training(config, counts) if counts else []),
    ]
    return "\n".join([config_toml(config), *(f"# {line}" for line in lines)])


def _describe_training(config: ExperimentConfig, counts: Counts) -> list[str]:
    train, validation = (sum(counts[split].values()) for split in ("train", "val"))
    lines = [
        f"training, about: {train:,} images, {validation:,} for validation; "
        f"{run_schedule(config.training, train).describe()}"
    ]
    if folds := config.training.folds:
        lines.append(f"folds: {folds} more runs, each on {folds - 1} of {folds} parts")
    return lines + [f"warning: {line}" for line in small_data_warnings(counts, config)]


def _expected_counts(
    config: DataConfig, emotions: tuple[str, ...], given: Counter[tuple[str | None, str]]
) -> Counts:
    """Return about how many images of each emotion the splits will have.

    Only about, because identical images stay together, and some may be unreadable.
    """
    splits = {split for split, _ in given}
    counts: Counts = {"train": {}, "val": {}}
    total = sum(count for (split, _), count in given.items() if split in (None, "train"))
    rest = 1.0 if "test" in splits else 1 - config.test_fraction
    fraction = config.validation_fraction or usual_fraction(round(rest * total))
    for emotion in emotions:
        images = rest * (given[None, emotion] + given["train", emotion])
        validation = given["val", emotion] if "val" in splits else round(fraction * images)
        counts["val"][emotion] = validation
        counts["train"][emotion] = round(images) - (0 if "val" in splits else validation)
    return counts


def _describe_data(config: DataConfig) -> tuple[tuple[str, ...], str, Counts | None]:
    emotions = config.classes or EMOTIONS
    if config.source == "synthetic":
        drawn = config.synthetic
        counter = Counter[tuple[str | None, str]]()
        counter.update({(None, emotion): drawn.train_per_class for emotion in emotions})
        counter["test", emotions[0]] = drawn.test_per_class
        text = (
            f"drawn faces; for each emotion {drawn.train_per_class} for training and validation, "
            f"{drawn.test_per_class} for testing"
        )
        return emotions, text, _expected_counts(config, emotions, counter)
    if config.path is None or not config.path.exists():
        return emotions, f"{config.path}: not found; its emotions are unknown", None
    listing = list_samples(config)
    require_trainable(config, listing)
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
    found = Counter((sample.split, sample.emotion) for sample in listing.samples)
    expected = _expected_counts(config, listing.emotions, found)
    return listing.emotions, f"{config.path}: {images}{excluded}", expected
