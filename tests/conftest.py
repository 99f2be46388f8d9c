"""One small model, trained once on drawn faces, for all tests that need a real artifact."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import LENET, SMALL

from emodetect.config import ExperimentConfig, load_config


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
