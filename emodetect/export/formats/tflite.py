"""LiteRT flatbuffers (.tflite): float32, float16, dynamic range or int8."""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emodetect.recognition.runtimes.runtime import PIP_LINES

if TYPE_CHECKING:
    pass
from emodetect.export.formats.format import Network, Run, companion_files


def write_tflite(network: Network, quantize: str, path: Path) -> None:
    """Write a LiteRT flatbuffer, with labels and card as the files of a zip behind it.

    That is where LiteRT's own metadata keep their files; the flatbuffer stays as it was made.
    """
    path.write_bytes(_flatbuffer(network, quantize))
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in companion_files(network.card).items():
            archive.writestr(zipfile.ZipInfo(name), text)  # without the time, so always the same


def _flatbuffer(network: Network, quantize: str) -> bytes:
    import tensorflow as tf

    from emodetect.training.models.litert_conversion import litert_converter

    # Microcontrollers, for which int8 is, have no free sizes.
    converter = litert_converter(network.model, batch_size=1 if quantize == "int8" else None)
    if quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if network.calibration is not None:
        converter.representative_dataset = functools.partial(
            calibration_batches, network.calibration
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    flatbuffer: bytes = converter.convert()
    return flatbuffer


def calibration_batches(crops: np.ndarray) -> Iterator[list[np.ndarray]]:
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


LITERT = {"ai_edge_litert": PIP_LINES["litert"]}
