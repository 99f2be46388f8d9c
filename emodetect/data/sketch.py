"""Sketches: a few hashes of a set of images, by which its images are known in other data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emodetect.model_file.metadata import SKETCH_DIGITS, Metadata

SKETCHED = 4096  # enough to know 50 of FER2013's training images
HASHES = 16**SKETCH_DIGITS  # how many there are; those of images are spread evenly
# Of fewer images in the sketch, or a smaller share, copies that data sets have in common may be
# why: 7% of FER2013's test images are in its train split too.
FEWEST_TOLD, SHARE_TOLD = 4, 0.1


@dataclass(frozen=True)
class Sketch:
    """The smallest hashes of a set of images.

    A bottom-k sketch (Cohen and Kaplan 2007, Summarizing data using bottom-k sketches): the share
    of these that another data set has is about the share of the images that it has.

    Attributes:
        text: the hashes, the first 16 hexadecimal digits of `Dataset.digests`, sorted and joined.
    """

    text: str = ""

    @classmethod
    def of(cls, digests: np.ndarray) -> Sketch:
        """Return the sketch of images, (n,) hashes of their pixels as bytes."""
        return cls(np.unique(_shortened(digests))[:SKETCHED].tobytes().decode())

    def with_images_of(self, other: Sketch) -> Sketch:
        """Return the sketch of the images of both sets."""
        return Sketch.of(np.concatenate([self.hashes, other.hashes]))

    @property
    def hashes(self) -> np.ndarray:
        """(k,) bytes, at most SKETCHED."""
        return np.frombuffer(self.text.encode(), f"S{SKETCH_DIGITS}")

    def knows(self, digests: np.ndarray) -> np.ndarray:
        """Return (n,) bool: which images, by the hashes of their pixels, are in the sketch."""
        known: np.ndarray = np.isin(_shortened(digests), self.hashes)
        return known

    def share_of(self, digests: np.ndarray) -> float:
        """Estimate which share of images is in the set, 0 to 1; 0 if too few are to be sure."""
        known = int(self.knows(digests).sum())
        if known < FEWEST_TOLD:
            return 0.0
        share = min(1.0, known / len(self.hashes) * self._images() / len(digests))
        return share if share >= SHARE_TOLD else 0.0

    def can_judge(self, count: int) -> bool:
        """Return whether so many images of the set would very likely (96%) be told.

        A sketch that has all images of its set can judge any number.
        """
        complete = len(self.hashes) < SKETCHED
        return complete or count * len(self.hashes) >= 2 * FEWEST_TOLD * self._images()

    def _images(self) -> float:
        """Estimate the size of the set from the k-th smallest hash (Bar-Yossef et al. 2002)."""
        if len(self.hashes) < SKETCHED:
            return len(self.hashes)
        size: float = (SKETCHED - 1) * HASHES / (int(self.hashes[-1], 16) + 1)
        return size


def sketch_in(metadata: Metadata, key: str) -> Sketch:
    """Return a sketch in the metadata of a model; an empty one if it has none.

    Args:
        key: "served", of the images that trained the model or chose its epoch, or "trained", of
            those that trained it or the models that it started from.
    """
    return Sketch(metadata.dataset.get(key, ""))


def _shortened(digests: np.ndarray) -> np.ndarray:
    return digests.astype(f"S{SKETCH_DIGITS}")
