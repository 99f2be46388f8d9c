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
    Faces,
    load_config,
    validate_data,
)
from emodetect.data.dataset import (
    DATA_LOGGERS,
    Dataset,
    group_images,
    leaked_images,
    load_for_evaluation,
)
from emodetect.data.labels import UnknownLabelError, emotion_of
from emodetect.data.listing import known_group
from emodetect.data.named_data import NamedData
from emodetect.data.sketch import Sketch, sketch_in
from emodetect.emotions import EMOTIONS
from emodetect.errors import DataError
from emodetect.evaluation.labelled_images.training_data import (
    cleaned_training_images,
    input_settings,
    is_elsewhere,
    is_training_data,
    open_training_data,
    refuse_other_images,
    training_config,
    was_trained_on,
    whole_training_data,
)
from emodetect.machine.terminal_text import said_once
from emodetect.model_file.metadata import Metadata
from emodetect.number_format import quantity

logger = logging.getLogger(__name__)

SEEN = (
    "The model was trained on most of these images, so it will do worse on new ones. Evaluate it "
    "on held-out images, such as its test split (--split test)."
)
CHOSEN_ON = (
    "These images chose the model's best epoch, and its temperature if one was fitted, so it will "
    "do worse on new ones. Evaluate it on its test split (--split test)."
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
        group_trained: (n,) bool, which images share a value of the user's group columns with a
            training image.
        served: of the training: sketch of the images that trained the model or chose its epoch.
        trained: sketch of those that trained it or the models that it started from.
        seen_before: for each split, the share of its images that trained those, if it is told.
    """

    dataset: Dataset
    config: DataConfig
    split: str
    same_data: bool
    part_of: Path | None = None
    group_trained: np.ndarray
    served: Sketch
    trained: Sketch
    seen_before: Mapping[str, float]

    def seen(self, members: np.ndarray) -> bool:
        """Return whether the model, or one that it started from, was trained on images to use.

        Args:
            members: the positions of the images to use.
        """
        return self._has_training_split(members) or any(self._shares_seen(members))

    def _has_training_split(self, members: np.ndarray) -> bool:
        return self.same_data and bool(self._splits_of(members) - {"val", "test"})

    def _shares_seen(self, members: np.ndarray) -> tuple[float, float]:
        """Return which share of images is known to have served the model, and earlier ones."""
        if self.same_data:  # its own are told by the splits
            shares = (self.seen_before.get(split, 0.0) for split in self._splits_of(members))
            return 0.0, max(shares, default=0.0)
        digests = self.dataset.digests[members]
        return self.served.share_of(digests), self.trained.share_of(digests)

    def _splits_of(self, members: np.ndarray) -> set[str]:
        """Return the splits of images; "" is that of data without any, or outside them."""
        return {self.split} if self.split != "all" else set(self.dataset.splits[members].tolist())

    def caveats(self, members: np.ndarray) -> list[str]:
        """Return why the figures of the images at `members` are better than those of new ones."""
        if self._has_training_split(members):
            return [SEEN]
        if self.part_of is not None:
            return [
                f"The model was trained on {self.part_of}, of which these images are a part, so it "
                f"may do worse on new ones. Evaluate it on the test split of that: --data "
                f"{self.part_of}."
            ]
        chosen_on = self.same_data and "val" in self._splits_of(members)
        told = [*([CHOSEN_ON] if chosen_on else []), *self._groups_in_training(members)]
        served, earlier = self._shares_seen(members)
        if not (served or earlier):
            return told
        what = "the model or chose its epoch" if served else "a model it started from"
        return [
            f"About {max(served, earlier):.0%} of these images, by a sample, trained {what}, so it "
            "will do worse on new ones.",
            *told,
        ]

    def _groups_in_training(self, members: np.ndarray) -> list[str]:
        if not (self.same_data and (count := int(self.group_trained[members].sum()))):
            return []
        return [
            f"{count:,} of {quantity(len(members), 'image')} are of groups that also have training "
            "images, so the figures and their intervals do not hold for new groups. Train with "
            "data.group to keep each in one split."
        ]


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
        dataset, config, same_data = _load_named_data(
            source,
            metadata,
            faces=faces,
            split=split,
            slice_by=slice_by,
            group=group,
            label_names=label_names or {},
        )
        asked = slice_by
    else:
        experiment = load_config(config_name) if config_name else training_config(metadata)
        config = experiment.data
        columns = _with_columns(slice_by, group, of=config.source)
        dataset = open_training_data(
            experiment, metadata, split=split, slice_by=columns, same_images=not config_name
        )
        same_data = is_training_data(dataset, config, metadata)
        asked = (*slice_by, *config.slice_by)
    if same_data and split != "all":
        refuse_other_images(dataset, split or "test", metadata, where=config.path)
    split = split or ("test" if "test" in dataset.splits else "all")
    return LabelledData(
        dataset=_grouped_by(dataset, group, asked),
        config=config,
        split=split,
        same_data=same_data,
        part_of=None if same_data else _trained_whole(config, dataset, metadata),
        group_trained=_share_group_with_training(dataset, group),
        served=sketch_in(metadata, "served"),
        trained=sketch_in(metadata, "trained"),
        seen_before=metadata.dataset.get("seen", {}),
    )


def _load_named_data(
    source: NamedData,
    metadata: Metadata,
    *,
    faces: Faces | None,
    split: str | None,
    slice_by: tuple[str, ...],
    group: tuple[str, ...],
    label_names: Mapping[str, str],
) -> tuple[Dataset, DataConfig, bool]:
    """Load named data: the data set, its config, and whether the model was trained on it."""
    columns = _with_columns(slice_by, group, of=source.source)
    config = _source_config(
        source, metadata, faces=faces, label_names=label_names, slice_by=columns
    )
    at_place = was_trained_on(config, metadata)
    own = _as_in_training(config, metadata, grouped=not group, moved=not at_place)
    with said_once(*DATA_LOGGERS):
        first = own if at_place else config
        dataset = _load(first, metadata)
        if not is_training_data(dataset, config, metadata):
            _tell_numbers(source, dataset, metadata, given=label_names)
            return dataset, config, False
        if own != first:
            dataset = _load(own, metadata)  # with its groups
        return _split_by_training(dataset, source, own, metadata, split), own, True


def _trained_whole(config: DataConfig, dataset: Dataset, metadata: Metadata) -> Path | None:
    """Return the folder that the model was trained on if other data is a part of it, or None."""
    whole = None if config.path is None else whole_training_data(config.path, metadata)
    return None if whole is None or is_elsewhere(whole, dataset, metadata) else whole


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
    values: dict[str, Any] = {"source": data.source, **input_settings(metadata)}
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
    they call by different names, and numbers that some do not name: those mean something else in
    each data set.
    """
    if not takes_label_names(source):
        return dict(label_names)
    own = all(not set(model.emotions) <= set(EMOTIONS) for model in models)
    shared: dict[str, list[str]] = {}
    for model in models:
        for label, name in model.config.get("data", {}).get("label_names", {}).items():
            if own or name in EMOTIONS:
                shared.setdefault(label, []).append(name)
    agreed = {
        label: names[0]
        for label, names in shared.items()
        if len({*names}) == 1 and not (label.isdecimal() and len(names) < len(models))
    }
    return {**agreed, **label_names}


def _tell_numbers(
    source: NamedData, dataset: Dataset, metadata: Metadata, *, given: Mapping[str, str]
) -> None:
    """Say which numbers of new data are taken for what they mean in the training data."""
    trained = metadata.config.get("data", {}).get("label_names", {})
    numbers = {
        label: name
        for label, name in dataset.label_names.items()
        if label.isdecimal() and label in trained and label not in given
    }
    if numbers:
        logger.warning(
            "%s: %s, as in the training data of %s; if the numbers mean something else here, say "
            "so with --label-name %s=EMOTION",
            source,
            ", ".join(f"{label} is {name}" for label, name in numbers.items()),
            metadata.name,
            next(iter(numbers)),
        )


def _given(split: str | None, dataset: Dataset, metadata: Metadata) -> bool:
    """Return whether a split of the training data is that of the source, not drawn for training."""
    if split in (None, "test"):
        return "test" in dataset.splits
    drawn_anyway = metadata.config["data"].get("fold") is not None
    return not drawn_anyway and {"val", "test"} <= {*dataset.splits.tolist()}


def _as_in_training(
    config: DataConfig, metadata: Metadata, *, grouped: bool, moved: bool
) -> DataConfig:
    """Return a config of the training data with what the user need not give again."""
    trained = metadata.config.get("data", {})
    inherited: dict[str, Any] = {}
    if not moved:  # or its images were found without
        inherited["path_prefix"] = trained.get("path_prefix", {})
    if grouped:
        inherited["group"] = tuple(trained.get("group", ()))
    return config.model_copy(update=inherited)


def _split_by_training(
    dataset: Dataset, source: NamedData, config: DataConfig, metadata: Metadata, split: str | None
) -> Dataset:
    """Return the data that the model was trained on, named by the user, with its splits then."""
    if split != "all" and not _given(split, dataset, metadata):
        return _split_as_in_training(source, config, metadata, split)
    trained_on = cleaned_training_images(config, metadata)
    leaked = leaked_images(dataset.digests, dataset.splits, trained_on)
    dataset = replace(dataset, leaked=leaked)
    for line in dataset.describe_leaks():
        logger.info(line)
    return dataset


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
    told = {"label_names": config.label_names, "path_prefix": config.path_prefix}
    data = training.data.model_copy(update=told)
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


def _share_group_with_training(dataset: Dataset, columns: tuple[str, ...]) -> np.ndarray:
    """Return which images share a known value of a column with a training image: (n,) bool."""
    rows = np.flatnonzero(np.isin(dataset.splits, ("train", "")))
    shared = np.zeros(len(dataset.splits), bool)
    for name in columns:
        values = [known_group(value) for value in dataset.traits[name]]
        trained = {values[row] for row in rows} - {""}
        shared |= [value in trained for value in values]
    return shared


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
