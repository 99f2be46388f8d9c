"""OpenVINO IR: float32 or float16."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from emodetect.exporting.formats.format import Format, Network, Run
from emodetect.exporting.formats.litert_flatbuffer import to_flatbuffer
from emodetect.recognition.runtimes.onnx_graph import INPUT, OUTPUT
from emodetect.recognition.runtimes.openvino import openvino_settings, without_telemetry
from emodetect.recognition.runtimes.runtime import PIP_LINES


def write_openvino(network: Network, quantize: str, path: Path) -> None:
    """Write OpenVINO's .xml and .bin, with the labels and the card as runtime information."""
    with without_telemetry():
        import openvino

    with tempfile.TemporaryDirectory(prefix="emodetect-") as folder:
        flatbuffer = Path(folder) / "model.tflite"
        flatbuffer.write_bytes(to_flatbuffer(network))
        model = openvino.Core().read_model(flatbuffer)
        model.input().set_names({INPUT})
        model.output().set_names({OUTPUT})
        # OpenVINO's own tools look for labels there, separated by spaces; in a label, they write _.
        labels = (label.replace(" ", "_") for label in network.card["labels"])
        model.set_rt_info(" ".join(labels), ["model_info", "labels"])
        model.set_rt_info(json.dumps(network.card), ["model_info", "emodetect"])
        openvino.save_model(model, path, compress_to_fp16=quantize == "float16")


def open_openvino(path: Path, threads: int) -> Run:
    """Open OpenVINO's files with float32 arithmetic."""
    with without_telemetry():
        import openvino

    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # Windows would not let the files be moved
    model = core.compile_model(core.read_model(path), "CPU", openvino_settings(threads))

    def run(crop: np.ndarray) -> np.ndarray:
        return np.asarray(model(crop.astype(np.float32))[0])

    return run


FORMAT = Format(
    suffix=".xml",
    companions=(".bin",),
    quantizations=("none", "float16"),
    needs={"openvino": PIP_LINES["openvino"]},
    write=write_openvino,
    open=open_openvino,
)
