"""Convolutions split into groups: an output channel sees only the inputs of its group.

Source: Krizhevsky et al., ImageNet Classification, NeurIPS 2012, section 3.5 (the layer).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError, check_one_of
from workloads.compress.replacing import replace_modules
from workloads.options import is_integer
from workloads.rewrite.factors import relative_error
from workloads.rewrite.report import RewriteReport, make_report
from workloads.rewrite.select import (
    CONVOLUTIONS,
    convolution_like,
    describe,
    in_place_of,
    seeded,
    select_layers,
)
from workloads.wrappers import copied


def to_grouped(
    model: nn.Module,
    example: Any,
    groups: int,
    *,
    layers: str | Iterable[str] | None = None,
    skip: str | Iterable[str] = (),
    init: Literal["block", "random"] = "block",
    seed: int = 0,
) -> tuple[nn.Module, RewriteReport]:
    """A copy of the model whose convolutions have groups: 1/groups of the weights and MACs.

    Args:
        model: not changed.
        example: its input, or a tuple of them; its shape decides the MACs.
        groups: g; channels in and out must be divisible by it.
        layers: names or shell patterns of the convolutions; None is every one that can be split.
        skip: names or shell patterns of those that stay.
        init: `block` keeps the diagonal blocks of the dense weight, `random` starts anew.
        seed: of `random`.

    Returns:
        The copy, with the same names, and the report.

    Raises:
        ConfigError: a name matches nothing, a named layer cannot be split, or groups < 2.
    """
    check_one_of("init", init, ("block", "random"))
    if not is_integer(groups, 2):
        raise ConfigError(f"groups must be an integer >= 2, but got {groups!r}")
    result = copied(model)
    selection = select_layers(result, CONVOLUTIONS, lambda conv: _refusal(conv, groups), layers, skip)
    replacements: dict[nn.Module, nn.Module] = {}
    notes: dict[str, tuple[str, str, float | None]] = {}
    for position, (name, conv) in enumerate(selection.layers.items()):
        new = _grouped(conv, groups, init, seed + position)
        error = relative_error(dense_weight(conv), dense_weight(new)) if init == "block" else None
        notes[name] = (describe(conv), describe(new), error)
        replacements[conv] = new
    result = replace_modules(result, replacements)
    return result, make_report(model, result, example, notes, selection.skipped)


def _refusal(conv: Any, groups: int) -> str | None:
    if groups % conv.groups or groups == conv.groups:
        return f"has groups={conv.groups}, of which {groups} is no multiple greater than it"
    for what, channels in (("input", conv.in_channels), ("output", conv.out_channels)):
        if channels % groups:
            return f"has {channels} {what} channels, which {groups} does not divide"
    return None


def _grouped(conv: Any, groups: int, init: str, seed: int) -> Any:
    new: Any = in_place_of(conv, seeded(seed, lambda: convolution_like(conv, groups=groups)))
    if init == "block":
        with torch.no_grad():
            new.weight.copy_(diagonal_blocks(conv.weight, conv.groups, groups))
            if conv.bias is not None:
                new.bias.copy_(conv.bias)
    return new


def diagonal_blocks(weight: Tensor, before: int, after: int) -> Tensor:
    """The weights that stay when `before` groups become `after`.

    Args:
        weight: (K, C/before, ...), K and C of all groups.
        before, after: numbers of groups; `after` is a multiple.

    Returns:
        (K, C/after, ...).
    """
    split = after // before
    blocks = weight.reshape(
        before, split, len(weight) // after, split, weight.shape[1] // split, *weight.shape[2:]
    ).diagonal(dim1=1, dim2=3)  # (before, K/after, C/after, ..., split)
    return blocks.movedim(-1, 1).reshape(len(weight), weight.shape[1] // split, *weight.shape[2:])


def dense_weight(conv: Any) -> Tensor:
    """The weight (K, C, ...) that a grouped convolution stands for, zeros outside its blocks."""
    weight = conv.weight.detach()
    num_out, width = len(weight) // conv.groups, weight.shape[1]
    dense: Tensor = weight.new_zeros(len(weight), width * conv.groups, *weight.shape[2:])
    for group in range(conv.groups):
        rows = slice(group * num_out, (group + 1) * num_out)
        dense[rows, group * width : (group + 1) * width] = weight[rows]
    return dense
