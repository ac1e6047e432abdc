"""Batch norm folded into the convolution or linear layer before it."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError
from workloads.compress.layers import QuantLayer
from workloads.compress.replacing import replace_modules
from workloads.compress.tied import partners
from workloads.integer.reading import Op, output_shapes, read_graph, trace_forward
from workloads.wrappers import copied

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


def normalises_channels(layer: nn.Module | None, shape: Sequence[int]) -> bool:
    """Whether a batch norm (dim 1) acts on the output channels of a layer whose output has this shape.

    A convolution's channels are dim 1 of a batch and dim 0 of a single item; a linear layer's are the last dim.
    """
    if isinstance(layer, nn.Linear):
        return len(shape) == 2
    spatial = next((n for n, kind in enumerate(_LAYERS) if n and isinstance(layer, kind)), 0)
    return len(shape) == spatial + 2


def fold_batchnorms(model: nn.Module, example: Tensor | None = None) -> nn.Module:
    """A copy in which every batch norm that follows a float convolution or linear layer is folded into it.

    W' = factor * W, b' = factor * b + shift; the norm becomes an identity. Names stay, but a layer may gain
    a bias. Fold before `apply` and `calibrate`, so that the folded weights are what is quantized. Layers that
    are quantized already keep their norm: folding would move their codes. `integerize` takes such a norm
    into the requantization instead. A norm stays, too, where folding would change something else: a layer or
    norm that runs twice, a weight that is shared or computed.

    Args:
        model: whose forward torch.fx can trace.
        example: its input (N, ...). Its shapes prove that a `BatchNorm1d` normalises the channels of the layer
            before it, and not tokens; without one such a pair stays, with a warning.

    Returns:
        The copy in eval mode; its outputs equal the model's in eval mode to rounding.

    Raises:
        ConfigError: the forward cannot be traced, or a norm depends on the batch.
    """
    result = copied(model).eval()
    traced = trace_forward(result)
    ops = read_graph(result, traced)
    shapes = {} if example is None else output_shapes(traced, example)
    by_name = {op.name: op for op in ops}
    uses = Counter(id(op.module) for op in ops)
    replacements: dict[nn.Module, nn.Module] = {}
    for layer_name, norm_name in norms_behind(ops).items():
        layer, norm = by_name[layer_name].module, by_name[norm_name].module
        if not _can_fold(result, layer) or norm is None or uses[id(layer)] > 1 or uses[id(norm)] > 1:
            continue
        if example is None and isinstance(norm, nn.BatchNorm1d):
            warnings.warn(
                f"{norm_name!r} stays behind {layer_name!r}: whether a BatchNorm1d normalises channels or tokens "
                "shows only on an input. Pass one: fold_batchnorms(model, example).",
                stacklevel=2,
            )
            continue
        if example is None:  # a norm of a batch of images takes nothing else, and no linear layer
            proven = not isinstance(layer, nn.Linear)
        else:
            proven = normalises_channels(layer, shapes[by_name[layer_name].node])
        if proven:
            _fold(layer, norm)
            replacements[norm] = nn.Identity().eval()
    return replace_modules(result, replacements)


def _can_fold(model: nn.Module, layer: nn.Module | None) -> bool:
    """A float layer with a weight of its own."""
    if isinstance(layer, QuantLayer) or not isinstance(layer, _LAYERS):
        return False
    return len(partners(model, layer._parameters.get("weight"))) == 1


@torch.no_grad()
def _fold(layer: Any, norm: nn.Module) -> None:
    factor, shift = norm_factors(norm)
    weight = layer.weight
    bias = torch.zeros_like(factor) if layer.bias is None else layer.bias.double()
    folded = weight.double() * factor.reshape(-1, *(1 for _ in weight.shape[1:]))
    layer.weight.copy_(folded.to(weight.dtype))
    layer.bias = nn.Parameter((factor * bias + shift).to(weight.dtype))
