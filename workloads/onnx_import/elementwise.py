"""ONNX ops without MACs as the torch functions that the tracer has rules for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from workloads.onnx_import.products import Result, padding, per_axis, real
from workloads.onnx_import.values import Function, Node, meta_tensor, torch_type

# ---- element by element ------------------------------------------------------------------------


def _unary(function: Callable[..., Tensor]) -> Function:
    return lambda node: function(node.tensor(0))


def _binary(function: Callable[..., Tensor]) -> Function:
    return lambda node: function(node.tensor(0), node.tensor(1))


def _folded(function: Callable[..., Tensor]) -> Callable[[Node], Tensor]:
    """A function of two tensors over any number of them."""

    def run(node: Node) -> Tensor:
        first, *rest = node.tensors
        for tensor in rest:
            first = function(first, tensor)
        return first

    return run


def mean(node: Node) -> Tensor:
    total = _folded(torch.add)(node)
    return total if len(node.tensors) == 1 else torch.div(total, len(node.tensors))


def div(node: Node) -> Tensor:
    a, b = node.tensor(0), node.tensor(1)
    is_real = a.is_floating_point() or b.is_floating_point()
    return torch.div(a, b) if is_real else torch.div(a, b, rounding_mode="trunc")


def clip(node: Node) -> Tensor:
    """From both bounds, or from one: relu6 is 0 and 6."""
    low, high = (
        node.value(index) is not None or name in node.attributes for index, name in ((1, "min"), (2, "max"))
    )
    return torch.clamp(node.tensor(0), 0 if low or not high else None, 6 if high else None)


def cast(node: Node) -> Tensor:
    like = node.optional(1)
    return node.tensor(0).to(torch_type(int(node.attribute("to"))) if like is None else like.dtype)


def prelu(node: Node) -> Tensor:
    return torch.where(node.tensor(0) > 0, node.tensor(0), node.tensor(0) * node.tensor(1))


def scale_bias(node: Node) -> Tensor:
    """com.microsoft.BiasGelu, FastGelu: gelu(x + bias)."""
    x, bias = node.tensor(0), node.optional(1)
    return functional.gelu(x if bias is None else x + bias)


# ---- normalization, reduction, pooling ---------------------------------------------------------


def batch_norm(node: Node) -> Result:
    x, scale, bias, mean, variance = (node.tensor(index) for index in range(5))
    return functional.batch_norm(x, mean, variance, scale, bias)


def _normalized(node: Node, x: Tensor) -> list[int]:
    return list(x.shape[int(node.attribute("axis", -1)) :])


def layer_norm(node: Node) -> Result:
    """The mean and the deviation, where they are asked for, come with it."""
    x = node.tensor(0)
    return functional.layer_norm(x, _normalized(node, x), node.optional(1), node.optional(2)), None, None


def rms_norm(node: Node) -> Result:
    x = node.tensor(0)
    return functional.rms_norm(x, _normalized(node, x), node.optional(1)), None


def skip_layer_norm(node: Node) -> Result:
    """com.microsoft.SkipLayerNormalization: layer_norm(x + skip [+ bias]); the sum is the fourth output."""
    is_rms = node.op == "SkipSimplifiedLayerNormalization"
    total = node.tensor(0) + node.tensor(1)
    bias = node.optional(3 if is_rms else 4)
    total = total if bias is None else total + bias
    shape = [total.shape[-1]]
    if is_rms:
        return functional.rms_norm(total, shape, node.tensor(2)), None, None, total
    return functional.layer_norm(total, shape, node.tensor(2), node.optional(3)), None, None, total


def group_norm(node: Node) -> Tensor:
    groups, x, scale = int(node.attribute("num_groups")), node.tensor(0), node.tensor(1)
    is_per_channel = scale.shape[0] == x.shape[1]  # one per group before op set 21
    return functional.group_norm(
        x, groups, scale if is_per_channel else None, node.tensor(2) if is_per_channel else None
    )


def instance_norm(node: Node) -> Tensor:
    return functional.instance_norm(node.tensor(0), weight=node.tensor(1), bias=node.tensor(2))


def lp_norm(node: Node) -> Tensor:
    x = node.tensor(0)
    length: Tensor = torch.linalg.vector_norm(x, ord=2, dim=int(node.attribute("axis", -1)), keepdim=True)
    return x / length


def local_response_norm(node: Node) -> Tensor:
    out: Tensor = functional.local_response_norm(node.tensor(0), int(node.attribute("size")))
    return out


def _is_spatial(x: Tensor, axes: list[int]) -> bool:
    """The axes are all those of the pixels: the dynamo exporter writes a global average pool so."""
    return sorted(axis % x.dim() for axis in axes) == list(range(2, x.dim()))


def _reduce(function: Callable[..., Any]) -> Function:
    """Over the axes of an attribute (older op sets) or of the second input; all of them by default."""

    def run(node: Node) -> Tensor:
        x = node.tensor(0)
        axes = node.ints(1, "axes")
        if not axes:
            if node.attribute("noop_with_empty_axes", 0):
                return x
            axes = list(range(x.dim()))
        if function is torch.mean and x.dim() > 2 and _is_spatial(x, axes) and node.attribute("keepdims", 1):
            return _global_pool(_AVERAGES)(node)
        out: Tensor = function(real(x), dim=axes, keepdim=bool(node.attribute("keepdims", 1)))
        return out

    return run


def _arg(function: Callable[..., Any]) -> Function:
    def run(node: Node) -> Tensor:
        out: Tensor = function(
            node.tensor(0), dim=int(node.attribute("axis", 0)), keepdim=bool(node.attribute("keepdims", 1))
        )
        return out

    return run


def _pool(node: Node, functions: dict[int, Any], **options: Any) -> Any:
    x = real(node.tensor(0))
    kernel = [int(bound) for bound in node.attribute("kernel_shape")]
    axes = len(kernel)
    stride, dilation = per_axis(node.attribute("strides"), axes), per_axis(node.attribute("dilations"), axes)
    x, pads = padding(node, x, kernel, stride, dilation)
    if any(bound != 1 for bound in dilation):
        options["dilation"] = dilation
    return functions[axes](x, kernel, stride, pads, ceil_mode=bool(node.attribute("ceil_mode", 0)), **options)


def max_pool(node: Node) -> Result:
    out: Tensor = _pool(node, {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d})
    return out, meta_tensor(out.shape, torch.int64)


def average_pool(node: Node) -> Tensor:
    out: Tensor = _pool(node, {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d})
    return out


def _global_pool(functions: dict[int, Any]) -> Callable[[Node], Tensor]:
    def run(node: Node) -> Tensor:
        x = real(node.tensor(0))
        out: Tensor = functions[x.dim() - 2](x, 1)
        return out

    return run


_AVERAGES = {
    1: functional.adaptive_avg_pool1d,
    2: functional.adaptive_avg_pool2d,
    3: functional.adaptive_avg_pool3d,
}
_MAXIMA = {1: functional.adaptive_max_pool1d, 2: functional.adaptive_max_pool2d, 3: functional.adaptive_max_pool3d}


def _softmax(function: Callable[..., Tensor]) -> Function:
    def run(node: Node) -> Tensor:
        return function(node.tensor(0), dim=int(node.attribute("axis", -1 if node.opset >= 13 else 1)))

    return run


def multi_threshold(node: Node) -> Tensor:
    """FINN's MultiThreshold: how many of the N thresholds (C, N) of its channel an element exceeds."""
    x, steps = node.tensor(0), node.tensor(1).shape[-1]
    out: Tensor = torch.bucketize(x, meta_tensor([steps], x.dtype)).to(x.dtype)
    return out


def passed_on(node: Node) -> Tensor:
    """The first input, seen differently."""
    return node.tensor(0)


def dropout(node: Node) -> Result:
    """The identity at inference; the mask keeps everything."""
    x = node.tensor(0)
    return x, meta_tensor(x.shape, torch.bool)


def _product(x: Tensor, *, dim: list[int], keepdim: bool) -> Tensor:
    """The product over several dims at once, which torch has for one."""
    dims = {axis % x.dim() for axis in dim}
    kept = [axis for axis in range(x.dim()) if axis not in dims]
    out = x.permute(*kept, *sorted(dims)).flatten(len(kept)).prod(-1)
    return out.reshape([1 if axis in dims else x.shape[axis] for axis in range(x.dim())]) if keepdim else out


_UNARY: dict[str, Callable[..., Tensor]] = {
    "Relu": functional.relu, "Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "LeakyRelu": functional.leaky_relu,
    "Elu": functional.elu, "Selu": functional.selu, "Celu": functional.celu, "Gelu": functional.gelu,
    "Softplus": functional.softplus, "Softsign": functional.softsign, "HardSigmoid": functional.hardsigmoid,
    "HardSwish": functional.hardswish, "Mish": functional.mish, "Swish": functional.silu,
    "ThresholdedRelu": functional.relu, "Neg": torch.neg, "Abs": torch.abs, "Sign": torch.sign,
    "Exp": torch.exp, "Log": torch.log, "Sqrt": torch.sqrt, "Reciprocal": torch.reciprocal, "Sin": torch.sin,
    "Cos": torch.cos, "Tan": torch.tan, "Floor": torch.floor, "Ceil": torch.ceil, "Round": torch.round,
    "Erf": torch.erf, "Not": torch.logical_not, "BitwiseNot": torch.bitwise_not, "IsNaN": torch.isnan,
    "IsInf": torch.isinf,
}  # fmt: skip
_BINARY: dict[str, Callable[..., Tensor]] = {
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Pow": torch.pow, "Equal": torch.eq,
    "Less": torch.lt, "LessOrEqual": torch.le, "Greater": torch.gt, "GreaterOrEqual": torch.ge,
    "And": torch.logical_and, "Or": torch.logical_or, "Xor": torch.bitwise_xor, "Mod": torch.remainder,
    "BitwiseAnd": torch.bitwise_and, "BitwiseOr": torch.bitwise_or, "BitwiseXor": torch.bitwise_xor,
}  # fmt: skip
_FOLDED: dict[str, Callable[..., Tensor]] = {"Sum": torch.add, "Max": torch.maximum, "Min": torch.minimum}
_REDUCE: dict[str, Callable[..., Any]] = {
    "ReduceMean": torch.mean, "ReduceSum": torch.sum, "ReduceMax": torch.amax, "ReduceMin": torch.amin,
    "ReduceProd": _product, "ReduceL2": torch.linalg.vector_norm, "ReduceLogSumExp": torch.logsumexp,
}  # fmt: skip
_PASSED_ON = ("Identity", "QuantizeLinear", "DequantizeLinear")

FUNCTIONS: dict[str, Function] = {
    **{name: _unary(function) for name, function in _UNARY.items()},
    **{name: _binary(function) for name, function in _BINARY.items()},
    **{name: _folded(function) for name, function in _FOLDED.items()},
    **{name: _reduce(function) for name, function in _REDUCE.items()},
    **dict.fromkeys(_PASSED_ON, passed_on),
    "Div": div, "Mean": mean, "Clip": clip, "Dropout": dropout, "Cast": cast, "CastLike": cast, "PRelu": prelu,
    "Where": lambda node: torch.where(node.tensor(0).to(torch.bool), node.tensor(1), node.tensor(2)),
    "BatchNormalization": batch_norm, "LayerNormalization": layer_norm, "RMSNormalization": rms_norm,
    "GroupNormalization": group_norm, "InstanceNormalization": instance_norm, "LpNormalization": lp_norm,
    "LRN": local_response_norm, "ArgMax": _arg(torch.argmax), "ArgMin": _arg(torch.argmin),
    "MaxPool": max_pool, "AveragePool": average_pool, "GlobalAveragePool": _global_pool(_AVERAGES),
    "GlobalMaxPool": _global_pool(_MAXIMA), "Softmax": _softmax(torch.softmax),
    "LogSoftmax": _softmax(torch.log_softmax),
}  # fmt: skip


def _at(index: int, function: Callable[..., Tensor]) -> Function:
    return lambda node: function(real(node.tensor(0)), real(node.tensor(index)))


def qlinear_concat(node: Node) -> Tensor:
    """com.microsoft.QLinearConcat: output scale and zero point, then (x, scale, zero point) of every input."""
    return torch.cat([node.tensor(index) for index in range(2, len(node.inputs), 3)], int(node.attribute("axis")))


MICROSOFT: dict[str, Function] = {
    "Gelu": _unary(functional.gelu), "BiasGelu": scale_bias, "FastGelu": scale_bias,
    "QuickGelu": _unary(functional.silu),
    "SkipLayerNormalization": skip_layer_norm, "SkipSimplifiedLayerNormalization": skip_layer_norm,
    "SimplifiedLayerNormalization": rms_norm, "QLinearAdd": _at(3, torch.add), "QLinearMul": _at(3, torch.mul),
    "QLinearSigmoid": _unary(torch.sigmoid), "QLinearLeakyRelu": _unary(functional.leaky_relu),
    "QLinearSoftmax": lambda node: torch.softmax(real(node.tensor(0)), dim=int(node.attribute("axis", -1))),
    "QLinearGlobalAveragePool": _global_pool(_AVERAGES), "QLinearAveragePool": average_pool,
    "QLinearConcat": qlinear_concat, "QuantizeLinear": passed_on, "DequantizeLinear": passed_on,
}  # fmt: skip
#: Quantizers of QONNX (domains of Brevitas, qonnx and FINN).
QONNX: dict[str, Function] = {
    **dict.fromkeys(("Quant", "IntQuant", "BipolarQuant", "Trunc", "FloatQuant"), passed_on),
    "MultiThreshold": multi_threshold,
}
