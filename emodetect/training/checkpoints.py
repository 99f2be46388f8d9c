"""The state of a run between epochs: saved completely, restored exactly."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from emodetect.errors import EmodetectError
from emodetect.training.models.layers import layers_of
from emodetect.training.phases import Phase

BEST_NAME = "best-{epoch}.weights.h5"


@dataclass
class Progress:
    """The part of a run's state that is not in the weights file.

    Attributes:
        epoch: the next one to train.
        best: the best score of the run, reached in `best_epoch`.
        stopping_best: the best score of the phase, for which EarlyStopping has `waited` epochs.
        seconds: the training time so far.
        temperature: of the model that the run started from.
        plain_accuracy: of the last epoch's weights, as validated, on training images without
            augmentation; None if not measured.
    """

    epoch: int = 0
    best: float | None = None
    best_epoch: int = 0
    stopping_best: float | None = None
    waited: int = 0
    finished: bool = False
    seconds: float = 0.0
    temperature: float = 1.0
    plain_accuracy: float | None = None


def how_to_resume(run: Path, *, first: str = "free up space") -> str:
    """Return what to do about a disk that can no longer be written to.

    Args:
        first: what to do before the run is resumed.
    """
    if not (run / "config.toml").is_file():
        return f"Nothing was trained yet; {first} and start again."
    finished = saved_state(run / "checkpoints")[1].best is not None
    kept = "The epochs finished so far are kept" if finished else "No epoch was finished yet"
    return f"{kept}; {first} and continue with --resume {run}."


def best_name(epoch: int) -> str:
    """Return the name of the weights file that ModelCheckpoint writes after `epoch` (from 0)."""
    return BEST_NAME.format(epoch=epoch + 1)  # Keras counts from 1 here


class SaveState(keras.callbacks.Callback):
    """Saves the run's state at the start of each epoch, in a folder that appears in one step.

    Keras' BackupAndRestore writes the weights and the epoch number in two steps, and forgets
    EarlyStopping's patience and ModelCheckpoint's best score. At the start of an epoch,
    AveragedWeights has restored the raw weights, and all callbacks have handled the last epoch.
    """

    def __init__(
        self,
        checkpoints: Path,
        phase: Phase,
        progress: Progress,
        stopping: keras.callbacks.EarlyStopping,
        checkpoint: keras.callbacks.ModelCheckpoint,
        started: float,
    ):
        super().__init__()
        self.checkpoints, self.phase, self.progress = checkpoints, phase, progress
        self.stopping, self.checkpoint, self.started = stopping, checkpoint, started

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.progress.epoch > self.phase.first:
            self.stopping.best = self.progress.stopping_best
            self.stopping.wait = self.progress.waited

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.progress.epoch = epoch
        self.progress.seconds = time.monotonic() - self.started
        folder = self.checkpoints / f"epoch-{epoch:04d}"
        if folder.exists():
            return
        self._require_space(states=1)
        partial = self.checkpoints / f"partial-{os.getpid()}"
        partial.mkdir()
        _save_state(self.model, partial)
        (partial / "progress.json").write_text(json.dumps(asdict(self.progress)))
        partial.rename(folder)
        for older in self.checkpoints.glob("epoch-*"):
            if older != folder:
                shutil.rmtree(older)
        for weights in self.checkpoints.glob(BEST_NAME.format(epoch="*")):
            if weights.name != best_name(self.progress.best_epoch):
                weights.unlink()
        # The best weights and the state after this epoch must fit, or the epoch would be lost.
        self._require_space(states=2)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        # Again before ModelCheckpoint writes, as other programs may fill the disk meanwhile.
        self._require_space(states=2)

    def _require_space(self, *, states: int) -> None:
        # Checked in advance, because on a full disk h5py leaves half a file and noise on stderr.
        variables = [*self.model.variables, *self.model.optimizer.variables]
        size = sum(math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in variables)
        needed, free = states * int(1.1 * size + 2**20), shutil.disk_usage(self.checkpoints).free
        if free < needed:
            run = self.checkpoints.parent
            raise EmodetectError(
                f"{run}: the next checkpoint needs {needed / 1e6:.0f} MB, but the disk has "
                f"{free / 1e6:.0f} MB left. {how_to_resume(run)}"
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        best = float(self.checkpoint.best)
        if self.progress.best is None or best != self.progress.best:
            self.progress.best, self.progress.best_epoch = best, epoch
        self.progress.stopping_best = float(self.stopping.best)
        self.progress.waited = self.stopping.wait

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.progress.seconds = time.monotonic() - self.started


def _save_state(model: keras.Model, folder: Path) -> None:
    model.save_weights(folder / "state.weights.h5")  # with the optimizer's variables
    np.savez(folder / "random.npz", *(np.asarray(state) for state in _random_states(model)))


def load_state(model: keras.Model, folder: Path) -> None:
    """Load weights, optimizer and random states from the folder of a saved state."""
    model.load_weights(folder / "state.weights.h5")
    with np.load(folder / "random.npz") as saved:
        for state, value in zip(_random_states(model), saved.values(), strict=True):
            state.assign(value)


def _random_states(model: keras.Model) -> list[keras.Variable]:
    """Return the states of dropout's random generators, which Keras does not save."""
    return [
        layer.seed_generator.state for layer in layers_of(model) if hasattr(layer, "seed_generator")
    ]


def saved_state(checkpoints: Path) -> tuple[Path | None, Progress]:
    """Return the folder of the latest saved state, if any, and the run's progress."""
    finished = checkpoints / "finished.json"
    if finished.is_file():
        return checkpoints, Progress(**json.loads(finished.read_text()))
    folders = sorted(checkpoints.glob("epoch-*"))
    if not folders:
        return None, Progress()
    return folders[-1], Progress(**json.loads((folders[-1] / "progress.json").read_text()))
