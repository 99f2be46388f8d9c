"""What a tracker is, and what it gets to know about a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras

from emodetect.config import ExperimentConfig, flatten
from emodetect.data.dataset import Dataset
from emodetect.training.run_folder import versions

DEFAULT_PROJECT = "emodetect"


@dataclass(frozen=True)
class TrackedRun:
    """A run as its trackers describe it.

    Attributes:
        folder: the run folder.
        name: its path as given.
        config: the whole config, as nested plain values.
        data: what identifies the data set: fingerprint and number of images.
        versions: of the libraries.
    """

    folder: Path
    name: str
    config: dict[str, Any]
    data: dict[str, Any]
    versions: dict[str, str]

    def parameters(self) -> dict[str, Any]:
        """Return the config with dotted keys, such as "training.epochs"."""
        return dict(flatten(self.config))


def describe(config: ExperimentConfig, dataset: Dataset) -> TrackedRun:
    """Return what trackers get to know when a run begins."""
    return TrackedRun(
        folder=config.output,
        name=config.output.as_posix(),
        config=config.model_dump(mode="json", exclude_none=True),
        data=dataset.identity(),
        versions=versions(),
    )


@dataclass(frozen=True)
class Outcome:
    """What a finished run leaves.

    Attributes:
        artifact: the model file.
        plots: PNG files.
        figures: the best epoch, counted from 1, and its figures.
        summary: lines of text.
    """

    artifact: Path
    plots: tuple[Path, ...]
    figures: dict[str, float]
    summary: tuple[str, ...]


class Tracker(Protocol):
    """Tells a tracking service, or its files, about one run. Each method may raise anything."""

    def start(self, run: TrackedRun, identifier: str | None) -> str:
        """Begin a run, or continue the one with this identifier; return the identifier."""

    def callback(self) -> keras.callbacks.Callback:
        """Return the package's own callback, for one call of fit."""

    def finish(self, run: TrackedRun, outcome: Outcome) -> None:
        """Add what a finished run leaves."""

    def close(self, *, completed: bool) -> None:
        """Send what is left, and end; not completed if the training was interrupted."""
