"""LiteRT flatbuffers (.tflite): float32, float16, dynamic range or int8."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from emodetect.export.formats.format import Format, Network, Run, companion_files
from emodetect.export.formats.litert_flatbuffer import NEEDS_LITERT, to_flatbuffer


def write_tflite(network: Network, quantize: str, path: Path) -> None:
    """Write a LiteRT flatbuffer, with labels and card as the files of a zip behind it.

    That is where LiteRT's own metadata keep their files; the flatbuffer stays as it was made.
    """
    path.write_bytes(to_flatbuffer(network, quantize))
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in companion_files(network.card).items():
            archive.writestr(zipfile.ZipInfo(name), text)  # without the time, so always the same


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


FORMAT = Format(
    suffix=".tflite",
    quantizations=("none", "float16", "dynamic", "int8"),
    needs=NEEDS_LITERT,
    write=write_tflite,
    open=open_tflite,
)
