"""Resuming a run whose files were lost, cut off or edited since it was interrupted."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from archives import encrypt
from small import LENET, SMALL

from emodetect.config import ExperimentConfig, load_config
from emodetect.data.cache.image_cache import StoredImages
from emodetect.errors import ConfigError, DataError, EmodetectError, StoppedRunError

STALE = OSError(errno.ESTALE, "Stale file handle")


def failing_reads(
    patch: pytest.MonkeyPatch, error: Exception, *, after_epoch: int = 0
) -> Callable[[int, dict[str, float]], None]:
    """Return what lets reading images fail from the end of an epoch on, counted from 0."""

    def fail(images: StoredImages, positions: object) -> np.ndarray:
        raise error

    def on_epoch(epoch: int, _: dict[str, float]) -> None:
        if epoch >= after_epoch:
            patch.setattr(StoredImages, "__getitem__", fail)

    return on_epoch


class StopError(Exception):
    """What interrupts the run."""


@pytest.fixture(scope="module")
def interrupted(small_overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was interrupted after two of four epochs; tests copy it."""
    from emodetect.training.train import train

    def stop(epoch: int, _: dict[str, float]) -> None:
        if epoch == 2:
            raise StopError

    run = tmp_path_factory.mktemp("runs") / "run"
    config = load_config(SMALL, [*small_overrides, *LENET, "training.epochs=4", f"output={run}"])
    with pytest.raises(StopError):
        train(config, on_epoch=stop)
    assert (run / "checkpoints" / "epoch-0002").is_dir()
    return run


def test_a_relative_path_of_another_folder_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is continued elsewhere does not find the data that was named from there."""
    from emodetect.training.train import resume

    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    config = 'output = "run"\n[data]\nsource = "folder"\npath = "faces"\n'
    Path("run/config.toml").write_text(config, encoding="utf-8")
    with pytest.raises(DataError, match=r"no such folder.* in a folder in which faces was"):
        resume(Path("run"))


@pytest.mark.parametrize("damage", ["emptied", "removed"])
@pytest.mark.parametrize(
    "name",
    [
        "checkpoints/epoch-0002/state.weights.h5",
        "checkpoints/epoch-0002/random.npz",
        "checkpoints/epoch-0002/progress.json",
        "checkpoints/best-*.weights.h5",
        "history.csv",
    ],
)
def test_a_lost_file_is_told_before_training_goes_on(
    name: str, damage: str, interrupted: Path, tmp_path: Path
) -> None:
    """It is named in a line, and the run stays as it is."""
    from emodetect.training.train import resume

    run = shutil.copytree(interrupted, tmp_path / "run")
    (file,) = run.glob(name)
    if damage == "emptied":
        file.write_bytes(b"")
    else:
        file.unlink()
    before = sorted(run.rglob("*"))
    with pytest.raises(EmodetectError) as error:
        resume(run)
    assert str(file) in str(error.value)
    assert "start a new" in str(error.value)
    assert "\n" not in str(error.value)
    assert sorted(run.rglob("*")) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"val_loss", b"val_los\xe9"),  # in the encoding of a spreadsheet
        (b"val_loss", b"validation"),
        (b"\n1,", b"\n1,,"),
        (b"\n2,", b"\n2,none"),
        (b"\n2,", b"\n1e999,"),
        (b"\n2,", b"\n2.5,"),
    ],
)
def test_a_damaged_history_is_told_before_training_goes_on(
    old: bytes, new: bytes, interrupted: Path, tmp_path: Path
) -> None:
    """Its figures are needed when all epochs are trained, which would then be lost."""
    from emodetect.training.train import resume

    run = shutil.copytree(interrupted, tmp_path / "run")
    history = (run / "history.csv").read_bytes()
    assert old in history
    (run / "history.csv").write_bytes(history.replace(old, new))
    with pytest.raises(ConfigError, match=r"history\.csv: expected a row with all figures for"):
        resume(run)


def test_a_drive_that_fails_while_training_is_told(
    interrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow reports it as its own error; the run says what it was, and goes on later."""
    from emodetect.training.train import resume

    run = shutil.copytree(interrupted, tmp_path / "run")

    with monkeypatch.context() as patch, pytest.raises(StoppedRunError) as error:
        resume(run, on_epoch=failing_reads(patch, STALE))
    assert str(error.value) == (
        f"{run}: reading the images failed: Stale file handle. The epochs finished so far are "
        f"kept; correct that and continue with --resume {run}."
    )
    assert resume(run).best_epoch


def test_a_drive_that_fails_after_the_last_epoch_is_told(
    interrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is made when it is back; no epoch is trained again."""
    from emodetect.training.train import resume

    run = shutil.copytree(interrupted, tmp_path / "run")

    with (
        monkeypatch.context() as patch,
        pytest.raises(StoppedRunError, match="reading the images failed: Stale file handle"),
    ):
        resume(run, on_epoch=failing_reads(patch, STALE, after_epoch=3))
    assert (run / "checkpoints" / "finished.json").is_file()
    assert resume(run).best_epoch


@pytest.mark.parametrize(
    "message",
    [
        "{{function_node f}} \nPermissionError: [Errno 13] Not allowed\nTraceback ...",
        "Graph execution error:\n\nNode: 'PyFunc'\nprint: x\nOSError: Not allowed.\nTraceback",
    ],
)
def test_the_drives_error_is_found_in_what_tensorflow_says(tmp_path: Path, message: str) -> None:
    """Its versions put other lines around it."""
    import tensorflow as tf

    from emodetect.training.run_folder import clear_tensorflow_errors

    with (
        pytest.raises(StoppedRunError, match=r"reading the images failed: Not allowed\. Once"),
        clear_tensorflow_errors(tmp_path / "gone"),
    ):
        raise tf.errors.UnknownError(None, None, message)


def test_a_mistake_in_reading_keeps_its_traceback(
    interrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What TensorFlow reports as the same error, but no drive has caused, is not told as one."""
    import tensorflow as tf

    from emodetect.training.train import resume

    run = shutil.copytree(interrupted, tmp_path / "run")

    with (
        monkeypatch.context() as patch,
        pytest.raises(tf.errors.UnknownError, match="AttributeError: no such attribute"),
    ):
        resume(run, on_epoch=failing_reads(patch, AttributeError("no such attribute")))


def test_a_damaged_record_of_trackers_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trackers then show what follows as a new run; the training itself goes on."""
    from emodetect.training.tracking import trackers

    started = []

    class Known:
        def start(self, run: object, known: str | None) -> str:
            started.append(known)
            return "new"

    monkeypatch.setattr(trackers, "new_tracker", lambda name: Known())
    record = tmp_path / "tracked.json"
    for content, expected in (('{"tensor', None), ("[1]", None), ('{"any": "old"}', "old")):
        record.write_text(content)
        trackers.Trackers(None).start(("any",), record)  # type: ignore[arg-type]
        assert started.pop() == expected
        assert json.loads(record.read_text()) == {"any": "new"}


def test_an_archive_that_cannot_be_opened_is_told(interrupted: Path, tmp_path: Path) -> None:
    """Damage may look like encryption, for which zipfile has no error of its own."""
    from emodetect.training.train import resume

    run = shutil.copytree(interrupted, tmp_path / "run")
    encrypt(run / "checkpoints" / "epoch-0002" / "random.npz")
    with pytest.raises(EmodetectError, match=r"random\.npz: is damaged .*encrypted"):
        resume(run)


def test_an_unreadable_record_of_the_data_is_told(interrupted: Path, tmp_path: Path) -> None:
    """An empty dataset.json, as a power cut may leave it, is named."""
    from emodetect.training.train import resume

    run = shutil.copytree(interrupted, tmp_path / "run")
    (run / "checkpoints" / "dataset.json").write_bytes(b"")
    with pytest.raises(EmodetectError, match=r"dataset\.json: is damaged"):
        resume(run)


def test_a_row_that_the_history_lost_is_told(interrupted: Path, tmp_path: Path) -> None:
    """Or the figures of one epoch would be told for the weights of another."""
    from emodetect.training.train import resume

    run = shutil.copytree(interrupted, tmp_path / "run")
    header, _, *rows = (run / "history.csv").read_text().splitlines(keepends=True)
    (run / "history.csv").write_text("".join([header, *rows]))
    with pytest.raises(ConfigError, match=r"history\.csv: expected a row with all figures for"):
        resume(run)


def test_an_edited_config_is_told(interrupted: Path, tmp_path: Path) -> None:
    """Its schedule would change in the middle of the run."""
    from emodetect.training.train import resume

    run = shutil.copytree(interrupted, tmp_path / "run")
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(text.replace("epochs = 4", "epochs = 6"))
    with pytest.raises(ConfigError, match=r"has other values of training\.epochs than"):
        resume(run)


def test_the_data_and_the_run_may_be_moved(small_config: ExperimentConfig, tmp_path: Path) -> None:
    """Where they are is not part of what a run was started with."""
    from emodetect.training.run_folder import require_same_config

    require_same_config(tmp_path, small_config)
    data = small_config.data.model_copy(update={"cache_dir": tmp_path / "elsewhere"})
    moved = small_config.model_copy(update={"data": data, "output": tmp_path / "moved"})
    require_same_config(tmp_path, moved)
    with pytest.raises(ConfigError, match="of seed than"):
        require_same_config(tmp_path, moved.model_copy(update={"seed": 7}))


def test_a_run_keeps_one_state_and_the_best_weights(interrupted: Path) -> None:
    """The others, each several times as large as the model, are removed as it goes on."""
    kept = sorted(path.name for path in (interrupted / "checkpoints").iterdir())
    assert len(kept) == 4
    assert kept[0].startswith("best-")
    assert kept[1:] == ["config.toml", "dataset.json", "epoch-0002"]
