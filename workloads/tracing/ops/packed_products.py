"""Rules of products whose weights are packed, scaled or grouped: dims from the shapes of inputs and outputs.

A packed weight does not show its shape (two 4-bit values in a byte, or an opaque object), but the input
(..., C) and the output (..., K) do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from hwmodel.network.layer import Kind
from workloads.tracing.ops.contractions import reached_padding
from workloads.tracing.ops.rules import Contraction, OpCall, Vector, register_op


def packed_linear(call: OpCall) -> Contraction:
    """x (..., C) times a packed weight, out (..., K)."""
    x, weight = _operands(call)
    leading = [int(bound) for bound in x.shape[:-1]] or [1]
    by_weight = call.is_weight(weight)
    return Contraction(
        kind="linear" if by_weight else "matmul",
        dims={"B": leading[0], "K": call.out.shape[-1], "C": x.shape[-1], "OX": math.prod(leading[1:])},
        weight=weight,
        has_bias=call.arguments.get("bias") is not None,
    )


def _operands(call: OpCall) -> tuple[torch.Tensor, torch.Tensor]:
    names = list(call.arguments)
    return call[names[0]], call[names[1]]


def grouped_product(call: OpCall) -> Contraction:
    """A product of each row with the matrix of its group, as in a mixture of experts.

    x (M, C), weight (E, C, N), offsets (E,), out (M, N): M * C * N MACs whichever expert a row goes to.
    The rows are taken as spread evenly: over all E experts where E divides M, else over the largest
    number of experts below E that divides M, which are then the weights that one inference reads.
    Where x or the weight has no group dim, the groups are slices of N or of C, and M * C * N holds too.
    """
    x, weight = _operands(call)
    kind: Kind = "linear" if call.is_weight(weight) else "matmul"
    rows, inner = (int(bound) for bound in x.shape[-2:])
    columns = int(weight.shape[-1])
    if x.dim() == 3 and weight.dim() == 3:
        dims = {"G": int(x.shape[0]), "OX": rows, "C": inner, "K": columns}
    elif weight.dim() == 3:
        experts = next(n for n in range(min(int(weight.shape[0]), rows), 0, -1) if rows % n == 0) if rows else 1
        dims = {"G": experts, "B": rows // experts, "C": inner, "K": columns}
    else:
        dims = {"OX": rows, "C": inner, "K": columns}
    return Contraction(kind=kind, dims=dims, weight=weight, has_bias=call.arguments.get("bias") is not None)


def quantized_linear(call: OpCall) -> Contraction:
    """x (..., C), packed (weight (K, C), bias), out (..., K): the packing belongs to the running module."""
    weight, bias = call["W_prepack"].unpack()
    leading = [int(bound) for bound in call["X"].shape[:-1]] or [1]
    return Contraction(
        kind="linear",
        dims={"B": leading[0], "K": weight.shape[0], "C": weight.shape[1], "OX": math.prod(leading[1:])},
        weight=weight,
        packed_as="weight",
        has_bias=bias is not None,
    )


def quantized_convolution(call: OpCall) -> Contraction:
    """x (N, G*C, IY, IX), packed (weight (G*K, C, FY, FX), bias), out (N, G*K, OY, OX)."""
    packed = call["packed_weight"]
    weight, bias = packed.unpack()
    groups = int(packed.groups())
    stride, dilation, before = (_pair(of()) for of in (packed.stride, packed.dilation, packed.padding))
    return Contraction(
        kind="conv",
        dims={
            "B": call.out.shape[0],
            "G": groups,
            "K": weight.shape[0] // groups,
            "C": weight.shape[1],
            "OY": call.out.shape[2],
            "OX": call.out.shape[3],
            "FY": weight.shape[2],
            "FX": weight.shape[3],
        },
        weight=weight,
        stride=stride,
        dilation=dilation,
        padding=reached_padding(
            before, call["qx"].shape[2:], call.out.shape[2:], weight.shape[2:], stride, dilation
        ),
        packed_as="weight",
        has_bias=bias is not None,
    )


def _pair(values: Sequence[int]) -> tuple[int, int]:
    return (int(values[0]), int(values[1]))


def bag(call: OpCall) -> Contraction | Vector:
    """Sums of rows of a table, per bag; with weights per row a product with the rows that it gathers.

    indices (N,), table (E, K), weights (N,), out (bags, K). Bags are taken as equally long where their number
    divides N; where it does not, the sum over a bag is left to the outputs.
    """
    rows, bags, width = int(call["indices"].numel()), int(call.out.shape[0]), int(call["weight"].shape[-1])
    if call.arguments.get("per_sample_weights") is None:
        return Vector(
            kind="embedding", ops=rows * width / max(1, call.out.numel()), reads_table=lambda _: rows * width
        )
    bags = bags if bags and rows % bags == 0 else rows
    dims = {"G": bags, "C": rows // max(1, bags), "K": width}
    return Contraction(kind="matmul", dims=dims, weight=call["weight"])


def register() -> None:
    register_op("aten::_embedding_bag", bag)
    low_bit = ("int8pack_mm", "int4pack_mm", "int4pack_mm_for_cpu", "int4pack_mm_with_scales_and_zeros")
    for name in ("_int_mm", "_scaled_mm", "_mixed_dtypes_linear", *(f"_weight_{name}" for name in low_bit)):
        register_op(f"aten::{name}", packed_linear)
    for name in ("aten::_grouped_mm", "aten::_scaled_grouped_mm", "transformers::grouped_mm_fallback"):
        register_op(name, grouped_product)
    for name in ("linear", "linear_relu", "linear_dynamic", "linear_relu_dynamic"):
        register_op(f"quantized::{name}", quantized_linear)
    for name in ("conv2d", "conv2d_relu"):
        register_op(f"quantized::{name}", quantized_convolution)
