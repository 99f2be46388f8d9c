"""Training on several devices, for which TensorFlow's two logical CPUs stand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from labelled import dataset_of
from small import LENET, SMALL

from emodetect.cli import app
from emodetect.config import load_config
from emodetect.errors import ConfigError
from emodetect.machine.tensorflow_devices import keras_defaults

# Two logical devices can only be made before TensorFlow has started, so in a process of its own.
SCRIPT = """
import json, sys
from emodetect.training.train import resume, train
import tensorflow as tf
from emodetect.config import load_config
from emodetect.model_file.artifact import read_artifact
from emodetect.training.checkpoints import SaveState
from emodetect.training.run_folder import read_history

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
preset, changes, out = json.loads(sys.argv[1])
NAMES = ("loss", "val_loss")


def config(devices, name):
    return load_config(preset, [*changes, f"training.devices={devices}", f"output={out}/{name}"])


one, two = train(config(1, "one")), train(config(2, "two"))

usual = SaveState.on_epoch_begin


def stop(self, epoch, logs=None):
    usual(self, epoch, logs)
    if epoch == 2:
        raise KeyboardInterrupt


SaveState.on_epoch_begin = stop
try:
    train(config(2, "resumed"))
except KeyboardInterrupt:
    SaveState.on_epoch_begin = usual
resumed = resume(config(2, "resumed").output)
print(json.dumps({
    "losses": [
        [row[name] for row in read_history(run.run / "history.csv") for name in NAMES]
        for run in (one, two)
    ],
    "same": read_artifact(two.artifact).compiled == read_artifact(resumed.artifact).compiled,
}))
"""


@pytest.fixture(scope="module")
def on_two(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of the script; batch norm is frozen, as it differs by device."""
    changes = [
        *LENET,
        'data.classes=["happy", "sad", "surprise"]',
        "data.image_size=32",
        "data.synthetic.train_per_class=40",
        "data.synthetic.test_per_class=4",
        "model.backbone_size=32",
        f"model.init={artifact}",
        "training.freeze_batch_norm=true",
        "training.epochs=4",
        "training.ema_momentum=0.8",
    ]
    out = tmp_path_factory.mktemp("devices")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([SMALL, changes, str(out)])],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    results: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return results


@pytest.mark.nightly
def test_two_devices_train_as_one_does(on_two: dict[str, Any]) -> None:
    """With frozen batch norm, sharing each batch changes the losses by rounding only."""
    one, two = on_two["losses"]
    assert len(one) == 2 * 4
    assert two == pytest.approx(one, rel=2e-3)
    assert two[-1] < two[0]


@pytest.mark.nightly
def test_a_resumed_run_on_two_devices_ends_the_same(on_two: dict[str, Any]) -> None:
    """Stopped and resumed, the run ends with the very weights of an undisturbed one."""
    assert on_two["same"]


def test_more_devices_than_there_are_is_one_clear_line(tmp_path: Path) -> None:
    """Nine devices on this machine are refused before a run folder is made."""
    output = tmp_path / "run"
    changes = [*LENET, "training.devices=9", "training.batch_size=18", f"output={output}"]
    result = CliRunner().invoke(
        app, ["train", "--config", SMALL, *(f"--set={change}" for change in changes)]
    )
    assert result.exit_code != 0
    assert isinstance(result.exception, (ConfigError, SystemExit))
    assert "training.devices: expected at most" in f"{result.output}{result.exception}"
    assert not output.exists()


@pytest.mark.parametrize(
    "changes",
    [
        ["training.devices=0"],
        ["training.devices=-1"],
        ['training.devices="some"'],
        ["training.devices=3", "training.batch_size=64"],
    ],
)
def test_impossible_devices_are_refused(changes: list[str]) -> None:
    """No devices, words, and a batch that does not divide are mistakes in the config."""
    with pytest.raises(ConfigError, match=r"devices"):
        load_config(SMALL, [*LENET, *changes])


@pytest.mark.parametrize("devices", [2, 3, 4, 8])
def test_no_device_is_left_without_a_validation_image(devices: int) -> None:
    """From three images for each device on, each batch has one for each, and the first divides."""
    from emodetect.training.fitting import validation_batches

    for count in range(3 * devices, 8 * devices):
        dataset = dataset_of(("happy", "sad"), [0] * count, [1] * count, ["val"] * count)
        sizes = [len(images) for images, _ in validation_batches(dataset, devices=devices)]
        assert sum(sizes) == count
        assert sizes[0] % devices == 0
        assert all(size % devices == 0 or size >= devices for size in sizes)


def test_what_a_program_has_set_in_keras_comes_back() -> None:
    """Training uses Keras' own number type meanwhile."""
    import keras

    keras.config.set_floatx("float16")
    try:
        with keras_defaults():
            assert keras.config.floatx() == "float32"
        assert keras.config.floatx() == "float16"
    finally:
        keras.config.set_floatx("float32")
