"""ONNX ops with MACs as the torch functions that the tracer has rules for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hwmodel.errors import TraceError
from workloads.onnx_import.bits import weight_operand
from workloads.onnx_import.values import Function, Node, OnnxValue

Result = Tensor | tuple[Tensor | None, ...]


def real(tensor: Tensor) -> Tensor:
    """Integers as floats: torch has no convolution or product of quantized integers."""
    return tensor if tensor.is_floating_point() else tensor.float()


def per_axis(values: Any, axes: int, default: int = 1) -> list[int]:
    return [default] * axes if values is None else [int(value) for value in values]


def padding(
    node: Node, x: Tensor, kernel: list[int], stride: list[int], dilation: list[int]
) -> tuple[Tensor, list[int]]:
    """(input, pads per axis) of a convolution or pool, as torch takes them.

    Pads that torch has no argument for (more on one side) are part of the shape of the input; the recorder knows.
    """
    axes = len(kernel)
    auto = node.attribute("auto_pad", "NOTSET")
    pads = per_axis(node.attribute("pads"), 2 * axes, 0)
    if auto.startswith("SAME"):
        for axis in range(axes):
            size, out = x.shape[2 + axis], -(-x.shape[2 + axis] // stride[axis])
            total = max(0, (out - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1 - size)
            pads[axis], pads[axes + axis] = total // 2, total - total // 2
    before, after = pads[:axes], pads[axes:]
    if before == after and all(2 * pad <= size for pad, size in zip(before, kernel, strict=True)):
        return x, before
    return node.stand_ins.padded(x, before, after), [0] * axes


def _convolve(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    axes = weight.dim() - 2
    stride, dilation = per_axis(node.attribute("strides"), axes), per_axis(node.attribute("dilations"), axes)
    x, pads = padding(node, real(x), list(weight.shape[2:]), stride, dilation)
    convolution: Any = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}.get(axes)
    if convolution is None:
        raise TraceError(f"a convolution must have 1, 2 or 3 spatial axes, but has {axes}")
    bias = None if bias is None else real(bias)
    out: Tensor = convolution(x, real(weight), bias, stride, pads, dilation, int(node.attribute("group", 1)))
    return out


def conv(node: Node) -> Tensor:
    return _convolve(node, node.tensor(0), node.tensor(1), node.optional(2))


def qlinear_conv(node: Node) -> Tensor:
    """x, scale, zero point, w, scale, zero point, output scale, zero point, bias."""
    return _convolve(node, node.tensor(0), node.tensor(3), node.optional(8))


def conv_integer(node: Node) -> Tensor:
    """x, w, zero points."""
    return _convolve(node, node.tensor(0), node.tensor(1), None)


def conv_transpose(node: Node) -> Tensor:
    """The pads cut the output; `output_shape`, where given, is what is left."""
    x, weight = real(node.tensor(0)), real(node.tensor(1))
    axes = weight.dim() - 2
    stride, dilation = per_axis(node.attribute("strides"), axes), per_axis(node.attribute("dilations"), axes)
    extra = per_axis(node.attribute("output_padding"), axes, 0)
    function: Any = {
        1: functional.conv_transpose1d,
        2: functional.conv_transpose2d,
        3: functional.conv_transpose3d,
    }.get(axes)
    if function is None:
        raise TraceError(f"a transposed convolution must have 1, 2 or 3 spatial axes, but has {axes}")
    out: Tensor = function(x, weight, node.optional(2), stride, 0, 0, int(node.attribute("group", 1)), dilation)
    shape = node.attribute("output_shape")
    if shape is None and node.attribute("auto_pad", "NOTSET").startswith("SAME"):
        shape = [x.shape[2 + axis] * stride[axis] for axis in range(axes)]
    if shape is None:
        pads = per_axis(node.attribute("pads"), 2 * axes, 0)
        shape = [out.shape[2 + a] + extra[a] - pads[a] - pads[axes + a] for a in range(axes)]
    return node.stand_ins.reshaped(out, (*out.shape[:2], *shape[-axes:]))


def gemm(node: Node) -> Tensor:
    """Y = A B + C, with A and B transposed where the attributes say so; a scale of the product is free."""
    a, b, c = real(node.tensor(0)), real(node.tensor(1)), node.optional(2)
    a = a.t() if node.attribute("transA", 0) else a
    return _affine(a, b if node.attribute("transB", 0) else b.t(), c)


def _affine(a: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """a (M, C) @ weight (N, C)^T + bias."""
    if bias is None or bias.shape == weight.shape[:1]:
        return functional.linear(a, weight, bias)
    return torch.addmm(bias, a, weight.t())


def qgemm(node: Node) -> Tensor:
    """com.microsoft.QGemm: a, scale, zero point, b, scale, zero point, c, output scale, zero point."""
    a, b = real(node.tensor(0)), real(node.tensor(3))
    a = a.t() if node.attribute("transA", 0) else a
    bias = node.optional(6)
    return _affine(a, b if node.attribute("transB", 0) else b.t(), None if bias is None else real(bias))


def matmul(node: Node) -> Tensor:
    return torch.matmul(real(node.tensor(0)), real(node.tensor(1)))


def linear(node: Node, bias: Tensor) -> Tensor:
    """A product with a weight (C, N), and the bias (N) that the next node adds."""
    return functional.linear(node.tensor(0), node.tensor(1).t(), bias)


def qlinear_matmul(node: Node) -> Tensor:
    """a, scale, zero point, b, scale, zero point, output scale, zero point."""
    return torch.matmul(real(node.tensor(0)), real(node.tensor(3)))


def fused_matmul(node: Node) -> Tensor:
    """com.microsoft.FusedMatMul: a product of matrices that may be transposed."""
    a, b = node.tensor(0), node.tensor(1)
    a = a.transpose(-1, -2) if node.attribute("transA", 0) else a
    return torch.matmul(a, b.transpose(-1, -2) if node.attribute("transB", 0) else b)


def matmul_nbits(node: Node) -> Tensor:
    """com.microsoft.MatMulNBits: a (..., K) times N packed columns of K weights of `bits` bits."""
    shape = (int(node.attribute("N")), int(node.attribute("K")))
    weight = node.stand_ins.part_of(node.tensor(1), "weight", shape)
    return functional.linear(node.tensor(0), weight, node.optional(5))


def einsum(node: Node) -> Tensor:
    out: Tensor = torch.einsum(node.attribute("equation"), *node.tensors)
    return out


# ---- attention ---------------------------------------------------------------------------------


def _heads(x: Tensor, heads: int) -> Tensor:
    """(B, L, H * D) as (B, H, L, D)."""
    return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2) if x.dim() == 3 else x


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """q (B, H, L, D), k and v (B, J, S, D), with J a divisor of H."""
    mask = None if mask is None or mask.dim() < 2 else mask
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=q.shape[1] != k.shape[1])


def _with_past(past: Tensor | None, new: Tensor) -> Tensor:
    return new if past is None else torch.cat([past, new], dim=2)


def attention(node: Node) -> Result:
    """Attention of op set 23: q, k, v, mask, past k, past v."""
    q, k, v = node.tensor(0), node.tensor(1), node.tensor(2)
    is_flat = q.dim() == 3
    if is_flat:
        heads, kv_heads = int(node.attribute("q_num_heads")), int(node.attribute("kv_num_heads"))
        q, k, v = _heads(q, heads), _heads(k, kv_heads), _heads(v, kv_heads)
    k, v = _with_past(node.optional(4), k), _with_past(node.optional(5), v)
    out = _attend(q, k, v, node.optional(3))
    return (out.transpose(1, 2).flatten(2) if is_flat else out), k, v, None


def multi_head_attention(node: Node) -> Result:
    """com.microsoft.MultiHeadAttention: q, k, v (B, L, H * D), bias, two masks, past k, past v."""
    heads = int(node.attribute("num_heads"))
    q, k, v = (_heads(node.tensor(index), heads) for index in range(3))
    k, v = _with_past(node.optional(6), k), _with_past(node.optional(7), v)
    return _attend(q, k, v, None).transpose(1, 2).flatten(2), k, v


def grouped_query_attention(node: Node) -> Result:
    """com.microsoft.GroupQueryAttention: q, k, v, past k, past v, ..."""
    if node.value(1) is None:
        raise TraceError("GroupQueryAttention must have its keys apart from its queries")
    q = _heads(node.tensor(0), int(node.attribute("num_heads")))
    k, v = (_heads(node.tensor(index), int(node.attribute("kv_num_heads"))) for index in (1, 2))
    k, v = _with_past(node.optional(3), k), _with_past(node.optional(4), v)
    return _attend(q, k, v, None).transpose(1, 2).flatten(2), k, v


def packed_attention(node: Node) -> Result:
    """com.microsoft.Attention: x (B, L, C), weight (C, 3 * H * D), bias, mask, ...: projects, then attends."""
    heads = int(node.attribute("num_heads"))
    joint = functional.linear(node.tensor(0), node.tensor(1).t(), node.optional(2))
    q, k, v = (_heads(part, heads) for part in joint.chunk(3, dim=-1))
    return _attend(q, k, v, None).transpose(1, 2).flatten(2), None


# ---- recurrent networks ------------------------------------------------------------------------


def recurrent(node: Node) -> Result:
    """LSTM, GRU, RNN: X (L, B, C), W (D, gates * H, C), R (D, gates * H, H), bias (D, 2 * gates * H), D directions.

    The order of the gates differs from torch's and does not matter here. Y (L, D, B, H), the last states (D, B, H).
    """
    x = node.tensor(0)
    if node.attribute("layout", 0):
        x = x.transpose(0, 1)
    directions, gated, hidden = node.tensor(2).shape
    bias = node.optional(3)
    part, number = node.stand_ins.part_of, node.stand_ins.repetition(node.op)
    weights: list[Tensor] = []
    for direction in range(directions):
        suffix = f"l{number}" + ("_reverse" if direction else "")
        weights.append(part(node.tensor(1), f"weight_ih_{suffix}", (gated, x.shape[-1])))
        weights.append(part(node.tensor(2), f"weight_hh_{suffix}", (gated, hidden)))
        if bias is not None:
            weights += [part(bias, f"bias_{side}_{suffix}", (gated,)) for side in ("ih", "hh")]
    state = torch.zeros(directions, x.shape[1], hidden, dtype=x.dtype, device="meta")
    flags = (bias is not None, 1, 0.0, False, directions == 2, False)
    if node.op == "LSTM":
        out, h, c = torch.lstm(x, (state, state.clone()), weights, *flags)
    elif node.op == "GRU":
        (out, h), c = torch.gru(x, state, weights, *flags), None
    else:
        (out, h), c = torch.rnn_tanh(x, state, weights, *flags), None
    y = out.reshape(*out.shape[:2], directions, hidden).permute(0, 2, 1, 3)
    if node.attribute("layout", 0):
        y, h, c = y.permute(2, 0, 1, 3), h.transpose(0, 1), None if c is None else c.transpose(0, 1)
    return y, h, c


FUNCTIONS: dict[str, Function] = {
    "Conv": conv, "ConvTranspose": conv_transpose, "ConvInteger": conv_integer, "QLinearConv": qlinear_conv,
    "Gemm": gemm, "MatMul": matmul, "MatMulInteger": matmul, "QLinearMatMul": qlinear_matmul, "Einsum": einsum,
    "Attention": attention, "LSTM": recurrent, "GRU": recurrent, "RNN": recurrent,
}  # fmt: skip
MICROSOFT: dict[str, Function] = {
    "FusedMatMul": fused_matmul, "MatMulNBits": matmul_nbits, "QGemm": qgemm, "Attention": packed_attention,
    "MultiHeadAttention": multi_head_attention, "GroupQueryAttention": grouped_query_attention,
    "MatMulIntegerToFloat": matmul, "FusedConv": conv,
}  # fmt: skip
#: Inputs that stream and that play W, where they are not the first and the second.
OPERANDS = {"QLinearConv": (0, 3), "QLinearMatMul": (0, 3), "QGemm": (0, 3)}


def operands(node: Node) -> tuple[OnnxValue | None, OnnxValue | None]:
    """(the streamed operand, the one that plays W) of an op with MACs: a weight plays W, else the second."""
    stream, weight = (node.value(index) for index in OPERANDS.get(node.op, (0, 1)))
    if stream is not None and weight is not None and stream.is_weight and not weight.is_weight:
        stream, weight = weight, stream
    return stream, None if weight is None else weight_operand(node, weight)
