"""The state of a run between epochs: saved completely, restored exactly."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from emodetect.errors import EmodetectError, StoppedRunError, first_line
from emodetect.machine.atomic_files import move, to_disk
from emodetect.number_format import file_size
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
        trained_before: the text of a sketch of the images that trained that model.
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
    trained_before: str = ""
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
        # Or a power cut could leave them empty, and the older state removed.
        best = self.checkpoints / best_name(self.progress.best_epoch)
        for file in (*partial.iterdir(), best, self.checkpoints.parent / "history.csv"):
            if file.is_file():  # the last two are not before the first epoch
                to_disk(file)
        move(partial, folder)
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
            raise StoppedRunError(
                f"{run}: the next checkpoint needs {file_size(needed)}, but the disk has "
                f"{file_size(free)} left.",
                how_to_resume(run),
                remedy="free up space",
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


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a damaged file of a run raises into an EmodetectError that names it."""
    try:
        yield
    # RuntimeError: of HDF5, and of archives that are encrypted or of another version.
    except (
        EOFError,
        OSError,
        KeyError,
        RuntimeError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
    ) as error:
        raise EmodetectError(
            f"{path}: is damaged or missing ({type(error).__name__}: {first_line(error)}); this "
            "run cannot be continued: start a new one."
        ) from None


def load_state(model: keras.Model, folder: Path) -> None:
    """Load weights, optimizer and random states from the folder of a saved state.

    Raises EmodetectError for a damaged file.
    """
    weights, states = folder / "state.weights.h5", folder / "random.npz"
    with reading(weights):
        model.load_weights(weights)
    with reading(states), np.load(states) as saved:
        for state, value in zip(_random_states(model), saved.values(), strict=True):
            state.assign(value)


def load_best(model: keras.Model, checkpoints: Path, progress: Progress) -> None:
    """Load the weights of the best epoch. Raises EmodetectError for a damaged file."""
    weights = checkpoints / best_name(progress.best_epoch)
    with reading(weights):
        model.load_weights(weights)


def _random_states(model: keras.Model) -> list[keras.Variable]:
    """Return the states of dropout's random generators, which Keras does not save."""
    return [
        layer.seed_generator.state for layer in layers_of(model) if hasattr(layer, "seed_generator")
    ]


def saved_state(checkpoints: Path) -> tuple[Path | None, Progress]:
    """Return the folder of the latest saved state, if any, and the run's progress.

    Raises EmodetectError if a file of it is damaged or missing.
    """
    finished = checkpoints / "finished.json"
    folders = sorted(checkpoints.glob("epoch-*"))
    if not finished.is_file() and not folders:
        return None, Progress()
    record = finished if finished.is_file() else folders[-1] / "progress.json"
    with reading(record):
        progress = Progress(**json.loads(record.read_text()))
    if progress.best is not None:
        best = checkpoints / best_name(progress.best_epoch)
        with reading(best), h5py.File(best):
            pass
    return record.parent, progress
