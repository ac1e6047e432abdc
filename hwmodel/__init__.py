"""Layers, accelerators, mappings and what they cost: pure arithmetic, no torch.

from hwmodel import Layer, load_accelerator, evaluate
cost = evaluate(Layer(name="conv", dims={"K": 16, "C": 16, "OY": 32, "OX": 32, "FY": 3, "FX": 3}),
                load_accelerator("eyeriss"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.lazy import lazy_exports
from hwmodel.moved import keep_old_paths
from hwmodel.shown import shown_by

if TYPE_CHECKING:
    from hwmodel.chip.accelerator import Accelerator
    from hwmodel.chip.loader import list_accelerators, load_accelerator
    from hwmodel.chip.sweep.designs import Design, Designs, load_designs
    from hwmodel.chip.writing import write_accelerator
    from hwmodel.cost import evaluate, find_mapping
    from hwmodel.errors import HwModelError
    from hwmodel.nest.access import OperandAccess, count_accesses
    from hwmodel.nest.mapping import LevelMapping, Loop, Mapping
    from hwmodel.network.attention import AttentionSummary, attention_summary
    from hwmodel.network.blocks import Block, repeated_blocks
    from hwmodel.network.choice import Choice
    from hwmodel.network.contents import LiveTensor, Weight, live_tensors, stored_weights
    from hwmodel.network.graph import LayerGraph, Port, Tensor, Uncounted, VectorOp
    from hwmodel.network.layer import Bits, Density, Dims, Layer
    from hwmodel.price.results import LayerCost, NetworkCost
    from hwmodel.show.beside import compare_costs
    from hwmodel.show.chips import ChipDifference, chip_differences
    from hwmodel.table import CostTable, Totals

__all__ = [
    "Accelerator", "AttentionSummary", "Bits", "Block", "ChipDifference", "Choice", "CostTable", "Density",
    "Design", "Designs", "Dims", "HwModelError", "Layer", "LayerCost", "LayerGraph", "LevelMapping", "LiveTensor",
    "Loop", "Mapping", "NetworkCost", "OperandAccess", "Port", "Tensor", "Totals", "Uncounted", "VectorOp",
    "Weight", "attention_summary", "chip_differences", "compare_costs", "count_accesses", "evaluate",
    "find_mapping", "list_accelerators", "live_tensors", "load_accelerator", "load_designs", "repeated_blocks",
    "stored_weights", "write_accelerator",
]  # fmt: skip


#: One place for the release, which the installed package is made of.
__version__ = "0.2.0"

keep_old_paths()
shown_by(
    {
        "LayerGraph": ("hwmodel.show.notebook", "graph_html"),
        "NetworkCost": ("hwmodel.show.notebook", "cost_html"),
        "Accelerator": ("hwmodel.show.values", "accelerator_html"),
        "Mapping": ("hwmodel.show.values", "mapping_html"),
        "LayerCost": ("hwmodel.show.values", "layer_cost_html"),
    }
)
__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "nest.access": ("OperandAccess", "count_accesses"),
        "chip.accelerator": ("Accelerator",),
        "network.attention": ("AttentionSummary", "attention_summary"),
        "network.blocks": ("Block", "repeated_blocks"),
        "network.choice": ("Choice",),
        "network.contents": ("LiveTensor", "Weight", "live_tensors", "stored_weights"),
        "cost": ("evaluate", "find_mapping"),
        "errors": ("HwModelError",),
        "network.graph": ("LayerGraph", "Port", "Tensor", "Uncounted", "VectorOp"),
        "network.layer": ("Bits", "Density", "Dims", "Layer"),
        "chip.loader": ("list_accelerators", "load_accelerator"),
        "chip.sweep.designs": ("Design", "Designs", "load_designs"),
        "chip.writing": ("write_accelerator",),
        "nest.mapping": ("LevelMapping", "Loop", "Mapping"),
        "price.results": ("LayerCost", "NetworkCost"),
        "show.beside": ("compare_costs",),
        "show.chips": ("ChipDifference", "chip_differences"),
        "table": ("CostTable", "Totals"),
    },
)
