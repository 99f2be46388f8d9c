"""The export formats by name.

Keras' own exports to ONNX and SavedModel are not used, as they come out wrong; ONNX and
OpenVINO of 8 bits were not tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emodetect.recognition.runtimes.runtime import PIP_LINES

if TYPE_CHECKING:
    pass
from emodetect.export.formats.format import Format
from emodetect.export.formats.onnx import open_onnx, write_onnx
from emodetect.export.formats.openvino import open_openvino, write_openvino
from emodetect.export.formats.saved_model import open_saved_model, write_saved_model
from emodetect.export.formats.tflite import LITERT, open_tflite, write_tflite

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
