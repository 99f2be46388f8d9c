"""The labelled images that a model is evaluated on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from emodetect.config import (
    SOURCES_OF_KEY,
    DataConfig,
    ExperimentConfig,
    Faces,
    load_config,
    validate_config,
    validate_data,
)
from emodetect.data.dataset import (
    DATA_LOGGERS,
    Dataset,
    group_images,
    leaked_images,
    load_dataset,
    load_for_evaluation,
    place_of,
)
from emodetect.data.labels import UnknownLabelError, emotion_of, split_named
from emodetect.data.named_data import NamedData
from emodetect.emotions import EMOTIONS
from emodetect.errors import ConfigError, DataError
from emodetect.machine.terminal_text import said_once
from emodetect.model_file.metadata import Metadata
from emodetect.model_file.shipped_models import TRAINED_ON

logger = logging.getLogger(__name__)

SEEN = (
    "The model was trained on most of these images, so it will do worse on new ones. Evaluate it "
    "on held-out images, such as its test split (--split test)."
)
CHOSEN_ON = (
    "These images chose the model's best epoch and its temperature, so it will do worse on new "
    "ones. Evaluate it on its test split (--split test)."
)
OWN_DATA = "the model's own"  # in metrics.json: the data that the model was trained on
# May hold whole photos, whose faces are then framed as in training.
SOURCES_OF_PHOTOS = ("folder", "manifest", "raf_db", "affectnet", "ckplus")
# Keys of the training config that also hold for new data of the same source.
INHERITED = ("labels", "label_names", "votes", "public_test")


@dataclass(frozen=True, kw_only=True)
class LabelledData:
    """A data set to evaluate a model on.

    Attributes:
        config: what the data set was loaded with.
        split: the images to use: "train", "val", "test" or "all".
        same_data: whether the model was trained on this data set.
        part_of: the folder that it was trained on, of which this data set is a part.
    """

    dataset: Dataset
    config: DataConfig
    split: str
    same_data: bool
    part_of: Path | None = None

    @property
    def seen(self) -> bool:
        """Whether the model was trained on some of the images to use."""
        return self.same_data and self.split in ("train", "all")

    @property
    def caveats(self) -> list[str]:
        """Why the figures will be better than those on new images."""
        if self.seen:
            return [SEEN]
        if self.part_of is not None:
            return [
                f"The model was trained on {self.part_of}, of which these images are a part, so it "
                f"may do worse on new ones. Evaluate it on the test split of that: --data "
                f"{self.part_of}."
            ]
        return [CHOSEN_ON] if self.same_data and self.split == "val" else []


def load_labelled_data(
    metadata: Metadata,
    *,
    source: NamedData | None = None,
    config_name: str | None = None,
    faces: Faces | None = None,
    split: str | None = None,
    slice_by: tuple[str, ...] = (),
    group: tuple[str, ...] = (),
    label_names: Mapping[str, str] | None = None,
) -> LabelledData:
    """Load the data set to evaluate a model on.

    If the model was trained on the data and the split to use was drawn in training, because the
    data has none or for a fold, that one is used.

    Args:
        source: if None, the data of `config_name`, a file or preset; if that is None too, the data
            that the model was trained on.
        faces: for a source; see `load_source`.
        split: "train", "val", "test" or "all". If None, test, or all if the data has no splits.
        slice_by: columns of a manifest to load as well.
        group: columns of a manifest, such as person; images with the same value are not
            independent. By default those of the training config, for the data it names.
        label_names: for a source; see `load_source`.

    Raises:
        DataError: if the data cannot be read, or its test images cannot be distinguished from the
            images the model was trained on.
        ConfigError: if the config is not valid.
    """
    if source:
        columns = _with_columns(slice_by, group, of=source.source)
        config = _source_config(
            source, metadata, faces=faces, label_names=label_names, slice_by=columns
        )
        same_data = was_trained_on(config, metadata)
        with said_once(*DATA_LOGGERS):
            if not same_data:
                dataset = _load(config, metadata)
                same_data = _are_images_of(dataset, config, metadata)
            if same_data:
                config = _as_in_training(config, metadata, grouped=not group)
                dataset = _load_own(source, config, metadata, split)
    else:
        experiment = load_config(config_name) if config_name else training_config(metadata)
        config = experiment.data
        columns = _with_columns(slice_by, group, of=config.source)
        dataset = open_training_data(experiment, metadata, split=split, slice_by=columns)
        same_data = was_trained_on(config, metadata)
    if same_data and split != "all":
        _refuse_other_images(dataset, split or "test", metadata, where=config.path)
    part_of = None
    if not same_data and config.path is not None:
        part_of = whole_training_data(config.path, metadata)
    asked = slice_by if source else (*slice_by, *config.slice_by)
    return LabelledData(
        dataset=_grouped_by(dataset, group, asked),
        config=config,
        split=split or ("test" if "test" in dataset.splits else "all"),
        same_data=same_data,
        part_of=part_of,
    )


def open_excluded(
    sources: Sequence[NamedData],
    metadata: Metadata,
    *,
    label_names: Mapping[str, str] | None = None,
) -> dict[str, Dataset]:
    """Load the data sets whose training images are to be excluded, by name; see `load_source`.

    Their faces are cropped as in training, however those of the evaluated data are.
    """
    return {
        str(source): load_source(
            source,
            metadata,
            label_names=label_names if takes_label_names(source) else None,
        )
        for source in sources
    }


def takes_label_names(data: NamedData) -> bool:
    """Return whether a data set has labels that may be given other names."""
    return data.source in SOURCES_OF_KEY["label_names"]


def load_source(
    source: NamedData,
    metadata: Metadata,
    *,
    faces: Faces | None = None,
    label_names: Mapping[str, str] | None = None,
) -> Dataset:
    """Load labelled images for a model.

    The images keep the splits of the source, and get the size and colour of the model's input.

    Args:
        faces: "whole" uses each image as one crop, "detect" crops its largest face as `predict`
            does. If None, as in training.
        label_names: emotions of labels by other names, in addition to those of the training data.

    Raises:
        DataError: if the data cannot be read.
        ConfigError: for faces or label names that the source does not take.
    """
    return _load(_source_config(source, metadata, faces=faces, label_names=label_names), metadata)


def _source_config(
    data: NamedData,
    metadata: Metadata,
    *,
    faces: Faces | None,
    label_names: Mapping[str, str] | None,
    slice_by: tuple[str, ...] = (),
) -> DataConfig:
    values: dict[str, Any] = {"source": data.source, **_input_settings(metadata)}
    trained = metadata.config.get("data", {})
    values["faces"] = faces or usual_faces(data.source, metadata)
    for key, sources in SOURCES_OF_KEY.items():
        if data.source in sources and key in INHERITED and key in trained:
            values[key] = trained[key]
    if data.source in SOURCES_OF_KEY["labels"] and not set(metadata.emotions) <= set(EMOTIONS):
        values["labels"] = "own"  # also of a model trained elsewhere
    if label_names:
        values["label_names"] = {**values.get("label_names", {}), **label_names}
    if slice_by:
        values["slice_by"] = list(slice_by)
    if data.path:
        values["path"] = data.path
    return validate_data(values, origin=str(data))


def usual_faces(source: str, metadata: Metadata) -> Faces:
    """Return how a model expects the faces of a source to be framed: as in training, if it can."""
    if source not in SOURCES_OF_PHOTOS:
        return "whole"
    faces: Faces = metadata.config.get("data", {}).get("faces", "whole")
    return faces


def shared_label_names(
    source: NamedData, models: Sequence[Metadata], label_names: Mapping[str, str]
) -> dict[str, str]:
    """Return what the labels of a source are called for all models that are compared on it.

    That is `label_names`, and what the training data of the models says, except for labels that
    they call by different names.
    """
    if not takes_label_names(source):
        return dict(label_names)
    own = all(not set(model.emotions) <= set(EMOTIONS) for model in models)
    shared: dict[str, set[str]] = {}
    for model in models:
        for label, name in model.config.get("data", {}).get("label_names", {}).items():
            if own or name in EMOTIONS:
                shared.setdefault(label, set()).add(name)
    agreed = {label: next(iter(names)) for label, names in shared.items() if len(names) == 1}
    return {**agreed, **label_names}


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
    of_model = {**_input_settings(metadata), "slice_by": columns}
    dataset = load_dataset(config.data.model_copy(update=of_model), seed=config.seed)
    changed = dataset.fingerprint != metadata.dataset.get("fingerprint")
    used = "test" if split in (None, "all") else split
    known = same_images or was_trained_on(config.data, metadata)
    if used in dataset.carved and changed and known:
        raise _not_told_apart(used, where=config.data.path)
    return dataset


def _given(split: str | None, dataset: Dataset, metadata: Metadata) -> bool:
    """Return whether a split of the training data is that of the source, not drawn for training."""
    if split in (None, "test"):
        return "test" in dataset.splits
    drawn_anyway = metadata.config["data"].get("fold") is not None
    return not drawn_anyway and {"val", "test"} <= {*dataset.splits.tolist()}


def _refuse_other_images(
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
        f"{where}: the labels, the splits or the seed have changed since the model was trained on "
        f"it, so its {kind} images can no longer be told apart from its training images. "
        "Evaluate it on held-out images: --data PATH --split all."
    )


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
    for place in (config.data.path, config.data.votes, config.data.manifest):
        if place is not None and not place.exists():
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


def _are_images_of(dataset: Dataset, config: DataConfig, metadata: Metadata) -> bool:
    """Return whether these are the images that a model was trained on, in another place."""
    source = metadata.config.get("data", {}).get("source")
    return config.source == source and dataset.images_hash() == metadata.dataset.get("images")


def _as_in_training(config: DataConfig, metadata: Metadata, *, grouped: bool) -> DataConfig:
    """Return a config of the training data with what the user need not give again."""
    trained = metadata.config["data"]
    inherited = {"path_prefix": trained.get("path_prefix", {})}
    if grouped:
        inherited["group"] = tuple(trained.get("group", ()))
    return config.model_copy(update=inherited)


def _load_own(
    source: NamedData, config: DataConfig, metadata: Metadata, split: str | None
) -> Dataset:
    """Load the data that the model was trained on, named by the user, with its splits then."""
    dataset = _load(config, metadata)
    if split != "all" and not _given(split, dataset, metadata):
        return _split_as_in_training(source, config, metadata, split)
    trained_on = _cleaned_training_images(config, metadata)
    leaked = leaked_images(dataset.digests, dataset.splits, trained_on)
    dataset = replace(dataset, leaked=leaked)
    for line in dataset.describe_leaks():
        logger.info(line)
    return dataset


def _cleaned_training_images(config: DataConfig, metadata: Metadata) -> np.ndarray | None:
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


def _load(config: DataConfig, metadata: Metadata) -> Dataset:
    """Load a data set; labels of which a model of emotions knows nothing are kept as they are.

    Such images may be left out, or count as what the model was not trained on.
    """
    try:
        try:
            return load_for_evaluation(config)
        except UnknownLabelError as error:
            if error.has_number or config.labels == "own":
                raise
            as_own = config.model_copy(update={"labels": "own"})
            kept = {one: emotion_of(one, as_own, where=str(config.path)) for one in error.labels}
        names = {**config.label_names, **kept}
        return load_for_evaluation(config.model_copy(update={"label_names": names}))
    except UnknownLabelError as error:
        raise DataError(
            f"{error.problem} The model {metadata.name} was trained on "
            f"{', '.join(metadata.emotions)}; evaluate it on images with these labels."
        ) from None


def _input_settings(metadata: Metadata) -> dict[str, Any]:
    """Return the keys of a data config that a model's input determines."""
    return {key: getattr(metadata, key) for key in ("image_size", "color", "margin")}


def _split_as_in_training(
    source: NamedData, config: DataConfig, metadata: Metadata, split: str | None
) -> Dataset:
    training = training_config(metadata, path=config.path)
    if training.data.faces != config.faces:
        raise DataError(
            f"{source}: {metadata.name} was trained on this data with faces = "
            f"'{training.data.faces}', and with other crops its test images can no longer be "
            "distinguished from its training images; omit --faces for this data."
        )
    data = training.data.model_copy(update={"label_names": config.label_names})
    return open_training_data(
        training.model_copy(update={"data": data}),
        metadata,
        split=split,
        slice_by=config.slice_by,
        same_images=True,
    )


def _with_columns(slice_by: tuple[str, ...], group: tuple[str, ...], *, of: str) -> tuple[str, ...]:
    """Return all columns that are asked for. Raises DataError for a source without columns."""
    for option, columns in (("--slice-by", slice_by), ("--group", group)):
        if columns and of not in SOURCES_OF_KEY["slice_by"]:
            raise DataError(f"{option}: expected a manifest with columns, got the source {of}.")
    return tuple(dict.fromkeys((*slice_by, *group)))


def _grouped_by(dataset: Dataset, columns: tuple[str, ...], slice_by: tuple[str, ...]) -> Dataset:
    """Return the images grouped by columns, which does not move them to another split.

    Args:
        columns: among the traits, which only those also in `slice_by` remain; if none, the groups
            of the data set remain.
    """
    if not columns:
        return dataset
    hidden = {*columns} - {*slice_by}
    traits = {name: values for name, values in dataset.traits.items() if name not in hidden}
    values = [dataset.traits[name] for name in columns]
    groups = group_images(values, dataset.paths, dataset.digests)
    return replace(dataset, traits=traits, groups=groups)
