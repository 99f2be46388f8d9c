"""Show the progress of training on the terminal."""

from __future__ import annotations

import time
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from emodetect.number_format import decimal, percent


class EpochDisplay(keras.callbacks.Callback):
    """Shows a progress bar for each epoch, then a line with its figures.

    On stderr; in a notebook, which would show that as an error, on stdout and without the bar.
    """

    def __init__(self, *, phase: str, epochs: int, steps: int, batch_size: int):
        super().__init__()
        self.phase, self.epochs = phase, epochs
        self.steps, self.batch_size = steps, batch_size
        in_notebook = Console().is_jupyter
        self.console = Console(
            stderr=not in_notebook,
            force_jupyter=False,  # it would make an output of its own of each line, and cut it off
            force_terminal=False if in_notebook else None,  # notebooks set FORCE_COLOR
            highlight=False,
            soft_wrap=True,
        )
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.started = time.monotonic()
        self.task = self.bar.add_task(self._title(epoch), total=self.steps, rate="")
        self.bar.start()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.trained_s = time.monotonic() - self.started
        rate = f"{(batch + 1) * self.batch_size / self.trained_s:.0f} images/s"
        self.bar.update(self.task, completed=batch + 1, rate=rate)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.bar.stop()
        self.bar.remove_task(self.task)
        seconds = time.monotonic() - self.started
        figures = "  ".join(
            f"{name} {(percent if 'accuracy' in name else decimal)(value)}"
            for name, value in (logs or {}).items()
        )
        rate = self.steps * self.batch_size / self.trained_s
        left_s = seconds * (self.epochs - epoch - 1)
        self.console.print(
            f"{self._title(epoch)}  {figures}  {seconds:.0f} s with validation, "
            f"training at {rate:.0f} images/s"
            + (f", {left_s / 60:.0f} min left" if left_s > 90 else "")
        )

    def close(self) -> None:
        """Remove the bar, which hides the cursor."""
        self.bar.stop()

    def _title(self, epoch: int) -> str:
        return f"epoch {epoch + 1}/{self.epochs} ({self.phase})"
