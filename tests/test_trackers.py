"""Experiment trackers: what they record, and that none of them can harm a training."""

from __future__ import annotations

import csv
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from running import run_python
from small import LENET, SMALL

from emodetect.config import ExperimentConfig, load_config
from emodetect.data.dataset import load_dataset
from emodetect.errors import ConfigError
from emodetect.training.cross_validation import fold_config
from emodetect.training.tracking import registry
from emodetect.training.train import resume, train

# MLflow and W&B do not yet do all that the newest versions of their dependencies advise.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{name}")
    for name in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning")
]

EPOCHS = 3
TINY = (
    *LENET,
    'data.classes=["happy", "sad"]',
    "data.image_size=32",
    "data.synthetic.train_per_class=24",
    "data.synthetic.test_per_class=2",
    f"training.epochs={EPOCHS}",
)


def _config(output: Path, *trackers: str) -> ExperimentConfig:
    track = f"training.track={json.dumps(trackers)}"
    return load_config(SMALL, [*TINY, track]).model_copy(update={"output": output})


class StopError(Exception):
    """What interrupts a run."""


def stop_after(epoch: int) -> Callable[[int, dict[str, float]], None]:
    """Return a hook of `train` that interrupts it after so many epochs."""

    def hook(number: int, _: dict[str, float]) -> None:
        if number + 1 == epoch:
            raise StopError

    return hook


def _draw(run: Path, config: ExperimentConfig, dataset: Any, best_epoch: int) -> None:
    from emodetect.reports.run_plots import draw_run

    draw_run(run, config, dataset, best_epoch)


def _history(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "history.csv").read_text().splitlines()))


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all trackers, interrupted after an epoch and resumed; mlflow.db is beside it."""
    folder = tmp_path_factory.mktemp("tracked")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.setenv("WANDB_MODE", "offline")
        config = _config(folder / "run", *registry.TRACKERS)
        with pytest.raises(StopError):
            train(config, draw=_draw, on_epoch=stop_after(1))
        resume(folder / "run", draw=_draw)
    return folder


@pytest.fixture
def fingerprint(tracked: Path) -> str:
    """What identifies the data of the tracked run."""
    record = json.loads((tracked / "run" / "run.json").read_text())
    found: str = record["dataset"]["fingerprint"]
    return found


def test_mlflow_has_the_whole_run_once(tracked: Path, fingerprint: str) -> None:
    """Settings, figures of each epoch, plots, model and data, also after an interruption."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tracked}/mlflow.db")
    experiment = client.get_experiment_by_name("emodetect")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == (tracked / "run").as_posix()
    assert run.data.params["training.epochs"] == str(EPOCHS)
    assert run.data.tags["data.fingerprint"] == fingerprint
    for name in ("accuracy", "val_loss"):
        rows = {int(row["epoch"]): float(row[name]) for row in _history(tracked / "run")}
        logged = client.get_metric_history(run.info.run_id, name)
        assert {metric.step: metric.value for metric in logged} == pytest.approx(rows)
    files = {
        file.path
        for folder in ("plots", "model")
        for file in client.list_artifacts(run.info.run_id, folder)
    }
    assert files == {"plots/curves.png", "plots/samples.png", "model/best_model.keras"}


def test_tensorboard_has_the_whole_run(tracked: Path, fingerprint: str) -> None:
    """TensorBoard shows settings, curves of both splits, pictures, and what the data was."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(name: str) -> EventAccumulator:
        events = EventAccumulator(str(tracked / "run" / "tensorboard" / name))
        return events.Reload()

    for split in ("train", "validation"):
        steps = {event.step for event in read(split).Tensors("epoch_accuracy")}
        assert steps == set(range(1, EPOCHS + 1))
    run = read("run")
    assert {"curves", "samples", "data", "model", "best/validation_accuracy"} <= set(
        run.Tags()["tensors"]
    )
    assert fingerprint in str(run.Tensors("data")[0].tensor_proto)
    assert "_hparams_/session_start_info" in run.summary_metadata


def test_wandb_has_the_whole_run_offline(tracked: Path, fingerprint: str) -> None:
    """Without a network, the files to send later hold everything, under one name of the run."""
    files = list((tracked / "run" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len({file.stem for file in files}) == 1
    data = b"".join(file.read_bytes() for file in files)
    assert data.count(b"epoch/val_accuracy") >= EPOCHS
    for part in (b"best_model.keras", b"head_epochs", b"curves", fingerprint.encode()):
        assert part in data


def test_no_tracker_reports_to_its_maker() -> None:
    """A run that is kept on this machine is nobody else's business."""
    code = (
        "from emodetect.training.tracking.registry import new_tracker\n"
        "new_tracker('mlflow')\n"
        "from mlflow.telemetry.utils import is_telemetry_disabled\n"
        "assert is_telemetry_disabled()\n"
        "new_tracker('wandb')\n"
        "from wandb.env import error_reporting_enabled\n"
        "assert not error_reporting_enabled()\n"
    )
    done = run_python(code, env={"HOME": os.environ["HOME"]})
    assert done.returncode == 0, done.stderr


def test_tracking_changes_nothing(tracked: Path, tmp_path: Path) -> None:
    """A run trains the same model with trackers and without."""
    train(_config(tmp_path / "run"))
    assert _history(tmp_path / "run") == _history(tracked / "run")


@pytest.mark.parametrize(
    "failing",
    [
        {"tensorboard": "callback", "mlflow": "finish", "wandb": "close"},
        {"tensorboard": "start", "mlflow": None, "wandb": None},
    ],
    ids=["late", "at once"],
)
def test_trackers_that_fail_never_end_a_run(
    failing: dict[str, str | None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever a tracker's package raises, and whenever, is one warning, and the model is there."""
    from emodetect.training.tracking import trackers
    from emodetect.training.tracking.tensorboard import TensorBoardTracker

    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route to host\nand more")

    def new_tracker(name: str) -> TensorBoardTracker:
        tracker = TensorBoardTracker()
        if method := failing[name]:
            setattr(tracker, method, fail)
        return tracker

    monkeypatch.setattr(trackers, "new_tracker", new_tracker)
    monkeypatch.setattr(logging.getLogger("emodetect"), "propagate", True)
    config = _config(tmp_path / "run", *failing)
    if "start" in failing.values():
        (config.output / "checkpoints").mkdir(parents=True)
        with trackers.tracked(config, load_dataset(config.data, seed=0)) as started:
            assert list(started.working) == ["mlflow", "wandb"]
    else:
        assert train(config).artifact.is_file()
    warnings = {record.message for record in caplog.records if "failed" in record.message}
    assert {line.split()[1] for line in warnings} == {name for name in failing if failing[name]}
    assert all(line.endswith("the training continues: no route to host") for line in warnings)


def test_a_disk_that_fails_during_a_run_does_not_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """MLflow's store may break while the model is trained."""
    store = tmp_path / "mlflow.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")

    def break_it(number: int, _: dict[str, float]) -> None:
        if number == 0:
            store.write_bytes(b"rubbish" * 100)

    monkeypatch.setattr(logging.getLogger("emodetect"), "propagate", True)
    result = train(_config(tmp_path / "run", "mlflow"), on_epoch=break_it)
    assert result.artifact.is_file()
    assert [record.message for record in caplog.records if "mlflow failed" in record.message]


def test_a_server_that_is_away_does_not_end_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without MLflow's server the model is trained, and a line says that nothing is recorded."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(logging.getLogger("emodetect"), "propagate", True)
    result = train(_config(tmp_path / "run", "mlflow"))
    assert result.artifact.is_file()
    (warning,) = {record.message for record in caplog.records if "mlflow failed" in record.message}
    assert "127.0.0.1" in warning


def test_a_missing_package_is_told_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the command that installs it, and no run folder is left."""
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"wandb is not installed.*emodetect\[wandb\]"):
        train(_config(tmp_path / "run", "wandb"))
    assert not (tmp_path / "run").exists()


def test_folds_are_not_tracked(tmp_path: Path) -> None:
    """Of a cross-validation, trackers get the final run, not one for each fold."""
    config = _config(tmp_path, "mlflow")
    training = config.training.model_copy(update={"folds": 3})
    folded = config.model_copy(update={"training": training})
    assert fold_config(folded, 1).training.track == ()


@pytest.mark.parametrize(("before", "now"), [("true", ("tensorboard",)), ("false", ())])
def test_the_key_of_earlier_versions_is_understood(
    before: str, now: tuple[str, ...], tmp_path: Path
) -> None:
    """A run folder or model with training.tensorboard can still be resumed and evaluated."""
    path = tmp_path / "config.toml"
    path.write_text(f"[data]\nsource = 'synthetic'\n[training]\ntensorboard = {before}\n")
    assert load_config(str(path)).training.track == now
