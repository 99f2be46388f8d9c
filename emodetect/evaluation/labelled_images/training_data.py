"""The data that a model was trained on: where it is, and how it was split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from emodetect.config import DataConfig, ExperimentConfig, validate_config
from emodetect.data.dataset import Dataset, hash_of_images, load_dataset, place_of
from emodetect.data.labels import split_named
from emodetect.data.readers.registry import list_samples
from emodetect.data.sketch import sketch_in
from emodetect.errors import ConfigError, DataError, EmodetectError
from emodetect.model_file.metadata import Metadata
from emodetect.model_file.shipped_models import TRAINED_ON


def training_config(metadata: Metadata, *, path: Path | None = None) -> ExperimentConfig:
    """Return the training config stored in a model.

    Args:
        path: where its data is now; if None, where it was.

    Raises ConfigError if there is none, and DataError if its data does not exist.
    """
    if not metadata.config:
        raise ConfigError(
            f"{metadata.name}: the model contains no training config; give the data with "
            "--data PATH or --config FILE."
        )
    config = validate_config(metadata.config, origin=metadata.name)
    if path is not None:
        data = config.data.model_copy(update={"path": path})
        config = config.model_copy(update={"data": data})
    for key in ("path", "votes", "manifest"):
        place = getattr(config.data, key)
        if place is not None and not place.exists():
            if path is not None:
                raise DataError(
                    f"{place}: not found; {metadata.name} was trained on {path} with it as "
                    f"data.{key}, and without it its test images can no longer be told apart from "
                    "its training images. Bring it back, or evaluate it on held-out images: "
                    "--data PATH --split all."
                )
            # Users know where their own runs had their images, but not those of a shipped model.
            shipped = metadata.name in TRAINED_ON
            lost = "" if shipped else f" {metadata.name} was trained on {place}, which is not here."
            raise DataError(
                "expected labelled images, such as: --data faces (a folder of folders named after "
                f"emotions, a CSV, or SOURCE:PATH).{lost}"
            )
    return config


def was_trained_on(config: DataConfig, metadata: Metadata) -> bool:
    """Return whether a model was trained on the data of a config, however its path is written."""
    data = metadata.config.get("data", {})
    path = data.get("path")
    if data.get("source") != config.source or (path is None) != (config.path is None):
        return False
    return config.path is None or was_trained_at(config.path, metadata)


def was_trained_at(path: Path, metadata: Metadata) -> bool:
    """Return whether the data of a model's training was at a path, however that is written."""
    trained = metadata.config.get("data", {}).get("path")
    same = trained is not None and Path(trained).resolve() == path.resolve()
    return same or place_of(path) == metadata.dataset.get("place")


def is_training_data(dataset: Dataset, config: DataConfig, metadata: Metadata) -> bool:
    """Return whether a model was trained on this data, which may have changed or moved since."""
    if are_images_of(dataset, config, metadata):
        return True
    known = was_trained_on(config, metadata)
    return known and (config.path is None or not is_elsewhere(config.path, dataset, metadata))


def is_elsewhere(path: Path, dataset: Dataset, metadata: Metadata) -> bool:
    """Return whether a relative path names other data here than where a model was trained.

    In another folder or on another machine, that is so if no image of the training is in it.
    """
    trained = metadata.config.get("data", {}).get("path")
    place = metadata.dataset.get("place")
    if trained is None or Path(trained).is_absolute() or place in (None, place_of(path)):
        return False
    sketch = sketch_in(metadata, "served")
    return bool(sketch.text) and not sketch.knows(dataset.digests).any()


def whole_training_data(path: Path, metadata: Metadata) -> Path | None:
    """Return the folder of a model's training data of which a path is a part; None if it is none.

    A part that the folder's own split keeps for testing is none.
    """
    path = path.resolve()
    for folder in path.parents:
        if was_trained_at(folder, metadata):
            tests = (split_named(name) == "test" for name in path.relative_to(folder).parts)
            return None if any(tests) else folder
    return None


def are_images_of(dataset: Dataset, config: DataConfig, metadata: Metadata) -> bool:
    """Return whether a model was trained on these images, but for what was left out of them.

    They may be in another place. What was left out is other classes, or what an audit found.
    """
    trained = metadata.config.get("data", {})
    if config.source != trained.get("source"):
        return False
    images = metadata.dataset.get("images")
    if dataset.images_hash() == images:
        return True
    if not (trained.get("classes") or trained.get("manifest")):
        return False
    try:
        training = training_config(metadata, path=config.path).data
        moved = training.model_copy(update={"path_prefix": config.path_prefix})
        listing = list_samples(moved)
    except EmodetectError:  # other labels, another audit
        return False
    used = {sample.name for sample in listing.samples}
    digests = dataset.digests[[path in used for path in dataset.paths.tolist()]]
    return hash_of_images(digests) == images


def open_training_data(
    config: ExperimentConfig,
    metadata: Metadata,
    *,
    split: str | None = None,
    slice_by: tuple[str, ...] = (),
    same_images: bool = False,
) -> Dataset:
    """Load the data of a training config, split as in training.

    Args:
        split: the images to use; if None, test.
        slice_by: columns of a manifest to load as well as those of the config.
        same_images: the model was trained on these images, in this place or another.

    Raises:
        DataError: if the model was trained on this data, `split` was drawn at random, and the data
            or the seed has changed since: the new split would contain training images.
    """
    columns = tuple(dict.fromkeys((*config.data.slice_by, *slice_by)))
    of_model = {**input_settings(metadata), "slice_by": columns}
    dataset = load_dataset(config.data.model_copy(update=of_model), seed=config.seed)
    changed = dataset.fingerprint != metadata.dataset.get("fingerprint")
    used = "test" if split in (None, "all") else split
    if (
        used in dataset.carved
        and changed
        and (same_images or is_training_data(dataset, config.data, metadata))
    ):
        raise _not_told_apart(used, where=config.data.path)
    return dataset


def refuse_other_images(
    dataset: Dataset, split: str, metadata: Metadata, *, where: Path | None
) -> None:
    """Raise DataError if a split that was drawn for the training may have images of it since.

    It has none if it is the same, or if what the model was trained on, or all that was there, is
    what its data now has for training.
    """
    drawn = metadata.dataset.get("drawn", {}).get(split)
    if drawn is None or split in dataset.carved or split not in dataset.splits:
        return
    now = dataset.drawn_hashes(split)
    clean = now["trained_on"] in (drawn["trained_on"], metadata.dataset.get("images"))
    if not clean and now["images"] != drawn["images"]:
        raise _not_told_apart(split, where=where)


def _not_told_apart(split: str, *, where: Path | None) -> DataError:
    kind = {"val": "validation"}.get(split, split)
    return DataError(
        f"{where}: the images, the labels, the splits or the seed have changed since the model was "
        f"trained on it, so its {kind} images can no longer be told apart from its training "
        "images. Evaluate it on held-out images: --data PATH --split all."
    )


def cleaned_training_images(config: DataConfig, metadata: Metadata) -> np.ndarray | None:
    """Return the hashes of the training images that data.manifest left; None without one."""
    if not metadata.config["data"].get("manifest"):
        return None
    try:
        training = training_config(metadata, path=config.path)
        dataset = open_training_data(training, metadata, split="train")
    except DataError:  # the manifest is gone, or the images have changed since
        return None
    digests: np.ndarray = dataset.digests[dataset.indices("train")]
    return digests


def input_settings(metadata: Metadata) -> dict[str, Any]:
    """Return the keys of a data config that a model's input determines."""
    return {key: getattr(metadata, key) for key in ("image_size", "color", "margin")}
