"""The .keras artifact: what is refused, and models made elsewhere."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from emodetect.cli import app
from emodetect.errors import ModelError
from emodetect.model_file.archive import MAX_DIRECTORY_BYTES, MAX_FILE_BYTES, MAX_JSON_BYTES
from emodetect.model_file.artifact import read_artifact
from emodetect.model_file.shipped_models import shipped_models
from emodetect.model_file.weights import check_weights
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.runtimes import litert


def rewritten(artifact: Path, out: Path, **replaced: bytes | None) -> Path:
    """Copy an artifact with members replaced; None leaves one out."""
    with zipfile.ZipFile(artifact) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            data = replaced.get(name.replace(".", "_"), source.read(name))
            if data is not None:
                target.writestr(name, data)
    return out


def resealed(artifact: Path, out: Path, **replaced: bytes) -> Path:
    """Copy an artifact with members replaced and their hashes made to fit, as an attacker would."""
    content = json.loads(member(artifact, "emodetect.json"))
    for name in content["sha256"]:
        data = replaced.get(name.replace(".", "_"), member(artifact, name))
        content["sha256"][name] = hashlib.sha256(data).hexdigest()
    return rewritten(artifact, out, emodetect_json=json.dumps(content).encode(), **replaced)


def member(artifact: Path, name: str) -> bytes:
    """Return a member of an artifact."""
    with zipfile.ZipFile(artifact) as archive:
        return archive.read(name)


def test_batch_norm_follows_new_faces_within_a_few_batches(artifact: Path) -> None:
    """Trained further in plain Keras, validation does not use the statistics of the old faces."""
    for path in (artifact, *shipped_models().values()):
        momenta = re.findall(r'"momentum": ([\d.]+)', member(path, "config.json").decode())
        assert momenta
        assert all(float(momentum) ** 25 < 0.1 for momentum in momenta)


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


@pytest.mark.parametrize("name", ["m.keras", "downloaded"])
def test_missing_member_is_named(artifact: Path, tmp_path: Path, name: str) -> None:
    """An artifact without its compiled network says which member is missing, whatever its name."""
    with pytest.raises(ModelError, match=r"model\.tflite is missing"):
        read_artifact(rewritten(artifact, tmp_path / name, model_tflite=None))


def test_a_file_of_another_version_says_so(artifact: Path, tmp_path: Path) -> None:
    """Who got a model from somebody with a later emodetect is told to update, not of damage."""
    content = json.loads(member(artifact, "emodetect.json"))
    data = json.dumps({**content, "format": 99}).encode()
    path = rewritten(artifact, tmp_path / "m.keras", emodetect_json=data)
    assert refused(path).endswith("(expected format 1, got 99); update emodetect.")


def test_a_model_is_known_by_its_network_and_its_metadata(artifact: Path) -> None:
    """A run that is resumed with another network, or with other labels, notices."""
    model = read_artifact(artifact)
    labels = replace(model.metadata, emotions=("sad", "happy", "surprise"))
    others = [replace(model, compiled=b"another"), replace(model, metadata=labels)]
    assert read_artifact(artifact).identity() == model.identity()
    assert model.identity() not in {other.identity() for other in others}


@pytest.mark.parametrize(
    "change",
    [
        {"format": 99},
        {"emotions": "happy"},
        {"emotions": None},
        {"emotions": ["happy"]},
        {"emotions": ["happy", "happy", "sad"]},
        {"emotions": [["happy"], ["sad"]]},
        {"image_size": "32"},
        {"image_size": True},
        {"image_size": 4097},
        {"temperature": 0},
        {"temperature": float("nan")},
        {"temperature": 0.04},
        {"temperature": 21},
        {"temperature": True},
        {"emotions": "ab"},
        {"metrics": {"val_accuracy": float("nan")}},
        {"margin": -1},
        {"margin": 11},
        {"color": "infrared"},
        {"name": 3},
        {"config": ["data"]},
        {"config": {"data": 3}},
        {"config": {"model": 3}},
        {"dataset": [1]},
        {"dataset": {"fingerprint": None}},
        {"dataset": {"counts": [1]}},
        {"dataset": {"served": "not hexadecimal."}},
        {"dataset": {"trained": "0" * 31}},
        {"dataset": {"trained": ["0" * 16]}},
        {"dataset": {"seen": {"test": "all"}}},
        {"dataset": {"seen": {"test": 1.5}}},
        {"dataset": {"counts": {"train": {"happy": "many"}}}},
        {"metrics": {"loss": "low"}},
        {"versions": None},
        {"sha256": None},
        {"sha256": {}},
    ],
    ids=str,
)
def test_damaged_metadata_is_refused(
    artifact: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    """Metadata that make no sense are an error, not a crash or a guess."""
    content = json.loads(member(artifact, "emodetect.json"))
    data = json.dumps({**content, **change}).encode()
    refused(rewritten(artifact, tmp_path / "m.keras", emodetect_json=data))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b"9" * 5_000])
def test_metadata_that_are_no_metadata_are_refused(
    artifact: Path, tmp_path: Path, data: bytes
) -> None:
    """Metadata that are no JSON object, or JSON that harms its reader, are an error."""
    refused(rewritten(artifact, tmp_path / "m.keras", emodetect_json=data))


def refused(path: Path) -> str:
    """Return what the ModelError says with which a file is refused: one line that names it."""
    with pytest.raises(ModelError) as caught:
        read_artifact(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < len(str(path)) + 300
    return message


@pytest.mark.parametrize("kept", [0, 1, 21, 22, 41, 42, 1_000, 0.25, 0.5, 0.9999, -22, -1])
def test_a_file_cut_off_anywhere_is_refused(
    artifact: Path, tmp_path: Path, kept: float | int
) -> None:
    """A download that broke off is told, wherever it did: after bytes, a share, or near the end."""
    data = artifact.read_bytes()
    cut = tmp_path / "cut.keras"
    cut.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    assert "cut off" in refused(cut)


def test_what_is_no_model_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, a missing or unreadable file, an .h5 file and other zips are told apart."""
    assert "folder" in refused(tmp_path)
    assert "no such" in refused(tmp_path / "missing.keras")
    assert "no such" in refused(tmp_path / "n\0l.keras")
    legacy = tmp_path / "old.h5"
    legacy.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert "saved as .keras" in refused(legacy)
    plain = tmp_path / "plain.zip"
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("hello.txt", "hello")
    assert "config.json is missing" in refused(plain)

    def forbid(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbid)
    assert "Permission denied" in refused(plain)


def test_damaged_bytes_inside_a_member_are_refused(artifact: Path, tmp_path: Path) -> None:
    """A flipped byte in the weights is noticed before the model is used."""
    data = bytearray(artifact.read_bytes())
    with zipfile.ZipFile(artifact) as archive:
        weights = archive.getinfo("model.weights.h5")
    data[weights.header_offset + weights.compress_size // 2] ^= 0xFF
    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes(data)
    with pytest.raises(ModelError):
        read_artifact(damaged)


def _claim(archive: zipfile.ZipFile, **values: int) -> None:
    """Make the directory of an archive lie about its metadata."""
    for name, value in values.items():
        setattr(archive.getinfo("emodetect.json"), name, value)


HOSTILE: dict[str, tuple[int, Callable[[zipfile.ZipFile], None]]] = {
    "bomb": (zipfile.ZIP_DEFLATED, lambda archive: None),
    "bzip2 bomb": (zipfile.ZIP_BZIP2, lambda archive: None),
    "claims little": (zipfile.ZIP_DEFLATED, lambda archive: _claim(archive, file_size=100)),
    "claims to be stored": (
        zipfile.ZIP_DEFLATED,
        lambda archive: _claim(archive, compress_type=zipfile.ZIP_STORED),
    ),
    "claims its packed size": (
        zipfile.ZIP_DEFLATED,
        lambda archive: _claim(archive, file_size=archive.getinfo("emodetect.json").compress_size),
    ),
    "claims a part": (zipfile.ZIP_STORED, lambda archive: _claim(archive, file_size=100)),
    "claims much": (zipfile.ZIP_STORED, lambda archive: _claim(archive, file_size=2**32 - 2)),
    "claims all": (
        zipfile.ZIP_STORED,
        lambda archive: _claim(archive, file_size=2**32 - 2, compress_size=2**32 - 2),
    ),
    "encrypted": (zipfile.ZIP_STORED, lambda archive: _claim(archive, flag_bits=0x1)),
    "far away": (zipfile.ZIP_STORED, lambda archive: _claim(archive, header_offset=2**31)),
}


@pytest.mark.parametrize("kind", list(HOSTILE))
def test_zips_made_to_harm_cost_no_memory(artifact: Path, tmp_path: Path, kind: str) -> None:
    """What a zip claims and what it would unpack to is not believed, and not unpacked."""
    compression, lie = HOSTILE[kind]
    path = tmp_path / "hostile.keras"
    with zipfile.ZipFile(artifact) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            if name != "emodetect.json":
                target.writestr(name, source.read(name))
        target.writestr("emodetect.json", bytes(2**25), compress_type=compression)
        lie(target)
    tracemalloc.start()
    refused(path)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 2**24


@pytest.mark.parametrize(("place", "value"), [(0, b"Q"), (6, b"\xff"), (46, b"\xff")], ids=str)
def test_a_damaged_directory_is_refused(
    artifact: Path, tmp_path: Path, place: int, value: bytes
) -> None:
    """A wrong signature, version or name in the directory of a zip is told as damage."""
    path = rewritten(artifact, tmp_path / "m.keras")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("ü", b"")
    data = bytearray(path.read_bytes())
    start = data.rindex(b"PK\1\2") + place
    data[start : start + len(value)] = value
    path.write_bytes(data)
    assert "damaged" in refused(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused(artifact: Path, tmp_path: Path) -> None:
    """Two members of one name, of which readers may take either, are refused."""
    path = rewritten(artifact, tmp_path / "twice.keras")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", "{}")
    assert "same name" in refused(path)


@pytest.mark.parametrize("zip64", [False, True])
def test_too_many_members_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zip64: bool
) -> None:
    """A directory of very many members is not read, also where the zip hides its length."""
    if zip64:
        monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    path = tmp_path / "many.keras"
    # A member takes 46 bytes of the directory, and its name.
    count = 2 if zip64 else MAX_DIRECTORY_BYTES // 50
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            archive.writestr(f"{number:06}", "")
    assert "more members" in refused(path)


def test_oversized_files_and_members_are_refused(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file or a member larger than any model's is refused before it is read."""
    large = tmp_path / "large.keras"
    with large.open("wb") as file:
        file.seek(MAX_FILE_BYTES)
        file.write(b"PK\x05\x06" + bytes(18))
    assert "refused" in refused(large)
    blank = b" " * (MAX_JSON_BYTES + 1)
    path = rewritten(artifact, tmp_path / "m.keras", emodetect_json=blank)
    assert "refused: its member emodetect.json" in refused(path)
    path = resealed(artifact, tmp_path / "c.keras", config_json=blank)
    assert "refused: its member config.json" in refused(path)
    compiled_bytes = len(member(artifact, "model.tflite"))
    monkeypatch.setattr("emodetect.model_file.artifact.MAX_COMPILED_BYTES", compiled_bytes - 1)
    assert "refused: its member model.tflite" in refused(artifact)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ({"module": "keras.layers", "class_name": "Lambda"}, "contains Lambda"),
        ({"module": "keras.layers", "class_name": "TFSMLayer"}, "contains TFSMLayer"),
        ({"class_name": "__lambda__", "config": {"value": "4wAAAA=="}}, "contains __lambda__"),
        ({"module": "os", "class_name": "system", "config": "id"}, "'system' of 'os'"),
        ({"module": "kerasevil.layers", "class_name": "Dense"}, "'Dense' of 'kerasevil.layers'"),
        ({"module": None, "class_name": "X", "registered_name": "a>X"}, "'X' of 'a>X'"),
        ({"module": "builtins", "class_name": "eval", "config": "1"}, "'eval' of 'builtins'"),
        ({"module": "keras", "class_name": "layers.Lambda"}, "'layers.Lambda' of 'keras'"),
        (
            {"module": "keras.utils", "class_name": "function", "config": "get_file"},
            "'function' of 'keras.utils'",
        ),
        ({"module": ["os"], "class_name": {"a": 1}}, "not a class of Keras"),
        (
            {"module": "keras.layers", "class_name": "Dense", "registered_name": "a>b"},
            "'Dense' of 'a>b'",
        ),
        ({"class_name": "__typespec__", "spec_name": "TensorSpec"}, "'__typespec__' of None"),
        ({"module": "keras.layers", "class_name": "__typespec__"}, "'__typespec__' of"),
        ({"module": "keras.layers", "class_name": "StringLookup"}, "'StringLookup' of"),
        ({"module": "keras.src.layers.core.wrapper", "class_name": "Wrapper"}, "'Wrapper' of"),
        ({"module": "keras.src.ops.core", "class_name": "Map"}, "'Map' of"),
        ({"module": "keras.saving", "class_name": "KerasFileEditor"}, "'KerasFileEditor' of"),
        ({"module": "keras.models", "class_name": "Model"}, "'Model' of 'keras.models'"),
        ({"module": "keras.src.saving", "class_name": "Model"}, "'Model' of 'keras.src.saving'"),
        ({"module": "keras.src.utils", "class_name": "Dense"}, "'Dense' of 'keras.src.utils'"),
        ({"module": "os", "class_name": "DTypePolicy"}, "'DTypePolicy' of 'os'"),
        ({"module": "os", "class_name": "__tensor__"}, "'__tensor__' of 'os'"),
        ({"module": "keras.src.ops.numpy", "class_name": "np.load"}, "'np.load' of"),
    ],
)
def test_code_inside_an_artifact_is_refused(
    artifact: Path, tmp_path: Path, layer: dict[str, Any], said: str
) -> None:
    """A layer that runs code, or that is not Keras' own, is found at any depth, hashes or not."""
    config = json.loads(member(artifact, "config.json"))
    config["config"]["layers"][-1]["config"]["deep"] = [{"deeper": [layer]}]
    data = json.dumps(config).encode()
    assert said in refused(resealed(artifact, tmp_path / "m.keras", config_json=data))


@pytest.mark.parametrize("module", ["builtins", "keras.activations"])
def test_an_activation_is_no_code(artifact: Path, tmp_path: Path, module: str) -> None:
    """A network is read whose activations are functions, in both forms that Keras reads."""
    relu = {"module": module, "class_name": "function", "config": "relu", "registered_name": "relu"}
    config = json.loads(member(artifact, "config.json"))
    config["config"]["layers"][-1]["config"]["activation"] = relu
    data = json.dumps(config).encode()
    path = resealed(artifact, tmp_path / "m.keras", config_json=data)
    assert read_artifact(path).metadata == read_artifact(artifact).metadata


OPERATION = b'{"module": "keras.src.ops.numpy", "class_name": "Add", "config": {}}'


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"[" * 100_000, OPERATION])
def test_a_config_that_describes_no_model_is_refused(
    artifact: Path, tmp_path: Path, data: bytes
) -> None:
    """An artifact without a Keras model in it is damaged, even where its hashes fit."""
    assert "damaged" in refused(resealed(artifact, tmp_path / "m.keras", config_json=data))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"emotions": ["happy", "sad"]}, r"\(2,\)"),
        ({"emotions": ["happy", "sad", "surprise", "fear"]}, r"\(4,\)"),
        ({"image_size": 48}, r"\(48, 48, 1\)"),
        ({"color": "rgb"}, r"\(32, 32, 3\)"),
    ],
    ids=str,
)
def test_metadata_of_another_network_are_refused(
    artifact: Path, tmp_path: Path, change: dict[str, object], found: str
) -> None:
    """Labels or an input size that the network does not have are refused, not misread."""
    content = json.loads(member(artifact, "emodetect.json"))
    data = json.dumps({**content, **change}).encode()
    path = rewritten(artifact, tmp_path / "m.keras", emodetect_json=data)
    with pytest.raises(ModelError, match=rf"m\.keras: damaged: expected .*{found}.*, got"):
        EmotionRecognizer(path)


def _weights(artifact: Path, change: Callable[[h5py.File], object]) -> bytes:
    """Return the weights of a model, changed."""
    file = io.BytesIO(member(artifact, "model.weights.h5"))
    with h5py.File(file, "r+") as weights:
        change(weights)
    return file.getvalue()


WEIGHTS: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "gigabytes": (
        lambda file: file.create_dataset("a", (30_000, 30_000), "f4", chunks=(1000, 1000)),
        "declare more bytes",
    ),
    "gigabytes in one": (lambda file: file.create_dataset("a", (2**30,), "f4"), "declare more"),
    "compressed": (
        lambda file: file.create_dataset("a", data=np.zeros(10**6), compression="gzip"),
        "are compressed",
    ),
    "other file": (lambda file: file.update(a=h5py.ExternalLink("x.h5", "/a")), "contain a link"),
    "soft link": (lambda file: file.update(a=h5py.SoftLink("/layers")), "contain a link"),
    "bytes elsewhere": (
        lambda file: file.create_dataset("a", (9,), "f4", external=[("/etc/hostname", 0, 36)]),
        "take /a from other files",
    ),
    "virtual": (
        lambda file: file.create_virtual_dataset("a", h5py.VirtualLayout((9,), "f4")),
        "take /a from other files",
    ),
    "text": (lambda file: file.create_dataset("a", data=["abc"]), "are not numbers"),
    "a type": (lambda file: file.update(a=np.dtype("f4")), "contain a Datatype"),
}


@pytest.mark.parametrize("kind", list(WEIGHTS))
def test_weights_that_keras_does_not_write_are_refused(
    artifact: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links, other files and sizes that are only declared are found before Keras reads them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    change, said = WEIGHTS[kind]
    path = resealed(artifact, tmp_path / "m.keras", model_weights_h5=_weights(artifact, change))
    with pytest.raises(ModelError, match=rf"m\.keras: refused: its weights {said}"):
        EmotionRecognizer(path, runtime="keras")


def test_weights_that_are_none_are_refused(artifact: Path, tmp_path: Path) -> None:
    """Weights that HDF5 cannot read are an error of one line."""
    path = resealed(artifact, tmp_path / "m.keras", model_weights_h5=b"\x89HDF\r\n\x1a\n" * 99)
    with pytest.raises(ModelError, match=r"m\.keras: damaged: its weights cannot be read"):
        check_weights(path)


def test_metrics_beyond_all_floats_are_refused(artifact: Path, tmp_path: Path) -> None:
    """A whole number that no figure can be made of is no traceback in the card."""
    content = json.loads(member(artifact, "emodetect.json"))
    data = json.dumps({**content, "metrics": {"loss": 10**400}}).encode()
    path = rewritten(artifact, tmp_path / "m.keras", emodetect_json=data)
    assert "origin" in refused(path)


def test_a_model_whose_disk_fails_is_told(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the disk in the middle of the file names the file."""

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(zipfile.ZipExtFile, "read", fail)
    assert refused(artifact) == f"{artifact}: cannot be read: Input/output error."


def _giant_tensor(compiled: bytes) -> bytes:
    """Give tensors between the layers of a network a million times their size."""
    from ai_edge_litert.interpreter import Interpreter

    details = Interpreter(model_content=compiled).get_tensor_details()
    one, *sides = next(
        tuple(map(int, tensor["shape"]))
        for tensor in details[1:]
        if len(tensor["shape"]) == 4 and tensor["shape_signature"][0] == -1
    )
    # A vector of a flatbuffer is its length and its numbers, 4 bytes each.
    return compiled.replace(
        struct.pack("<5i", 4, one, *sides), struct.pack("<5i", 4, 2**20, *sides)
    )


NETWORKS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda compiled: b"",
    "text": lambda compiled: b"no network" * 1000,
    "random": lambda compiled: b"\x1c\0\0\0TFL3" + np.random.default_rng(0).bytes(100_000),
    "identifier only": lambda compiled: compiled[:8],
    "half": lambda compiled: compiled[: len(compiled) // 2],
}


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_a_network_that_litert_cannot_open_is_refused(
    artifact: Path, tmp_path: Path, kind: str
) -> None:
    """A compiled network that is none is an error and no crash, also where its hash fits."""
    network = NETWORKS[kind](member(artifact, "model.tflite"))
    path = resealed(artifact, tmp_path / "m.keras", model_tflite=network)
    with pytest.raises(ModelError, match=r"m\.keras: damaged: LiteRT cannot run") as caught:
        EmotionRecognizer(path)
    assert "\n" not in str(caught.value)


def test_a_network_that_asks_for_too_much_memory_is_refused(artifact: Path, tmp_path: Path) -> None:
    """A network of megabytes whose tensors would take gigabytes is refused before it has them."""
    network = _giant_tensor(member(artifact, "model.tflite"))
    path = resealed(artifact, tmp_path / "m.keras", model_tflite=network)
    with pytest.raises(ModelError, match=r"m\.keras: refused: the network requires"):
        EmotionRecognizer(path)


def crash(_: object) -> None:
    """Die as LiteRT does on some forged networks."""
    os.kill(os.getpid(), signal.SIGSEGV)


def test_a_network_that_crashes_litert_is_refused(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends another process, not this one, and is an error of one line wherever it is opened."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(litert, "_try_out", crash)
    for words in (("predict", "--model", artifact, artifact), ("models", "show", artifact)):
        result = CliRunner().invoke(app, list(map(str, words)))
        expected = f"{artifact}: damaged: LiteRT crashes on its network (Segmentation fault);"
        assert str(result.exception).startswith(expected)


@pytest.mark.parametrize(
    ("name", "value"), [("frozen", True), ("executable", ""), ("executable", shutil.which("false"))]
)
def test_a_program_that_is_not_python_tries_no_network(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    """A frozen one would start itself; another one's end says nothing of the network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, name, value, raising=False)
    if name == "frozen":
        monkeypatch.setattr(subprocess, "run", None)
    EmotionRecognizer(artifact)
    assert not (tmp_path / "cache" / "tried").exists()


def test_a_network_is_tried_once(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second process is only needed the first time, and not for the models of the package."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    EmotionRecognizer(artifact)
    monkeypatch.setattr(subprocess, "run", None)
    EmotionRecognizer(artifact)
    EmotionRecognizer("fer2013")


class FixedAnswers:
    """Stands in for a network that gives every crop the same answer."""

    def __init__(self, answer: list[float]) -> None:
        self.answer = np.array(answer, np.float32)

    def run(self, batch: np.ndarray) -> np.ndarray:
        return np.tile(self.answer, (len(batch), 1))


@pytest.mark.parametrize(
    "answer",
    [[np.nan] * 3, [np.inf, 0, 0], [1.5, -0.5, 0], [0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5]],
    ids=str,
)
def test_answers_that_are_no_probabilities_are_refused(artifact: Path, answer: list[float]) -> None:
    """A network with broken weights is told, instead of naming an emotion with nan percent."""
    recognizer = EmotionRecognizer(artifact, detector="none")
    recognizer.runtime = FixedAnswers(answer)
    with pytest.raises(ModelError, match="probabilities of 3 emotions, got other values"):
        recognizer.analyze(np.zeros((32, 32, 3), np.uint8))


def foreign_model(
    path: Path, *, activation: str | None = "softmax", bias: tuple[float, float] = (-12, 12)
) -> Path:
    """Save a small Keras model that emodetect did not make; it answers by mean brightness."""
    from emodetect.machine.tensorflow_devices import use_tensorflow

    use_tensorflow()
    import keras

    inputs = keras.Input((8, 8, 3))
    mean = keras.layers.GlobalAveragePooling2D()(inputs)
    outputs = keras.layers.Dense(2, activation=activation)(mean)
    model = keras.Model(inputs, outputs)
    model.set_weights([np.array([[8.0, -8]] * 3), np.array(bias)])
    model.save(path)
    return path


@pytest.mark.parametrize("activation", ["softmax", None])
def test_foreign_model_works_with_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, activation: str | None
) -> None:
    """A Keras file from elsewhere works once its labels and pixel range are given."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = foreign_model(tmp_path / "foreign.keras", activation=activation)
    with pytest.raises(ModelError, match="--labels"):
        EmotionRecognizer(path)
    from emodetect.training.models.import_keras import import_keras_model

    adopted = import_keras_model(path, labels=["happiness", "sad"], pixel_range=(0, 1))
    assert import_keras_model(path, labels=["happiness", "sad"], pixel_range=(0, 1)) == adopted
    recognizer = EmotionRecognizer(adopted, detector="none")
    assert recognizer.emotions == ("happy", "sad")
    white, black = np.full((20, 20, 3), 255, np.uint8), np.zeros((20, 20, 3), np.uint8)
    assert [recognizer.analyze(image)[0].emotion for image in (white, black)] == ["happy", "sad"]
    scores = recognizer.classify([white, black])
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)


def test_values_of_a_sigmoid_are_divided_by_their_sum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They are no logits, whose softmax would make a sure answer unsure; a line says so."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    from emodetect.training.models.import_keras import import_keras_model

    path = foreign_model(tmp_path / "foreign.keras", activation="sigmoid", bias=(-12, 10))
    adopted = import_keras_model(path, labels=["happy", "sad"], pixel_range=(0, 1))
    assert "do not sum to 1" in caplog.text
    recognizer = EmotionRecognizer(adopted, detector="none")
    gray = np.full((8, 8, 3), 140, np.uint8)
    brightness = 24 * 140 / 255
    values = 1 / (1 + np.exp([12 - brightness, brightness - 10]))
    (scores,) = recognizer.classify([gray])
    np.testing.assert_allclose(scores, values / values.sum(), atol=1e-3)
    pytest.importorskip("onnxruntime")
    (scores,) = EmotionRecognizer(adopted, detector="none", runtime="onnxruntime").classify([gray])
    np.testing.assert_allclose(scores, values / values.sum(), atol=1e-3)


def test_foreign_model_with_wrong_labels_is_refused(artifact: Path, tmp_path: Path) -> None:
    """A wrong number of labels, a label twice, and labels for our own file are refused."""
    from emodetect.training.models.import_keras import import_keras_model

    path = foreign_model(tmp_path / "foreign.keras")
    import keras  # isort: skip

    with pytest.raises(ModelError, match="has 2 outputs"):
        import_keras_model(path, labels=["happy", "sad", "fear"])
    maps = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 1)])
    maps.save(tmp_path / "maps.keras")
    with pytest.raises(ModelError, match=r"one output of shape \(batch, classes\), got \(None, 8"):
        import_keras_model(tmp_path / "maps.keras", labels=["happy", "sad"])
    with pytest.raises(ModelError, match="twice"):
        import_keras_model(path, labels=["happy", "joy"])
    with pytest.raises(ModelError, match="its own label order"):
        import_keras_model(artifact, labels=["happy", "sad", "surprise"])


def test_code_inside_a_foreign_model_is_refused(tmp_path: Path) -> None:
    """A Lambda layer, which could run anything, is refused by us and by Keras' safe mode."""
    from emodetect.training.models.import_keras import import_keras_model
    from emodetect.training.models.keras_files import load_keras

    import keras  # isort: skip

    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.GlobalAveragePooling2D()(keras.layers.Lambda(lambda x: x * 2)(inputs))
    path = tmp_path / "code.keras"
    keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(outputs)).save(path)
    with pytest.raises(ModelError, match=r"contains Lambda, which runs code.*rebuild"):
        import_keras_model(path, labels=["happy", "sad"])
    with pytest.raises(ModelError, match="Keras cannot open it"):
        load_keras(path)


def test_layers_without_their_weights_are_refused_before_they_take_memory(tmp_path: Path) -> None:
    """A config of a few bytes may declare layers of terabytes, which Keras would create first."""
    from emodetect.training.models.import_keras import import_keras_model

    path = tmp_path / "small.keras"
    foreign_model(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = members["config.json"].replace(b'"units": 2,', b'"units": 200000000000,')
    assert config != members["config.json"]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**members, "config.json": config}.items():
            archive.writestr(name, data)
    with pytest.raises(ModelError, match=r"refused: its layers have [\d,]{13,} weights, but it"):
        import_keras_model(path, labels=["happy", "sad"])
    foreign_model(path)  # nor does Keras create them with the next model
    import_keras_model(path, labels=["happy", "sad"])


def test_a_class_of_ones_own_in_a_foreign_model_is_named(tmp_path: Path) -> None:
    """A layer that is not Keras' own is refused by name; a loss of one's own does no harm."""
    import keras

    from emodetect.model_file.artifact import has_metadata
    from emodetect.training.models.import_keras import import_keras_model

    class Doubled(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs * 2

    def own_loss(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean(y_true - y_pred)

    inputs = keras.Input((8, 8, 3))
    flat = keras.layers.GlobalAveragePooling2D()(inputs)
    outputs = keras.layers.Dense(2, activation="softmax")(flat)
    keras.Model(inputs, Doubled()(outputs)).save(tmp_path / "own.keras")
    with pytest.raises(ModelError, match=r"needs 'Doubled' of .* not a class of Keras"):
        import_keras_model(tmp_path / "own.keras", labels=["happy", "sad"])
    model = keras.Model(inputs, outputs)
    model.compile(loss=own_loss, metrics=["accuracy"])
    model.save(tmp_path / "loss.keras")
    assert has_metadata(tmp_path / "loss.keras") is False


def test_model_of_another_shape_is_refused(tmp_path: Path) -> None:
    """A model that takes no square image is refused with the shape that came."""
    from emodetect.training.models.import_keras import import_keras_model

    import keras  # isort: skip

    path = tmp_path / "flat.keras"
    keras.Sequential([keras.Input((10,)), keras.layers.Dense(2)]).save(path)
    with pytest.raises(ModelError, match=r"\(None, 10\)"):
        import_keras_model(path, labels=["happy", "sad"])


def test_archive_with_metadata_only(tmp_path: Path) -> None:
    """A zip with our metadata and no model is damaged, and says so."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("emodetect.json", "{}")
    path = tmp_path / "hollow.keras"
    path.write_bytes(data.getvalue())
    with pytest.raises(ModelError, match="missing"):
        read_artifact(path)
