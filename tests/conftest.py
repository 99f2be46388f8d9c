"""One small model, trained once on drawn faces, for all tests that need a real artifact."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from small import LENET, SMALL

from emodetect.config import ExperimentConfig, load_config
from emodetect.data.synthetic import draw_dataset
from emodetect.machine.interrupts import HANGUPS
from emodetect.model_file.artifact import read_artifact


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that all tests of a session share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def small_overrides(cache_dir: Path) -> list[str]:
    """Overrides that make the small config train in seconds."""
    return [
        f"data.cache_dir={cache_dir}",
        'data.classes=["happy", "sad", "surprise"]',
        "data.image_size=32",
        "data.synthetic.train_per_class=40",
        "data.synthetic.test_per_class=10",
        "model.backbone_size=32",
        "model.dropout=0.3",
        "training.ema_momentum=0.9",
        "training.epochs=2",
        "training.warmup_epochs=0.5",
        "training.batch_size=16",
    ]


@pytest.fixture(scope="session")
def small_config(
    small_overrides: list[str], tmp_path_factory: pytest.TempPathFactory
) -> ExperimentConfig:
    """A config of three emotions that trains in seconds."""
    output = tmp_path_factory.mktemp("runs") / "small"
    return load_config(SMALL, [*small_overrides, *LENET, f"output={output}"])


@pytest.fixture(scope="session")
def artifact(small_config: ExperimentConfig) -> Path:
    """The artifact of a finished run; its answers are not meant to be right."""
    from emodetect.training.train import train

    return train(small_config).artifact


@pytest.fixture
def faces(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Class folders of four drawn faces for each of the model's emotions."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    emotions = read_artifact(artifact).metadata.emotions
    draw_dataset(tmp_path, counts={"faces": 4}, emotions=emotions, seed=9, size=64)
    return tmp_path / "faces"


@pytest.fixture
def hangups_arrive() -> Iterator[None]:
    """Let SIGHUP reach the programs that a test starts, also where nohup has started the tests."""
    previous = {number: signal.signal(number, signal.SIG_DFL) for number in HANGUPS}
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)
