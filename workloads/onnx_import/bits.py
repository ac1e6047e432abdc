"""Bit-widths that an ONNX file declares: QLinear ops, QuantizeLinear/DequantizeLinear pairs, QONNX.

Sources: onnx operators QuantizeLinear (op set 25), QLinearConv; QONNX, Pappalardo et al., AccML 2022:
`Quant(x, scale, zero point, bit width)`, `BipolarQuant`, `Trunc`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hwmodel.errors import TraceError
from hwmodel.network.layer import MAX_BITS, Bits
from workloads.onnx_import.values import Node, OnnxValue, Quantizer, type_bits

if TYPE_CHECKING:
    from onnx import GraphProto

#: Ops whose outputs lie on the grid of their (quantized) inputs: they move, drop or bound numbers.
_KEEP = frozenset(
    {"Identity", "Dropout", "DequantizeLinear", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice",
     "Split", "Gather", "GatherElements", "GatherND", "Expand", "Tile", "Concat", "Pad", "MaxPool", "GlobalMaxPool",
     "Relu", "Clip", "Cast", "CastLike", "DepthToSpace", "SpaceToDepth"}
)  # fmt: skip
#: Index of the zero point of the output: its type is that of the output.
_ZERO_POINT = {
    "QuantizeLinear": 2, "QLinearConv": 7, "QLinearMatMul": 7, "QLinearAdd": 7, "QLinearMul": 7, "QGemm": 8,
    "QLinearSigmoid": 4, "QLinearLeakyRelu": 4, "QLinearSoftmax": 4, "QLinearGlobalAveragePool": 4,
    "QLinearAveragePool": 4, "QLinearConcat": 1,
}  # fmt: skip
_DATATYPE = re.compile(r"U?INT(\d+)|FIXED<(\d+),.*>|SCALEDINT<(\d+)>")
#: Ops that end the path of a layer's output: they write numbers on a grid.
QUANTIZERS = frozenset(
    {"QuantizeLinear", "Quant", "IntQuant", "BipolarQuant", "Trunc", "FloatQuant", "MultiThreshold"}
)


def output_bits(node: Node) -> int | None:
    """Width of what a node writes [bit]; None where it is not quantized.

    Raises:
        TraceError: a width is not in the file, or not between 1 and 32.
    """
    if node.op in _ZERO_POINT:
        declared = type_bits(int(node.attribute("output_dtype", 0) or 0))
        zero_point = node.value(_ZERO_POINT[node.op])
        return declared or (8 if zero_point is None else zero_point.bits)
    if node.op in _WIDTHS:
        return _checked(node, math.ceil(_WIDTHS[node.op](node)))
    if node.op == "MultiThreshold":
        return datatype_bits(str(node.attribute("out_dtype", "")))
    return _passed_bits(node)


def _passed_bits(node: Node) -> int | None:
    """Width of what an op moves, drops or bounds; a cast to a narrow type sets it, or integers bounded to a few."""
    narrow = type_bits(int(node.attribute("to", 0) or 0)) if node.op == "Cast" else _clipped_bits(node)
    if narrow is not None or node.op not in _KEEP:
        return narrow
    widths = [value.bits for value in node.inputs if value is not None and not _is_index(value)]
    return widths[0] if widths and node.op != "Concat" else _widest(widths)


def _clipped_bits(node: Node) -> int | None:
    """Width of integers between a QuantizeLinear and its DequantizeLinear that are clipped (QCDQ of Brevitas)."""
    if node.op != "Clip" or len(node.inputs) < 3 or node.tensor(0).is_floating_point():
        return None
    low, high = node.value(1), node.value(2)
    if low is None or high is None or low.constant is None or high.constant is None:
        return None
    levels = int(high.constant.reshape(-1)[0]) - int(low.constant.reshape(-1)[0]) + 1
    return max(1, math.ceil(math.log2(levels))) if levels > 0 else None


def _is_index(value: OnnxValue) -> bool:
    return value.constant is not None and value.bits is None


def _widest(widths: list[int | None]) -> int | None:
    narrow = [width for width in widths if width is not None]
    return max(narrow) if narrow and len(narrow) == len(widths) else None


def _number(node: Node, index: int) -> float:
    value = node.value(index)
    if value is None or value.constant is None or value.constant.size != 1:
        raise TraceError(f"the bit width of {node.op} (input {index}) must be one number in the file")
    return float(value.constant.reshape(-1)[0])


#: Quantizers of QONNX -> the width that their inputs say.
_WIDTHS: dict[str, Callable[[Node], float]] = {
    "Quant": lambda node: _number(node, 3),
    "IntQuant": lambda node: _number(node, 3),
    "BipolarQuant": lambda node: 1,
    "Trunc": lambda node: _number(node, len(node.inputs) - 1),
    "FloatQuant": lambda node: 1 + _number(node, 2) + _number(node, 3),
}


def _checked(node: Node, bits: int) -> int:
    if not 1 <= bits <= MAX_BITS:
        raise TraceError(f"the bit width of {node.op} must be between 1 and {MAX_BITS}, but is {bits}")
    return bits


def datatype_bits(name: str) -> int | None:
    """Width of a FINN datatype: `INT4`, `SCALEDINT<4>`, `BIPOLAR`, `TERNARY`; None for floats and unknown ones."""
    if name in ("BIPOLAR", "BINARY", "TERNARY"):
        return 2 if name == "TERNARY" else 1
    found = _DATATYPE.fullmatch(name)
    bits = int(found[1] or found[2] or found[3]) if found else 0
    return bits if 1 <= bits <= MAX_BITS else None


def annotated_bits(graph: GraphProto) -> dict[str, int]:
    """Tensor name -> width, from the `finn_datatype` annotations of a graph."""
    found: dict[str, int] = {}
    for item in graph.quantization_annotation:
        for pair in item.quant_parameter_tensor_names:
            bits = datatype_bits(pair.value) if pair.key == "finn_datatype" else None
            if bits is not None:
                found[item.tensor_name] = bits
    return found


def layer_bits(stream: OnnxValue | None, weight: OnnxValue | None, written: int | None) -> Bits | None:
    """Widths of a layer [bit]; None where neither operand is quantized, as for a float model.

    Args:
        stream, weight: its operands; one that is not quantized has the width of its float type.
        written: width that its output is rounded to, None where it stays a float (or a wide integer).
    """
    if stream is None or weight is None or (stream.bits is None and weight.bits is None):
        return None
    return Bits(w=_width(weight), i=_width(stream), o=_float_width(stream) if written is None else written)


def _width(value: OnnxValue) -> int:
    return value.bits or _float_width(value)


def _float_width(value: OnnxValue) -> int:
    size = 8 * value.tensor.element_size() if value.tensor.is_floating_point() else MAX_BITS
    return min(MAX_BITS, size)


def rounding(node: Node) -> Quantizer | None:
    """(scale, zero point) of a quantizer, or of a dequantizer; None for other ops, or where they are not known."""
    if node.op not in ("QuantizeLinear", "DequantizeLinear", "Quant", "IntQuant"):
        return None
    return _quantizer(node.value(1), node.value(2), node.tensor(0).dim(), int(node.attribute("axis", 1)))


#: Index of the zero point of the weight, and the axis of the weight along which there may be several.
_WEIGHT_ZERO = {
    "QLinearConv": (5, 0), "ConvInteger": (3, 0), "QLinearMatMul": (5, -1), "MatMulInteger": (3, -1),
    "QGemm": (5, -1),
}  # fmt: skip


def weight_operand(node: Node, weight: OnnxValue) -> OnnxValue:
    """The weight of an integer op, with its zero point; of MatMulNBits with its bits."""
    if node.op == "MatMulNBits":
        return replace(weight, bits=_checked(node, int(node.attribute("bits", 4))))
    if node.op not in _WEIGHT_ZERO:
        return weight
    index, axis = _WEIGHT_ZERO[node.op]
    zero = node.value(index)
    return weight if zero is None else replace(weight, quantizer=_quantizer(zero, zero, weight.tensor.dim(), axis))


def _quantizer(scale: OnnxValue | None, zero: OnnxValue | None, rank: int, axis: int) -> Quantizer | None:
    """Both broadcast against a tensor of this rank; several in one dim lie along `axis`."""
    if scale is None or scale.constant is None:
        return None
    scales = scale.constant
    zeros = np.zeros(1) if zero is None or zero.constant is None else zero.constant
    if scales.ndim == 1 and scales.size > 1:
        shape = [1] * rank
        shape[axis] = scales.size
        scales = scales.reshape(shape)
    return scales, zeros.reshape(scales.shape) if zeros.size == scales.size else zeros
