"""Training and its run folder; on the small model of conftest.py."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from running import posix_only
from small import LENET, SMALL

from emodetect.cli import app
from emodetect.config import ExperimentConfig, ModelConfig, load_config
from emodetect.data.synthetic import draw_dataset
from emodetect.errors import (
    ConfigError,
    DataError,
    DivergedError,
    EmodetectError,
    ModelError,
    OutOfMemoryError,
)
from emodetect.machine.quiet_libraries import lossy_stream
from emodetect.model_file.artifact import read_artifact
from emodetect.recognition.recognizer import EmotionRecognizer


def test_run_folder_is_complete(artifact: Path, small_config: ExperimentConfig) -> None:
    """A finished run holds model, resolved config, history and a record of what was used."""
    run = artifact.parent
    assert load_config(str(run / "config.toml")) == small_config
    rows = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    assert [int(row["epoch"]) for row in rows] == list(range(1, small_config.training.epochs + 1))
    record = json.loads((run / "run.json").read_text())
    assert record["dataset"]["counts"]["test"] == {"happy": 10, "sad": 10, "surprise": 10}
    assert record["dataset"]["skipped"] == []
    assert record["seconds"] > 0
    assert {"tensorflow", "keras", "emodetect"} <= record["versions"].keys()


@posix_only
def test_a_run_whose_messages_nobody_reads_ends_well(
    small_overrides: list[str], tmp_path: Path
) -> None:
    """`train … 2>&1 | head`, or a log on a full disk, loses messages, and not the run."""
    read, write = os.pipe()
    os.close(read)
    run = tmp_path / "run"
    changes = [*small_overrides, *LENET, "training.epochs=1"]
    words = ["train", "--config", SMALL, "--output", str(run)]
    for change in changes:
        words += ["--set", change]
    done = subprocess.run([sys.executable, "-m", "emodetect", *words], stderr=write, check=False)
    os.close(write)
    assert done.returncode == 0
    assert (run / "best_model.keras").is_file()


@posix_only
def test_messages_that_a_full_pipe_does_not_take_are_lost() -> None:
    """Nor does the stream fail when it is closed, which would change the exit status."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with os.fdopen(read, "rb"), lossy_stream(write) as stream:
        for _ in range(200):
            stream.write("x" * 999 + "\n")


def test_a_finished_run_keeps_its_weights_once(artifact: Path) -> None:
    """Once the artifact has them, the checkpoints that take as much space again are gone."""
    assert sorted(path.name for path in (artifact.parent / "checkpoints").iterdir()) == [
        "config.toml",
        "dataset.json",
        "finished.json",
    ]


def test_best_epoch_is_what_the_artifact_holds(artifact: Path) -> None:
    """The figures of the record are those of the best validation epoch."""
    run = artifact.parent
    rows = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    best = max(rows, key=lambda row: (float(row["val_accuracy"]), -float(row["val_loss"])))
    record = json.loads((run / "run.json").read_text())
    assert str(record["best_epoch"]) == best["epoch"]
    for split, prefix in (("training", ""), ("validation", "val_")):
        assert record[split] == {name: float(best[prefix + name]) for name in ("accuracy", "loss")}
    metrics = read_artifact(artifact).metadata.metrics
    assert metrics["val_accuracy"] == float(best["val_accuracy"])


class _Model:
    """What Keras' callbacks need of a model: it notes the names of the weights it saves."""

    def __init__(self) -> None:
        self.stop_training = False
        self.saved: list[str] = []

    def save_weights(self, path: str, overwrite: bool) -> None:
        self.saved.append(Path(path).name)


def _epochs_kept(
    rows: list[dict[str, float]], monitor: str, folder: Path
) -> tuple[list[str], bool]:
    """Return the epochs whose weights are saved, and whether the last ends a patience of 1."""
    from emodetect.training.fitting import KeepBest, StopEarly

    model = _Model()
    keep = KeepBest(
        str(folder / "{epoch}.weights.h5"),
        monitor=monitor,
        save_best_only=True,
        save_weights_only=True,
    )
    stop = StopEarly(monitor=monitor, patience=1)
    keep.set_model(model)
    stop.set_model(model)
    stop.on_train_begin()
    for epoch, row in enumerate(rows):
        assert not model.stop_training
        keep.on_epoch_end(epoch, row)
        stop.on_epoch_end(epoch, row)
    return [name.partition(".")[0] for name in model.saved], model.stop_training


def test_of_epochs_with_equal_accuracy_the_lower_loss_is_best(tmp_path: Path) -> None:
    """It decides which weights are kept, and when training stops."""
    rows = [
        {"val_accuracy": accuracy, "val_loss": loss}
        for accuracy, loss in ((0.5, 0.6), (0.8, 0.9), (0.8, 0.8999), (0.8, 0.95))
    ]
    assert _epochs_kept(rows, "val_accuracy", tmp_path) == (["1", "2", "3"], True)
    assert _epochs_kept(rows[:2], "val_loss", tmp_path) == (["1"], True)


def test_an_epoch_without_a_validation_loss_is_the_worst(tmp_path: Path) -> None:
    """NaN, which compares with nothing, does not stay the best of a run."""
    losses = (float("nan"), 0.9, 0.8)
    rows = [{"val_accuracy": 0.5, "val_loss": loss} for loss in losses]
    assert _epochs_kept(rows, "val_loss", tmp_path) == (["1", "2", "3"], False)
    assert _epochs_kept(rows, "val_accuracy", tmp_path) == (["1", "2", "3"], False)
    rows = [{"val_accuracy": 0.5, "val_loss": 0.9}, {"val_accuracy": 0.8, "val_loss": losses[0]}]
    assert _epochs_kept(rows, "val_accuracy", tmp_path) == (["1"], True)


def test_artifact_is_plain_keras_and_agrees_with_its_compiled_form(artifact: Path) -> None:
    """Keras opens the artifact as an ordinary model without optimizer; LiteRT answers alike."""
    import keras

    model = keras.models.load_model(artifact)
    assert not model.compiled
    recognizer = EmotionRecognizer(artifact, detector="none")
    crops = np.random.default_rng(0).integers(0, 256, (70, 32, 32, 1), np.uint8)
    expected = np.asarray(model(crops.astype(np.float32), training=False))
    np.testing.assert_allclose(recognizer.classify_inputs(crops), expected, atol=2e-3)
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-5)


def test_resume_of_a_finished_run_is_refused(artifact: Path) -> None:
    """Resuming a finished run says that it is finished and where its model lies."""
    from emodetect.training.train import resume

    with pytest.raises(ConfigError, match="already finished"):
        resume(artifact.parent)


def test_resume_with_another_config_names_the_keys(
    artifact: Path, small_config: ExperimentConfig
) -> None:
    """A config that differs from the run's own is refused, with the keys that differ."""
    from emodetect.training.train import resume

    training = small_config.training.model_copy(update={"epochs": 9})
    with pytest.raises(ConfigError, match=r"training\.epochs"):
        resume(artifact.parent, small_config.model_copy(update={"training": training}))


def test_resume_where_nothing_is(tmp_path: Path) -> None:
    """Resuming a folder that is no run says what was expected."""
    from emodetect.training.train import resume

    with pytest.raises(ConfigError, match=r"config\.toml"):
        resume(tmp_path)


def test_resume_where_there_is_less_memory(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on in a container too small for it is refused before it takes the memory."""
    from emodetect.training.models import memory
    from emodetect.training.train import resume

    shutil.copy(artifact.parent / "config.toml", tmp_path)
    (tmp_path / "memory.max").write_text("1000")
    (tmp_path / "own").write_text("0::/\n")
    monkeypatch.setattr(memory, "USUAL_SIDE", 0)
    monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(memory, "GROUPS", tmp_path)
    with pytest.raises(OutOfMemoryError, match="container has 0 GB"):
        resume(tmp_path)


def test_an_existing_run_is_never_overwritten(
    artifact: Path, small_config: ExperimentConfig
) -> None:
    """Training into a folder that holds a run is refused before anything is touched."""
    from emodetect.training.train import train

    before = artifact.read_bytes()
    with pytest.raises(ConfigError, match="already exists; continue it with --resume"):
        train(small_config)
    assert artifact.read_bytes() == before


def test_only_a_run_is_to_be_resumed(small_config: ExperimentConfig, tmp_path: Path) -> None:
    """For a folder of other files, the way out is another folder."""
    from emodetect.training.train import train

    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match="already exists; choose another folder with --output"):
        train(small_config.model_copy(update={"output": tmp_path}))


NARROW = ModelConfig(weights="none", width=0.35, backbone_size=32)


def test_missing_weights_and_unknown_layers_are_named(tmp_path: Path) -> None:
    """A weights file that is not there, or a layer that is not there, is one clear error."""
    from emodetect.training.models.layers import freeze_below
    from emodetect.training.models.registry import build_model

    arguments = {"image_size": 32, "color": "gray", "class_count": 3}
    with pytest.raises(ModelError, match="no such file"):
        build_model(NARROW, **arguments, weights=str(tmp_path / "no.weights.h5"))
    wrong = tmp_path / "wrong.weights.h5"
    wrong.write_text("not weights")
    with pytest.raises(ModelError, match="cannot be used"):
        build_model(NARROW, **arguments, weights=str(wrong))
    model = build_model(NARROW, **arguments, weights="none")
    with pytest.raises(ModelError, match="block_13_expand"):
        freeze_below(model, "block_13_expend")


def test_fine_tuning_from_a_named_depth() -> None:
    """Layers below the named one stay as they are, the others train."""
    from emodetect.training.models.layers import BACKBONE, freeze_below
    from emodetect.training.models.registry import build_model

    model = build_model(NARROW, image_size=32, color="gray", class_count=3, weights="none")
    freeze_below(model, "block_13_expand")
    layers = {layer.name: layer.trainable for layer in model.get_layer(BACKBONE).layers}
    assert not layers["Conv1"]
    assert layers["block_13_expand"]
    assert layers["Conv_1"]


def test_pretrained_weights_come_from_a_file(tmp_path: Path) -> None:
    """`model.weights = FILE` starts the backbone from that file's weights."""
    import keras

    from emodetect.training.models.layers import BACKBONE
    from emodetect.training.models.registry import build_model

    original = keras.applications.MobileNetV2(
        input_shape=(32, 32, 3), alpha=0.35, include_top=False, weights=None
    )
    file = tmp_path / "backbone.weights.h5"
    original.save_weights(file)
    model = build_model(NARROW, image_size=32, color="gray", class_count=3, weights=str(file))
    for loaded, expected in zip(
        model.get_layer(BACKBONE).get_weights(), original.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(loaded, expected)


def test_two_phases_train_head_then_backbone(
    small_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With pretrained weights the head is trained first, then all, with averaged weights.

    Under mixed_float16, where Keras wraps the optimizer that holds the averages. A LeNet-5 stands
    for the network of the weights: half precision takes MobileNet a minute on some processors.
    """
    import keras

    from emodetect.training.models.lenet5 import lenet5
    from emodetect.training.models.registry import BUILDERS
    from emodetect.training.train import train
    from emodetect.training.weight_averaging import AveragedWeights

    monkeypatch.setitem(
        BUILDERS, "mobilenet", lambda config, weights, channels: lenet5(config, "none", channels)
    )
    file = tmp_path / "backbone.weights.h5"
    file.touch()
    config = load_config(
        SMALL,
        [
            *small_overrides,
            f"model.weights={file}",
            "training.head_epochs=1",
            "training.epochs=1",
            "training.ema_momentum=0.9",
            "training.mixed_precision=mixed_float16",
            f"output={tmp_path / 'run'}",
        ],
    )
    validated = []
    usual = AveragedWeights.on_test_begin

    def noted(self: AveragedWeights, logs: dict[str, float] | None = None) -> None:
        usual(self, logs)
        validated.append(self)

    monkeypatch.setattr(AveragedWeights, "on_test_begin", noted)
    # What the rest of the program has set must not reach the model.
    keras.config.set_dtype_policy("mixed_float16")
    keras.config.set_image_data_format("channels_first")
    numbers = random.getstate(), np.random.get_state()[1].tolist()
    try:
        result = train(config)
        assert (random.getstate(), np.random.get_state()[1].tolist()) == numbers
        assert keras.config.dtype_policy().name == "mixed_float16"
        assert keras.config.image_data_format() == "channels_first"
    finally:
        keras.config.set_dtype_policy("float32")
        keras.config.set_image_data_format("channels_last")
    assert len(validated) == 1
    rows = list(csv.DictReader((tmp_path / "run" / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert result.best_epoch in (1, 2)
    assert read_artifact(result.artifact).metadata.emotions == ("happy", "sad", "surprise")


def test_figures_of_half_precision_are_those_of_the_saved_model(
    small_overrides: list[str], tmp_path: Path
) -> None:
    """The saved model computes in full precision, and may answer otherwise than the trained one."""
    from emodetect.training.models.keras_files import load_keras
    from emodetect.training.train import train

    changes = ["training.epochs=1", "training.mixed_precision=mixed_bfloat16"]
    result = train(
        load_config(SMALL, [*small_overrides, *LENET, *changes, f"output={tmp_path / 'run'}"])
    )
    members = result.dataset.indices("val")
    labels = result.dataset.labels[members]
    images = result.dataset.images[members].astype(np.float32)
    answers = load_keras(result.artifact).predict(images, verbose=0)
    assert result.validation["accuracy"] == np.mean(answers.argmax(axis=1) == labels)
    losses = -np.log(answers[np.arange(len(labels)), labels])
    assert result.validation["loss"] == pytest.approx(losses.mean(), rel=1e-5)


@pytest.mark.parametrize("when", ["epochs=2", "epochs=1"])
def test_training_that_diverges_says_so(
    when: str, small_overrides: list[str], tmp_path: Path
) -> None:
    """A loss that stops being a number ends in advice, not in a model of NaNs.

    With a single batch, the training loss of the epoch is that before it.
    """
    from emodetect.training.train import resume, train

    config = load_config(
        SMALL,
        [
            *small_overrides,
            *LENET,
            "training.learning_rate=1e30",
            "training.warmup_epochs=0.0",
            "training.batch_size=512",
            f"training.{when}",
            f"output={tmp_path / 'run'}",
        ],
    )
    with pytest.raises(DivergedError, match=r"training\.learning_rate"):
        train(config)
    with pytest.raises(DivergedError, match=r"training\.learning_rate"):
        resume(config.output)
    assert not (tmp_path / "run" / "best_model.keras").exists()


def test_a_run_folder_may_have_any_name(small_overrides: list[str], tmp_path: Path) -> None:
    """Braces, which Keras would fill in, and spaces are kept as they are."""
    from emodetect.training.train import train

    run = tmp_path / "a {exp} of }{ 50%"
    changes = [*small_overrides, *LENET, "training.epochs=1"]
    config = load_config(SMALL, changes).model_copy(update={"output": run})
    assert train(config).artifact == run / "best_model.keras"


def test_dry_run_reports_absent_data_and_size() -> None:
    """--dry-run shows config, data and model size, calls absent data so, and exits 0."""
    seven = 'data.classes=["angry","disgust","fear","happy","neutral","sad","surprise"]'
    words = ["train", "--config", "mobilenetv2_fer2013", "--dry-run"]
    result = CliRunner().invoke(app, [*words, "--set", "data.path=no/where", "--set", seven])
    assert result.exit_code == 0, result.exception
    assert "no/where: not found" in result.stdout
    assert "2,266,951 parameters" in result.stdout  # 2,257,984 of MobileNetV2, 1280 * 7 + 7 of ours
    assert "image_size = 48" in result.stdout


def test_a_run_among_the_images_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its plots would be images of the next run; also where the folder is the current one."""
    draw_dataset(tmp_path, counts={"faces": 4}, emotions=("happy", "sad"), seed=1, size=48)
    monkeypatch.chdir(tmp_path / "faces")
    for words in (["--data", "."], ["--data", "../faces", "--own-labels"]):
        result = CliRunner().invoke(app, ["train", "--config", SMALL, *words])
        assert isinstance(result.exception, EmodetectError)
        assert "runs/small: is inside" in str(result.exception)
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["happy", "sad"]


def test_missing_data_is_a_clear_error(tmp_path: Path) -> None:
    """Training on a folder that is not there names the folder and leaves no run behind."""
    from emodetect.training.train import train

    run = tmp_path / "run"
    config = load_config(
        "mobilenetv2_fer2013", [f"data.path={tmp_path / 'faces'}", f"output={run}"]
    )
    with pytest.raises(DataError, match="faces"):
        train(config)
    assert not run.exists()


# Keras' CSVLogger leaves closing its file, whose rows are flushed, to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_is_told_before_an_epoch_is_lost(
    small_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk without room for the next checkpoint stops the run in time; it can be resumed."""
    from emodetect.training.train import train

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    run = tmp_path / "run"
    config = load_config(SMALL, [*small_overrides, *LENET, f"output={run}"])
    with pytest.raises(EmodetectError, match=r"No epoch was finished yet; .* with --resume"):
        train(config)
    assert (run / "config.toml").is_file()
    assert not (run / "best_model.keras").exists()
