"""Starting from an artifact: what is taken over, what is refused, and going on after a kill."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import SMALL

from emodetect.config import ExperimentConfig, config_toml, load_config
from emodetect.errors import ConfigError, ModelError
from emodetect.machine.tensorflow_devices import use_tensorflow
from emodetect.model_file.artifact import read_artifact, write_artifact
from emodetect.model_file.metadata import Metadata

use_tensorflow()

import keras  # noqa: E402

from emodetect.training.initial_model import (  # noqa: E402
    initial_artifact,
    initial_model,
    load_initial,
)
from emodetect.training.models.layers import BACKBONE  # noqa: E402
from emodetect.training.models.registry import build_model  # noqa: E402

CROPS = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1)).astype(np.float32)
THREE = ("happy", "sad", "surprise")


def _answers(model: keras.Model) -> np.ndarray:
    return np.asarray(model(CROPS, training=False))


def _build(
    emotions: Sequence[str] = THREE, color: Any = "gray", image_size: int = 32, **model: Any
) -> keras.Model:
    """A new narrow MobileNet, or what the keys say."""
    settings = {"name": "mobilenet", "width": 0.25, "backbone_size": 32, "init": "shipped", **model}
    text = [f"model.{key}={value}" for key, value in settings.items()]
    config = load_config("mobilenetv2_fer2013", text)
    return build_model(
        config.model,
        image_size=image_size,
        color=color,
        class_count=len(emotions),
        weights="none",
    )


def _artifact_of(
    model: keras.Model, path: Path, emotions: tuple[str, ...] = THREE, **more: Any
) -> Path:
    """Write a model as an artifact that is complete but for its compiled form."""
    plain = path.with_name("plain.keras")
    model.save(plain)
    size = model.input_shape[1]
    metadata = Metadata(name="drawn", emotions=emotions, image_size=size, color="gray", **more)
    write_artifact(path, keras_file=plain, compiled=b"none", metadata=metadata)
    return path


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact of a MobileNet; its weights and batch norm's statistics are drawn."""
    from emodetect.training.models.layers import batch_norm_layers

    model, generator = _build(), np.random.default_rng(3)
    for layer in batch_norm_layers(model):
        layer.set_weights(
            [weights + generator.uniform(0, 0.1, weights.shape) for weights in layer.get_weights()]
        )
    # Or it might, now and then, answer almost as evenly as any new model.
    head = model.get_layer("probabilities")
    head.set_weights([head.get_weights()[0], np.array([1.0, 0.0, -1.0])])
    return _artifact_of(
        model,
        tmp_path_factory.mktemp("artifact") / "drawn.keras",
        config={"model": {"name": "mobilenet", "width": 0.25}},
    )


@pytest.fixture(scope="module")
def donor(artifact: Path) -> keras.Model:
    """The model of the artifact as Keras loads it."""
    return keras.models.load_model(artifact, compile=False)


def test_the_same_emotions_give_the_same_model(artifact: Path, donor: keras.Model) -> None:
    """Before any training, a model that starts from an artifact answers exactly as it does."""
    model = _build()
    assert not np.allclose(_answers(model), _answers(donor), atol=1e-3)
    load_initial(model, artifact, THREE, width=0.25)
    assert np.array_equal(_answers(model), _answers(donor))


def test_a_model_that_frames_faces_otherwise_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Crops made with the first model's margin are wider than those that the new one will see."""
    path = _artifact_of(
        _build(),
        tmp_path / "wide.keras",
        config={"model": {"name": "mobilenet", "width": 0.25}},
        margin=0.3,
    )
    for margin, told in (("0.3", False), ("0", True)):
        caplog.clear()
        keys = ["model.name=mobilenet", "model.width=0.25", "model.backbone_size=32"]
        keys += ["data.image_size=32", f"model.init={path}", f"data.margin={margin}"]
        initial_model(load_config("fine_tuning", keys), THREE)
        assert ("add --set data.margin=0.3" in caplog.text) == told


def test_another_order_of_the_emotions_is_carried_over(artifact: Path, donor: keras.Model) -> None:
    """With the classes in another order each emotion keeps its own answer."""
    model = _build()
    load_initial(model, artifact, ("surprise", "happy", "sad"), width=0.25)
    assert _answers(model) == pytest.approx(_answers(donor)[:, [2, 0, 1]], abs=1e-6)


@pytest.mark.parametrize(
    "emotions", [("happy", "sad"), ("angry", "happy", "sad"), (*THREE, "fear")]
)
def test_other_emotions_keep_the_backbone_and_get_a_new_head(
    emotions: tuple[str, ...],
    artifact: Path,
    donor: keras.Model,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """For fewer, more or other emotions the features are the artifact's, the head is new."""
    model = _build(emotions)
    head = model.get_layer("probabilities").get_weights()
    with caplog.at_level(logging.INFO, logger="emodetect"):
        load_initial(model, artifact, emotions, width=0.25)
    for own, theirs in zip(
        model.get_layer(BACKBONE).get_weights(),
        donor.get_layer(BACKBONE).get_weights(),
        strict=True,
    ):
        assert np.array_equal(own, theirs)
    for before, after in zip(head, model.get_layer("probabilities").get_weights(), strict=True):
        assert np.array_equal(before, after)
    assert "with a new head" in caplog.text


def test_dense_layers_are_part_of_the_head(tmp_path: Path) -> None:
    """A head of more layers is taken over whole, or not at all where its layers differ."""
    trained = _build(dense="[8, 8]")
    path = _artifact_of(trained, tmp_path / "deep.keras")
    same = _build(dense="[8, 8]")
    load_initial(same, path, THREE[::-1], width=0.25)
    assert _answers(same) == pytest.approx(_answers(trained)[:, ::-1], abs=1e-6)
    # Each has layers of the same name and shape as the artifact's, on other inputs.
    for dense in ("[8]", "[8, 9]", "[]"):
        model = _build(dense=dense)
        heads = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Dense)]
        before = {name: model.get_layer(name).get_weights() for name in heads}
        load_initial(model, path, THREE, width=0.25)
        for name, weights in before.items():
            for own, new in zip(weights, model.get_layer(name).get_weights(), strict=True):
                assert np.array_equal(own, new), (dense, name)


def test_other_crops_may_start_from_an_artifact(artifact: Path, donor: keras.Model) -> None:
    """Image size, colour and dropout are the new run's own; the backbone takes them all."""
    model = _build(color="rgb", image_size=48, backbone_size=64, dropout=0.5, l2=0.01)
    load_initial(model, artifact, THREE, width=0.25)
    assert np.array_equal(
        model.get_layer(BACKBONE).get_weights()[0], donor.get_layer(BACKBONE).get_weights()[0]
    )


@pytest.mark.parametrize(
    "other", [{"width": 0.5}, {"name": "mobilenet_v2"}, {"name": "lenet5", "width": 1.0}]
)
def test_another_network_is_refused(artifact: Path, other: dict[str, Any]) -> None:
    """An artifact of another network or width is named with what it holds and what to set."""
    model = _build(**other)
    before = model.get_weights()
    width = other.get("width", 0.25)
    said = rf"mobilenet, width 0\.25.*width {width:g}, gray.*model\.width"
    with pytest.raises(ModelError, match=said) as caught:
        load_initial(model, artifact, THREE, width=width)
    assert str(artifact) in str(caught.value)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_lenet_of_other_colours_is_refused_by_its_colour(tmp_path: Path) -> None:
    """LeNet-5's first layer is for gray or for RGB; the message names both."""
    path = _artifact_of(_build(name="lenet5", width=1.0), tmp_path / "lenet.keras")
    load_initial(_build(name="lenet5", width=1.0), path, THREE, width=1.0)
    with pytest.raises(ModelError, match=r"gray\).*lenet5, width 1, rgb\).*data\.color"):
        load_initial(_build(name="lenet5", width=1.0, color="rgb"), path, THREE, width=1.0)


def test_files_that_are_no_artifacts_are_refused(
    artifact: Path, donor: keras.Model, tmp_path: Path
) -> None:
    """A missing, foreign, damaged or tampered file is one clear error that names it."""
    with pytest.raises(ModelError, match=r"no\.keras: expected the path of a \.keras file"):
        initial_artifact(str(tmp_path / "no.keras"))
    with pytest.raises(ModelError, match=r"expected a run folder with best_model\.keras"):
        initial_artifact(str(tmp_path))
    foreign = tmp_path / "foreign.keras"
    donor.save(foreign)
    with pytest.raises(ModelError, match=r"foreign\.keras: expected a model trained by emodetect"):
        initial_artifact(str(foreign))
    (tmp_path / "text.keras").write_text("text")
    with pytest.raises(ModelError, match=r"text\.keras: expected a \.keras model file"):
        initial_artifact(str(tmp_path / "text.keras"))
    tampered = tmp_path / "tampered.keras"
    with zipfile.ZipFile(artifact) as source, zipfile.ZipFile(tampered, "w") as target:
        for member in source.namelist():
            data = source.read(member)
            target.writestr(member, data + b" " if member == "config.json" else data)
    with pytest.raises(ModelError, match="do not belong together"):
        load_initial(_build(), initial_artifact(str(tampered)), THREE, width=0.25)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(value: float, tmp_path: Path) -> None:
    """What a training left that failed is told, artifact or foreign file; nothing is taken over."""
    from emodetect.training.models.import_keras import import_keras_model

    broken, model = _build(name="lenet5", width=1.0), _build(name="lenet5", width=1.0)
    weights = broken.get_weights()
    weights[-1][0] = value
    broken.set_weights(weights)
    path = _artifact_of(broken, tmp_path / "broken.keras")
    with pytest.raises(ModelError, match=r"broken\.keras: expected finite weights"):
        load_initial(model, path, THREE, width=0.25)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    with pytest.raises(ModelError, match=r"plain\.keras: expected finite weights"):
        import_keras_model(tmp_path / "plain.keras", labels=THREE)


def test_init_brings_the_weights_and_is_kept_in_the_config(artifact: Path, tmp_path: Path) -> None:
    """init and weights together are refused; init alone needs no weights and round-trips."""
    for weights in ("imagenet", "some.weights.h5"):
        with pytest.raises(ConfigError, match=r"model\.init.*model\.weights"):
            load_config(
                "mobilenetv2_fer2013", [f"model.init={artifact}", f"model.weights={weights}"]
            )
    # A config that says "none" can start from an artifact too.
    assert load_config(SMALL, [f"model.init={artifact}"]).model.init == str(artifact)
    config = load_config("mobilenetv2_fer2013", [f"model.init={artifact}"])
    assert config.model.weights is None
    file = tmp_path / "config.toml"
    file.write_text(config_toml(config))
    assert load_config(str(file)) == config
    assert load_config("mobilenetv2_fer2013").model.weights == "imagenet"


def test_frozen_batch_norm_stays_as_the_artifact_had_it(
    artifact: Path, donor: keras.Model, small_overrides: list[str], tmp_path: Path
) -> None:
    """With `training.freeze_batch_norm` only the other layers train, averaged or not."""
    from emodetect.training.models.keras_files import load_keras
    from emodetect.training.models.layers import batch_norm_layers
    from emodetect.training.train import train

    changes = ["training.freeze_batch_norm=true", "training.epochs=1", f"output={tmp_path / 'run'}"]
    with pytest.raises(ConfigError, match="no batch norm to keep"):
        load_config(SMALL, [*small_overrides, *changes])
    config = load_config(SMALL, [*small_overrides, f"model.init={artifact}", *changes])
    trained = load_keras(train(config).artifact)
    for own, theirs in zip(batch_norm_layers(trained), batch_norm_layers(donor), strict=True):
        for weights, before in zip(own.get_weights(), theirs.get_weights(), strict=True):
            assert np.array_equal(weights, before)
    last = [model.get_layer(BACKBONE).get_layer("conv_pw_13") for model in (trained, donor)]
    assert not np.array_equal(last[0].get_weights()[0], last[1].get_weights()[0])


def test_the_shipped_model_can_be_started_from() -> None:
    """`model.init = "shipped"` fits the reference preset as it stands, with its seven emotions."""
    config = load_config("mobilenetv2_fer2013", ["model.init=shipped"])
    path = initial_artifact("shipped")
    assert path == initial_artifact("fer2013")
    emotions = ("surprise", "sad", "neutral", "happy", "fear", "disgust", "angry")
    model = build_model(
        config.model, image_size=48, color="gray", class_count=len(emotions), weights="none"
    )
    load_initial(model, path, emotions, width=0.25)
    shipped = keras.models.load_model(path, compile=False)
    crops = np.random.default_rng(1).integers(0, 256, (3, 48, 48, 1)).astype(np.float32)
    answers = np.asarray(model(crops, training=False))
    assert answers == pytest.approx(np.asarray(shipped(crops, training=False))[:, ::-1], abs=1e-6)


def test_a_missing_start_leaves_no_run_behind(
    small_config: ExperimentConfig, tmp_path: Path
) -> None:
    """A model.init that is not there, or does not fit, is told before a run folder is made."""
    from emodetect.training.train import train

    model = small_config.model.model_copy(update={"init": "nowhere.keras", "weights": None})
    run = tmp_path / "run"
    config = small_config.model_copy(update={"model": model, "output": run})
    with pytest.raises(ModelError, match=r"nowhere\.keras"):
        train(config)
    assert not run.exists()
    shipped = model.model_copy(update={"init": "shipped"})
    with pytest.raises(ModelError, match="another network"):
        train(config.model_copy(update={"model": shipped}))
    assert not run.exists()


class _KilledError(Exception):
    pass


# Keras' CSVLogger leaves closing its file, whose rows are flushed, to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.nightly
def test_a_run_from_an_artifact_goes_on_after_a_kill(
    small_overrides: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Stopped before the head's epoch or in fine-tuning's first, it ends with the same weights.

    In fine-tuning it goes on without the artifact, which may be gone by then. Of so few validation
    images no temperature can be fitted, and the artifact's is kept.
    """
    from emodetect.training import train as training
    from emodetect.training.checkpoints import SaveState

    start = _artifact_of(
        _build(name="lenet5", width=1.0), tmp_path / "start.keras", temperature=1.5
    )
    overrides = [
        *small_overrides,
        "model={name='lenet5', width=1.0, backbone_size=32, dropout=0.3}",
        f"model.init={start}",
        "training.head_epochs=1",
        f"output={tmp_path / 'whole'}",
    ]
    with caplog.at_level(logging.INFO, logger="emodetect"):
        whole = training.train(load_config(SMALL, overrides))
    assert "keeping the temperature of the initial model, 1.500" in caplog.text
    assert "24 validation images are too few" in caplog.text

    def check(run: Path) -> None:
        resumed = training.resume(run)
        history = (tmp_path / "whole" / "history.csv").read_bytes()
        assert (run / "history.csv").read_bytes() == history
        assert read_artifact(resumed.artifact).metadata.temperature == 1.5
        for own, expected in zip(
            keras.models.load_model(resumed.artifact, compile=False).get_weights(),
            keras.models.load_model(whole.artifact, compile=False).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(own, expected)

    def kill_at_once(*arguments: Any, **options: Any) -> None:
        raise _KilledError

    def kill_in_fine_tuning(self: Any, epoch: int, logs: dict[str, float] | None = None) -> None:
        if epoch == 1:
            raise _KilledError
        usual(self, epoch, logs)

    early, late = tmp_path / "early", tmp_path / "late"
    with monkeypatch.context() as patch:
        patch.setattr(training, "fit_phase", kill_at_once)
        with pytest.raises(_KilledError):
            training.train(load_config(SMALL, [*overrides, f"output={early}"]))
    check(early)
    usual = SaveState.on_epoch_end
    with monkeypatch.context() as patch:
        patch.setattr(SaveState, "on_epoch_end", kill_in_fine_tuning)
        with pytest.raises(_KilledError):
            training.train(load_config(SMALL, [*overrides, f"output={late}"]))
    start.unlink()
    check(late)


def test_a_temperature_belongs_to_its_head(tmp_path: Path) -> None:
    """A head that is taken over brings its own; a new one has none."""
    start = _artifact_of(
        _build(name="lenet5", width=1.0), tmp_path / "start.keras", temperature=1.5
    )
    for emotions, temperature in ((THREE, 1.5), (THREE[:2], 1.0)):
        model = _build(emotions, name="lenet5", width=1.0)
        assert load_initial(model, start, emotions, width=1.0) == temperature
