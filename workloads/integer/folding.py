"""Batch norm folded into the convolution or linear layer before it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from workloads.compress.layers import QuantLayer
from workloads.integer.reading import Op, read_graph
from workloads.modules import put_module

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def norm_factors(norm: Any) -> tuple[Tensor, Tensor]:
    """What a batch norm computes in eval mode: y = factor * x + shift, both (K,) float64.

    factor = gamma / sqrt(var + eps), shift = beta - factor * mean.

    Raises:
        ConfigError: it keeps no running statistics, so it depends on the batch.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ConfigError("a batch norm without running statistics depends on the batch: it cannot be folded")
    factor = torch.rsqrt(norm.running_var.detach().double() + norm.eps)
    if norm.weight is not None:
        factor = factor * norm.weight.detach().double()
    shift = -factor * norm.running_mean.detach().double()
    if norm.bias is not None:
        shift = shift + norm.bias.detach().double()
    return factor, shift


def norms_behind(ops: list[Op]) -> dict[str, str]:
    """Name of a layer's op -> name of the batch norm's that alone reads it."""
    readers: dict[str, list[Op]] = {}
    for op in ops:
        for source in op.inputs:
            readers.setdefault(source, []).append(op)
    found = {}
    for op in ops:
        behind = readers.get(op.name, [])
        if op.kind == "layer" and len(behind) == 1 and behind[0].kind == "norm":
            found[op.name] = behind[0].name
    return found


def fold_batchnorms(model: nn.Module) -> nn.Module:
    """A copy in which every batch norm that follows a float convolution or linear layer is folded into it.

    W' = factor * W, b' = factor * b + shift; the norm becomes an identity. Names stay, but a layer may gain
    a bias. Fold before `apply` and `calibrate`, so that the folded weights are what is quantized. Layers that
    are quantized already keep their norm: folding would move their codes. `integerize` takes such a norm
    into the requantization instead.

    Args:
        model: whose forward torch.fx can trace.

    Returns:
        The copy in eval mode; its outputs equal the model's in eval mode to rounding.

    Raises:
        ConfigError: the forward cannot be traced, or a norm depends on the batch.
    """
    result = copy.deepcopy(model).eval()
    ops = read_graph(result)
    by_name = {op.name: op for op in ops}
    uses = _uses(ops)
    for layer_name, norm_name in norms_behind(ops).items():
        layer, norm = by_name[layer_name].module, by_name[norm_name].module
        if isinstance(layer, QuantLayer) or not isinstance(layer, _LAYERS) or uses[id(layer)] > 1:
            continue
        assert norm is not None
        _fold(layer, norm)
        put_module(result, by_name[norm_name].target, nn.Identity())
    return result


def _uses(ops: list[Op]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for op in ops:
        counts[id(op.module)] = counts.get(id(op.module), 0) + 1
    return counts


@torch.no_grad()
def _fold(layer: Any, norm: nn.Module) -> None:
    factor, shift = norm_factors(norm)
    weight = layer.weight
    bias = torch.zeros_like(factor) if layer.bias is None else layer.bias.double()
    folded = weight.double() * factor.reshape(-1, *(1 for _ in weight.shape[1:]))
    layer.weight.copy_(folded.to(weight.dtype))
    layer.bias = nn.Parameter((factor * bias + shift).to(weight.dtype))
