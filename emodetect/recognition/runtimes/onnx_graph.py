"""Convert the compiled network of an artifact to ONNX, for ONNX Runtime and for export.

The source is the LiteRT flatbuffer, which has only the few operations of inference. The ONNX
export of Keras (3.15, through tf2onnx 1.17) traces batch normalisation in training mode, with the
statistics of the current batch: probabilities differed by up to 0.7.

Images are (n, height, width, channels) in LiteRT and (n, channels, height, width) in ONNX: every
tensor of four dimensions is transposed, the input first of all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from emodetect.errors import ModelError
from emodetect.model_file.artifact import Artifact

OPSET = 18  # the first in which Resize can take only height and width
IR_VERSION = 8  # of that opset; slightly older runtimes reject newer versions
INPUT, OUTPUT = "crops", "probabilities"
TO_CHANNELS_FIRST = (0, 3, 1, 2)
TO_CHANNELS_LAST = (0, 2, 3, 1)


def to_onnx(artifact: Artifact) -> bytes:
    """Return the network of an artifact as ONNX.

    The input "crops" is (n, size, size, channels) float32 in 0-255, the output "probabilities" is
    (n, classes) float32, before temperature scaling; n is dynamic.

    Raises ModelError if an operation is not supported, and ImportError without `onnx`.
    """
    import onnx
    from ai_edge_litert import schema_py_generated as schema

    network = schema.ModelT.InitFromPackedBuf(artifact.compiled)
    translation = _Translation(network, schema, artifact.path)
    nodes = translation.nodes()
    shapes = translation.shape(translation.input), translation.shape(translation.output)
    inputs, outputs = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", *shape[1:]])
        for name, shape in zip((INPUT, OUTPUT), shapes, strict=True)
    )
    constants = [
        onnx.numpy_helper.from_array(value, name) for name, value in translation.constants.items()
    ]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, artifact.metadata.name, [inputs], [outputs], constants),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="emodetect",
    )
    onnx.checker.check_model(model)
    serialized: bytes = model.SerializeToString()
    return serialized


class _Translation:
    """Writes the operations of a LiteRT network, in order, as ONNX nodes.

    Attributes:
        constants: by their ONNX names; filled while the nodes are written.
    """

    def __init__(self, network: Any, schema: Any, path: Path) -> None:
        self.schema, self.path = schema, path
        self.codes, self.buffers = network.operatorCodes, network.buffers
        self.kinds: dict[int, str] = {
            number: kind for kind, number in vars(schema.BuiltinOperator).items()
        }
        (self.graph,) = network.subgraphs
        (self.input,), (self.output,) = self.graph.inputs, self.graph.outputs
        self.constants: dict[str, np.ndarray] = {}
        self.written: list[Any] = []
        # By the number of the float32 tensor: weights that are stored as float16.
        self.stored_as = {
            operation.outputs[0]: operation.inputs[0]
            for operation in self.graph.operators
            if self.kind(operation) == "DEQUANTIZE"
        }

    def nodes(self) -> list[Any]:
        """Return the ONNX nodes of all operations. Raises ModelError if one is not supported."""
        self.write("Transpose", [INPUT], self.name(self.input), perm=TO_CHANNELS_FIRST)
        for operation in self.graph.operators:
            kind = self.kind(operation)
            # These compute the batch size for flattening, which ONNX does not need, or weights.
            if kind == "DEQUANTIZE" or (kind in SHAPES and self.is_whole(operation.outputs[0])):
                continue
            if kind not in OPERATIONS:
                raise self.unknown(kind)
            OPERATIONS[kind](self, operation)
        self.write("Identity", [self.name(self.output)], OUTPUT)
        return self.written

    def write(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        """Append an ONNX node with one output."""
        import onnx

        self.written.append(onnx.helper.make_node(kind, inputs, [output], **attributes))

    def activated(self, kind: str, inputs: list[str], operation: Any, **attributes: Any) -> None:
        """Append a node and the activation that LiteRT fused into the operation."""
        output = self.name(operation.outputs[0])
        types = self.schema.ActivationFunctionType
        activation = operation.builtinOptions.fusedActivationFunction
        if activation == types.NONE:
            self.write(kind, inputs, output, **attributes)
            return
        between = f"{output}_before_activation"
        self.write(kind, inputs, between, **attributes)
        if activation == types.RELU:
            self.write("Relu", [between], output)
        elif activation == types.RELU6:
            self.write_relu6(between, output)
        else:
            raise self.unknown(f"fused activation {activation}")

    def write_relu6(self, source: str, output: str) -> None:
        """Append min(max(x, 0), 6)."""
        limits = [self.constant(f"limit_{limit}", np.array(limit, np.float32)) for limit in (0, 6)]
        self.write("Clip", [source, *limits], output)

    def kind(self, operation: Any) -> str:
        """Return LiteRT's name for the kind of an operation."""
        code = self.codes[operation.opcodeIndex]
        # Old networks have the code in the second field only.
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        return self.kinds.get(number, f"operation {number}")

    def name(self, index: int) -> str:
        """Return the ONNX name of a computed tensor."""
        return f"tensor_{index}"

    def shape(self, index: int) -> list[int]:
        """Return the LiteRT shape of a tensor, with -1 for dynamic dimensions."""
        tensor = self.graph.tensors[index]
        shape = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
        return [int(side) for side in shape]

    def is_whole(self, index: int) -> bool:
        """Return whether a tensor contains whole numbers, as shapes do."""
        types = self.schema.TensorType
        return self.graph.tensors[index].type in (types.INT32, types.INT64)

    def is_image(self, index: int) -> bool:
        """Return whether a tensor has four dimensions, so it is transposed in ONNX."""
        return len(self.shape(index)) == 4

    def value(self, index: int) -> np.ndarray | None:
        """Return a constant tensor in LiteRT's layout; None for a computed one."""
        tensor = self.graph.tensors[self.stored_as.get(index, index)]
        data = self.buffers[tensor.buffer].data
        if data is None or not len(data):
            return None
        types = self.schema.TensorType
        dtypes = {
            types.FLOAT32: np.float32,
            types.FLOAT16: np.float16,
            types.INT32: np.int32,
        }
        if tensor.type not in dtypes:
            raise self.unknown(f"number type {tensor.type}")
        shape = [] if tensor.shape is None else list(tensor.shape)
        value = np.frombuffer(bytes(data), dtypes[tensor.type]).reshape(shape)
        return value if value.dtype == np.int32 else value.astype(np.float32)

    def fixed(self, index: int) -> np.ndarray:
        """Return a tensor that must be constant, such as weights."""
        value = self.value(index)
        if value is None:
            raise self.unknown("computed weights")
        return value

    def constant(self, name: str, value: np.ndarray) -> str:
        """Store a constant and return its name."""
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def unknown(self, what: str) -> ModelError:
        """Return the error for an unsupported part of the network."""
        return ModelError(
            f"{self.path}: the network cannot be converted to ONNX: not supported: {what}. The "
            "runtime litert can run it unchanged."
        )


def _convolution(to: _Translation, operation: Any) -> None:
    source, weights_index, *_ = operation.inputs
    weights = to.fixed(weights_index)
    channels = to.shape(source)[3]
    if to.kind(operation) == "DEPTHWISE_CONV_2D":  # (1, height, width, outputs)
        weights, groups = weights.transpose(3, 0, 1, 2), channels
    else:  # (outputs, height, width, channels per group)
        groups = channels // weights.shape[3]
        weights = weights.transpose(TO_CHANNELS_FIRST)
    options = operation.builtinOptions
    to.activated(
        "Conv",
        [to.name(source), to.constant(f"tensor_{weights_index}", weights), *_bias(to, operation)],
        operation,
        group=groups,
        strides=[options.strideH, options.strideW],
        dilations=[options.dilationHFactor, options.dilationWFactor],
        auto_pad=_padding(to, options),
    )


def _dense(to: _Translation, operation: Any) -> None:
    source, weights_index, *_ = operation.inputs
    if to.is_image(source):
        raise to.unknown("a dense layer on images")
    weights = to.constant(f"tensor_{weights_index}", to.fixed(weights_index))
    to.activated("Gemm", [to.name(source), weights, *_bias(to, operation)], operation, transB=1)


def _bias(to: _Translation, operation: Any) -> list[str]:
    if len(operation.inputs) < 3 or operation.inputs[2] < 0:
        return []
    index = operation.inputs[2]
    return [to.constant(f"tensor_{index}", to.fixed(index))]


def _arithmetic(to: _Translation, operation: Any) -> None:
    on_images = to.is_image(operation.outputs[0])
    inputs = []
    for index in operation.inputs:
        value = to.value(index)
        if value is None:
            if on_images != to.is_image(index):
                raise to.unknown("arithmetic between an image and a non-image")
            inputs.append(to.name(index))
            continue
        if on_images:  # constants with fewer dimensions align with the last, the channels
            value = value.reshape((1,) * (4 - value.ndim) + value.shape)
            value = value.transpose(TO_CHANNELS_FIRST)
        inputs.append(to.constant(f"tensor_{index}_in_{operation.outputs[0]}", value))
    to.activated(ARITHMETIC[to.kind(operation)], inputs, operation)


def _concatenation(to: _Translation, operation: Any) -> None:
    axis = operation.builtinOptions.axis
    if to.is_image(operation.outputs[0]):
        axis = TO_CHANNELS_FIRST.index(axis % 4)
    to.activated("Concat", [to.name(index) for index in operation.inputs], operation, axis=axis)


def _resizing(to: _Translation, operation: Any) -> None:
    source, sides = operation.inputs
    options = operation.builtinOptions
    mode = "half_pixel" if options.halfPixelCenters else "asymmetric"
    to.write(
        "Resize",
        [to.name(source), "", "", to.constant(f"tensor_{sides}", _int64(to.fixed(sides)))],
        to.name(operation.outputs[0]),
        axes=[2, 3],
        mode="linear",
        coordinate_transformation_mode="align_corners" if options.alignCorners else mode,
    )


def _mean(to: _Translation, operation: Any) -> None:
    source, axes = operation.inputs
    if not to.is_image(source) or sorted(to.fixed(axes).ravel() % 4) != [1, 2]:
        raise to.unknown("a mean over axes other than height and width")
    to.write(
        "ReduceMean",
        [to.name(source), to.constant(f"tensor_{axes}", np.array([2, 3], np.int64))],
        to.name(operation.outputs[0]),
        keepdims=int(operation.builtinOptions.keepDims),
    )


def _pooling(to: _Translation, operation: Any) -> None:
    options = operation.builtinOptions
    to.activated(
        "MaxPool" if to.kind(operation) == "MAX_POOL_2D" else "AveragePool",
        [to.name(operation.inputs[0])],
        operation,
        kernel_shape=[options.filterHeight, options.filterWidth],
        strides=[options.strideH, options.strideW],
        auto_pad=_padding(to, options),
    )


def _zeros_around(to: _Translation, operation: Any) -> None:
    source, widths = operation.inputs
    pads = to.fixed(widths)
    if to.is_image(source):
        pads = pads[list(TO_CHANNELS_FIRST)]
    to.write(
        "Pad",
        [to.name(source), to.constant(f"tensor_{widths}_pads", _int64(pads.T.ravel()))],
        to.name(operation.outputs[0]),
    )


def _reshaping(to: _Translation, operation: Any) -> None:
    source, output = operation.inputs[0], operation.outputs[0]
    shape = to.shape(output)
    if shape.count(-1) > 1:
        raise to.unknown(f"a reshape to {shape}")
    before, after = to.name(source), to.name(output)
    if to.is_image(source):
        before = f"{after}_channels_last"
        to.write("Transpose", [to.name(source)], before, perm=TO_CHANNELS_LAST)
    target = to.constant(f"{after}_shape", np.array([-1, *shape[1:]], np.int64))
    if to.is_image(output):
        to.write("Reshape", [before, target], f"{after}_reshaped")
        to.write("Transpose", [f"{after}_reshaped"], after, perm=TO_CHANNELS_FIRST)
    else:
        to.write("Reshape", [before, target], after)


def _softmax(to: _Translation, operation: Any) -> None:
    source = operation.inputs[0]
    if to.is_image(source) or operation.builtinOptions.beta != 1:
        raise to.unknown("a softmax on images, or with a temperature")
    to.write("Softmax", [to.name(source)], to.name(operation.outputs[0]), axis=-1)


def _activation(to: _Translation, operation: Any) -> None:
    source, output = to.name(operation.inputs[0]), to.name(operation.outputs[0])
    kind = to.kind(operation)
    if kind == "RELU6":
        to.write_relu6(source, output)
    elif kind == "LEAKY_RELU":
        to.write("LeakyRelu", [source], output, alpha=operation.builtinOptions.alpha)
    else:
        to.write(ACTIVATIONS[kind], [source], output)


def _padding(to: _Translation, options: Any) -> str:
    return "SAME_UPPER" if options.padding == to.schema.Padding.SAME else "VALID"


def _int64(value: np.ndarray) -> np.ndarray:
    return value.astype(np.int64)


SHAPES = ("SHAPE", "STRIDED_SLICE", "PACK")
ARITHMETIC = {"ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div"}
ACTIVATIONS = {
    "RELU": "Relu",
    "LOGISTIC": "Sigmoid",
    "TANH": "Tanh",
    "HARD_SWISH": "HardSwish",
    "NEG": "Neg",
    "LOG": "Log",
}
OPERATIONS: dict[str, Callable[[_Translation, Any], None]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "FULLY_CONNECTED": _dense,
    **dict.fromkeys(ARITHMETIC, _arithmetic),
    "CONCATENATION": _concatenation,
    "RESIZE_BILINEAR": _resizing,
    "MEAN": _mean,
    "MAX_POOL_2D": _pooling,
    "AVERAGE_POOL_2D": _pooling,
    "PAD": _zeros_around,
    "RESHAPE": _reshaping,
    "SOFTMAX": _softmax,
    **dict.fromkeys((*ACTIVATIONS, "RELU6", "LEAKY_RELU"), _activation),
}
