"""The files of a run folder: one owner, written whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import json
import platform
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from emodetect import __version__
from emodetect.config import ExperimentConfig
from emodetect.data.dataset import Dataset
from emodetect.errors import ConfigError, EmodetectError
from emodetect.machine.locks import locked
from emodetect.machine.whole_file import written_whole
from emodetect.training.checkpoints import Progress

PARTIAL_FILES = ".*.[0-9]*"  # of whole_file: a process's number last


def require_new(run: Path) -> None:
    """Raise ConfigError where the run folder holds something already."""
    # A process killed before it wrote config.toml leaves an empty folder, or half of that file.
    if run.exists() and (not run.is_dir() or set(run.iterdir()) - set(abandoned(run))):
        raise ConfigError(
            f"{run}: is there already; go on with it by --resume {run}, or name another folder "
            "with --set output=FOLDER."
        )


@contextlib.contextmanager
def only_process(run: Path) -> Iterator[None]:
    """Hold the run folder. Raises ConfigError where another process trains in it."""
    with locked(run, wait=False) as lock:
        if lock == "taken":
            raise ConfigError(
                f"{run}: another process is training this run; wait for it, or stop it first."
            )
        yield


def abandoned(run: Path) -> list[Path]:
    """Return what killed processes left half written in a run folder."""
    checkpoints = run / "checkpoints"
    files = [*run.glob(PARTIAL_FILES), *checkpoints.glob(PARTIAL_FILES)]
    return [*files, *checkpoints.glob("partial-*")]


def write_run_record(
    config: ExperimentConfig,
    run: Path,
    dataset: Dataset,
    progress: Progress,
    validation: dict[str, float],
    summary: list[str],
) -> None:
    """Write run.json: what was trained on what, with what result."""
    record = {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(progress.seconds, 1),
        "best_epoch": progress.best_epoch + 1,
        "validation": validation,
        "summary": summary,
        "seed": config.seed,
        "versions": versions(),
        "dataset": {
            **dataset.identity(),
            "left_out": dataset.left_out,
            "skipped": [asdict(file) for file in dataset.skipped],
        },
    }
    write_atomically(run / "run.json", json.dumps(record, indent=1))


def versions() -> dict[str, str]:
    """Return the versions of what decides the outcome of a run."""
    return {
        "emodetect": __version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }


def read_history(path: Path) -> list[dict[str, float]]:
    """Return the figures of each epoch of a run's history.csv."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {name: float(value) for name, value in row.items() if name != "epoch"}
            for row in csv.DictReader(file)
        ]


def truncate_history(path: Path, epoch: int) -> None:
    """Drop the rows from `epoch` on, which a resumed run writes again."""
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines[1:] if line.endswith("\n") and _epoch_of(line) < epoch]
        write_atomically(path, "".join(lines[:1] + kept) if kept else "")


def _epoch_of(line: str) -> int:
    return int(line.split(",", 1)[0])


def write_atomically(path: Path, text: str) -> None:
    """Write a file that is there complete, or not at all."""
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def clear_disk_errors(run: Path) -> Iterator[None]:
    """Turn errors of writing into one that says what is kept and how to go on."""
    try:
        yield
    except OSError as error:
        raise EmodetectError(
            f"{run}: writing failed: {error.strerror or error}. The epochs finished so far are "
            f"kept; free some space and go on with --resume {run}."
        ) from error
