"""The formats that a network is exported to: how each is written, and how its file answers.

Each is in the dict FORMATS. Keras' own exports to ONNX and SavedModel are not used, as they come
out wrong; ONNX and OpenVINO of 8 bits were not tried.
"""

from __future__ import annotations

import functools
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emodetect.model_file.artifact import Artifact
from emodetect.recognition.runtimes.onnx_graph import INPUT, OUTPUT, to_onnx
from emodetect.recognition.runtimes.registry import PIP_LINES, openvino_settings, without_telemetry

if TYPE_CHECKING:
    import keras

# From a (1, size, size, channels) uint8 crop to (1, classes) float32 probabilities.
Run = Callable[[np.ndarray], np.ndarray]

LABELS, CARD = "labels.txt", "emodetect.json"


@dataclass(frozen=True, kw_only=True)
class Network:
    """What is written to a file.

    Attributes:
        artifact: where it comes from.
        model: its Keras model, the temperature in it.
        calibration: (n, size, size, channels) uint8 crops that tell int8 its ranges; None for
            all else.
        card: what the file is to tell of itself, JSON-ready.
    """

    artifact: Artifact
    model: keras.Model
    calibration: np.ndarray | None
    card: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of files.

    Attributes:
        suffix: of the file; empty for a folder.
        companions: suffixes of the files that lie beside it and belong to it.
        quantizations: the ways to make it smaller that it can be had in.
        needs: the modules that write it and run it, with how to get each.
        write: puts a network, quantised so, at a path.
        open: returns what runs the file of a path on so many threads.
    """

    suffix: str
    companions: tuple[str, ...] = ()
    quantizations: tuple[str, ...]
    needs: dict[str, str]
    write: Callable[[Network, str, Path], None]
    open: Callable[[Path, int], Run]


def write_tflite(network: Network, quantize: str, path: Path) -> None:
    """Write a LiteRT flatbuffer, with labels and card as the files of a zip behind it.

    That is where LiteRT's own metadata keep their files; the flatbuffer stays as it was made.
    """
    path.write_bytes(_flatbuffer(network, quantize))
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in _files(network.card).items():
            archive.writestr(zipfile.ZipInfo(name), text)  # without the time, so always the same


def _flatbuffer(network: Network, quantize: str) -> bytes:
    import tensorflow as tf

    from emodetect.training.litert_conversion import litert_converter

    # Microcontrollers, for which int8 is, have no free sizes.
    converter = litert_converter(network.model, batch_size=1 if quantize == "int8" else None)
    if quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if network.calibration is not None:
        converter.representative_dataset = functools.partial(_calibration, network.calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    flatbuffer: bytes = converter.convert()
    return flatbuffer


def _calibration(crops: np.ndarray) -> Iterator[list[np.ndarray]]:
    for number, crop in enumerate(crops.astype(np.float32)):
        if number == 0:  # a range of 0 to 255 means that a pixel goes in as it is
            crop.flat[0], crop.flat[-1] = 0, 255
        yield [crop[np.newaxis]]


def open_tflite(path: Path, threads: int) -> Run:
    """Open a LiteRT flatbuffer."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    (crop_details,) = interpreter.get_input_details()
    (answer_details,) = interpreter.get_output_details()
    scale, zero_point = answer_details["quantization"]

    def run(crop: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(crop_details["index"], crop.astype(crop_details["dtype"]))
        interpreter.invoke()
        answer: np.ndarray = interpreter.get_tensor(answer_details["index"])
        return (answer.astype(np.float32) - zero_point) * scale if scale else answer

    return run


def write_onnx(network: Network, quantize: str, path: Path) -> None:
    """Write an ONNX file, with labels and card among its metadata."""
    import onnx

    flatbuffer = _flatbuffer(network, "none")
    model = onnx.load_from_string(to_onnx(replace(network.artifact, compiled=flatbuffer)))
    if quantize == "float16":
        _halve_weights(model)
    properties = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in network.card.items()
    }
    onnx.helper.set_model_props(model, properties)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _halve_weights(model: Any) -> None:
    """Store weights as float16, to be widened when the file is opened.

    The arithmetic stays float32, in which processors are as fast and more exact.
    """
    import onnx

    casts = []
    for tensor in model.graph.initializer:
        weights = onnx.numpy_helper.to_array(tensor)
        if weights.dtype != np.float32 or not weights.ndim:
            continue
        name, halved = tensor.name, f"{tensor.name}_float16"
        tensor.CopyFrom(onnx.numpy_helper.from_array(weights.astype(np.float16), halved))
        casts.append(onnx.helper.make_node("Cast", [halved], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def open_onnx(path: Path, threads: int) -> Run:
    """Open an ONNX file in ONNX Runtime."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(crop: np.ndarray) -> np.ndarray:
        (answer,) = session.run([OUTPUT], {INPUT: crop.astype(np.float32)})
        return np.asarray(answer)

    return run


def write_saved_model(network: Network, quantize: str, path: Path) -> None:
    """Write a TensorFlow SavedModel, with labels and card in the folder that is for others' files.

    Keras' own `export` (3.15) does not say that it is no training when it traces a model; a small
    network with batch norm was off by 0.28.
    """
    import keras
    import tensorflow as tf

    archive = keras.export.ExportArchive()
    archive.track(network.model)
    archive.add_endpoint(
        "serve",
        functools.partial(network.model.__call__, training=False),
        input_signature=[tf.TensorSpec(network.model.input_shape, tf.float32, name=INPUT)],
    )
    archive.write_out(str(path), verbose=False)
    extra = path / "assets.extra"
    extra.mkdir()
    for name, text in _files(network.card).items():
        (extra / name).write_text(text, encoding="utf-8")


def open_saved_model(path: Path, threads: int) -> Run:
    """Open a SavedModel. TensorFlow chooses its threads itself."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def run(crop: np.ndarray) -> np.ndarray:
        return np.asarray(loaded.serve(tf.constant(crop, tf.float32)))

    return run


def write_openvino(network: Network, quantize: str, path: Path) -> None:
    """Write OpenVINO's .xml and .bin, with labels and card among its runtime information."""
    with without_telemetry():
        import openvino

    with tempfile.TemporaryDirectory(prefix="emodetect-") as folder:
        flatbuffer = Path(folder) / "model.tflite"
        flatbuffer.write_bytes(_flatbuffer(network, "none"))
        model = openvino.Core().read_model(flatbuffer)
        model.input().set_names({INPUT})
        model.output().set_names({OUTPUT})
        # Where OpenVINO's own tools look for labels, with spaces between them.
        model.set_rt_info(" ".join(network.card["labels"]), ["model_info", "labels"])
        model.set_rt_info(json.dumps(network.card), ["model_info", "emodetect"])
        openvino.save_model(model, path, compress_to_fp16=quantize == "float16")


def open_openvino(path: Path, threads: int) -> Run:
    """Open OpenVINO's files, for exact arithmetic."""
    with without_telemetry():
        import openvino

    core = openvino.Core()
    model = core.compile_model(core.read_model(path), "CPU", openvino_settings(threads))

    def run(crop: np.ndarray) -> np.ndarray:
        return np.asarray(model(crop.astype(np.float32))[0])

    return run


def _files(card: dict[str, Any]) -> dict[str, str]:
    return {LABELS: "\n".join(card["labels"]) + "\n", CARD: json.dumps(card, indent=1)}


LITERT = {"ai_edge_litert": PIP_LINES["litert"]}
FORMATS = {
    "tflite": Format(
        suffix=".tflite",
        quantizations=("none", "float16", "dynamic", "int8"),
        needs=LITERT,
        write=write_tflite,
        open=open_tflite,
    ),
    "onnx": Format(
        suffix=".onnx",
        quantizations=("none", "float16"),
        needs={**LITERT, **dict.fromkeys(("onnx", "onnxruntime"), PIP_LINES["onnxruntime"])},
        write=write_onnx,
        open=open_onnx,
    ),
    "saved_model": Format(
        suffix="",
        quantizations=("none",),
        needs={},
        write=write_saved_model,
        open=open_saved_model,
    ),
    "openvino": Format(
        suffix=".xml",
        companions=(".bin",),
        quantizations=("none", "float16"),
        needs={"openvino": PIP_LINES["openvino"]},
        write=write_openvino,
        open=open_openvino,
    ),
}
