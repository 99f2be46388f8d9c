"""LiteRT flatbuffers (.tflite): float32, float16, dynamic range or int8."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from emodetect.errors import ModelError
from emodetect.exporting.formats.format import (
    INT8_OUTPUT,
    Format,
    Network,
    Run,
    companion_files,
)
from emodetect.exporting.formats.litert_flatbuffer import NEEDS_LITERT, to_flatbuffer


def write_tflite(network: Network, quantize: str, path: Path) -> None:
    """Write a LiteRT flatbuffer followed by a zip with the labels and the card.

    LiteRT's own metadata keeps its files there too; the flatbuffer itself is unchanged.
    """
    flatbuffer = to_flatbuffer(network, quantize)
    if quantize == "int8":
        _check_output(flatbuffer, network.artifact.path)
    path.write_bytes(flatbuffer)
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in companion_files(network.card).items():
            # Without a timestamp, so that the bytes are always the same.
            archive.writestr(zipfile.ZipInfo(name), text)


def _check_output(flatbuffer: bytes, model: Path) -> None:
    """Raise ModelError unless the 8 bits of an output stand for 0 to 1, as those of a softmax do.

    Otherwise, they stand for the probabilities of the calibration images, and no higher ones.
    """
    from ai_edge_litert.interpreter import Interpreter

    (output,) = Interpreter(model_content=flatbuffer).get_output_details()
    if output["quantization"] != INT8_OUTPUT:
        raise ModelError(
            f"{model}: cannot be exported with --quantize int8, because its network does not end "
            "in a softmax; use float16 or dynamic."
        )


def open_tflite(path: Path, threads: int) -> Run:
    """Open a .tflite file in LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    # Not by its path: Windows would not let the file be moved while it is open.
    interpreter = Interpreter(model_content=path.read_bytes(), num_threads=threads)
    interpreter.allocate_tensors()
    (input_details,) = interpreter.get_input_details()
    (output_details,) = interpreter.get_output_details()
    scale, zero_point = output_details["quantization"]

    def run(crop: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(input_details["index"], crop.astype(input_details["dtype"]))
        interpreter.invoke()
        output: np.ndarray = interpreter.get_tensor(output_details["index"])
        return (output.astype(np.float32) - zero_point) * scale if scale else output

    return run


FORMAT = Format(
    suffix=".tflite",
    quantizations=("none", "float16", "dynamic", "int8"),
    needs=NEEDS_LITERT,
    write=write_tflite,
    open=open_tflite,
)
