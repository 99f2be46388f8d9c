"""Forge and break model files, and open them as `emodetect` does.

\b
    python scripts/stress/models.py
    python scripts/stress/models.py --count 100 --only attacks

Each must be opened, or refused in one line; nothing in it may run, read another file, or end the
process. `attacks` are the published ways to make Keras or HDF5 do so. Exit status 1 if anything
failed.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import marshal
import os
import pickle
import random
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import h5py
import numpy as np
from mutations import mutated_bytes, mutated_text
from tally import Tally

from emodetect.model_file.shipped_models import DEFAULT_MODEL, shipped_models

METADATA, CONFIG, NETWORK = "emodetect.json", "config.json", "model.tflite"
WEIGHTS = "model.weights.h5"
LONGEST_S = 90
SECRET = "the secret of another file"
ODD_NUMBERS = (0, -1, 1, 2, 3, 7, 255, 1000, 2**31 - 1, -(2**31))

# Opens models in a process of its own, whose end is a failure: paths in, answers out, a line each.
VICTIM = """
import sys, json
from pathlib import Path
import numpy as np
from emodetect.errors import EmodetectError
from emodetect.model_file.model_cards import model_card
from emodetect.model_file.weights import check_weights
from emodetect.recognition.recognizer import EmotionRecognizer

def open_all(path, with_keras):
    model_card(path)
    recognizer = EmotionRecognizer(path, detector="none")
    recognizer.analyze(np.full((64, 64, 3), 99, np.uint8))
    check_weights(Path(path))
    if with_keras:
        from emodetect.training.models.keras_files import load_keras
        load_keras(Path(path))

answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    path, with_keras = json.loads(line)
    try:
        open_all(path, with_keras)
        answer = "opened"
    except EmodetectError as error:
        answer = f"refused: {error}"
    except BaseException as error:
        answer = f"FAILED: {type(error).__name__}: {error}"
    print(json.dumps(answer), file=answers, flush=True)
"""


class Victim:
    """A process that opens models; started anew if one has ended it."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.process: subprocess.Popen[str] | None = None

    def open(self, path: Path, *, with_keras: bool = False) -> str:
        """Return "opened", or what a model was refused with. Raises AssertionError else."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-c", VICTIM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "XDG_CACHE_HOME": str(self.cache)},
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([str(path), with_keras]), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait(LONGEST_S)
            self.process = None
            raise AssertionError(f"it ended the process with status {status}")
        answer: str = json.loads(line)
        assert not answer.startswith("FAILED"), answer
        assert "\n" not in answer, f"several lines: {answer[:300]}"
        assert len(answer) < len(str(path)) + 1000, f"a long answer: {answer[:300]}"
        return answer

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


def members_of(model: Path) -> dict[str, bytes]:
    """Return the members of a model file."""
    with zipfile.ZipFile(model) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, members: dict[str, bytes], *, sealed: bool = True) -> Path:
    """Write a model file, with hashes that fit its members unless it is not `sealed`."""
    if sealed:
        content = json.loads(members[METADATA])
        content["sha256"] = {
            name: hashlib.sha256(members[name]).hexdigest() for name in content["sha256"]
        }
        members = {**members, METADATA: json.dumps(content).encode()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def broken_zip(members: dict[str, bytes], path: Path, rng: random.Random) -> None:
    """Break the file anywhere, and more often at its two ends."""
    write(path, members)
    data = path.read_bytes()
    at = rng.choice((0, len(data) - rng.randint(30, 1500), rng.randrange(len(data))))
    end = min(len(data), at + 1500)
    path.write_bytes(data[:at] + mutated_bytes(data[at:end], [data[:5000]], rng) + data[end:])


def broken_json(members: dict[str, bytes], path: Path, rng: random.Random) -> None:
    """Break the config or the metadata, as text or as values."""
    name = rng.choice((CONFIG, METADATA))
    text = members[name].decode()
    if rng.random() < 0.5:
        changed = mutated_text(text, rng)
    else:
        value = json.loads(text)
        for _ in range(rng.randint(1, 3)):
            change_value(value, rng)
        changed = json.dumps(value)
    data = {**members, name: changed.encode("utf-8", "surrogatepass")}
    write(path, data, sealed=name == CONFIG)


def change_value(value: Any, rng: random.Random) -> None:
    """Change a value somewhere in what JSON holds."""
    while isinstance(value, dict | list) and value:
        key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        if not isinstance(value[key], dict | list) or not value[key] or rng.random() < 0.1:
            value[key] = rng.choice(
                [None, True, -1, 0, 10**400, 1e308, "", "x" * 999, [], {}, [[]], {"class_name": 1}]
            )
            return
        value = value[key]


def broken_weights(members: dict[str, bytes], path: Path, rng: random.Random) -> None:
    """Break the HDF5 file of the weights, mostly where its structure is."""
    data = members[WEIGHTS]
    places = [at for at in range(0, len(data) - 4, 512) if b"TREE" in data[at : at + 512]]
    places += [at for at in range(0, len(data) - 4, 512) if b"SNOD" in data[at : at + 512]]
    at = rng.choice([0, *places])
    broken = mutated_bytes(data[at : at + 1024], [data[:4096]], rng)
    write(path, {**members, WEIGHTS: data[:at] + broken + data[at + len(broken) :]})


def broken_network(members: dict[str, bytes], path: Path, rng: random.Random) -> None:
    """Break the flatbuffer: bytes near its beginning and end, or numbers and references in it."""
    data = members[NETWORK]
    if rng.random() < 0.3:
        at = rng.choice((0, len(data) - rng.randint(1, 60_000)))
        broken = mutated_bytes(data[at : at + 4000], [data[:4000]], rng)
        write(path, {**members, NETWORK: data[:at] + broken + data[at + 4000 :]})
        return
    while True:
        try:
            write(path, {**members, NETWORK: forged_network(data, rng)})
            return
        except Exception:  # a number that a flatbuffer cannot hold
            continue


def forged_network(data: bytes, rng: random.Random) -> bytes:
    """Return a network with some other options, shapes, types or references."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data)
    graph = model.subgraphs[0]
    for _ in range(rng.randint(1, 3)):
        operator, tensor = rng.choice(graph.operators), rng.choice(graph.tensors)
        kind = rng.randrange(5)
        if kind == 0 and operator.builtinOptions is not None:
            names = [key for key, one in vars(operator.builtinOptions).items() if type(one) is int]
            if names:
                setattr(operator.builtinOptions, rng.choice(names), rng.choice(ODD_NUMBERS))
        elif kind == 1 and tensor.shape is not None and len(tensor.shape):
            tensor.shape = [int(side) for side in tensor.shape]
            tensor.shape[rng.randrange(len(tensor.shape))] = rng.choice(ODD_NUMBERS)
        elif kind == 2 and len(operator.inputs):
            operator.inputs = [int(one) for one in operator.inputs]
            place = rng.randrange(len(operator.inputs))
            operator.inputs[place] = rng.randrange(-1, len(graph.tensors) + 2)
        elif kind == 3:
            tensor.type = rng.randrange(18)
        else:
            tensor.buffer = rng.randrange(len(model.buffers) + 2)
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


BREAKERS: dict[str, Callable[[dict[str, bytes], Path, random.Random], None]] = {
    "zip": broken_zip,
    "json": broken_json,
    "weights": broken_weights,
    "network": broken_network,
}


class Mark:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.file),)


def function(module: str, name: str) -> dict[str, Any]:
    """Return how a config names a function."""
    return {"class_name": "function", "module": module, "config": name, "registered_name": name}


def layer(name: str, config: dict[str, Any], module: str = "keras.layers") -> dict[str, Any]:
    """Return how a config names a layer."""
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


def attacks_by_config(mark: Path, secret: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield published ways to make Keras run code or read a file by a config."""
    code = compile(f"import os; os.mkdir({str(mark)!r})", "x", "exec")
    coded = {"class_name": "__lambda__", "config": {"value": base64.b64encode(marshal.dumps(code))}}
    coded["config"]["value"] = coded["config"]["value"].decode()
    pickled = base64.b64encode(pickle.dumps(Mark(mark))).decode()
    yield "CVE-2024-3660 Lambda", layer("Lambda", {"function": coded})
    yield "CVE-2025-1550 os.mkdir", layer("Lambda", {"function": function("os", "mkdir")})
    yield "CVE-2025-1550 class", layer("Popen", {"args": ["mkdir", str(mark)]}, "subprocess")
    fetch = {"fname": str(mark), "origin": secret.as_uri()}
    yield "CVE-2025-8747 get_file", function("keras.utils", "get_file") | {"config": "get_file"}
    yield "CVE-2025-8747 args", {**function("keras.utils", "get_file"), "arguments": fetch}
    yield (
        "CVE-2025-9906 unsafe",
        layer("Lambda", {"function": function("keras.config", "enable_unsafe_deserialization")}),
    )
    yield (
        "CVE-2025-9906 attribute",
        function("keras.src.backend.common.global_state", "set_global_attribute"),
    )
    yield "CVE-2025-9906 load_model", function("keras.models", "load_model")
    yield "CVE-2025-12058 file", layer("StringLookup", {"vocabulary": str(secret)})
    yield "CVE-2025-12058 URL", layer("TextVectorization", {"vocabulary": secret.as_uri()})
    yield "CVE-2025-12058 integers", layer("IntegerLookup", {"vocabulary": str(secret)})
    yield "CVE-2025-49655 torch", layer("TorchModuleWrapper", {"module": pickled})
    yield "CVE-2026-1462 SavedModel", layer("TFSMLayer", {"filepath": str(secret.parent)})
    yield "CVE-2026-12481 nested Lambda", layer("Bidirectional", {"layer": layer("Lambda", coded)})
    for name in ("JaxLayer", "FlaxLayer"):
        yield name, layer(name, {"call_fn": coded})
    yield "typespec", {"class_name": "__typespec__", "spec_name": "system", "module": "os"}
    yield (
        "typespec of Keras",
        {"class_name": "__typespec__", "module": "keras.layers", "config": []},
    )
    yield "registered name", {**layer("Dense", {}), "registered_name": "builtins>eval"}
    yield "dotted name", layer("layers.Lambda", {"function": coded}, "keras")
    yield "internal module", layer("Lambda", {"function": coded}, "keras.src.layers.core.lambda")
    yield "similar module", layer("Dense", {}, "keras_hub.layers")
    yield "builtins", layer("eval", {"x": "1"}, "builtins")
    yield "map", layer("Map", {"function": coded}, "keras.src.ops.core")
    yield "file editor", layer("KerasFileEditor", {"filepath": str(secret)}, "keras.saving")


def attacks_by_weights(secret: Path) -> Iterator[tuple[str, Callable[[h5py.File], object]]]:
    """Yield published ways to make HDF5 read another file, or take all memory."""
    name = str(secret)
    size = secret.stat().st_size
    yield (
        "CVE-2026-1669 external bytes",
        lambda file: file.create_dataset("a", (size,), "u1", external=[(name, 0, size)]),
    )
    yield "external link", lambda file: file.update(a=h5py.ExternalLink(name, "/"))
    yield "soft link", lambda file: file.update(a=h5py.SoftLink("/layers"))

    def virtual(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((size,), "u1")
        layout[:] = h5py.VirtualSource(name, "a", (size,))
        file.create_virtual_dataset("a", layout)

    yield "virtual data set", virtual
    yield (
        "CVE-2026-0897 size without bytes",
        lambda file: file.create_dataset("a", (2**18, 2**18), "f4", chunks=(1024, 1024)),
    )
    yield (
        "compressed zeros",
        lambda file: file.create_dataset("a", data=np.zeros(10**7), compression="gzip"),
    )


def try_attacks(victim: Victim, scratch: Path, tally: Tally, *, with_keras: bool) -> None:
    """Open each forged file, and see that nothing has run or been read."""
    members = members_of(shipped_models()[DEFAULT_MODEL])
    mark, secret = scratch / "mark", scratch / "secret" / "file.txt"
    secret.parent.mkdir()
    secret.write_text(SECRET)
    config = json.loads(members[CONFIG])
    files: list[tuple[str, dict[str, bytes]]] = []
    for name, forged in attacks_by_config(mark, secret):
        own = json.loads(json.dumps(config))
        own["config"]["layers"].append(forged)
        files.append((name, {**members, CONFIG: json.dumps(own).encode()}))
        files.append((f"{name} at the top", {**members, CONFIG: json.dumps(forged).encode()}))
    for name, change in attacks_by_weights(secret):
        weights = io.BytesIO(members[WEIGHTS])
        with h5py.File(weights, "r+") as file:
            change(file)
        files.append((name, {**members, WEIGHTS: weights.getvalue()}))
    zipped = {**members, "model.weights.npz": b"", "../escaped.txt": b"x"}
    files.append(("path out of the zip", zipped))
    for number, (name, content) in enumerate(files):
        path = write(scratch / f"attack-{number}.keras", content)
        with tally.attempt("attacks", name):
            answer = victim.open(path, with_keras=with_keras)
            assert answer.startswith("refused") or name == "path out of the zip", answer
            assert not mark.exists(), "code of the file has run"
            assert SECRET not in answer, "the file shows another one"
        path.unlink()
    legacy = scratch / "legacy.keras"
    with h5py.File(legacy, "w") as file:  # CVE-2025-9905: safe mode is ignored for these
        file.attrs["model_config"] = members[CONFIG].decode()
    with tally.attempt("attacks", "CVE-2025-9905 HDF5 model"):
        assert "expected a .keras model file" in victim.open(legacy, with_keras=with_keras)


def try_breaking(
    kind: str, count: int, seed: int, victim: Victim, scratch: Path, tally: Tally
) -> None:
    """Open files that are broken in one of the ways of BREAKERS."""
    members = members_of(shipped_models()[DEFAULT_MODEL])
    rng = random.Random(f"{kind} {seed}")
    for number in range(count):
        path = scratch / f"{kind}-{number}.keras"
        BREAKERS[kind](members, path, rng)
        with tally.attempt(f"broken {kind}", path.name):
            victim.open(path, with_keras=kind == "json" and number % 10 == 0)
        path.unlink()


@click.command(help=__doc__)
@click.option("--count", default=1000, show_default=True, help="Of the broken files together.")
@click.option(
    "--only", type=click.Choice(["attacks", *BREAKERS]), multiple=True, help="[default: all]"
)
@click.option("--without-keras", is_flag=True, help="Open attacks with our own checks only.")
@click.option("--seed", default=0, show_default=True)
def main(count: int, only: tuple[str, ...], without_keras: bool, seed: int) -> None:
    """See the module."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="emodetect-stress-") as folder:
        scratch = Path(folder)
        victim = Victim(scratch / "cache")
        try:
            for kind in only or ("attacks", *BREAKERS):
                if kind == "attacks":
                    try_attacks(victim, scratch, tally, with_keras=not without_keras)
                else:
                    try_breaking(kind, count // len(BREAKERS), seed, victim, scratch, tally)
        finally:
            victim.close()
    tally.finish()


if __name__ == "__main__":
    main()
