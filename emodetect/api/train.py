"""`emodetect.train`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emodetect.api.arguments import AnyPath, emotions_of_labels, plain
from emodetect.api.python_words import in_python_words, python_words
from emodetect.config import ExperimentConfig, load_config
from emodetect.data.named_data import find_data
from emodetect.errors import ConfigError

if TYPE_CHECKING:
    from emodetect.training.train import TrainingResult

DEFAULT_PRESET = "fine_tuning"


@in_python_words
def train(
    config: AnyPath | ExperimentConfig = DEFAULT_PRESET,
    data: AnyPath | None = None,
    *,
    label_names: Mapping[str, str] | None = None,
    own_labels: bool = False,
    resume: AnyPath | None = None,
    **overrides: Any,
) -> TrainingResult:
    """Train a model and save it in a run folder, as `emodetect train` does.

    Args:
        config: a preset (`emodetect config list`), a TOML file, or a loaded config. The default
            preset starts from the shipped model.
        data: labelled images, as PATH or SOURCE:PATH. If None, those of the config.
        label_names: the emotions of labels by other names, such as {"3": "happy"}.
        own_labels: labels need not be emotions.
        resume: a run folder, whose interrupted training is continued; then nothing else is given.
        overrides: values of the config, which win over all else: `output="runs/mine"`,
            `training__epochs=3` or `training={"epochs": 3}`.

    Returns:
        The result, which shows its learning curves in a notebook.

    Raises:
        ConfigError: if the config is not valid, or the run folder is not empty.
        EmodetectError: if the data or the initial weights cannot be used.

    Examples:
        >>> import emodetect
        >>> result = emodetect.train(
        ...     "my_config.toml", data="faces", output="runs/mine", training__epochs=1
        ... )
        >>> result.artifact.name
        'best_model.keras'
        >>> 0 <= result.accuracy <= 1
        True
        >>> sorted(result.history[0])
        ['accuracy', 'loss', 'val_accuracy', 'val_loss']
    """
    given = config != DEFAULT_PRESET or data is not None or own_labels
    given = given or bool(label_names or overrides)
    run = None if resume is None else Path(resume)
    if run is not None and given:
        raise ConfigError("resume: continues a run as it was started; omit all else.")
    chosen = None
    if run is None:
        chosen = _chosen(config, data, overrides, label_names=label_names, own_labels=own_labels)
    # Only now, because they load Matplotlib and TensorFlow.
    from emodetect.reports.run_plots import draw_run
    from emodetect.training import train as training

    if run is not None:
        result = training.resume(run, draw=draw_run)
    else:
        assert chosen is not None
        result = training.train(chosen, draw=draw_run)
    return replace(result, summary=list(map(python_words, result.summary)))


def _chosen(
    config: AnyPath | ExperimentConfig,
    data: AnyPath | None,
    overrides: dict[str, Any],
    *,
    label_names: Mapping[str, str] | None,
    own_labels: bool,
) -> ExperimentConfig:
    if not isinstance(config, ExperimentConfig):
        named = None if data is None else str(find_data(data, option="data"))
        return load_config(
            os.fspath(config),
            plain(overrides),
            data=named,
            label_names=emotions_of_labels(label_names),
            own_labels=own_labels,
        )
    if data is not None or label_names or own_labels or overrides:
        raise ConfigError("config: a loaded config is complete; omit all else.")
    return config
