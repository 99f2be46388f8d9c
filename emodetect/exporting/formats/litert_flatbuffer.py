"""The LiteRT flatbuffer that .tflite, ONNX and OpenVINO files are made from."""

from __future__ import annotations

import functools

from emodetect.exporting.formats.format import Network
from emodetect.exporting.int8_calibration import calibration_batches
from emodetect.recognition.runtimes.runtime import PIP_LINES

NEEDS_LITERT = {"ai_edge_litert": PIP_LINES["litert"]}


def to_flatbuffer(network: Network, quantize: str = "none") -> bytes:
    """Return a network as a LiteRT flatbuffer, in one of the precisions of .tflite."""
    import tensorflow as tf

    from emodetect.training.models.litert_conversion import litert_converter

    # int8 is for microcontrollers, which have no dynamic shapes.
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
