"""The .keras artifact: what is refused, and models made elsewhere."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from emodetect.artifact import read_artifact
from emodetect.errors import ModelError
from emodetect.inference.recognizer import EmotionRecognizer


def rewritten(artifact: Path, out: Path, **replaced: bytes | None) -> Path:
    """Copy an artifact with members replaced; None leaves one out."""
    with zipfile.ZipFile(artifact) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            data = replaced.get(name.replace(".", "_"), source.read(name))
            if data is not None:
                target.writestr(name, data)
    return out


def member(artifact: Path, name: str) -> bytes:
    """Return a member of an artifact."""
    with zipfile.ZipFile(artifact) as archive:
        return archive.read(name)


def test_metadata_round_trip(artifact: Path) -> None:
    """Label order, input size and training config travel inside the file."""
    metadata = read_artifact(artifact).metadata
    assert metadata.emotions == ("happy", "sad", "surprise")
    assert (metadata.image_size, metadata.color) == (32, "gray")
    assert metadata.config["training"]["epochs"] == 2
    assert len(metadata.dataset["fingerprint"]) == 64


@pytest.mark.parametrize("name", ["model_tflite", "model_weights_h5", "config_json"])
def test_members_that_do_not_belong_together_are_refused(
    artifact: Path, tmp_path: Path, name: str
) -> None:
    """A weights file or compiled network of another model is noticed by its hash."""
    foreign = rewritten(artifact, tmp_path / "mixed.keras", **{name: b"of another model"})
    with pytest.raises(ModelError, match="do not belong together"):
        read_artifact(foreign)


def test_missing_member_is_named(artifact: Path, tmp_path: Path) -> None:
    """An artifact without its compiled network says which member is missing."""
    with pytest.raises(ModelError, match=r"model\.tflite is missing"):
        read_artifact(rewritten(artifact, tmp_path / "m.keras", model_tflite=None))


@pytest.mark.parametrize(
    "change",
    [
        {"format": 99},
        {"emotions": "happy"},
        {"emotions": None},
        {"image_size": "32"},
        {"temperature": 0},
        {"color": "infrared"},
        {"sha256": None},
    ],
)
def test_damaged_metadata_is_refused(
    artifact: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    """Metadata that make no sense are an error, not a crash or a guess."""
    content = json.loads(member(artifact, "emodetect.json"))
    data = json.dumps({**content, **change}).encode()
    with pytest.raises(ModelError, match=r"m\.keras"):
        read_artifact(rewritten(artifact, tmp_path / "m.keras", emodetect_json=data))


def test_truncated_and_foreign_files_are_refused(artifact: Path, tmp_path: Path) -> None:
    """A cut file, a text file, a folder and a missing file are each one clear error."""
    cut = tmp_path / "cut.keras"
    cut.write_bytes(artifact.read_bytes()[:50_000])
    text = tmp_path / "text.keras"
    text.write_text("hello")
    for path in (cut, text, tmp_path, tmp_path / "missing.keras"):
        with pytest.raises(ModelError):
            read_artifact(path)


def test_damaged_bytes_inside_a_member_are_refused(artifact: Path, tmp_path: Path) -> None:
    """A flipped byte in the weights is noticed before the model is used."""
    data = bytearray(artifact.read_bytes())
    with zipfile.ZipFile(artifact) as archive:
        start = archive.getinfo("model.weights.h5").header_offset
    data[start + 200_000] ^= 0xFF
    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes(data)
    with pytest.raises(ModelError):
        read_artifact(damaged)


def test_zip_bomb_is_refused(artifact: Path, tmp_path: Path) -> None:
    """A member that would unpack to gigabytes is refused without unpacking it."""
    bomb = tmp_path / "bomb.keras"
    with (
        zipfile.ZipFile(artifact) as source,
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target,
    ):
        for name in source.namelist():
            if name != "model.tflite":
                target.writestr(name, source.read(name))
        with target.open("model.tflite", "w", force_zip64=True) as file:
            block = bytes(2**24)
            for _ in range(65):
                file.write(block)
    assert bomb.stat().st_size < 20e6
    with pytest.raises(ModelError, match="refused"):
        read_artifact(bomb)


def foreign_model(path: Path, *, logits: bool = False) -> Path:
    """Save a small Keras model that emodetect did not make; it answers by mean brightness."""
    from emodetect.backend import use_tensorflow

    use_tensorflow()
    import keras

    inputs = keras.Input((8, 8, 3))
    mean = keras.layers.GlobalAveragePooling2D()(inputs)
    outputs = keras.layers.Dense(2, activation=None if logits else "softmax")(mean)
    model = keras.Model(inputs, outputs)
    model.set_weights([np.array([[8.0, -8]] * 3), np.array([-12.0, 12])])
    model.save(path)
    return path


@pytest.mark.parametrize("logits", [False, True])
def test_foreign_model_works_with_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logits: bool
) -> None:
    """A Keras file from elsewhere works once its labels and pixel range are given."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = foreign_model(tmp_path / "foreign.keras", logits=logits)
    with pytest.raises(ModelError, match="--labels"):
        EmotionRecognizer(path)
    from emodetect.training.foreign import adopt_foreign

    adopted = adopt_foreign(path, labels=["happiness", "sad"], pixel_range=(0, 1))
    assert adopt_foreign(path, labels=["happiness", "sad"], pixel_range=(0, 1)) == adopted
    recognizer = EmotionRecognizer(adopted, detector="none")
    assert recognizer.emotions == ("happy", "sad")
    white, black = np.full((20, 20, 3), 255, np.uint8), np.zeros((20, 20, 3), np.uint8)
    assert [recognizer.analyze(image)[0].emotion for image in (white, black)] == ["happy", "sad"]
    scores = recognizer.classify([white, black])
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)


def test_foreign_model_with_wrong_labels_is_refused(artifact: Path, tmp_path: Path) -> None:
    """A wrong number of labels, a label twice, and labels for our own file are refused."""
    from emodetect.training.foreign import adopt_foreign

    path = foreign_model(tmp_path / "foreign.keras")
    with pytest.raises(ModelError, match="has 2 outputs"):
        adopt_foreign(path, labels=["happy", "sad", "fear"])
    with pytest.raises(ModelError, match="twice"):
        adopt_foreign(path, labels=["happy", "joy"])
    with pytest.raises(ModelError, match="its own label order"):
        adopt_foreign(artifact, labels=["happy", "sad", "surprise"])


def test_code_inside_a_model_is_refused(tmp_path: Path) -> None:
    """A Lambda layer, which could run anything, is refused by Keras' safe mode."""
    from emodetect.training.foreign import adopt_foreign

    import keras  # isort: skip

    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.GlobalAveragePooling2D()(keras.layers.Lambda(lambda x: x * 2)(inputs))
    path = tmp_path / "code.keras"
    keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(outputs)).save(path)
    with pytest.raises(ModelError, match="Keras cannot open it"):
        adopt_foreign(path, labels=["happy", "sad"])


def test_model_of_another_shape_is_refused(tmp_path: Path) -> None:
    """A model that takes no square image is refused with the shape that came."""
    from emodetect.training.foreign import adopt_foreign

    import keras  # isort: skip

    path = tmp_path / "flat.keras"
    keras.Sequential([keras.Input((10,)), keras.layers.Dense(2)]).save(path)
    with pytest.raises(ModelError, match=r"\(None, 10\)"):
        adopt_foreign(path, labels=["happy", "sad"])


def test_archive_with_metadata_only(tmp_path: Path) -> None:
    """A zip with our metadata and no model is damaged, and says so."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("emodetect.json", "{}")
    path = tmp_path / "hollow.keras"
    path.write_bytes(data.getvalue())
    with pytest.raises(ModelError, match="missing"):
        read_artifact(path)
