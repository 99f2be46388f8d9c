"""The images of an audit: listed from their sources, with the FER+ votes if there are any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from emodetect.auditing.scan import Picture
from emodetect.config import SOURCES_OF_KEY, DataConfig, Faces
from emodetect.data.listing import SkippedFile
from emodetect.data.named_data import NamedData, config_of
from emodetect.data.readers.ferplus import read_unvoted, read_winners
from emodetect.data.readers.registry import list_samples
from emodetect.emotions import EMOTIONS


@dataclass(frozen=True, kw_only=True)
class SourceImages:
    """The images of all sources, and what the sources say about them.

    Attributes:
        configs: how each source was read.
        pictures: the images, in the order of the sources.
        winners: (n,) str, what the FER+ voters chose; empty where nobody voted.
        votes: (n, EMOTIONS) int64.
        left_out: by source and reason, how many images the reader left out.
        skipped: rows that the reader could not use.
    """

    configs: tuple[DataConfig, ...]
    pictures: tuple[Picture, ...]
    winners: np.ndarray
    votes: np.ndarray
    left_out: dict[str, int]
    skipped: tuple[SkippedFile, ...]

    @property
    def labels(self) -> np.ndarray:
        """(n,) str objects, the emotions."""
        return np.array([picture.sample.emotion for picture in self.pictures], object)


def list_images(
    sources: Sequence[NamedData],
    *,
    faces: Sequence[Faces | None],
    label_names: Mapping[str, str],
    own_labels: bool,
) -> SourceImages:
    """List the images of each data set.

    "ferplus" gives the images with their own labels, to be compared with the votes.

    Raises:
        DataError: for a source that is missing, empty or has unknown labels.
        ConfigError: for faces or label names that a source does not take.
    """
    configs = _configs(sources, faces, label_names, own_labels=own_labels)
    pictures: list[Picture] = []
    winners: list[str] = []
    votes: list[tuple[int, ...]] = []
    left_out: dict[str, int] = {}
    skipped: list[SkippedFile] = []
    for number, config in enumerate(configs):
        voted = config.source == "ferplus"
        listing = read_unvoted(config) if voted else list_samples(config)
        chosen = read_winners(config) if voted else {}
        for sample in listing.samples:
            pictures.append(Picture(number, listing.root, sample))
            winner, counts = chosen.get(sample.name, ("", (0,) * len(EMOTIONS)))
            winners.append(winner)
            votes.append(counts)
        left_out |= {f"{sources[number]}: {key}": n for key, n in listing.left_out.items()}
        skipped += [
            SkippedFile(name_in(sources, number, file.path), file.reason)
            for file in listing.skipped
        ]
    return SourceImages(
        configs=tuple(configs),
        pictures=tuple(pictures),
        winners=np.array(winners, object),
        votes=np.array(votes, np.int64).reshape(-1, len(EMOTIONS)),
        left_out=left_out,
        skipped=tuple(skipped),
    )


def name_in(sources: Sequence[NamedData], number: int, name: str) -> str:
    """Return the name of an image, with its source if there are several."""
    return f"{sources[number]}: {name}" if len(sources) > 1 else name


def _configs(
    sources: Sequence[NamedData],
    faces: Sequence[Faces | None],
    label_names: Mapping[str, str],
    *,
    own_labels: bool,
) -> list[DataConfig]:
    accepting = SOURCES_OF_KEY["label_names"]
    accepts = [source.source in accepting for source in sources]
    return [
        config_of(
            source,
            faces=how,
            # If no source accepts them, they are refused rather than ignored.
            label_names=label_names if accepting_one or not any(accepts) else None,
            own_labels=own_labels and (accepting_one or not any(accepts)),
        )
        for source, how, accepting_one in zip(sources, faces, accepts, strict=True)
    ]
