"""MLflow: a run in the store that MLFLOW_TRACKING_URI names, or in MLflow's default one."""

from __future__ import annotations

import logging
import os
from typing import Any

import keras
import mlflow
import mlflow.keras

from emodetect.training.tracking.tracker import DEFAULT_PROJECT, Outcome, TrackedRun

# MLflow's own would let a training wait for minutes for a server that is away.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


class _Metrics(mlflow.keras.MlflowCallback):
    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Leave out the optimizer's settings: those of the two phases differ, which MLflow refuses.

        The config, which is among the parameters, has both.
        """


class MLflowTracker:
    """Logs what `mlflow ui` shows."""

    def start(self, run: TrackedRun, identifier: str | None) -> str:
        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # not each step of a new database
        nested = mlflow.active_run() is not None  # of whoever calls us from Python
        if identifier is not None:
            mlflow.start_run(run_id=identifier, nested=nested)
            return identifier
        if not {"MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"} & os.environ.keys():
            mlflow.set_experiment(DEFAULT_PROJECT)
        tags = {f"version.{name}": version for name, version in run.versions.items()}
        active = mlflow.start_run(
            run_name=run.name,
            tags={**tags, "data.fingerprint": run.data["fingerprint"]},
            nested=nested,
        )
        mlflow.log_params(run.parameters())
        mlflow.log_dict(run.data, "data.json")
        return str(active.info.run_id)

    def callback(self) -> keras.callbacks.Callback:
        return _Metrics()

    def finish(self, run: TrackedRun, outcome: Outcome) -> None:
        mlflow.log_metrics({f"best.{name}": value for name, value in outcome.figures.items()})
        for plot in outcome.plots:
            mlflow.log_artifact(str(plot), "plots")
        mlflow.log_artifact(str(outcome.artifact), "model")
        mlflow.set_tag("mlflow.note.content", "  \n".join(outcome.summary))

    def close(self, *, completed: bool) -> None:
        mlflow.end_run("FINISHED" if completed else "KILLED")
