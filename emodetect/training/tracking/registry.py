"""The trackers by name."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from importlib import import_module

from emodetect.errors import ConfigError
from emodetect.training.tracking.tracker import Tracker

TRACKERS = {  # name, in configs and of the package: its class
    "tensorboard": ("emodetect.training.tracking.tensorboard", "TensorBoardTracker"),
    "mlflow": ("emodetect.training.tracking.mlflow", "MLflowTracker"),
    "wandb": ("emodetect.training.tracking.wandb", "WandbTracker"),
}


# Their packages report to their makers, even about runs that stay on this machine.
NO_TELEMETRY = {"MLFLOW_DISABLE_TELEMETRY": "true", "WANDB_ERROR_REPORTING": "false"}


def require_trackers(names: Iterable[str]) -> None:
    """Raise ConfigError if the package of a tracker is not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise ConfigError(
                f"training.track: {name} is not installed; install it with "
                f'pip install "emodetect[{name}]", or remove it from the list.'
            )


def new_tracker(name: str) -> Tracker:
    """Return a tracker that has not started yet; this imports its package."""
    for variable, value in NO_TELEMETRY.items():
        os.environ.setdefault(variable, value)
    module, class_name = TRACKERS[name]
    tracker: Tracker = getattr(import_module(module), class_name)()
    return tracker
