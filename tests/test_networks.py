"""The networks: that each is built for gray and RGB at any size, and what is refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emodetect.config import ModelConfig, load_config
from emodetect.errors import ConfigError, EmodetectError, ModelError, OutOfMemoryError
from emodetect.machine.tensorflow_devices import use_tensorflow, without_weights

use_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from emodetect.training.models import memory  # noqa: E402
from emodetect.training.models.layers import (  # noqa: E402
    BACKBONE,
    batch_norm_layers,
    freeze_below,
    fuse_batch_norm,
    set_batch_norm_momentum,
)
from emodetect.training.models.memory import require_memory, training_memory_errors  # noqa: E402
from emodetect.training.models.registry import BUILDERS, build_model, build_network  # noqa: E402


def _build(
    name: str,
    *,
    color: Any = "gray",
    image_size: int = 32,
    class_count: int = 3,
    weights: str = "none",
    **values: Any,
) -> keras.Model:
    narrow = {"width": 1.0 if name == "lenet5" else 0.25, "backbone_size": 32}
    return build_model(
        ModelConfig(name=name, weights="none", **{**narrow, **values}),
        image_size=image_size,
        color=color,
        class_count=class_count,
        weights=weights,
    )


@pytest.mark.parametrize("name", list(BUILDERS))
@pytest.mark.parametrize(
    ("color", "image_size", "backbone_size"),
    [("gray", 32, 32), ("rgb", 16, 32), ("gray", 48, 33), ("rgb", 48, 64)],
)
def test_networks_take_crops_of_any_size_and_colour(
    name: str, color: str, image_size: int, backbone_size: int
) -> None:
    """Each network turns 0-255 crops of its size and colour into probabilities, as float32."""
    model = _build(name, color=color, image_size=image_size, backbone_size=backbone_size)
    channels = 1 if color == "gray" else 3
    assert model.input_shape == (None, image_size, image_size, channels)
    assert model.get_layer(BACKBONE).input_shape[1:3] == (backbone_size, backbone_size)
    crops = np.random.default_rng(0).integers(0, 256, (2, image_size, image_size, channels))
    answers = np.asarray(model(crops.astype(np.float32), training=False))
    assert answers.shape == (2, 3)
    assert answers.dtype == np.float32
    assert answers.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("name", list(BUILDERS))
def test_a_saved_model_answers_alike_however_it_is_called(name: str, tmp_path: Path) -> None:
    """`model(x)` without `training=False` is inference too, and leaves batch norm as it was."""
    _build(name, image_size=16).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    before = [layer.get_weights() for layer in batch_norm_layers(model)]
    crops = np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 1)).astype(np.float32)
    answers = np.asarray(model(crops))
    np.testing.assert_array_equal(answers, np.asarray(model(crops, training=False)))
    for layer, weights in zip(batch_norm_layers(model), before, strict=True):
        np.testing.assert_array_equal(layer.get_weights(), weights)


@pytest.mark.parametrize("name", list(BUILDERS))
def test_all_batch_norm_is_found(name: str) -> None:
    """The momentum that the config sets reaches every batch norm of the network."""
    model = _build(name)
    inside = [
        layer
        for layer in model.get_layer(BACKBONE).layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert inside
    assert {id(layer) for layer in batch_norm_layers(model)} == {id(layer) for layer in inside}
    set_batch_norm_momentum(model, 0.5)
    assert {layer.momentum for layer in inside} == {0.5}
    # Moving averages are the only weights that are not trained; all belong to those layers.
    assert len(model.non_trainable_weights) == 2 * len(inside)


def test_lenet_is_lenet() -> None:
    """Two 5 x 5 convolutions of 6 and 16 filters with pooling, and 120 and 84 units on top."""
    model = _build("lenet5", class_count=10, dense=(120, 84))
    backbone = model.get_layer(BACKBONE)
    assert backbone.output_shape == (None, 5 * 5 * 16)
    # LeCun et al. 1998, with all maps connected: 61,706; batch norm adds 4 for each filter.
    assert model.count_params() == 61_706 + 4 * (6 + 16)
    wide = _build("lenet5", width=4.0).get_layer(BACKBONE)
    assert wide.output_shape == (None, 5 * 5 * 64)
    assert _build("lenet5", width=0.01).get_layer(BACKBONE).output_shape == (None, 5 * 5)


def test_dense_layers_and_dropout_stand_in_their_order() -> None:
    """model.dense puts layers of these units between backbone and softmax, dropout before each."""
    model = _build("mobilenet_v2", dense=(12, 7), dropout=0.4)
    top = model.layers[model.layers.index(model.get_layer(BACKBONE)) + 1 :]
    kinds = [type(layer).__name__ for layer in top]
    assert kinds == ["Dropout", "Dense"] * 3
    assert [layer.units for layer in top[1::2]] == [12, 7, 3]
    assert {layer.rate for layer in top[::2]} == {0.4}


@pytest.mark.parametrize("name", list(BUILDERS))
def test_l2_adds_the_squares_of_the_kernels_to_the_loss(name: str) -> None:
    """The penalty is l2 times the sum of the squared kernels of dense layers and LeNet's own."""
    assert _build(name, dense=(4,)).losses == []
    model = _build(name, dense=(4,), l2=0.5)
    layers = [model.get_layer("dense_0"), model.get_layer("probabilities")]
    if name == "lenet5":
        backbone = model.get_layer(BACKBONE)
        layers += [backbone.get_layer("convolution_0"), backbone.get_layer("convolution_1")]
    expected = 0.5 * sum(float(np.sum(np.square(layer.kernel))) for layer in layers)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", list(BUILDERS))
def test_a_frozen_backbone_leaves_the_head_to_train(name: str) -> None:
    """fine_tune_from names a layer of any network; those below it stay, batch norm included."""
    model = _build(name)
    last = next(layer for layer in reversed(model.get_layer(BACKBONE).layers) if layer.weights)
    freeze_below(model, last.name)
    assert {id(weight) for weight in model.trainable_weights} == {
        id(weight)
        for layer in (last, model.get_layer("probabilities"))
        for weight in layer.trainable_weights
    }
    with pytest.raises(ModelError, match=rf"layer of {name}"):
        freeze_below(model, "nothing")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    """A file of another network, or of another width, is told with what was expected."""
    v2 = tmp_path / "v2.weights.h5"
    keras.applications.MobileNetV2((32, 32, 3), 0.25, include_top=False, weights=None).save_weights(
        v2
    )
    with pytest.raises(ModelError, match=r"v2\.weights\.h5.*Expected weights of mobilenet \(width"):
        _build("mobilenet", weights=str(v2))
    with pytest.raises(ModelError, match=r"Expected weights of mobilenet_v2 \(width 0\.5"):
        _build("mobilenet_v2", width=0.5, weights=str(v2))
    model = _build("mobilenet_v2", weights=str(v2))
    assert model.get_layer(BACKBONE).get_weights()[0].shape == (3, 3, 3, 8)
    with pytest.raises(ModelError, match="lenet5 needs 'none'"):
        _build("lenet5", weights=str(v2))
    with pytest.raises(ModelError, match=r"gone\.weights\.h5: no such file"):
        _build("mobilenet", weights=str(tmp_path / "gone.weights.h5"))


def test_a_width_without_weights_is_no_failed_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a download that failed is told what to download, and may work another time."""
    with pytest.raises(ModelError, match=r"0\.75.*Choose a model\.width") as caught:
        _build("mobilenet", width=0.3, weights="imagenet")
    assert "Download" not in str(caught.value)

    def fail(**_: object) -> None:
        raise Exception("URL fetch failure on https://storage.example")

    monkeypatch.setattr(keras.applications, "MobileNet", fail)
    with pytest.raises(EmodetectError, match=r"URL fetch.*Download the weights") as offline:
        _build("mobilenet", weights="imagenet")
    assert not isinstance(offline.value, ModelError)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.backbone_size=31", "backbone_size.*32.*31"),
        ("model.backbone_size=0", "backbone_size.*32.*0"),
        ("data.image_size=15", "image_size.*16.*15"),
        ("model.width=0.0", r"width.*0"),
        ("model.dense=[0]", "dense.*1.*0"),
        ("model.dropout=1.0", "dropout.*1"),
        ("model.l2=-1.0", "l2.*0.*-1"),
        ("model.name=resnet", "mobilenet_v2.*resnet"),
    ],
)
def test_sizes_that_cannot_be_built_are_refused_by_their_key(override: str, said: str) -> None:
    """What no network can be built with is refused by the config, with key, bound and value."""
    with pytest.raises(ConfigError, match=said):
        load_config("lenet5_happy_sad_angry", [override])


def test_lenet_takes_no_imagenet_weights() -> None:
    """lenet5 without weights named is told what to set, not that a download failed."""
    with pytest.raises(ConfigError, match=r"weights: lenet5 has no ImageNet weights.*'none'"):
        load_config("mobilenetv2_fer2013", ["model.name=lenet5"])


def test_presets_build() -> None:
    """Each preset describes a network that can be built, and its fine_tune_from is there."""
    from emodetect.config import preset_names

    for name in preset_names():
        config = load_config(name)
        classes = len(config.data.classes or "1234567")
        model = without_weights(partial(build_network, config, classes))
        freeze_below(model, config.training.fine_tune_from)


@pytest.mark.parametrize(
    ("override", "images"),
    [
        ("model.dense=[100_000_000]", 10),
        ("model.dense=[1_000_000, 1_000_000]", 10),
        ("training.batch_size=65_536", 10**6),
    ],
)
def test_what_no_memory_can_hold_is_refused_before_it_is_taken(override: str, images: int) -> None:
    """A layer or a batch of terabytes is a line that names the keys, not the end of the process."""
    config = load_config("demo", [override])
    with pytest.raises(OutOfMemoryError, match=r"GB; choose smaller values of model\.width"):
        require_memory(config, 7, images=images)


def test_the_memory_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the limits of a process' control groups and those above them, the lowest is meant."""
    config = load_config("demo", ["training.batch_size=2048"])
    require_memory(config, 7, images=2048)
    (tmp_path / "pod" / "box").mkdir(parents=True)
    (tmp_path / "pod" / "box" / "memory.max").write_text("max\n")
    (tmp_path / "pod" / "memory.max").write_text(f"{10**8}\n")
    own = tmp_path / "own"
    own.write_text("4:memory:/other\n0::/pod/box\n")
    monkeypatch.setattr(memory, "GROUPS", tmp_path)
    monkeypatch.setattr(memory, "OWN_GROUPS", own)
    with pytest.raises(OutOfMemoryError, match="container has 0 GB"):
        require_memory(config, 7, images=2048)


def test_a_large_batch_of_few_images_is_small() -> None:
    """A batch has no more images than there are, so it is not refused for its name."""
    require_memory(load_config("demo", ["training.batch_size=65_536"]), 7, images=10)


def test_a_lack_of_memory_is_told_in_one_line() -> None:
    """What TensorFlow cannot allocate ends in the same advice."""
    refused = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
    with pytest.raises(OutOfMemoryError, match="choose smaller values"), training_memory_errors():
        raise refused


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_fused_batch_norm_trains_like_that_of_keras(policy: str) -> None:
    """Its outputs, gradients, statistics and saved layer are the same but for rounding."""
    generator = np.random.default_rng(0)
    images = keras.ops.convert_to_tensor(generator.normal(3, 2, (6, 8, 8, 5)), "float32")
    weights = [generator.uniform(0.5, 2, 5) for _ in range(4)]
    slopes = generator.normal(size=(6, 8, 8, 5))
    found = []
    for fused in (False, True):
        inputs = keras.Input((8, 8, 5))
        layer = keras.layers.BatchNormalization(momentum=0.9, dtype=policy, name="norm")
        model = keras.Model(inputs, layer(inputs))
        layer.set_weights(weights)
        if fused:
            fuse_batch_norm(model)
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = tf.cast(model(images, training=True), "float32")
            loss = tf.reduce_sum(outputs * slopes)
        gradients = tape.gradient(loss, [images, *(one.value for one in model.trainable_variables)])
        kept = model(images, training=False)
        found.append([outputs, *gradients, *layer.get_weights(), kept, layer.get_config()])
    assert found[0].pop() == found[1].pop()
    for plain, other in zip(*found, strict=True):
        np.testing.assert_allclose(
            plain, other, rtol=2e-3 if policy != "float32" else 1e-4, atol=1e-5
        )
    assert np.abs(found[0][4] - weights[2]).min() > 0.01  # the statistics moved


def test_frozen_batch_norm_keeps_its_statistics_in_training() -> None:
    """Below fine_tune_from, the fused kernel leaves them as the pretrained weights need them."""
    model = _build("mobilenet")
    fuse_batch_norm(model)
    freeze_below(model, "conv_pw_13")
    layers = batch_norm_layers(model)
    before = [layer.moving_mean.numpy() for layer in layers]
    images = np.random.default_rng(0).uniform(0, 255, (4, *model.input_shape[1:]))
    model(images.astype(np.float32), training=True)
    same = [
        np.array_equal(layer.moving_mean, old) for layer, old in zip(layers, before, strict=True)
    ]
    assert same == [True] * (len(layers) - 1) + [False]
