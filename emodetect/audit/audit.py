"""The audit of labelled images, from their sources to its findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from emodetect.audit.doubtful_labels import ModelDoubts, ask_model, unseen_by
from emodetect.audit.duplicates import Duplicates, find_duplicates
from emodetect.audit.face_check import FaceSearch, open_search
from emodetect.audit.quality import quality_flags
from emodetect.audit.scan import FACE_MISSING, Picture, Scan, scan_pictures
from emodetect.config import SOURCES_OF_KEY, DataConfig
from emodetect.data.listing import SkippedFile
from emodetect.data.readers.ferplus import read_unvoted, read_winners
from emodetect.data.readers.registry import config_of, list_samples, split_source
from emodetect.emotions import EMOTIONS, in_canonical_order
from emodetect.recognition.recognizer import EmotionRecognizer


@dataclass(frozen=True)
class Audit:
    """What was found in n images.

    Attributes:
        sources: the data sets as they were named.
        configs: how each of them was read.
        pictures: the images, in the order of the sources.
        emotions: the labels that there are.
        scan: what was measured.
        duplicates: which images are the same.
        flags: by name, which images have it, (n,) bool.
        winners: (n,) str, what the voters of FER+ chose; empty where nobody voted.
        votes: (n, EMOTIONS) int64.
        search: how faces were looked for; None if they were not.
        model: name of the model that was asked; empty for none.
        doubts: what it said; None for no model.
        left_out: by source and reason, how many images its reader left out.
        skipped: rows that the reader could not use.
    """

    sources: tuple[str, ...]
    configs: tuple[DataConfig, ...]
    pictures: tuple[Picture, ...]
    emotions: tuple[str, ...]
    scan: Scan
    duplicates: Duplicates
    flags: dict[str, np.ndarray]
    winners: np.ndarray
    votes: np.ndarray
    search: FaceSearch | None
    model: str
    doubts: ModelDoubts | None
    left_out: dict[str, int]
    skipped: tuple[SkippedFile, ...]

    @property
    def labels(self) -> np.ndarray:
        """(n,) str objects, the emotions."""
        return np.array([picture.sample.emotion for picture in self.pictures], object)

    @property
    def splits(self) -> np.ndarray:
        """(n,) str, "train", "val", "test", or "" where the source does not say."""
        return np.array([picture.sample.split or "" for picture in self.pictures], "U5")

    @property
    def origins(self) -> np.ndarray:
        """(n,) int64, the position of each image's source."""
        return np.array([picture.source for picture in self.pictures], np.int64)


def audit_sources(
    sources: Sequence[str],
    *,
    faces: Sequence[Literal["whole", "detect"] | None] = (),
    detector: str | None = None,
    recognizer: EmotionRecognizer | None = None,
    unseen: bool = False,
    label_names: Mapping[str, str] | None = None,
) -> Audit:
    """Look for what is wrong with labelled images; with several sources also between them.

    Args:
        sources: as SOURCE:PATH. "ferplus" takes the images with their own labels and compares
            these with the votes.
        faces: `data.faces` of each source; if None as a crop, and as the recogniser was trained
            where one is asked. Empty for None of all.
        detector: see `faces.open_search`.
        recognizer: a model that is asked about the labels.
        unseen: states that it was trained on none of these images.
        label_names: the emotions of labels by other names, for the sources that have such.

    Raises:
        DataError: for a source that is missing, empty or of unknown labels.
        EmodetectError: for a detector that is not there, and a wrong `unseen`.
    """
    search = open_search(detector)
    configs = _configs(sources, faces or [None] * len(sources), label_names or {})
    pictures: list[Picture] = []
    left_out: dict[str, int] = {}
    skipped: list[SkippedFile] = []
    winners: list[tuple[str, tuple[int, ...]]] = []
    for number, config in enumerate(configs):
        voted = config.source == "ferplus"
        listing = read_unvoted(config) if voted else list_samples(config)
        pictures += [Picture(number, listing.root, sample) for sample in listing.samples]
        left_out |= {f"{sources[number]}: {key}": n for key, n in listing.left_out.items()}
        skipped += [
            SkippedFile(name_in(sources, number, file.path), file.reason)
            for file in listing.skipped
        ]
        chosen = read_winners(config) if voted else {}
        nobody = ("", (0,) * len(EMOTIONS))
        winners += [chosen.get(sample.name, nobody) for sample in listing.samples]
    known_unseen = None
    if recognizer is not None:  # before the long work, because it may be refused
        paths = [config.path for config in configs if config.path is not None]
        known_unseen = unseen_by(recognizer.metadata, pictures, paths, stated=unseen)
    scan = scan_pictures(pictures, search.has_face if search else None)
    doubts = None
    if recognizer is not None and known_unseen is not None:
        doubts = ask_model(
            recognizer,
            pictures,
            scan.readable,
            faces=faces or [None] * len(sources),
            unseen=known_unseen,
        )
    chosen_by_voters = np.array([winner for winner, _ in winners], object)
    labels = np.array([picture.sample.emotion for picture in pictures], object)
    flags = {
        "unreadable": ~scan.readable,
        **quality_flags(scan),
        # A blank image has no face in it anyway.
        "no_face": (scan.faces == FACE_MISSING) & scan.readable,
        "votes_no_face": chosen_by_voters == "no face",
        "votes_contradict": np.isin(chosen_by_voters, EMOTIONS) & (chosen_by_voters != labels),
        "label_doubtful": np.zeros(len(labels), bool) if doubts is None else doubts.suggested != "",
    }
    return Audit(
        sources=tuple(sources),
        configs=tuple(configs),
        pictures=tuple(pictures),
        emotions=in_canonical_order(labels.tolist()),
        scan=scan,
        duplicates=find_duplicates(scan),
        flags=flags,
        winners=chosen_by_voters,
        votes=np.array([votes for _, votes in winners], np.int64).reshape(-1, len(EMOTIONS)),
        search=search,
        model="" if recognizer is None else recognizer.metadata.name,
        doubts=doubts,
        left_out=left_out,
        skipped=tuple(skipped),
    )


def name_in(sources: Sequence[str], number: int, name: str) -> str:
    """Return the name of an image of a source by its number, told apart where there are several."""
    return f"{sources[number]}: {name}" if len(sources) > 1 else name


def _configs(
    sources: Sequence[str],
    faces: Sequence[Literal["whole", "detect"] | None],
    label_names: Mapping[str, str],
) -> list[DataConfig]:
    takers = SOURCES_OF_KEY["label_names"]
    named = [split_source(source, option="data audit")[0] in takers for source in sources]
    return [
        config_of(
            source,
            option="data audit",
            faces=how,
            # Where no source takes them they are refused, not ignored.
            label_names=label_names if takes or not any(named) else None,
        )
        for source, how, takes in zip(sources, faces, named, strict=True)
    ]
