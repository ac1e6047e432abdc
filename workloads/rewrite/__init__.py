"""Smaller architectures: transforms that return a changed copy of a model and a report of what was saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from workloads.rewrite.adapters import load_lora, lora_state, save_lora
    from workloads.rewrite.frozen import freeze, thaw
    from workloads.rewrite.grouped import to_grouped
    from workloads.rewrite.head import new_head
    from workloads.rewrite.lora import LoRALayer, add_lora, lora_layers, merge_lora
    from workloads.rewrite.lowrank import LowRank, to_low_rank
    from workloads.rewrite.report import LayerChange, RewriteReport
    from workloads.rewrite.separable import SeparableConv, SeparableConv2d, to_separable

__all__ = [
    "LayerChange",
    "LoRALayer",
    "LowRank",
    "RewriteReport",
    "SeparableConv",
    "SeparableConv2d",
    "add_lora",
    "freeze",
    "load_lora",
    "lora_layers",
    "lora_state",
    "merge_lora",
    "new_head",
    "save_lora",
    "thaw",
    "to_grouped",
    "to_low_rank",
    "to_separable",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "adapters": ("load_lora", "lora_state", "save_lora"),
        "frozen": ("freeze", "thaw"),
        "grouped": ("to_grouped",),
        "head": ("new_head",),
        "lora": ("LoRALayer", "add_lora", "lora_layers", "merge_lora"),
        "lowrank": ("LowRank", "to_low_rank"),
        "report": ("LayerChange", "RewriteReport"),
        "separable": ("SeparableConv", "SeparableConv2d", "to_separable"),
    },
    old={
        "Counts": "workloads.compress.pruning.ModelSize",
        "count": "workloads.compress.pruning.model_size",
    },
)
