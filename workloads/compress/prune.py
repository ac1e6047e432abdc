"""Masks: which weights stay. True is kept; the number kept is the cost model's to the element."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hwmodel.errors import ConfigError
from hwmodel.network.choice import kept_filters
from hwmodel.network.layer import parse_pattern
from workloads.compress.config import LayerChoice


def magnitude_mask(weight: Tensor, density: float) -> Tensor:
    """Keep the largest magnitudes of one layer; ties go to the lower index.

    Args:
        weight: any shape, n elements.
        density: floor(n * density + 1/2) elements stay, at least one.

    Returns:
        bool, the shape of `weight`.
    """
    flat = weight.detach().abs().reshape(-1)
    kept = max(1, math.floor(flat.numel() * density + 0.5))
    return _keep_largest(flat[None], kept)[0].reshape(weight.shape)


def block_mask(weight: Tensor, kept: int, block: int) -> Tensor:
    """N:M pattern: the N largest magnitudes of every M consecutive input channels.

    Args:
        weight: (K, C, ...), C input channels per group.
        kept, block: N and M.

    Returns:
        bool, the shape of `weight`.

    Raises:
        ConfigError: C is not divisible by M.
    """
    channels = weight.shape[1]
    if channels % block:
        raise ConfigError(
            f"pattern '{kept}:{block}' needs input channels per group divisible by {block}, but got {channels}. "
            "Leave this layer dense."
        )
    last = weight.detach().abs().movedim(1, -1)
    mask = _keep_largest(last.reshape(-1, block), kept).reshape(last.shape)
    return mask.movedim(-1, 1).contiguous()


def filter_mask(
    weight: Tensor, density: float, groups: int = 1, keep_channels: tuple[int, ...] | None = None
) -> Tensor:
    """Whole filters with the largest L1 norms; in every group equally many (depthwise: among the groups).

    Args:
        weight: (K_all, C, ...), K_all = groups * filters per group.
        density: share of the filters kept, rounded as `hwmodel.network.choice.kept_filters` does.
        groups: of the convolution.
        keep_channels: these stay instead.

    Returns:
        bool (K_all, 1, ...), broadcastable to `weight`.

    Raises:
        ConfigError: `keep_channels` names a channel that does not exist, or not as many as `density` keeps.

    Source of the L1 rule: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017.
    """
    total = weight.shape[0]
    per_group = total // groups
    num_rows = groups if per_group > 1 else 1
    kept = kept_filters(total // num_rows, density)
    if keep_channels is None:
        norms = weight.detach().abs().flatten(1).sum(1).reshape(num_rows, -1)
        mask = _keep_largest(norms, kept).reshape(-1)
    else:
        mask = _listed(keep_channels, total, num_rows, kept).to(weight.device)
    return mask.reshape(-1, *(1 for _ in weight.shape[1:]))


def _listed(channels: tuple[int, ...], total: int, num_rows: int, kept: int) -> Tensor:
    if channels[-1] >= total:
        raise ConfigError(f"keep_channels must lie in 0..{total - 1}, but got {channels[-1]}")
    mask = torch.zeros(total, dtype=torch.bool)
    mask[list(channels)] = True
    counts = mask.reshape(num_rows, -1).sum(1).tolist()
    if any(count != kept for count in counts):
        each = " in every group" if num_rows > 1 else ""
        raise ConfigError(f"keep_channels must name {kept} channels{each} to match the density, but names {counts}")
    return mask


def _keep_largest(rows: Tensor, kept: int) -> Tensor:
    """True at the `kept` largest values of each row; stable, so that equal values give equal masks everywhere."""
    order = torch.argsort(rows, dim=1, descending=True, stable=True)[:, :kept]
    return torch.zeros_like(rows, dtype=torch.bool).scatter_(1, order, True)


def build_mask(weight: Tensor, choice: LayerChoice, groups: int = 1) -> Tensor | None:
    """The mask that a choice asks for; None where everything stays.

    Args:
        weight: (K_all, C, ...).
        choice: gives density, pattern and `keep_channels`.
        groups: of the convolution.

    Raises:
        ConfigError: the pattern does not fit the weight.
    """
    if choice.density == 1.0 and choice.keep_channels is None:
        return None
    block = parse_pattern(choice.pattern)
    if block is not None:
        return block_mask(weight, *block)
    if choice.pattern == "filter":
        return filter_mask(weight, choice.density, groups, choice.keep_channels)
    return magnitude_mask(weight, choice.density)
