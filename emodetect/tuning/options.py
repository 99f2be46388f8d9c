"""What a study is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emodetect.config import ExperimentConfig
from emodetect.number_format import decimal, percent

Objective = Literal["accuracy", "log_loss"]


@dataclass(frozen=True)
class TuningOptions:
    """What to search, and where.

    Attributes:
        config: of all trials; its `output` is not used.
        search: KEY=LOW..HIGH or KEY=VALUE,VALUE, each key once.
        output: the folder of the study: run folders in `trials`, and the results.
        trials: how many the study has in the end, including those of other processes and of
            earlier calls.
        objective: the figure on the validation images by which trials are compared.
        storage: a database URL or the path of a journal file, to share the study between
            machines; None for SQLite in `output`.
    """

    config: ExperimentConfig
    search: tuple[str, ...]
    output: Path
    trials: int = 20
    objective: Objective = "accuracy"
    storage: str | None = None

    @property
    def minimizes(self) -> bool:
        """Whether a lower value of the objective is better."""
        return self.objective == "log_loss"

    def shown(self, value: float) -> str:
        """Return a value of the objective as people read it."""
        return f"log-loss {decimal(value)}" if self.minimizes else f"accuracy {percent(value)}"

    def shown_of_epoch(self, value: float) -> str:
        """Return the validation figure of an epoch as people read it.

        For the log-loss that is the loss, which has the label smoothing and the weights of the
        training, so it cannot be compared with a model's log-loss.
        """
        return f"validation loss {decimal(value)}" if self.minimizes else self.shown(value)

    def run_folder(self, number: int) -> Path:
        """Return the run folder of a trial."""
        return self.output / "trials" / f"{number:04d}"
