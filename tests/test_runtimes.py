"""All runtimes answer alike; one that is not there, or answers otherwise, is refused.

What needs ONNX Runtime or OpenVINO is skipped where they are not installed; the extra `dev`
brings them.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from running import posix_only, run_python

from emodetect.cli.bench import bench
from emodetect.cli.options.model import RUNTIME_NAMES
from emodetect.data.synthetic import draw_face
from emodetect.emotions import EMOTIONS
from emodetect.errors import EmodetectError, ModelError
from emodetect.evaluation import runtime_benchmark
from emodetect.images.model_input import to_input
from emodetect.model_file.artifact import Artifact, read_artifact
from emodetect.model_file.shipped_models import model_path
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.runtimes import registry
from emodetect.recognition.runtimes.keras import KerasRuntime
from emodetect.recognition.runtimes.litert import LiteRTRuntime
from emodetect.recognition.runtimes.registry import RUNTIMES, open_runtime
from emodetect.recognition.runtimes.runtime import MissingRuntimeError, Runtime

ROOT = Path(__file__).parent.parent
EXTRAS = ("onnxruntime", "openvino")
# What weights in float16 change: the compiled network has them, Keras has not.
HALF_PRECISION = 2e-3


def needs(extra: str) -> None:
    """Skip a test where the libraries of an extra are not installed."""
    for library in ("onnx", "onnxruntime") if extra == "onnxruntime" else (extra,):
        if library == "openvino":  # it is not imported here, for it would report that it was
            from importlib.util import find_spec

            if find_spec(library) is None:
                pytest.skip("could not import 'openvino': it is not installed")
        else:
            pytest.importorskip(library)


def drawn_crops(artifact: Artifact, count: int) -> np.ndarray:
    """Return (count, size, size, channels) float32 faces as the recogniser prepares them."""
    rng = np.random.default_rng(0)
    size, color = artifact.metadata.image_size, artifact.metadata.color
    crops = [
        to_input(draw_face(EMOTIONS[number % 7], rng), size=size, color=color)
        for number in range(count)
    ]
    return np.asarray(crops, np.float32)


def test_keras_serves_where_litert_has_no_wheel(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without LiteRT the same artifact runs through Keras, with the same answers."""
    loaded = read_artifact(artifact)
    crops = np.random.default_rng(1).uniform(0, 255, (5, 32, 32, 1)).astype(np.float32)
    expected = open_runtime(loaded).run(crops)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    runtime = open_runtime(loaded)
    assert isinstance(runtime, KerasRuntime)
    np.testing.assert_allclose(runtime.run(crops), expected, atol=HALF_PRECISION)


def test_answers_do_not_depend_on_the_batch(artifact: Path) -> None:
    """A crop gets the same scores alone, in a batch, and in a batch of another size."""
    runtime = LiteRTRuntime(read_artifact(artifact), threads=2)
    crops = np.random.default_rng(2).uniform(0, 255, (9, 32, 32, 1)).astype(np.float32)
    together = runtime.run(crops)
    alone = np.concatenate([runtime.run(crops[i : i + 1]) for i in range(9)])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    np.testing.assert_allclose(runtime.run(crops[:4]), together[:4], atol=1e-5)


def test_temperature_keeps_the_order_and_the_sum(artifact: Path) -> None:
    """Calibration makes scores less sure, and changes neither their order nor their sum."""
    import dataclasses

    recognizer = EmotionRecognizer(artifact, detector="none")
    crops = np.random.default_rng(3).integers(0, 256, (6, 32, 32, 1), np.uint8)
    plain = recognizer.classify_inputs(crops)
    recognizer.metadata = dataclasses.replace(recognizer.metadata, temperature=2.0)
    softened = recognizer.classify_inputs(crops)
    np.testing.assert_allclose(softened.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(softened.argsort(axis=1), plain.argsort(axis=1))
    assert (softened.max(axis=1) < plain.max(axis=1)).all()
    # Probabilities p at temperature 2 are proportional to the square root of p.
    roots = np.sqrt(plain)
    np.testing.assert_allclose(softened, roots / roots.sum(axis=1, keepdims=True), atol=1e-5)


def test_no_crops_give_no_scores(artifact: Path) -> None:
    """An image without faces costs no run of the model and gives an empty result."""
    recognizer = EmotionRecognizer(artifact, detector="none")
    assert recognizer.classify([]).shape == (0, 3)


@pytest.mark.parametrize("name", ["keras", *EXTRAS])
def test_every_runtime_answers_as_litert(artifact: Path, name: str) -> None:
    """A named runtime gives the same probabilities, for the shipped model and a small one."""
    if name in EXTRAS:
        needs(name)
    for path in (artifact, model_path(None)):
        loaded = read_artifact(path)
        crops = drawn_crops(loaded, 9)
        expected = LiteRTRuntime(loaded, threads=2).run(crops)
        runtime = open_runtime(loaded, runtime=name, threads=2)
        for count in (1, 9, 2):
            found = runtime.run(crops[:count])
            assert found.dtype == np.float32
            allowed = HALF_PRECISION if name == "keras" else 1e-4
            np.testing.assert_allclose(found, expected[:count], atol=allowed)


def test_threads_leave_stderr_as_it_was() -> None:
    """What threads print while others open recognisers is shown, and nothing of LiteRT's."""
    program = (
        "import os, threading\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "import numpy as np\n"
        "from emodetect import EmotionRecognizer\n"
        "shared = EmotionRecognizer()\n"
        "shared.classify([np.zeros((50, 50, 3), np.uint8)])\n"
        "def work(number):\n"
        "    for size in range(1, 9):\n"
        "        shared.classify([np.zeros((50, 50, 3), np.uint8)] * size)\n"
        "        os.write(2, b'%d %d\\n' % (number, size))\n"
        "with ThreadPoolExecutor(4) as pool: list(pool.map(work, range(4)))\n"
        "def open_one(number):\n"
        "    EmotionRecognizer(threads=1).classify([np.zeros((50, 50, 3), np.uint8)])\n"
        "with ThreadPoolExecutor(4) as pool: list(pool.map(open_one, range(16)))\n"
        "os.write(2, b'end\\n')"
    )
    done = run_python(program)
    assert done.returncode == 0, done.stderr
    expected = [f"{number} {size}" for number in range(4) for size in range(1, 9)]
    assert sorted(done.stderr.splitlines()) == sorted([*expected, "end"])


@posix_only
def test_a_process_without_stderr_can_recognise() -> None:
    """A service that has closed its stderr gets its results."""
    program = (
        "import os; os.close(2)\n"
        "from emodetect import EmotionRecognizer\n"
        "print(len(EmotionRecognizer().analyze('docs/scene.jpg')))"
    )
    done = run_python(program, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "5\n")


def test_an_unknown_runtime_is_refused(artifact: Path) -> None:
    """A runtime of a name that there is none of is an error that lists those there are."""
    for name in ("tensorrt", ["litert"]):
        with pytest.raises(EmodetectError, match="one of litert, keras, onnxruntime, openvino"):
            open_runtime(read_artifact(artifact), runtime=name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_missing_runtime_tells_how_to_get_it(
    artifact: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A named runtime that is not installed ends in one line with the command that installs it."""
    library = {"litert": "ai_edge_litert.interpreter", "keras": "keras"}.get(name, name)
    package = {"litert": "ai-edge-litert", "keras": "tensorflow"}.get(name, f'"emodetect[{name}]"')
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setattr("emodetect.recognition.runtimes.keras.use_tensorflow", lambda: None)
    with pytest.raises(MissingRuntimeError, match="is not installed") as caught:
        open_runtime(read_artifact(artifact), runtime=name)
    assert f"pip install {package}" in str(caught.value)
    assert "\n" not in str(caught.value)


def openvino_that_answers(answer: np.ndarray) -> ModuleType:
    """Return a module that stands in for OpenVINO and gives one answer for every face."""
    module = ModuleType("openvino")

    def compiled(batch: np.ndarray, *, share_inputs: bool) -> list[np.ndarray]:
        return [np.tile(answer, (len(batch), 1))]

    module.Core = lambda: SimpleNamespace(  # type: ignore[attr-defined]
        read_model=lambda file: Path(file).read_bytes(),
        compile_model=lambda model, device, settings: compiled,
    )
    return module


@pytest.mark.parametrize("answer", [[0.98, 0.01, 0.01], [np.nan] * 3])
def test_a_runtime_that_answers_otherwise_is_refused(
    artifact: Path, monkeypatch: pytest.MonkeyPatch, answer: list[float]
) -> None:
    """A runtime that does not come to the default one's probabilities is not used in silence."""
    module = openvino_that_answers(np.array(answer, np.float32))
    monkeypatch.setitem(sys.modules, "openvino", module)
    with pytest.raises(
        ModelError, match="OpenVINO gives different results from the default runtime"
    ):
        open_runtime(read_artifact(artifact), runtime="openvino")


OPEN_RUNTIME = """
import sys
from emodetect.model_file.artifact import read_artifact
from emodetect.recognition.runtimes.registry import open_runtime
from emodetect.model_file.shipped_models import model_path
open_runtime(read_artifact(model_path(None)), runtime=sys.argv[1])
assert 'openvino_telemetry' not in sys.modules
if sys.argv[1] == "openvino":
    import openvino_telemetry  # others may still use it
"""


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_a_runtime_does_not_report_to_its_maker(tmp_path: Path, runtime: str) -> None:
    """Those that report their import neither do so nor write into the home."""
    needs(runtime)
    done = run_python(OPEN_RUNTIME, runtime, env={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_onnx_runtime_sleeps_between_frames() -> None:
    """Its threads would wait for the next frame of a camera in a loop, with a core each."""
    needs("onnxruntime")
    runtime = open_runtime(read_artifact(model_path(None)), runtime="onnxruntime", threads=2)
    options = runtime.session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_bench_compares_what_is_installed(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures of each runtime here, and how to get those that are not, in both formats."""
    for name, value in (("ROUNDS", 1), ("FACES", 8), ("SINGLE_FACES_IN_A_ROUND", 5)):
        monkeypatch.setattr(runtime_benchmark, name, value)
    for library in EXTRAS:
        monkeypatch.setitem(sys.modules, library, None)
    comparison = runtime_benchmark.compare_runtimes(artifact, threads=1)
    monkeypatch.setattr(runtime_benchmark, "compare_runtimes", lambda model, *, threads: comparison)
    words = ["--model", str(artifact), "--format"]
    result = CliRunner().invoke(bench, [*words, "json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    figures = {one["runtime"]: one for one in found["runtimes"]}
    assert list(figures) == ["litert", "keras"]
    for one in figures.values():
        assert 0 < one["latency_ms"] <= one["latency_p95_ms"]
        assert one["faces_per_second"] > 0
        assert one["difference"] < 1e-3
        assert one["same_emotion"] == 1
    assert found["machine"]["cores"]
    assert found["versions"]["keras"]
    table = CliRunner().invoke(bench, [*words, "table"], catch_exceptions=False).stdout
    for extra in EXTRAS:
        assert f'pip install "emodetect[{extra}]"' in " ".join(table.split())
    assert "litert" in table
    wide = replace(
        comparison,
        runtimes=tuple(
            replace(
                one, runtime="onnxruntime", start_ms=12345, latency_ms=123.45,
                latency_p95_ms=123.45, faces_per_second=12345,
            )
            for one in comparison.runtimes
        ),
    )  # fmt: skip
    monkeypatch.setattr(runtime_benchmark, "compare_runtimes", lambda model, *, threads: wide)
    runner = CliRunner(env={"COLUMNS": "80"})
    table = runner.invoke(bench, [*words, "table"], catch_exceptions=False).stdout
    rows = [line for line in table.splitlines() if line[:1] in "┏┃┡│└"]
    assert len(rows) == 7  # no row or header is broken within a word
    assert "agreement" in table
    assert "12,345" in table
    assert all(len(line) <= 80 for line in table.splitlines())


def test_bench_says_which_runtime_cannot_run_the_network(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are measured; a model that none can run is refused, for the default's reason."""
    for name, value in (("ROUNDS", 1), ("FACES", 8), ("SINGLE_FACES_IN_A_ROUND", 5)):
        monkeypatch.setattr(runtime_benchmark, name, value)

    def cannot(artifact: Artifact, *, threads: int) -> Runtime:
        raise ModelError(f"{artifact.path}: no such operation")

    both = {"onnxruntime": cannot, "litert": RUNTIMES["litert"]}
    for module in (runtime_benchmark, registry):
        monkeypatch.setattr(module, "RUNTIMES", both)
    comparison = runtime_benchmark.compare_runtimes(artifact, threads=1)
    assert [one.runtime for one in comparison.runtimes] == ["litert"]
    assert comparison.not_measured == (f"{artifact}: no such operation",)
    both["litert"] = cannot
    with pytest.raises(ModelError, match="no such operation"):
        runtime_benchmark.compare_runtimes(artifact, threads=1)


def test_the_option_names_every_runtime() -> None:
    """--runtime offers the runtimes that there are."""
    assert tuple(RUNTIMES) == RUNTIME_NAMES
