"""Store the weights of a compiled network in half precision.

TensorFlow's own conversion to float16 includes biases and small filters, which take hardly any
space and cause most of the difference: on FER2013's public test images, probabilities of the
shipped models changed by up to 0.007; here, by up to 0.0015.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

# In MobileNetV2, larger weights are 98% of all.
SMALLEST = 2048
ROUNDING = 2.0**-11  # of float16, relative to the value
FILE_IDENTIFIER = b"TFL3"


def halve_weights(flatbuffer: bytes) -> bytes:
    """Return a LiteRT network whose large weights are stored as float16.

    LiteRT converts them back once, when it opens the network, and computes in float32: half the
    size, the same speed.

    Args:
        flatbuffer: a network in float32 with one subgraph.
    """
    network = schema.ModelT.InitFromPackedBuf(flatbuffer)
    (graph,) = network.subgraphs
    # Tensors of equal bytes share a buffer, even if they are of different types.
    float32 = schema.TensorType.FLOAT32
    buffers = {one.buffer for one in graph.tensors if one.type == float32}
    buffers -= {one.buffer for one in graph.tensors if one.type != float32}
    halved = {
        number: half
        for number in buffers
        if (half := _half(network.buffers[number].data)) is not None
    }
    operations = []
    for index, tensor in enumerate(list(graph.tensors)):
        if tensor.buffer in halved:
            graph.tensors.append(_stored(tensor))
            source = len(graph.tensors) - 1
            operations.append(_dequantize(source, index, len(network.operatorCodes)))
    if not operations:
        return flatbuffer
    for number, half in halved.items():
        network.buffers[number].data = half.view(np.uint8)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = 3  # the first with float16
    network.operatorCodes.append(code)
    graph.operators[:0] = operations
    builder = flatbuffers.Builder(len(flatbuffer))
    builder.Finish(network.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def _half(data: np.ndarray | None) -> np.ndarray | None:
    """Return the float32 values of a buffer as float16; None if they are few or do not fit.

    They do not if one is too large, or all are so small that float16 holds them less precisely.
    """
    if data is None or len(data) < 4 * SMALLEST or len(data) % 4:
        return None
    values = np.asarray(data, np.uint8).view(np.float32)
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return half if np.abs(values - half).max() <= ROUNDING * np.abs(values).max() else None


def _stored(tensor: Any) -> Any:
    """Return a float16 tensor for a buffer's values; `tensor` becomes one that is computed."""
    stored = schema.TensorT()
    stored.name, stored.shape, stored.hasRank = tensor.name + b"_float16", tensor.shape, True
    stored.type, stored.buffer = schema.TensorType.FLOAT16, tensor.buffer
    tensor.buffer = 0  # by convention the empty one
    return stored


def _dequantize(source: int, target: int, code: int) -> Any:
    operation = schema.OperatorT()
    operation.opcodeIndex, operation.inputs, operation.outputs = code, [source], [target]
    operation.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
    operation.builtinOptions = schema.DequantizeOptionsT()
    return operation
