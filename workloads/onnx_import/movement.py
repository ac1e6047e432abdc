"""ONNX ops that move numbers or make them, as the torch functions that the tracer has rules for."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from workloads.onnx_import.products import Result
from workloads.onnx_import.values import Function, Node, meta_tensor, torch_type


def _axes(node: Node) -> list[int]:
    return node.ints(1, "axes") or []


def reshape(node: Node) -> Tensor:
    """A 0 keeps the dim of the input, unless `allowzero`."""
    x, target = node.tensor(0), node.ints(1, "shape") or []
    if not node.attribute("allowzero", 0):
        target = [x.shape[index] if bound == 0 else bound for index, bound in enumerate(target)]
    return x.reshape(target)


def flatten(node: Node) -> Tensor:
    x = node.tensor(0)
    axis = int(node.attribute("axis", 1))
    axis = axis + x.dim() if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), -1)


def transpose(node: Node) -> Tensor:
    x = node.tensor(0)
    return x.permute(node.attribute("perm") or list(reversed(range(x.dim()))))


def squeeze(node: Node) -> Tensor:
    x, axes = node.tensor(0), node.ints(1, "axes")
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


def unsqueeze(node: Node) -> Tensor:
    x, axes = node.tensor(0), _axes(node)
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def slice_(node: Node) -> Tensor:
    """Views as long as no step is negative; then a copy."""
    x = node.tensor(0)
    starts, ends = node.ints(1, "starts") or [], node.ints(2, "ends") or []
    axes = node.ints(3, "axes") or list(range(len(starts)))
    steps = node.ints(4) or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        taken = range(x.shape[axis])[slice(start, end, step)]
        if step < 0:
            x, taken = x.flip(axis), taken[::-1]
        if len(taken) < x.shape[axis]:
            first = taken.start if len(taken) else 0
            x = x[(slice(None),) * (axis % x.dim()) + (slice(first, first + len(taken) * abs(step), abs(step)),)]
    return x


def split(node: Node) -> Result:
    x, axis = node.tensor(0), int(node.attribute("axis", 0))
    sizes = node.ints(1, "split")
    if sizes is None:
        return torch.split(x, -(-x.shape[axis] // len(node.proto.output)), dim=axis)
    return torch.split(x, sizes, dim=axis)


def gather(node: Node) -> Tensor:
    """From a weight along its first dim: an embedding; one known index: a view."""
    x, indices = node.value(0), node.value(1)
    axis = int(node.attribute("axis", 0))
    if x is None or indices is None:
        raise ValueError("Gather needs data and indices")
    if x.is_weight and not indices.is_weight and axis == 0 and x.tensor.dim() == 2:
        return functional.embedding(indices.tensor.to(torch.int64), x.tensor)
    if indices.constant is not None and indices.constant.ndim == 0:
        return x.tensor.select(axis, int(indices.constant))
    flat = indices.tensor.reshape(-1)
    taken = x.tensor.index_select(axis, flat.to(torch.int64))
    axis %= x.tensor.dim()
    return taken.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def gather_nd(node: Node) -> Tensor:
    """indices (..., N) take slices of x from its dim N on (after the batch dims)."""
    x, indices = node.tensor(0), node.tensor(1)
    rest = x.shape[int(node.attribute("batch_dims", 0)) + indices.shape[-1] :]
    shape = (*indices.shape[:-1], *rest)
    index = indices.to(torch.int64).reshape(-1)[:1].expand(math.prod(shape))
    return x.reshape(-1).index_select(0, index).reshape(shape)


def expand(node: Node) -> Tensor:
    x, shape = node.tensor(0), node.ints(1) or []
    return x.expand(np.broadcast_shapes(x.shape, tuple(shape)))


def tile(node: Node) -> Tensor:
    return node.tensor(0).repeat(node.ints(1) or [])


def concat(node: Node) -> Tensor:
    return torch.cat(node.tensors, dim=int(node.attribute("axis", 1)))


def pad(node: Node) -> Tensor:
    """A pad of nothing is free. Every mode moves the same elements."""
    x, pads = node.tensor(0), node.ints(1, "pads") or []
    axes = node.ints(3) or list(range(x.dim()))
    if not any(pads):
        return x
    sides = [0] * (2 * x.dim())
    for position, axis in enumerate(axes):
        last = x.dim() - 1 - axis % x.dim()
        sides[2 * last], sides[2 * last + 1] = pads[position], pads[len(axes) + position]
    return functional.pad(x, sides)


def resize(node: Node) -> Tensor:
    """To sizes or by scales, in the mode of the attribute; dims of batch and channels stay."""
    x = node.tensor(0)
    scales_at, sizes_at = (1, 3) if node.op == "Upsample" or node.opset < 11 else (2, 3)
    axes = node.attribute("axes") or list(range(x.dim()))
    size = list(x.shape)
    sizes, scales = node.value(sizes_at), node.value(scales_at)
    if sizes is not None and sizes.tensor.numel():
        target = node.ints(sizes_at) or []
    elif scales is not None and scales.constant is None:
        target = node.ints(scales_at) or []  # tells what is not known
    else:
        factors = node.attribute("scales") if scales is None or scales.constant is None else scales.constant
        target = [math.floor(x.shape[axis] * float(f)) for axis, f in zip(axes, factors, strict=True)]
    for axis, bound in zip(axes, target, strict=True):
        size[axis] = bound
    mode = {"linear": {3: "linear", 4: "bilinear", 5: "trilinear"}, "cubic": {4: "bicubic"}}
    kind = mode.get(str(node.attribute("mode", "nearest")), {}).get(x.dim(), "nearest")
    return functional.interpolate(x, tuple(size[2:]), mode=kind)


def space(node: Node) -> Tensor:
    """DepthToSpace and SpaceToDepth move blocks of pixels to channels and back."""
    block = int(node.attribute("blocksize"))
    function = functional.pixel_shuffle if node.op == "DepthToSpace" else functional.pixel_unshuffle
    out: Tensor = function(node.tensor(0), block)
    return out


def constant_of_shape(node: Node) -> Tensor:
    value = node.attribute("value")
    dtype = torch.float32 if value is None else torch_type(value.data_type)
    return meta_tensor(node.ints(0) or [], dtype)


def top_k(node: Node) -> Result:
    count = (node.ints(1, "k") or [1])[0]
    found = torch.topk(node.tensor(0), count, dim=int(node.attribute("axis", -1)))
    return found[0], found[1]


def trilu(node: Node) -> Tensor:
    return torch.triu(node.tensor(0)) if node.attribute("upper", 1) else torch.tril(node.tensor(0))


def one_hot(node: Node) -> Tensor:
    depth = (node.ints(1) or [1])[0]
    return functional.one_hot(node.tensor(0).to(torch.int64), depth).movedim(-1, int(node.attribute("axis", -1)))


def scatter(node: Node) -> Tensor:
    """ScatterElements and ScatterND: the updates go into a copy of the data."""
    x, updates = node.tensor(0), node.tensor(2)
    index = torch.zeros_like(updates.reshape(-1), dtype=torch.int64)
    return x.reshape(-1).scatter(0, index, updates.reshape(-1).to(x.dtype)).reshape(x.shape)


def range_(node: Node) -> Tensor:
    start, limit, delta = ((node.ints(index) or [0])[0] for index in range(3))
    return meta_tensor([max(0, math.ceil((limit - start) / delta))], node.tensor(0).dtype)


def random_like(node: Node) -> Tensor:
    shape = node.attribute("shape") or node.tensor(0).shape
    return meta_tensor(shape, torch.float32)


FUNCTIONS: dict[str, Function] = {
    "Reshape": reshape, "Flatten": flatten, "Transpose": transpose, "Squeeze": squeeze, "Unsqueeze": unsqueeze,
    "Slice": slice_, "Split": split, "Gather": gather,
    "GatherElements": lambda node: torch.gather(
        node.tensor(0), int(node.attribute("axis", 0)), node.tensor(1).to(torch.int64)
    ),
    "GatherND": gather_nd, "Expand": expand, "Tile": tile, "Concat": concat, "Pad": pad, "Resize": resize,
    "Upsample": resize, "DepthToSpace": space, "SpaceToDepth": space, "ConstantOfShape": constant_of_shape,
    "TopK": top_k, "Trilu": trilu, "OneHot": one_hot, "Scatter": scatter,
    "ScatterElements": scatter, "ScatterND": scatter,
    "GridSample": lambda node: functional.grid_sample(node.tensor(0), node.tensor(1), align_corners=False),
    "Range": range_, "RandomNormal": random_like, "RandomUniform": random_like, "RandomNormalLike": random_like,
    "RandomUniformLike": random_like,
    "CumSum": lambda node: torch.cumsum(node.tensor(0), (node.ints(1) or [0])[0]),
}  # fmt: skip
