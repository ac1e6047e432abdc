"""Batch norm folded into the scales of a quantized convolution: the codes stay, the numbers stay.

y = gamma (c - mean)/sqrt(var + eps) + beta with c = sum_j s (q_j - z) x_j + b is the same convolution with
the scale s g, g = gamma/sqrt(var + eps), and the bias g (b - mean) + beta. Scales are positive, so where g is
negative the codes are mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workloads.compress.grid import TINY_STEP, Grid, along
from workloads.export.editing import Editor, mark_text, shortest
from workloads.export.marking import WEIGHT, MarkedModel, WeightSite, text_of

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto


@dataclass(frozen=True, kw_only=True)
class _Pair:
    module: str
    conv: NodeProto
    norm: NodeProto


def fold_norms(model: ModelProto, marked: MarkedModel) -> list[str]:
    """Fold every batch norm that alone reads a convolution with a quantized weight. In place.

    Norms behind float convolutions are folded by torch's exporter itself.

    Returns:
        Names of the layers that took one in.
    """
    folded = []
    for pair in _pairs(model, marked):
        arrays = _arrays(model)
        gamma, beta, mean, variance = (arrays[name].astype(np.float64) for name in pair.norm.input[1:5])
        epsilon = next((item.f for item in pair.norm.attribute if item.name == "epsilon"), 1e-5)
        factor = gamma / np.sqrt(variance + epsilon)
        bias = arrays[pair.conv.input[2]] if len(pair.conv.input) > 2 and pair.conv.input[2] else 0.0
        marked.weights[pair.module] = scaled(marked.weights[pair.module], torch.from_numpy(factor))
        _give_bias(model, pair, (factor * (bias - mean) + beta).astype(np.float32))
        folded.append(pair.module)
    return folded


def _pairs(model: ModelProto, marked: MarkedModel) -> list[_Pair]:
    texts = {node.output[0]: mark_text(node) for node in model.graph.node}
    readers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    marks = [text for text in texts.values() if text]
    outputs = {value.name for value in model.graph.output}
    stored = {tensor.name for tensor in model.graph.initializer}
    by_text = {text_of(WEIGHT, module): module for module in marked.weights}
    found = []
    for conv in model.graph.node:
        module = by_text.get(texts.get(conv.input[1], "")) if conv.op_type == "Conv" else None
        if module is None or conv.output[0] in outputs or marks.count(text_of(WEIGHT, module)) != 1:
            continue
        behind = readers.get(conv.output[0], [])
        if len(behind) == 1 and behind[0].op_type == "BatchNormalization" and set(behind[0].input[1:]) <= stored:
            found.append(_Pair(module=module, conv=conv, norm=behind[0]))
    return found


def _arrays(model: ModelProto) -> dict[str, NDArray[np.floating]]:
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def _give_bias(model: ModelProto, pair: _Pair, bias: NDArray[np.float32]) -> None:
    name = f"{shortest(pair.module)}.folded_bias"
    Editor(model).constant(name, bias)
    inputs = [*pair.conv.input[:2], name]
    del pair.conv.input[:]
    pair.conv.input.extend(inputs)
    pair.conv.output[0] = pair.norm.output[0]
    model.graph.node.remove(pair.norm)


def scaled(site: WeightSite, factor: Tensor) -> WeightSite:
    """The weight times a factor per output channel, on a grid with the scale times its magnitude.

    Args:
        site: of a convolution; its grid is per tensor or along dim 0.
        factor: (K,) float64. Where it is negative the codes are mirrored, where it is 0 they are all 0's code.
    """
    grid, rank, channels = site.grid, site.codes.dim(), site.codes.shape[0]
    removed, mirrored = factor == 0, factor < 0
    scale = grid.scale.double().expand(channels) * torch.where(removed, TINY_STEP, factor.abs())
    codes, zero, offset = site.codes, None, None
    if grid.zero_point is not None:
        zero = grid.zero_point.expand(channels)
        codes = torch.where(along(removed, 0, rank), along(zero, 0, rank), codes)
        total = _mirror(site, zero)
        zero = torch.where(mirrored, total - zero, zero).to(torch.int32)
    else:
        assert grid.offset is not None
        total = torch.full((channels,), grid.qmin + grid.qmax)
        shift = grid.offset.double().expand(channels) * factor
        offset = torch.where(mirrored, shift - scale * total, shift).float()
    codes = torch.where(along(mirrored, 0, rank), along(total, 0, rank) - codes, codes).to(torch.int32)
    result = Grid(
        scale=scale.float(), qmin=grid.qmin, qmax=grid.qmax, axis=0, offset=offset, zero_point=zero,
        rounding=grid.rounding,
    )  # fmt: skip
    value = result.values(codes)
    return replace(site, grid=result, codes=codes, value=value if site.kept is None else value * site.kept)


def _mirror(site: WeightSite, zero: Tensor) -> Tensor:
    """(K,) the sum of a code and its mirror image: about the zero point where that stays in range, else about the
    middle, which moves the zero point.
    """
    rows = site.codes.flatten(1)
    stays = (2 * zero - rows.amax(1) >= site.grid.qmin) & (2 * zero - rows.amin(1) <= site.grid.qmax)
    return torch.where(stays, 2 * zero, site.grid.qmin + site.grid.qmax)
