"""Describe what a config would train, without training it."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from emodetect.config import DataConfig, ExperimentConfig, config_toml
from emodetect.data.dataset import require_trainable
from emodetect.data.listing import Listing, Sample
from emodetect.data.readers.registry import list_samples
from emodetect.data.splits import assign_splits, connect
from emodetect.emotions import EMOTIONS
from emodetect.errors import EmodetectError
from emodetect.number_format import quantity
from emodetect.training.advice.small_data import small_data_warnings
from emodetect.training.initial_model import check_initial_network, check_initial_weights
from emodetect.training.models.layers import freeze_below
from emodetect.training.models.memory import require_memory
from emodetect.training.models.registry import build_network
from emodetect.training.run_folder import check_new_run
from emodetect.training.schedule import run_schedule

Counts = dict[str, dict[str, int]]


def describe_run(config: ExperimentConfig) -> str:
    """Return the resolved config, the data found, the model's size and the schedule, as text.

    Loads no ImageNet weights, and draws or decodes no images; missing data is reported as
    "not found", and a run folder that cannot be used as "refused".

    Raises:
        DataError: if the data exists but cannot be used, or has too few images to split, or for
            training.folds.
        ModelError: if model.init or model.weights does not exist, model.init contains another
            network, or the backbone has no layer training.fine_tune_from.
        OutOfMemoryError: if the memory of this machine cannot hold the training.
    """
    check_initial_weights(config)
    emotions, data, counts = _describe_data(config)
    images = sum(counts["train"].values()) if counts else config.training.batch_size
    require_memory(config, len(emotions), images=images)
    model = build_network(config, len(emotions))
    freeze_below(model, config.training.fine_tune_from)
    check_initial_network(model, config)
    lines = [
        f"data: {data}",
        f"model: {config.model.name}, {model.count_params():,} parameters, "
        f"{len(emotions)} emotions: {', '.join(emotions)}",
        *(_describe_training(config, counts) if counts else []),
    ]
    try:
        check_new_run(config)
    except EmodetectError as error:
        lines.append(f"refused until the run folder is another: {error}")
    return "\n".join([config_toml(config), *(f"# {line}" for line in lines)])


def _describe_training(config: ExperimentConfig, counts: Counts) -> list[str]:
    train, validation = (sum(counts[split].values()) for split in ("train", "val"))
    # Which groups fit into a split depends on their order, that of their pixels.
    about = ", about" if config.data.group or config.data.faces_per_image == "all" else ""
    lines = [
        f"training{about}: {quantity(train, 'image')}, {validation:,} for validation; "
        f"{run_schedule(config.training, train).describe()}"
    ]
    if config.data.source != "synthetic":
        lines.append(
            "these numbers change if images are unreadable or identical, or show no face; "
            "`emodetect data show` looks at them and counts exactly"
        )
    if folds := config.training.folds:
        lines.append(f"folds: {folds} more runs, each on {folds - 1} of {folds} parts")
    return lines + [f"warning: {line}" for line in small_data_warnings(counts, config)]


def _expected_counts(config: ExperimentConfig, listing: Listing) -> Counts:
    """Return how many images of each emotion the splits have if all are readable and differ."""
    samples = listing.samples
    emotions = np.array([listing.emotions.index(sample.emotion) for sample in samples])
    columns = [[sample.groups[n] for sample in samples] for n in range(len(listing.groups))]
    assign = partial(
        assign_splits,
        emotions,
        np.arange(len(samples)),
        [sample.split for sample in samples],
        validation_fraction=config.data.validation_fraction,
        test_fraction=config.data.test_fraction,
        seed=config.seed,
        groups=connect(columns) if columns else None,
        names=[sample.name for sample in samples],
    )
    if folds := config.training.folds:
        assign(fold=(1, folds))  # fails if any of them is impossible
    splits = assign(fold=config.data.fold)
    return {
        split: {
            emotion: int(np.sum(emotions[splits == split] == label))
            for label, emotion in enumerate(listing.emotions)
        }
        for split in ("train", "val")
    }


def _to_be_drawn(data: DataConfig) -> Listing:
    """Return what `read_synthetic` would list, without drawing it."""
    emotions = data.classes or EMOTIONS
    counts = {"train": data.synthetic.train_per_class, "test": data.synthetic.test_per_class}
    samples = [
        Sample("", "", emotion, split)
        for split, count in counts.items()
        for emotion in emotions
        for _ in range(count)
    ]
    return Listing(Path(), tuple(samples), emotions)


def _describe_data(config: ExperimentConfig) -> tuple[tuple[str, ...], str, Counts | None]:
    data = config.data
    if data.source != "synthetic" and (data.path is None or not data.path.exists()):
        emotions = data.classes or EMOTIONS
        return emotions, f"{data.path}: not found; its emotions are unknown", None
    listing = _to_be_drawn(data) if data.source == "synthetic" else list_samples(data)
    require_trainable(data, listing)
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
    text = f"{data.path or 'drawn faces'}: {images}{excluded}"
    return listing.emotions, text, _expected_counts(config, listing)
