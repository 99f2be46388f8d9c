"""The audit of labelled images, from their sources to its findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from emodetect.auditing.doubtful_labels import ModelDoubts, ask_model, unseen_by
from emodetect.auditing.duplicates import Duplicates, find_duplicates
from emodetect.auditing.face_check import FaceSearch, open_search
from emodetect.auditing.quality import quality_flags
from emodetect.auditing.scan import FACE_MISSING, Scan, scan_pictures
from emodetect.auditing.sources import SourceImages, list_images
from emodetect.config import Faces
from emodetect.data.named_data import NamedData, find_data
from emodetect.emotions import EMOTIONS, in_canonical_order
from emodetect.errors import OptionsError
from emodetect.evaluation.labelled_images.labelled_data import usual_faces
from emodetect.recognition.recognizer import EmotionRecognizer


@dataclass(frozen=True)
class AuditOptions:
    """What to audit, and how.

    Raises OptionsError for options that do not go together.

    Attributes:
        sources: the data sets, as SOURCE:PATH such as "folder:faces", or as PATH where `find_data`
            can tell the source. "ferplus" audits the images with their own labels and compares
            these with the votes.
        faces: `data.faces` of each source. None, or an empty sequence for all: images are face
            crops; the model sees them as it was trained.
        detector: see `face_check.open_search`.
        model: a run folder, a .keras file or the name of a shipped model, to compare the labels
            with.
        unseen: states that the model was trained on none of these images.
        label_names: the emotions of labels by other names, for the sources that take them.
        own_labels: their labels need not be emotions, as with `data.labels` "own".
    """

    sources: Sequence[str]
    faces: Sequence[Faces | None] = ()
    detector: str | None = None
    model: str | Path | None = None
    unseen: bool = False
    label_names: Mapping[str, str] = field(default_factory=dict)
    own_labels: bool = False

    def __post_init__(self) -> None:
        if not self.sources:
            raise OptionsError("data audit: expected at least one data set, got none.")
        if self.unseen and self.model is None:
            raise OptionsError("--unseen requires --model.")

    @cached_property
    def named(self) -> tuple[NamedData, ...]:
        """The sources, as `find_data` names them; raises the same."""
        return tuple(find_data(source, option="data audit") for source in self.sources)


@dataclass(frozen=True, kw_only=True)
class Audit(SourceImages):
    """What was found in n images.

    Attributes:
        sources: the data sets.
        emotions: the labels that occur.
        scan: the measurements.
        duplicates: which images are the same.
        flags: by name, which images have the flag, (n,) bool.
        search: how faces were searched for; None if they were not.
        model: name of the model the labels were compared with; empty for none.
        doubts: the labels it disagrees with; None without a model.
    """

    sources: tuple[NamedData, ...]
    emotions: tuple[str, ...]
    scan: Scan
    duplicates: Duplicates
    flags: dict[str, np.ndarray]
    search: FaceSearch | None
    model: str
    doubts: ModelDoubts | None

    @property
    def splits(self) -> np.ndarray:
        """(n,) str, "train", "val", "test", or "" if the source gives no split."""
        return np.array([picture.sample.split or "" for picture in self.pictures], "U5")

    @property
    def origins(self) -> np.ndarray:
        """(n,) int64, the position of each image's source."""
        return np.array([picture.source for picture in self.pictures], np.int64)


def audit_sources(options: AuditOptions) -> Audit:
    """Check labelled images for leaks, duplicates, suspicious labels and bad images.

    Several sources are also compared with each other.

    Raises:
        DataError: for a source that is missing, empty or has unknown labels.
        EmodetectError: for a model or detector that is missing, and a wrong `unseen`.
    """
    recognizer = EmotionRecognizer(options.model, detector="none") if options.model else None
    search = open_search(options.detector)
    faces = options.faces or [None] * len(options.sources)
    images = list_images(
        options.named, faces=faces, label_names=options.label_names, own_labels=options.own_labels
    )
    unseen = None
    if recognizer is not None:  # before the long work, because it may be refused
        paths = [config.path for config in images.configs if config.path is not None]
        unseen = unseen_by(recognizer.metadata, images.pictures, paths, stated=options.unseen)
    scan = scan_pictures(images.pictures, search.has_face if search else None)
    doubts = None
    if recognizer is not None and unseen is not None:
        metadata = recognizer.metadata
        framed = [
            config.model_copy(
                update={
                    "faces": how or usual_faces(source.source, metadata),
                    "margin": metadata.margin,
                }
            )
            for config, how, source in zip(images.configs, faces, options.named, strict=True)
        ]
        doubts = ask_model(
            recognizer,
            images.pictures,
            scan.readable,
            configs=framed,
            unseen=unseen,
            stated=options.unseen,
        )
    return Audit(
        **vars(images),
        sources=options.named,
        emotions=in_canonical_order(images.labels.tolist()),
        scan=scan,
        duplicates=find_duplicates(scan),
        flags=_flags(images, scan, doubts),
        search=search,
        model="" if recognizer is None else recognizer.metadata.name,
        doubts=doubts,
    )


def _flags(images: SourceImages, scan: Scan, doubts: ModelDoubts | None) -> dict[str, np.ndarray]:
    labels, winners = images.labels, images.winners
    return {
        "unreadable": ~scan.readable,
        **quality_flags(scan),
        # A blank image has no face in it anyway.
        "no_face": (scan.faces == FACE_MISSING) & scan.readable,
        "votes_no_face": winners == "no face",
        "votes_contradict": np.isin(winners, EMOTIONS) & (winners != labels),
        "label_doubtful": np.zeros(len(labels), bool) if doubts is None else doubts.suggested != "",
    }
