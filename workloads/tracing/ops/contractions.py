"""Rules of the ops with MACs: dims of the eight loops from the shapes of the tensors.

Padding enters no MACs: the taps that fall on it are counted, as every hardware without a special case for borders
performs them (and as torchinfo and fvcore count). It is kept with the layer, as zeros are no traffic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from hwmodel.network.layer import Pads
from workloads.tracing.ops.rules import Contraction, OpCall, register_op


def _yx(values: int | Sequence[int]) -> tuple[int, int]:
    """The last two spatial values; a single one along x where there is one axis, for both otherwise."""
    if isinstance(values, int):
        return (values, values)
    return (int(values[-2]), int(values[-1])) if len(values) > 1 else (int(values[0]), int(values[0]))


def _pixels(shape: Sequence[int]) -> tuple[int, int, int]:
    """(Z, Y, X) of the spatial dims of a shape (N, C, ...); missing ones are 1."""
    spatial = [int(bound) for bound in shape[2:]]
    z, y, x = [1] * (3 - len(spatial)) + spatial
    return z, y, x


def _batched(tensor: torch.Tensor, spatial: int) -> tuple[int, ...]:
    """The shape with a batch dim, which convolutions may leave out."""
    shape = tuple(tensor.shape)
    return shape if len(shape) == spatial + 2 else (1, *shape)


def reached_padding(
    before: Sequence[int],
    size: Sequence[int],
    outputs: Sequence[int],
    taps: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> Pads:
    """((top, bottom), (left, right)) of the padding that a filter reaches.

    Args:
        before: zeros above and left of the input.
        size: rows and columns of the input as it is stored.
        outputs, taps, stride, dilation: of the layer, (y, x).
    """
    (top, bottom), (left, right) = (
        _reached(b, n, (o - 1) * s + (f - 1) * d + 1)
        for b, n, o, f, s, d in zip(before, size, outputs, taps, stride, dilation, strict=True)
    )
    return (top, bottom), (left, right)


def _reached(before: int, size: int, reach: int) -> tuple[int, int]:
    """Zeros before and after `size` values that the first `reach` places from the first zero on take in."""
    before = min(before, reach)
    return before, max(0, reach - before - size)


def _before(padding: str | int | Sequence[int], taps: Sequence[int], dilation: Sequence[int]) -> tuple[int, int]:
    """Zeros above and left of the input; `same` puts the smaller half there."""
    if padding == "same":
        return (dilation[0] * (taps[0] - 1) // 2, dilation[1] * (taps[1] - 1) // 2)
    return (0, 0) if isinstance(padding, str) else _yx(padding)


def convolution(call: OpCall) -> Contraction:
    """conv1d, conv2d, conv3d of any groups, stride and dilation; transposed where the op says so.

    x (N, G*C, [IZ, IY,] IX), weight (G*K, C, [FZ, FY,] FX), out (N, G*K, [OZ, OY,] OX).
    conv3d folds OZ into B and FZ into C: MACs and weights are exact, and the input footprint, which
    would need a halo along z, is an approximation (each output plane reads its own FZ input planes).
    """
    if call.arguments.get("transposed"):
        return transposed_convolution(call)
    weight: torch.Tensor = call["weight"]
    axes = weight.dim() - 2
    groups = int(call["groups"])
    oz, oy, ox = _pixels(_batched(call.out, axes))
    fz, fy, fx = _pixels(weight.shape)
    stride, dilation = _yx(call["stride"]), _yx(call["dilation"])
    before = _before(call["padding"], (fy, fx), dilation)
    if axes == 1:
        stride, dilation, before = (1, stride[1]), (1, dilation[1]), (0, before[1])
    size = _pixels(_batched(call["input"], axes))[1:]
    return Contraction(
        kind="conv" if call.is_weight(weight) else "matmul",
        dims={
            "B": _batched(call.out, axes)[0] * oz,
            "G": groups,
            "K": weight.shape[0] // groups,
            "C": weight.shape[1] * fz,
            "OY": oy,
            "OX": ox,
            "FY": fy,
            "FX": fx,
        },
        weight=weight,
        stride=stride,
        dilation=dilation,
        padding=reached_padding(before, size, (oy, ox), (fy, fx), stride, dilation),
        has_bias=call["bias"] is not None,
    )


def transposed_convolution(call: OpCall) -> Contraction:
    """A transposed convolution as the matmul that it is: every input pixel meets every filter tap once.

    x (N, G*C, [IZ, IY,] IX), weight (G*C, K, [FZ, FY,] FX). As a 1x1 convolution on the input
    pixels with K * FZ * FY * FX filters: MACs and weights are exact; the outputs are the products
    before the overlapping ones are added.
    """
    weight: torch.Tensor = call["weight"]
    axes = weight.dim() - 2
    shape = _batched(call["input"], axes)
    groups = int(call["groups"])
    iz, iy, ix = _pixels(shape)
    taps = math.prod(weight.shape[2:])
    return Contraction(
        kind="conv" if call.is_weight(weight) else "matmul",
        dims={
            "B": shape[0] * iz,
            "G": groups,
            "K": weight.shape[1] * taps,
            "C": weight.shape[0] // groups,
            "OY": iy,
            "OX": ix,
        },
        weight=weight,
        has_bias=call["bias"] is not None,
    )


def linear(call: OpCall) -> Contraction:
    """x (B, ..., C), weight (K, C): B is the first dim, OX the product of the other leading dims."""
    x, weight = call["input"], call["weight"]
    if call.is_weight(weight) and weight.dim() == 2 and x.dim() > 1 and not call.is_weight(x):
        # The common case as `_product` would have it, without a transpose, which costs as much as all the rest.
        batch, *rows = x.shape[:-1]
        return Contraction(
            kind="linear",
            dims={"B": batch, "K": weight.shape[0], "C": weight.shape[1], "OX": math.prod(rows)},
            weight=weight,
            has_bias=call["bias"] is not None,
        )
    return _product(call, x, weight.transpose(-1, -2) if weight.dim() > 1 else weight, weight, call["bias"])


def matmul(call: OpCall) -> Contraction:
    """A product of matrices, batched or not; see `_product` for the dims."""
    names = {"aten::bmm": ("self", "mat2"), "aten::mm": ("self", "mat2"), "aten::mv": ("self", "vec")}
    left, right = names.get(call.op, ("self", "other"))
    if call.op == "aten::dot":
        left, right = "self", "tensor"
    return _product(call, call[left], call[right], call[right], None)


def added_matmul(call: OpCall) -> Contraction:
    """input + a @ b."""
    left, right = {
        "aten::addmm": ("mat1", "mat2"),
        "aten::_addmm_activation": ("mat1", "mat2"),
        "aten::baddbmm": ("batch1", "batch2"),
        "aten::addbmm": ("batch1", "batch2"),
        "aten::addmv": ("mat", "vec"),
    }[call.op]
    return _product(call, call[left], call[right], call[right], call["self"])


def _product(call: OpCall, a: torch.Tensor, b: torch.Tensor, b_source: torch.Tensor, bias: Any) -> Contraction:
    """Dims of a (..., M, C) @ b (..., C, N), with W = b unless only a is a weight.

    A batch dim in which both operands differ is G: nothing is reused across it. One in which only the
    streamed operand differs is B (W is reused); one in which only W differs multiplies K.
    Activations times weights: B is the first leading dim and OX the others. Two activations: OX = M.
    """
    a_weight, b_weight = call.is_weight(a), call.is_weight(b_source)
    swapped = a_weight and not b_weight
    stream, weight = (b, a) if swapped else (a, b)
    rows, cols = (b, a) if swapped else (a, b)
    inner = int(a.shape[-1])
    num_rows = _last(rows, matrix_dim=-1 if swapped else -2)
    num_cols = _last(cols, matrix_dim=-2 if swapped else -1)
    shared, own, filters = _batch_dims(stream, weight)
    is_linear = a_weight or b_weight
    leading = [*shared, num_rows]
    if is_linear:
        batch, row_count = leading[0], math.prod(leading[1:])
    else:
        batch, row_count = math.prod(shared), num_rows
    return Contraction(
        kind="linear" if is_linear else "matmul",
        dims={"B": batch, "G": own, "K": num_cols * filters, "C": inner, "OX": row_count},
        weight=a if swapped else b_source,
        has_bias=bias is not None,
    )


def affine_grid(call: OpCall) -> Contraction:
    """theta (N, 2, 3) or (N, 3, 4) times the homogeneous coordinates of every pixel: out (N, [Z,] Y, X, 2 or 3)."""
    theta: torch.Tensor = call["theta"]
    pixels = math.prod(call.out.shape[1:-1])
    dims = {"B": theta.shape[0], "OX": pixels, "C": theta.shape[2], "K": theta.shape[1]}
    return Contraction(kind="matmul", dims=dims, weight=theta)


def convolution_over_time(call: OpCall) -> Contraction:
    """x (T, N, C), weight (FX, C, K), out (OX, N, K)."""
    weight: torch.Tensor = call["weight"]
    taps, channels, filters = weight.shape
    length, batch = call.out.shape[:2]
    size = int(call["self"].shape[0])
    return Contraction(
        kind="conv" if call.is_weight(weight) else "matmul",
        dims={"B": batch, "K": filters, "C": channels, "OX": length, "FX": taps},
        weight=weight,
        padding=reached_padding((0, int(call["pad"])), (1, size), (1, length), (1, taps), (1, 1), (1, 1)),
        has_bias=True,
    )


def _last(tensor: torch.Tensor, matrix_dim: int) -> int:
    """Bound of a dim of the matrix; 1 for a vector, which has only the summed one."""
    return int(tensor.shape[matrix_dim]) if tensor.dim() > 1 else 1


def _batch_dims(stream: torch.Tensor, weight: torch.Tensor) -> tuple[list[int], int, int]:
    """(dims of the stream alone, product of common dims, product of dims of the weight alone)."""
    num = max(stream.dim(), weight.dim()) - 2
    shared: list[int] = []
    own = filters = 1
    for position in range(-num - 2, -2):
        s, w = _bound(stream, position), _bound(weight, position)
        if w == 1 or weight.stride(position) == 0:
            shared.append(max(s, w))
        elif s == 1:
            filters *= w
        else:
            own *= w
    return shared, own, filters


def _bound(tensor: torch.Tensor, position: int) -> int:
    """Bound of a dim counted from the last one; 1 where the tensor has no such dim."""
    return int(tensor.shape[position]) if tensor.dim() >= -position else 1


def register() -> None:
    for name in ("conv1d", "conv2d", "conv3d", "convolution"):
        register_op(f"aten::{name}", convolution)
    for name in ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"):
        register_op(f"aten::{name}", transposed_convolution)
    register_op("aten::linear", linear)
    for name in ("matmul", "mm", "bmm", "mv", "dot", "vdot"):
        register_op(f"aten::{name}", matmul)
    register_op("aten::affine_grid_generator", affine_grid)
    register_op("aten::conv_tbc", convolution_over_time)
    for name in ("addmm", "_addmm_activation", "baddbmm", "addbmm", "addmv"):
        register_op(f"aten::{name}", added_matmul)
