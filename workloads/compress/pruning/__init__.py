"""Pruning: masks, schedules, channels that go together, and smaller dense models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from workloads.compress.pruning.groups import ChannelGroup, Member, channel_groups
    from workloads.compress.pruning.masks import (
        from_torch_prune,
        get_masks,
        global_densities,
        global_masks,
        set_masks,
        to_torch_prune,
    )
    from workloads.compress.pruning.select import channel_config, channel_norms, pruned_channels, select_channels
    from workloads.compress.pruning.size import ModelSize, model_size, size_table
    from workloads.compress.pruning.slicing import mask_channels, slice_channels
    from workloads.compress.pruning.sparse_layers import (
        SparseConv1d,
        SparseConv2d,
        SparseConv3d,
        SparseLinear,
        to_sparse,
    )
    from workloads.sparse import Cubic, OneShot, PruneSchedule, Stepwise

__all__ = [
    "ChannelGroup",
    "Cubic",
    "Member",
    "ModelSize",
    "OneShot",
    "PruneSchedule",
    "SparseConv1d",
    "SparseConv2d",
    "SparseConv3d",
    "SparseLinear",
    "Stepwise",
    "channel_config",
    "channel_groups",
    "channel_norms",
    "from_torch_prune",
    "get_masks",
    "global_densities",
    "global_masks",
    "mask_channels",
    "model_size",
    "pruned_channels",
    "select_channels",
    "set_masks",
    "size_table",
    "slice_channels",
    "to_sparse",
    "to_torch_prune",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "groups": ("ChannelGroup", "Member", "channel_groups"),
        "masks": (
            "from_torch_prune", "get_masks", "global_densities", "global_masks", "set_masks", "to_torch_prune",
        ),
        "..sparse": ("Cubic", "OneShot", "PruneSchedule", "Stepwise"),
        "select": ("channel_config", "channel_norms", "pruned_channels", "select_channels"),
        "size": ("ModelSize", "model_size", "size_table"),
        "slicing": ("mask_channels", "slice_channels"),
        "sparse_layers": ("SparseConv1d", "SparseConv2d", "SparseConv3d", "SparseLinear", "to_sparse"),
    },
)  # fmt: skip
