"""What all readers do: collect images, and count those that they leave out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

from emodetect.config import DataConfig
from emodetect.data.labels import PUBLIC_TEST, label_order, public_test_split
from emodetect.data.listing import Listing, Sample, SkippedFile
from emodetect.emotions import EMOTIONS
from emodetect.errors import DataError


class ListingBuilder:
    """Collects the images that a reader finds.

    Attributes:
        samples: the images to use.
        skipped: the images that cannot be used, and why.
        left_out: how many images were left out on purpose, by reason.
        notes: what was taken for what, a line each.
    """

    def __init__(self, config: DataConfig) -> None:
        self.samples: list[Sample] = []
        self.skipped: list[SkippedFile] = []
        self.left_out: Counter[str] = Counter()
        self.notes: list[str] = []
        self._config = config
        self._outside_classes = 0

    def skip(self, path: str, error: Exception) -> None:
        """Record an image or row that cannot be used."""
        self.skipped.append(SkippedFile(path, str(error)))

    def wants(self, emotion: str, *, images: int = 1) -> bool:
        """Return whether data.classes includes an emotion; if not, count its images as left out."""
        classes = self._config.classes
        if classes is None or emotion in classes:
            return True
        self.left_out[f"emotion outside data.classes: {emotion}"] += images
        self._outside_classes += images
        return False

    def settle_public_test(self, splits: Collection[str | None]) -> None:
        """Make PUBLIC_TEST the split that the config says, or that it is beside other `splits`."""
        if PUBLIC_TEST in splits:
            public = self._config.public_test or public_test_split(splits)
            self.samples = [
                replace(sample, split=public) if sample.split == PUBLIC_TEST else sample
                for sample in self.samples
            ]

    def listing(
        self,
        root: Path,
        *,
        where: Path | str,
        label_names: Mapping[str, str] | None = None,
        groups: tuple[str, ...] = (),
        voted: tuple[str, ...] = EMOTIONS,
    ) -> Listing:
        """Return what was found.

        Args:
            where: the file or folder to name in errors.

        Raises:
            DataError: if no image can be used, or none of a class in data.classes.
        """
        if self.skipped and not self.samples and not self._outside_classes:
            raise DataError(f"{where}: no label can be used; the first: {self.skipped[0]}.")
        emotions = label_order(self.samples, self._config, where=str(where))
        named = dict(label_names or {})
        renamed = [
            f"{label} is {emotion}"
            for label, emotion in named.items()
            if label != emotion and emotion in emotions
        ]
        if renamed:
            self.notes.append(f"labels: {', '.join(renamed)}")
        composed = {normalize("NFC", label) for label in named}
        if unused := [label for label in self._config.label_names if label not in composed]:
            self.notes.append(f"{where}: no label is called {' or '.join(map(repr, unused))}")
        return Listing(
            root,
            tuple(self.samples),
            emotions,
            dict(+self.left_out),
            tuple(self.skipped),
            groups=groups,
            label_names=named,
            voted=voted,
            notes=tuple(self.notes),
        )
