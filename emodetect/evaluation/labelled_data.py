"""The data that a model is to be evaluated on, by the name a user gives it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from emodetect.config import (
    SOURCES_OF_KEY,
    DataConfig,
    ExperimentConfig,
    validate_config,
    validate_data,
)
from emodetect.data.dataset import Dataset, load_dataset, load_for_evaluation
from emodetect.data.readers.registry import split_source
from emodetect.errors import ConfigError, DataError
from emodetect.model_file.metadata import Metadata

Faces = Literal["whole", "detect"]

OWN_DATA = "the model's own"  # how reports name the data that a model was trained with
# Those that may hold whole photos, so that how their faces are framed is as in training.
SOURCES_OF_PHOTOS = ("folder", "manifest", "raf_db", "affectnet", "ckplus")
# What the names of labels mean, and where the votes are, is as in training.
INHERITED = ("label_names", "votes", "public_test")


def open_source(
    source: str,
    metadata: Metadata,
    *,
    faces: Faces | None = None,
    slice_by: tuple[str, ...] = (),
    option: str = "--data",
) -> Dataset:
    """Load labelled images named as SOURCE:PATH, such as "folder:data/fer2013".

    They have the splits that the source itself has, and the size and colour of the model's input.

    Args:
        faces: "whole" takes each image as one crop, "detect" its largest face, framed as
            `predict` does; as the model was trained if None.
        slice_by: columns of a manifest whose values the data set is to hold.
        option: what errors call the option that named the source.

    Raises:
        DataError: for a name of another form, or data that cannot be read.
    """
    return load_for_evaluation(
        source_config(source, metadata, faces=faces, slice_by=slice_by, option=option)
    )


def source_config(
    source: str,
    metadata: Metadata,
    *,
    faces: Faces | None = None,
    slice_by: tuple[str, ...] = (),
    option: str = "--data",
) -> DataConfig:
    """Return the config by which `open_source` loads. Raises as that does."""
    kind, path = split_source(source, option=option)
    values: dict[str, Any] = {
        "source": kind,
        "image_size": metadata.image_size,
        "color": metadata.color,
        "margin": metadata.margin,
    }
    trained = metadata.config.get("data", {})
    if faces is not None:
        values["faces"] = faces
    elif kind in SOURCES_OF_PHOTOS:
        values["faces"] = trained.get("faces", "whole")
    for key, sources in SOURCES_OF_KEY.items():
        if kind in sources and key in INHERITED and key in trained:
            values[key] = trained[key]
    if slice_by:
        values["slice_by"] = list(slice_by)
    if path:
        values["path"] = path
    return validate_data(values, origin=f"{option} {source}")


def open_training_data(
    config: ExperimentConfig, metadata: Metadata, *, slice_by: tuple[str, ...] = ()
) -> Dataset:
    """Load the data of a training config, split as in training.

    Args:
        slice_by: columns of a manifest whose values the data set is to hold beside those of the
            config.

    Raises DataError where the model was trained on this data, a split of it was drawn by the
    seed, and data or seed are no longer the same: some of its images were then trained on.
    """
    of_model = {
        "image_size": metadata.image_size,
        "color": metadata.color,
        "margin": metadata.margin,
        "slice_by": tuple(dict.fromkeys((*config.data.slice_by, *slice_by))),
    }
    if slice_by and config.data.source not in SOURCES_OF_KEY["slice_by"]:
        raise DataError(
            f"--slice-by: expected a manifest, which has columns; the data is of the source "
            f"{config.data.source}."
        )
    dataset = load_dataset(config.data.model_copy(update=of_model), seed=config.seed)
    changed = dataset.fingerprint != metadata.dataset.get("fingerprint")
    if "test" in dataset.carved and changed and is_training_data(config.data, metadata):
        raise DataError(
            f"{config.data.path}: data or seed have changed since the model was trained, so that "
            "its test images cannot be told from those it was trained on. Evaluate it on images "
            "kept apart: --data folder:PATH --split all."
        )
    return dataset


def training_config(metadata: Metadata) -> ExperimentConfig:
    """Return the config that a model was trained with, as it carries it."""
    if not metadata.config:
        raise ConfigError(
            f"{metadata.name}: the model carries no training config; name the data with "
            "--data SOURCE:PATH or --config FILE."
        )
    return validate_config(metadata.config, origin=metadata.name)


def is_training_data(config: DataConfig, metadata: Metadata) -> bool:
    """Tell whether a model was trained on the data of a config, however its path is written."""
    data = metadata.config.get("data", {})
    path = data.get("path")
    return bool(
        data.get("source") == config.source
        and (path is None) == (config.path is None)
        and (config.path is None or Path(path).resolve() == config.path.resolve())
    )


def load_judged(
    config: DataConfig,
    metadata: Metadata,
    *,
    split: str | None,
    name: str,
    slice_by: tuple[str, ...] = (),
) -> tuple[Dataset, bool]:
    """Load the data of `source_config`, and tell whether a model was trained on it.

    A data set of the model's own without a test split has the one that its training took out,
    unless `split` is "all".

    Args:
        name: what errors call the data.

    Raises DataError for data that cannot be read, and where the test images cannot be told from
    those the model was trained on.
    """
    dataset = load_for_evaluation(config)
    same_data = is_training_data(config, metadata)
    if same_data and split != "all" and "test" not in dataset.splits:
        dataset = _split_as_in_training(name, config, metadata, slice_by=slice_by)
    return dataset, same_data


def _split_as_in_training(
    name: str, config: DataConfig, metadata: Metadata, *, slice_by: tuple[str, ...]
) -> Dataset:
    training = training_config(metadata)
    if training.data.faces != config.faces:
        raise DataError(
            f"{name}: the model was trained on this data with faces = '{training.data.faces}', "
            "and only so framed its test images can be told from those it was trained on; leave "
            "--faces out for this data."
        )
    return open_training_data(training, metadata, slice_by=slice_by)
