"""Layers, accelerators, mappings and what they cost: pure arithmetic, no torch.

from hwmodel import Layer, load_accelerator, evaluate
cost = evaluate(Layer(name="conv", dims={"K": 16, "C": 16, "OY": 32, "OX": 32, "FY": 3, "FX": 3}),
                load_accelerator("eyeriss"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports

if TYPE_CHECKING:
    from hwmodel.accelerator import Accelerator
    from hwmodel.access import OperandAccess, count_accesses
    from hwmodel.attention import AttentionSummary, attention_summary
    from hwmodel.blocks import Block, repeated_blocks
    from hwmodel.choice import Choice
    from hwmodel.contents import LiveTensor, Weight, live_tensors, stored_weights
    from hwmodel.cost import evaluate, find_mapping
    from hwmodel.errors import HwModelError
    from hwmodel.graph import LayerGraph, Port, Tensor, Uncounted, VectorOp
    from hwmodel.layer import Bits, Density, Dims, Layer
    from hwmodel.loader import list_accelerators, load_accelerator
    from hwmodel.mapping import LevelMapping, Loop, Mapping
    from hwmodel.results import LayerCost, NetworkCost
    from hwmodel.table import CostTable, Totals

__all__ = [
    "Accelerator", "AttentionSummary", "Bits", "Block", "Choice", "CostTable", "Density", "Dims",
    "HwModelError", "Layer", "LayerCost", "LayerGraph", "LevelMapping", "LiveTensor", "Loop", "Mapping",
    "NetworkCost", "OperandAccess", "Port", "Tensor", "Totals", "Uncounted", "VectorOp", "Weight",
    "attention_summary", "count_accesses", "evaluate", "find_mapping", "list_accelerators", "live_tensors",
    "load_accelerator", "repeated_blocks", "stored_weights",
]  # fmt: skip

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "access": ("OperandAccess", "count_accesses"),
        "accelerator": ("Accelerator",),
        "attention": ("AttentionSummary", "attention_summary"),
        "blocks": ("Block", "repeated_blocks"),
        "choice": ("Choice",),
        "contents": ("LiveTensor", "Weight", "live_tensors", "stored_weights"),
        "cost": ("evaluate", "find_mapping"),
        "errors": ("HwModelError",),
        "graph": ("LayerGraph", "Port", "Tensor", "Uncounted", "VectorOp"),
        "layer": ("Bits", "Density", "Dims", "Layer"),
        "loader": ("list_accelerators", "load_accelerator"),
        "mapping": ("LevelMapping", "Loop", "Mapping"),
        "results": ("LayerCost", "NetworkCost"),
        "table": ("CostTable", "Totals"),
    },
)
