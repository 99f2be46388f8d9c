"""Weights & Biases: a run on its server, or offline in the folder `wandb` of the run."""

from __future__ import annotations

import os
import re
from typing import Any

import keras
import wandb
from wandb.integration.keras import WandbMetricsLogger

from emodetect.training.tracking.tracker import DEFAULT_PROJECT, Outcome, TrackedRun

FINISH_TIMEOUT_S = 60  # without a network; `wandb sync` sends what is left


class WandbTracker:
    """Logs what a project's page on W&B shows."""

    def start(self, run: TrackedRun, identifier: str | None) -> str:
        settings: dict[str, Any] = {"silent": True}
        if "WANDB_FINISH_TIMEOUT" not in os.environ:
            settings |= {"finish_timeout": FINISH_TIMEOUT_S, "finish_timeout_raises": True}
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", DEFAULT_PROJECT),
            name=run.name,
            dir=os.environ.get("WANDB_DIR", str(run.folder)),
            config={**run.config, "dataset": run.data, "versions": run.versions},
            id=identifier,
            resume="allow" if identifier else None,
            settings=wandb.Settings(**settings),
        )
        return str(self.run.id)

    def callback(self) -> keras.callbacks.Callback:
        return WandbMetricsLogger()

    def finish(self, run: TrackedRun, outcome: Outcome) -> None:
        self.run.summary.update({f"best.{name}": value for name, value in outcome.figures.items()})
        self.run.log({plot.stem: wandb.Image(str(plot)) for plot in outcome.plots})
        self.run.notes = "\n".join(outcome.summary)
        name = re.sub(r"[^\w.-]", "-", run.name)
        model = wandb.Artifact(f"model-{name}"[:128], type="model", metadata={"data": run.data})
        model.add_file(str(outcome.artifact))
        self.run.log_artifact(model)

    def close(self, *, completed: bool) -> None:
        self.run.finish(exit_code=0 if completed else 1)
