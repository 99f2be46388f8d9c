"""All trackers of a run; one that fails is dropped, and the training continues."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras

from emodetect.config import ExperimentConfig
from emodetect.data.dataset import Dataset
from emodetect.errors import first_line
from emodetect.machine.atomic_files import write_json
from emodetect.training.tracking.registry import new_tracker
from emodetect.training.tracking.tracker import Outcome, TrackedRun, Tracker, describe

logger = logging.getLogger(__name__)


class Trackers(keras.callbacks.Callback):
    """A Keras callback that passes on to those of the trackers, until they fail."""

    def __init__(self, run: TrackedRun) -> None:
        super().__init__()
        self.run = run
        self.working: dict[str, Tracker] = {}
        self.callbacks: dict[str, keras.callbacks.Callback] = {}

    def start(self, names: tuple[str, ...], identifiers: Path) -> None:
        """Begin tracking.

        Args:
            names: those of the trackers.
            identifiers: a file for the trackers' names of this run, with which a resumed run
                continues what they show instead of beginning anew.
        """
        known: dict[str, Any] = {}
        with contextlib.suppress(FileNotFoundError, TypeError, ValueError):  # damaged: begin anew
            known = dict(json.loads(identifiers.read_text("utf-8")))

        def start(name: str) -> None:
            self.working[name] = tracker = new_tracker(name)
            known[name] = tracker.start(self.run, known.get(name))
            write_json(identifiers, known)

        for name in names:
            self._guard(name, start)

    def finish(self, outcome: Outcome) -> None:
        """Add what a finished run leaves."""
        self._each(lambda name: self.working[name].finish(self.run, outcome))

    def close(self, *, completed: bool) -> None:
        """End tracking."""
        self._each(lambda name: self.working[name].close(completed=completed))

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)

        def begin(name: str) -> None:
            self.callbacks[name] = self.working[name].callback()
            self.callbacks[name].set_model(model)

        self._each(begin)

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        self._each(lambda name: self.callbacks[name].set_params(params))

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._each(lambda name: self.callbacks[name].on_train_begin(logs))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._each(lambda name: self.callbacks[name].on_epoch_begin(epoch + 1, logs))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # Counted from 1, as everywhere else.
        self._each(lambda name: self.callbacks[name].on_epoch_end(epoch + 1, logs))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._each(lambda name: self.callbacks[name].on_train_end(logs))

    def _each(self, action: Callable[[str], None]) -> None:
        for name in list(self.working):
            self._guard(name, action)

    def _guard(self, name: str, action: Callable[[str], None]) -> None:
        try:
            action(name)
        except Exception as error:  # of a disk, a network, a service: whatever the package raises
            failed = self.working.pop(name, None)
            logger.warning(
                "training.track: %s failed and records no more of this run; the training "
                "continues: %s",
                name,
                first_line(error),
            )
            if failed is not None:  # or a package would go on with this run in the next one
                with contextlib.suppress(Exception):
                    failed.close(completed=False)


@contextlib.contextmanager
def tracked(config: ExperimentConfig, dataset: Dataset) -> Iterator[Trackers]:
    """Yield the trackers of a run, as training.track names them; they end with the block."""
    trackers = Trackers(describe(config, dataset))
    if config.training.track:
        trackers.start(config.training.track, config.output / "checkpoints" / "tracked.json")
    completed = False
    try:
        yield trackers
        completed = True
    finally:
        trackers.close(completed=completed)
