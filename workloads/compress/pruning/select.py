"""Which channels to keep, and the same as a configuration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError, check_one_of
from workloads.compress.config import CompressionConfig, LayerChoice
from workloads.compress.layers import QuantLayer, named_choices
from workloads.compress.pruning.groups import ChannelGroup
from workloads.compress.pruning.masks import raw_weight, weight_layers
from workloads.compress.pruning.slicing import Keep, plan_cuts
from workloads.compress.pruning.sparse_layers import SparseLayer

Scope = Literal["group", "global"]


@torch.no_grad()
def channel_norms(model: nn.Module, group: ChannelGroup) -> Tensor:
    """L1 norm of every channel of a group: over its filters in all producers and depthwise carriers. (size,).

    Source of the rule, for one producer: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017.
    """
    total = torch.zeros(group.size, dtype=torch.float64)
    for member in (*group.producers, *group.carriers):
        module = model.get_submodule(member.module)
        if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
            channels = torch.tensor(member.channels)
            rows = _masked_weight(module).detach().abs().flatten(1).sum(1).double().cpu()
            total.index_add_(0, channels[channels >= 0], rows[channels >= 0])
    return total


def select_channels(
    model: nn.Module,
    groups: Sequence[ChannelGroup],
    density: float,
    *,
    scope: Scope = "group",
    multiple: int = 1,
) -> dict[str, tuple[int, ...]]:
    """The channels with the largest L1 norms; every module keeps at least one.

    Args:
        model: that the groups were found in.
        groups: of `channel_groups`.
        density: share of the channels kept, rounded to the nearest, halves up.
        scope: of `group` each keeps that share of its own; `global` compares all channels, each
            divided by the mean of its group, since layers differ in scale.
        multiple: kept channels per group are rounded up to a multiple, as the hardware likes them.

    Returns:
        Group name -> channels that stay.

    Raises:
        ConfigError: a density outside (0, 1], a multiple below 1, or an unknown scope.
    """
    if not 0 < density <= 1 or multiple < 1:
        raise ConfigError(
            f"`0 < density <= 1` and `multiple >= 1` must hold, but got density={density!r}, multiple={multiple!r}"
        )
    check_one_of("scope", scope, ("group", "global"))
    norms = {group.name: channel_norms(model, group) for group in groups}
    counts = {group.name: _rounded(group.size * density) for group in groups}
    if scope == "global" and groups:
        counts = _global_counts(norms, density)
    keep = {}
    for group in groups:
        count = min(group.size, -(-max(1, counts[group.name]) // multiple) * multiple)
        order = torch.argsort(norms[group.name], descending=True, stable=True).tolist()
        keep[group.name] = tuple(sorted({*order[:count], *_indispensable(group, order[:count], order)}))
    return keep


def _rounded(value: float) -> int:
    return math.floor(value + 0.5)


def _global_counts(norms: dict[str, Tensor], density: float) -> dict[str, int]:
    scaled = torch.cat([norm / norm.mean().clamp_min(torch.finfo(norm.dtype).tiny) for norm in norms.values()])
    best = torch.argsort(scaled, descending=True, stable=True)[: max(1, _rounded(scaled.numel() * density))]
    mask = torch.zeros(scaled.numel(), dtype=torch.bool)
    mask[best] = True
    counts, start = {}, 0
    for name, norm in norms.items():
        counts[name] = int(mask[start : start + norm.numel()].sum())
        start += norm.numel()
    return counts


def _indispensable(group: ChannelGroup, kept: list[int], order: list[int]) -> set[int]:
    """The best channel of every member that would keep none (stages of different widths in one group)."""
    added: set[int] = set()
    for member in group.members:
        if not set(member.channels) & ({-1, *kept} | added):
            added.add(next(channel for channel in order if channel in member.channels))
    return added


def pruned_channels(model: nn.Module, groups: Sequence[ChannelGroup]) -> dict[str, tuple[int, ...]]:
    """The channels that are left where filters are masked already: group name -> channels that stay.

    A channel goes when its filter, and its bias, is zero in every producer. Where nothing is left the
    first channel stays.
    """
    keep = {}
    for group in groups:
        alive = torch.zeros(group.size, dtype=torch.bool)
        for member in group.producers:
            rows = _live_rows(model.get_submodule(member.module))
            for channel, live in zip(member.channels, rows.tolist(), strict=True):
                if channel >= 0 and live:
                    alive[channel] = True
        kept = alive.nonzero().flatten().tolist() or [0]
        keep[group.name] = tuple(sorted({*kept, *_indispensable(group, kept, list(range(group.size)))}))
    return keep


@torch.no_grad()
def _live_rows(module: nn.Module) -> Tensor:
    rows = _effective_weight(module).flatten(1).ne(0).any(1)
    bias = module.effective_bias() if isinstance(module, QuantLayer) else module.bias
    return rows if not isinstance(bias, Tensor) else rows | bias.ne(0)


def _effective_weight(module: nn.Module) -> Tensor:
    if isinstance(module, QuantLayer | SparseLayer):
        return module.effective_weight()
    return raw_weight(module)


def _masked_weight(module: nn.Module) -> Tensor:
    """The weight as it is trained, which has no ties where a coarse grid has, zero where it is pruned."""
    mask = getattr(module, "mask", None)
    return raw_weight(module) * mask if isinstance(mask, Tensor) else raw_weight(module)


def _has_multiplier(module: nn.Module) -> bool:
    """Depthwise with several filters per channel, which a configuration prunes within each channel only."""
    groups = int(getattr(module, "groups", 1))
    return 1 < groups == getattr(module, "in_channels", 0) < getattr(module, "out_channels", 0)


def channel_config(
    model: nn.Module, groups: Sequence[ChannelGroup], keep: Keep, config: CompressionConfig | None = None
) -> CompressionConfig:
    """The kept channels as a configuration: `pattern="filter"` with `keep_channels` where they are computed.

    Depthwise convolutions are named too, unless they have several filters per channel.

    Args:
        model: that the groups were found in.
        groups: of `channel_groups`.
        keep: group name -> channels that stay, rising.
        config: bits and quantizers to keep; None is float.

    Raises:
        ConfigError: a name is no group, or channels out of range.
    """
    choices = named_choices(model, config) if config is not None else {}
    layers = weight_layers(model)
    for name, cut in plan_cuts(groups, keep).items():
        if cut.outputs is None or name not in layers or _has_multiplier(layers[name]):
            continue
        kept = tuple(cut.outputs.nonzero().flatten().tolist())
        choices[name] = replace(
            choices.get(name, LayerChoice()),
            density=len(kept) / len(cut.outputs),
            pattern="filter",
            keep_channels=kept,
        )
    return CompressionConfig(choices)
