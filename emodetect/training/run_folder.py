"""The files of a run folder, which only one process at a time may write."""

from __future__ import annotations

import builtins
import contextlib
import csv
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from emodetect import __version__
from emodetect.config import ExperimentConfig, changed_keys, config_toml, load_config
from emodetect.data.dataset import Dataset
from emodetect.errors import ConfigError, StoppedRunError
from emodetect.machine.atomic_files import PARTIAL_FILES, atomic_write, write_json, write_text
from emodetect.machine.locks import locked
from emodetect.machine.output_folder import check_output_folder, check_outside, how_to_write_on
from emodetect.number_format import quantity
from emodetect.training.checkpoints import Progress, how_to_resume

# What each epoch has in history.csv, whatever the config.
HISTORY_FIGURES = frozenset({"epoch", "loss", "accuracy", "val_loss", "val_accuracy"})


def check_new_run(config: ExperimentConfig) -> None:
    """Raise EmodetectError if the run folder cannot be that of a new run."""
    require_new(config.output)
    check_output_folder(config.output, force=True)
    check_outside(config.output, config.data.searched_folder)


def require_new(run: Path) -> None:
    """Raise ConfigError if the run folder already contains something."""
    # A process killed before it wrote config.toml leaves an empty folder, or half of that file.
    if run.exists() and (not run.is_dir() or set(run.iterdir()) - set(_abandoned(run))):
        is_run = (run / "config.toml").is_file()
        resume = f"continue it with --resume {run}, or " if is_run else ""
        raise ConfigError(
            f"{run}: already exists; {resume}choose another folder with --output FOLDER."
        )


@contextlib.contextmanager
def only_process(run: Path) -> Iterator[None]:
    """Lock the run folder. Raises ConfigError if another process is training in it."""
    with locked(run, wait=False) as lock:
        if lock == "taken":
            raise ConfigError(
                f"{run}: another process is training this run; wait for it, or stop it first."
            )
        yield


def remove_abandoned(run: Path) -> None:
    """Remove the incomplete files and folders that killed processes left in a run folder."""
    for path in _abandoned(run):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _abandoned(run: Path) -> list[Path]:
    checkpoints = run / "checkpoints"
    files = [*run.glob(PARTIAL_FILES), *checkpoints.glob(PARTIAL_FILES)]
    return [*files, *checkpoints.glob("partial-*")]


def write_run_record(
    config: ExperimentConfig,
    dataset: Dataset,
    progress: Progress,
    figures: dict[str, float],
    summary: list[str],
) -> None:
    """Write run.json: the data, versions and results of a run.

    Args:
        figures: those of the best epoch, by Keras' names; see `figures_by_split`.
    """
    record = {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(progress.seconds, 1),
        "best_epoch": progress.best_epoch + 1,
        **figures_by_split(figures),
        "summary": summary,
        "seed": config.seed,
        "versions": versions(),
        "dataset": {
            **dataset.identity(),
            "left_out": dataset.left_out,
            "skipped": [asdict(file) for file in dataset.skipped],
        },
    }
    write_json(config.output / "run.json", record)


def versions() -> dict[str, str]:
    """Return the versions of Python and the libraries that affect a run's result."""
    return {
        "emodetect": __version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }


def figures_by_split(figures: dict[str, float]) -> dict[str, dict[str, float]]:
    """Return the figures of an epoch as {"training": {...}, "validation": {...}}.

    Args:
        figures: by Keras' names: accuracy, loss (of training), val_accuracy, val_loss.
    """
    validation = {
        name.removeprefix("val_"): value
        for name, value in figures.items()
        if name.startswith("val_")
    }
    return {
        "training": {name: figures[name] for name in validation},
        "validation": validation,
    }


def read_history(path: Path) -> list[dict[str, float]]:
    """Return the figures of each epoch of a run's history.csv."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {name: float(value) for name, value in row.items() if name != "epoch"}
            for row in csv.DictReader(file)
        ]


def require_history(path: Path, epochs: int) -> None:
    """Raise ConfigError if a run's history.csv lacks a figure of its first `epochs`."""
    done = list[float]()
    with (
        contextlib.suppress(OSError, TypeError, ValueError, csv.Error),
        path.open(newline="", encoding="utf-8") as file,
    ):
        for row in islice(csv.DictReader(file), epochs):
            figures = {name: float(value) for name, value in row.items()}
            if not figures.keys() >= HISTORY_FIGURES:
                break
            done.append(figures["epoch"])
    if done != [epoch + 1 for epoch in range(epochs)]:
        raise ConfigError(
            f"{path}: expected a row with all figures for each of the "
            f"{quantity(epochs, 'epoch')} that are done; "
            "put the file back as it was, or start a new run."
        )


def require_same_config(run: Path, config: ExperimentConfig) -> None:
    """Record the config of a run, or raise ConfigError if config.toml has been edited since.

    The data may be elsewhere: whether it is the same is told by its images.
    """
    record = run / "checkpoints" / "config.toml"
    if not record.is_file():
        record.parent.mkdir(exist_ok=True)
        write_text(record, config_toml(config))
        return
    changed = changed_keys(load_config(str(record)), config)
    if edited := [key for key in changed if key != "output" and not key.startswith("data.")]:
        raise ConfigError(
            f"{run / 'config.toml'}: has other values of {', '.join(edited)} than the run was "
            "started with; put them back to resume it, or start a new run."
        )


def truncate_history(path: Path, epochs: int) -> None:
    """Keep the first `epochs` rows; a resumed run writes the others again, or an incomplete one."""
    if path.is_file():
        # As bytes, so that the line ends stay as Keras writes them.
        header, *rows = path.read_bytes().splitlines(keepends=True) or [b""]
        kept = [row for row in rows[:epochs] if row.endswith(b"\n")]
        with atomic_write(path) as partial:
            partial.write_bytes(b"".join([header, *kept]) if kept else b"")


@contextlib.contextmanager
def clear_tensorflow_errors(run: Path) -> Iterator[None]:
    """Turn a read error of a batch, as of a drive that is gone, into one that says how to continue.

    TensorFlow passes on what Python raises there as an UnknownError that names it.
    """
    try:
        yield
    except tf.errors.UnknownError as error:
        lines = re.findall(r"^(\w+): (?:\[Errno \d+\] )?(.*)$", error.message, re.MULTILINE)
        reasons = [reason for name, reason in lines if _is_os_error(name)]
        if not reasons:
            raise
        remedy = "correct that"
        advice = f"Once the folder is there again, continue with --resume {run}."
        if (run / "config.toml").is_file():
            advice = how_to_resume(run, first=remedy)
        raise StoppedRunError(
            f"{run}: reading the images failed: {reasons[0].rstrip('.')}.", advice, remedy=remedy
        ) from error


def _is_os_error(name: str) -> bool:
    kind = getattr(builtins, name, None)
    return isinstance(kind, type) and issubclass(kind, OSError)


@contextlib.contextmanager
def clear_disk_errors(run: Path) -> Iterator[None]:
    """Turn write errors into one that says what is kept and how to continue."""
    try:
        yield
    except OSError as error:
        remedy = how_to_write_on(error)
        raise StoppedRunError(
            f"{run}: writing failed: {error.strerror or error}.",
            how_to_resume(run, first=remedy),
            remedy=remedy,
        ) from error
