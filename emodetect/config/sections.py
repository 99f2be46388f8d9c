"""The sections of an experiment's config: keys, defaults, bounds and valid combinations.

The defaults are here; the files in configs/ contain only what differs from them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar
from unicodedata import normalize

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from emodetect.emotions import canonical_emotion, plain_label
from emodetect.errors import DataError

Fraction = Annotated[float, Field(ge=0, lt=1)]


def _check_path(path: object) -> object:
    if path == "" or (isinstance(path, str) and "\0" in path):
        raise ValueError("expected a path")
    if isinstance(path, str) and re.match(r"[A-Za-z]:.*[\b\t\n\f\r]", path, re.DOTALL):
        # In TOML's double quotes, the \t of "C:\test" is a tab, without an error.
        raise ValueError(
            "expected a path without control characters; put a path with backslashes in single "
            "quotes: 'C:\\test'"
        )
    # A shell does not replace the ~ of --set data.path=~/faces.
    return os.path.expanduser(path) if isinstance(path, str) else path  # noqa: PTH111  of any text


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Section = TypeVar("Section", bound=_Section)
MOST_ALPHA = 1000.0  # beyond which random numbers overflow, long after all are one half
OptionalPath = Annotated[Path | None, BeforeValidator(_check_path)]
Faces = Literal["whole", "detect"]
# Sources that take all images in a folder.
SEARCHED = ("folder", "ferplus")


def _known_label(name: str, values: ValidationInfo) -> str:
    """Return the usual form of a label, as data.labels allows it."""
    try:
        if values.data.get("labels") == "own":
            return plain_label(name)
        return canonical_emotion(name)
    except DataError as error:
        hint = "" if values.data.get("labels") == "own" else f" {OWN_LABELS}"
        raise ValueError(f"{error}{hint}") from None


class SyntheticConfig(_Section):
    """How many faces the `synthetic` source draws, how large, and how clear."""

    train_per_class: int = Field(default=200, ge=2, le=100_000)
    test_per_class: int = Field(default=50, ge=1, le=100_000)
    size: int = Field(default=64, ge=32, le=512, description="side of a drawn face in pixels")
    weakest: float = Field(
        default=0.85,
        ge=0,
        le=1,
        description="lowest strength of an expression: 1 is a full one, near 0 nobody can tell it "
        "from neutral",
    )


# What to do with labels that are not emotions.
OWN_LABELS = 'To use labels of your own, add --own-labels (data.labels = "own" in a config).'

# Keys that only some sources use: for others they would be accepted and ignored.
SOURCES_OF_KEY = {
    "labels": ("folder", "manifest", "tfrecord"),
    "votes": ("ferplus",),
    "soft_labels": ("ferplus", "manifest"),
    "public_test": ("fer2013_csv", "ferplus"),
    "group": ("manifest",),
    "slice_by": ("manifest",),
    "label_names": ("folder", "manifest", "tfrecord"),
    "path_prefix": ("manifest",),
}


class CleaningConfig(_Section):
    """Which images `data.manifest` excludes from training.

    Images in a val or test split of the source are always kept, so that metrics on them stay
    comparable.
    """

    drop_leaks: bool = Field(
        default=True, description="exclude training images that also appear in val or test"
    )
    drop_conflicts: bool = Field(
        default=True, description="exclude training images with a different label elsewhere"
    )
    keep_one_of_duplicates: bool = Field(
        default=True, description="keep only the first of identical training images"
    )
    near: bool = Field(
        default=True,
        description="treat near-identical images as identical; if false, only pixel-identical ones",
    )
    drop_flags: tuple[
        Literal[
            "tiny",
            "blank",
            "dark",
            "bright",
            "blurred",
            "no_face",
            "votes_no_face",
            "votes_contradict",
            "label_doubtful",
        ],
        ...,
    ] = Field(default=(), description="exclude training images with any of these audit flags")


class DataConfig(_Section):
    """Where the labelled images come from, and how they are prepared."""

    source: Literal[
        "folder",
        "manifest",
        "fer2013_csv",
        "ferplus",
        "raf_db",
        "affectnet",
        "ckplus",
        "tfrecord",
        "synthetic",
    ] = "folder"
    path: OptionalPath = Field(
        default=None,
        description="folder: folder of class folders; manifest: CSV file with path, label and "
        "optionally split; fer2013_csv: fer2013.csv; ferplus: folder of PNGs, or fer2013.csv; "
        "raf_db, affectnet, ckplus: folder of the data set; tfrecord: file, or folder of shards",
    )
    votes: OptionalPath = Field(
        default=None,
        description="ferplus: path of fer2013new.csv; by default searched in and next to data.path",
    )
    soft_labels: bool = Field(
        default=False,
        description="train on the distribution instead of the top label: of the FER+ votes, or of "
        "a manifest's columns named after the emotions",
    )
    public_test: Literal["val", "test"] | None = Field(
        default=None,
        description="fer2013_csv and ferplus: the split of PublicTest; by default val if there is "
        "a PrivateTest, else test",
    )
    labels: Literal["emotions", "own"] = Field(
        default="emotions",
        description="folder, manifest and tfrecord: what the labels are; own: any names, which "
        "are used as they are",
    )
    label_names: dict[str, str] = Field(
        default={},
        description='emotions that other labels stand for, such as {"3" = "happy"}; with '
        "data.labels = 'own', any names",
    )
    path_prefix: dict[str, str] = Field(
        default={},
        description="manifest: beginnings of paths and where those images are now, such as "
        '{"D:/faces" = "/data/faces"}; "." stands for paths that are relative',
    )
    group: tuple[str, ...] = Field(
        default=(),
        description="manifest: columns such as person or video; images with the same value stay in "
        "one split",
    )
    slice_by: tuple[str, ...] = Field(
        default=(),
        description="manifest: columns such as age or gender by which evaluate breaks results down",
    )
    faces: Faces = Field(
        default="whole",
        description="whole: each image is one crop; detect: faces are detected as in predict",
    )
    faces_per_image: Literal["largest", "all"] = Field(
        default="largest", description="with data.faces = 'detect': which faces to use"
    )
    margin: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="fraction of its side by which a face box is enlarged, here and in predict",
    )
    image_size: int = Field(
        default=48,
        ge=16,
        le=512,
        description="side of the stored crops and of the model's input, in pixels",
    )
    color: Literal["gray", "rgb"] = "gray"
    classes: tuple[str, ...] | None = Field(
        default=None,
        description="emotions, or labels of your own, to use; by default all that are found",
    )
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="of the images not in test; only used if the source has no val split; by "
        "default 0.1, more if that is fewer than 50 images, and at most 0.2. Drawn groups are "
        "whole, so it is about that share",
    )
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.1,
        description="only used if the source has no test split; of groups, about that share",
    )
    fold: tuple[int, int] | None = Field(
        default=None,
        description="[k, n]: validate on the k-th of n folds of train and val together; "
        "training.folds sets it in the runs of its folds",
    )
    max_unreadable_fraction: Fraction = 0.05
    manifest: OptionalPath = Field(
        default=None,
        description="manifest.csv of `emodetect data audit`: train without the images that "
        "data.cleaning excludes",
    )
    cleaning: CleaningConfig = CleaningConfig()
    cache_dir: OptionalPath = Field(
        default=None,
        description="folder for decoded images; by default emodetect in the user's cache folder",
    )
    synthetic: SyntheticConfig = SyntheticConfig()

    @field_validator("label_names")
    @classmethod
    def _known_emotions(cls, names: dict[str, str], values: ValidationInfo) -> dict[str, str]:
        return {
            normalize("NFC", label): _known_label(name, values) for label, name in names.items()
        }

    @field_validator("path_prefix")
    @classmethod
    def _no_empty_prefix(cls, prefixes: dict[str, str]) -> dict[str, str]:
        if "" in prefixes or "" in prefixes.values():
            raise ValueError('expected folders; "." stands for paths that are relative')
        return prefixes

    @field_validator("classes")
    @classmethod
    def _canonical_classes(
        cls, classes: tuple[str, ...] | None, values: ValidationInfo
    ) -> tuple[str, ...] | None:
        if classes is None:
            return None
        names = tuple(_known_label(name, values) for name in classes)
        if len(set(names)) != len(names):
            raise ValueError("expected each emotion once")
        if len(names) < 2:
            raise ValueError("expected at least two emotions")
        return names

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.source == "synthetic" and self.path is not None:
            raise ValueError("path: the synthetic source draws its images; remove data.path")
        if self.source != "synthetic" and self.path is None:
            raise ValueError(f"path: the {self.source} source needs data.path")
        if self.source != "synthetic" and self.synthetic != SyntheticConfig():
            raise ValueError(f"synthetic: only for the source synthetic, not for {self.source}")
        if self.manifest is None and self.cleaning != CleaningConfig():
            raise ValueError("cleaning: needs data.manifest, which `emodetect data audit` writes")
        for key, sources in SOURCES_OF_KEY.items():
            default = type(self).model_fields[key].default
            if getattr(self, key) != default and self.source not in sources:
                raise ValueError(
                    f"{key}: only for the source {' or '.join(sources)}, not for {self.source}"
                )
        if self.soft_labels and self.labels == "own" and self.classes is None:
            raise ValueError(
                "soft_labels: with data.labels = 'own', list in data.classes which columns have "
                "weights"
            )
        if self.faces == "detect" and self.source in ("fer2013_csv", "ferplus"):
            raise ValueError(f"faces: expected 'whole', because {self.source} contains face crops")
        if self.faces == "whole" and self.faces_per_image == "all":
            raise ValueError("faces_per_image: 'all' needs data.faces = 'detect'")
        if self.fold is not None and not 1 <= self.fold[0] <= self.fold[1] >= 2:
            raise ValueError(f"fold: expected [k, n] with 1 <= k <= n, got {list(self.fold)}")
        if self.fold is not None and self.validation_fraction is not None:
            raise ValueError("validation_fraction: data.fold decides it; remove one of them")
        fractions = (self.validation_fraction or 0) + self.test_fraction
        if fractions >= 1:
            raise ValueError(
                "validation_fraction and test_fraction must leave images to train on, "
                f"but sum to {fractions:g}"
            )
        return self

    @property
    def data_path(self) -> Path:
        """The `path`, which every source but the synthetic one must have."""
        assert self.path is not None  # checked above
        return self.path

    @property
    def searched_folder(self) -> Path | None:
        """The folder in which all images are taken for data; None for sources that name them."""
        return self.path if self.source in SEARCHED else None


class ModelConfig(_Section):
    """The network."""

    name: Literal["mobilenet_v2", "mobilenet", "lenet5"] = "mobilenet_v2"
    init: str | None = Field(
        default=None,
        min_length=1,
        description="model to start from: 'shipped', the name of a shipped model, or a path; "
        "model.weights must then be absent or 'none'",
    )
    weights: str | None = Field(
        default_factory=lambda fields: None if fields.get("init") else "imagenet",
        description="weights of the backbone: 'imagenet', 'none', or a .weights.h5 file without "
        "the top layers; by default 'imagenet' without model.init",
    )
    width: float = Field(
        default=1.0,
        gt=0,
        le=16,
        description="factor on the number of filters; MobileNet's alpha",
    )
    backbone_size: int = Field(
        default=96,
        ge=32,
        le=512,
        description="side to which the model enlarges its input, in pixels; a larger input is "
        "reduced without antialiasing, so not less than data.image_size",
    )
    dropout: Fraction = 0.2
    dense: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(), description="units of the dense layers between backbone and softmax"
    )
    l2: float = Field(
        default=0.0,
        ge=0,
        description="L2 penalty on the kernels of the dense layers and of lenet5's convolutions",
    )

    @field_validator("weights")
    @classmethod
    def _known_or_file(cls, weights: str | None) -> str | None:
        if weights in (None, "imagenet", "none") or weights.endswith(".h5"):
            return weights
        raise ValueError("expected 'imagenet', 'none', or a file ending in .weights.h5")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.init is not None and self.weights not in (None, "none"):
            raise ValueError("init: the model has its own weights; remove model.weights")
        if self.name == "lenet5" and self.weights == "imagenet":
            raise ValueError("weights: lenet5 has no ImageNet weights; expected 'none'")
        return self


class AugmentationConfig(_Section):
    """Random augmentation of training images; 0 or false turns one off."""

    flip: bool = True
    rotation_degrees: float = Field(default=15.0, ge=0, le=180)
    zoom: Fraction = Field(default=0.1, description="scale between 1 - zoom and 1 + zoom")
    translation: Fraction = Field(
        default=0.1, description="as a fraction of the image's side, before zoom and rotation"
    )
    brightness: Fraction = Field(default=0.15, description="shift as a fraction of 255")
    contrast: Fraction = Field(
        default=0.2, description="factor between 1 - contrast and 1 + contrast"
    )
    erasing: float = Field(
        default=0.25, ge=0, le=1, description="probability of erasing a random rectangle"
    )
    degradation: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="probability of blur or sharpening, of noise, and of JPEG compression",
    )
    mixup: float = Field(
        default=0.0,
        ge=0,
        le=MOST_ALPHA,
        description="alpha of the Beta distribution for the blend of two images",
    )
    cutmix: float = Field(
        default=0.0,
        ge=0,
        le=MOST_ALPHA,
        description="alpha of the Beta distribution for the area pasted from another image, before "
        "it is cut at the border",
    )


class TrainingConfig(_Section):
    """The two phases: a head on the frozen backbone, then fine-tuning."""

    head_epochs: int = Field(default=1, ge=0, le=10_000)
    epochs: int = Field(default=12, ge=0, le=10_000, description="epochs of fine-tuning")
    batch_size: int = Field(default=64, ge=1, le=65_536)
    head_learning_rate: float = Field(default=1e-3, gt=0)
    learning_rate: float = Field(default=7e-4, gt=0)
    warmup_epochs: float | None = Field(
        default=None,
        ge=0,
        description="linear warm-up of fine-tuning; by default a tenth of its epochs",
    )
    weight_decay: float = Field(default=0.02, ge=0)
    label_smoothing: Fraction = 0.1
    imbalance: Literal["none", "class_weights", "balanced_sampling", "focal"] = Field(
        default="none", description="how to treat emotions with few images"
    )
    focal_gamma: float = Field(
        default=2.0,
        ge=0,
        description="how strongly focal loss down-weights images that are already correct",
    )
    ema_momentum: Fraction | None = Field(
        default=None,
        description="moving average of the weights; 0 turns it off; by default it averages over "
        "the last tenth of fine-tuning's steps, and at most 1,000",
    )
    batch_norm_momentum: Fraction | None = Field(
        default=None,
        description="of batch norm's statistics; by default they span an epoch, and at most 100 "
        "steps",
    )
    freeze_batch_norm: bool = Field(
        default=False,
        description="freeze batch norm as initialised; useful with a pretrained model or few "
        "images, and about 1.5 times as fast on a CPU",
    )
    fine_tune_from: str = Field(
        default="all", description="first backbone layer to train, or 'all'"
    )
    folds: int = Field(
        default=0,
        ge=0,
        le=100,
        description="for few images: before the run, train that many runs, each validated on "
        "another part of train and val together, and report mean and spread; 0 or 2 to 100",
    )
    early_stopping_patience: int = Field(default=6, ge=0, description="in epochs; 0 turns it off")
    monitor: Literal["val_accuracy", "val_loss"] = Field(
        default="val_accuracy",
        description="what decides on the best epoch and early stopping; val_loss is the loss that "
        "is trained with, label smoothing, focal term and L2 penalty included, but without class "
        "weights, and of the labels where training has soft ones",
    )
    mixed_precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    devices: int | Literal["all"] = Field(
        default=1,
        description="GPUs to train on: a number, or 'all'; each gets an equal share of every batch",
    )
    track: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = Field(
        default=(),
        description="trackers of the run: 'tensorboard', 'mlflow', 'wandb' (extras of these names)",
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.head_epochs + self.epochs == 0:
            raise ValueError(
                "epochs: head_epochs and epochs are both 0, so nothing would be trained"
            )
        if self.focal_gamma != type(self).model_fields["focal_gamma"].default and (
            self.imbalance != "focal"
        ):
            raise ValueError("focal_gamma: only for training.imbalance = 'focal'")
        if self.devices != "all" and self.devices < 1:
            raise ValueError(f"devices: expected at least 1, or 'all', got {self.devices}")
        if self.devices != "all" and self.batch_size % self.devices:
            raise ValueError(
                f"batch_size: expected a multiple of devices ({self.devices}), got "
                f"{self.batch_size}"
            )
        if self.folds == 1:
            raise ValueError("folds: expected 0 or at least 2, got 1")
        if self.warmup_epochs and self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs: expected less than epochs ({self.epochs}), got {self.warmup:g}"
            )
        return self

    @property
    def warmup(self) -> float:
        """The number of warm-up epochs, with the default filled in."""
        return self.epochs / 10 if self.warmup_epochs is None else self.warmup_epochs


class ExperimentConfig(_Section):
    """Everything that decides the outcome of a training run."""

    data: DataConfig
    model: ModelConfig = ModelConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    training: TrainingConfig = TrainingConfig()
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**31,
        description="of the first weights, the batches, the augmentation, and the splits that are "
        "drawn",
    )
    output: Annotated[Path, BeforeValidator(_check_path)] = Field(
        default=Path("runs/emodetect"), description="the run folder"
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.training.folds and self.data.fold is not None:
            raise ValueError("training.folds: sets data.fold in its runs; remove data.fold")
        random = self.model.weights == "none" and self.model.init is None
        if random and self.training.head_epochs:
            raise ValueError(
                "training.head_epochs: expected 0 with model.weights = 'none' (the head learns "
                "nothing from a frozen backbone with random weights), got "
                f"{self.training.head_epochs}"
            )
        if random and self.training.freeze_batch_norm:
            raise ValueError(
                "training.freeze_batch_norm: expected false with model.weights = 'none' (there is "
                "no batch norm to keep)"
            )
        return self
