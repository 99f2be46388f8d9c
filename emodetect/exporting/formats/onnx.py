"""ONNX: float32 or float16."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from emodetect.exporting.formats.format import Format, Network, Run
from emodetect.exporting.formats.litert_flatbuffer import NEEDS_LITERT, to_flatbuffer
from emodetect.recognition.runtimes.onnx_graph import INPUT, OUTPUT, to_onnx
from emodetect.recognition.runtimes.onnxruntime import import_onnxruntime
from emodetect.recognition.runtimes.runtime import PIP_LINES


def write_onnx(network: Network, quantize: str, path: Path) -> None:
    """Write an ONNX file with the labels and the card in its metadata."""
    import onnx

    artifact = replace(network.artifact, compiled=to_flatbuffer(network))
    model = onnx.load_from_string(to_onnx(artifact))
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
    """Store the weights as float16, and convert them back when the file is opened.

    The arithmetic stays float32: on a CPU it is as fast, and more precise.
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
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(crop: np.ndarray) -> np.ndarray:
        (output,) = session.run([OUTPUT], {INPUT: crop.astype(np.float32)})
        return np.asarray(output)

    return run


FORMAT = Format(
    suffix=".onnx",
    quantizations=("none", "float16"),
    needs={**NEEDS_LITERT, **dict.fromkeys(("onnx", "onnxruntime"), PIP_LINES["onnxruntime"])},
    write=write_onnx,
    open=open_onnx,
)
