"""Layers, accelerators, mappings and what they cost: pure arithmetic, no torch.

from hwmodel import Layer, load_accelerator, evaluate
cost = evaluate(Layer(name="conv", dims={"K": 16, "C": 16, "OY": 32, "OX": 32, "FY": 3, "FX": 3}),
                load_accelerator("eyeriss"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwmodel.accelerator import Accelerator
    from hwmodel.access import OperandAccess, count_accesses
    from hwmodel.choice import Choice
    from hwmodel.cost import LayerCost, NetworkCost, evaluate, find_mapping
    from hwmodel.errors import HwModelError
    from hwmodel.graph import LayerGraph, Port, Tensor, Uncounted, VectorOp
    from hwmodel.layer import Bits, Density, Dims, Layer
    from hwmodel.loader import list_accelerators, load_accelerator
    from hwmodel.mapping import LevelMapping, Loop, Mapping
    from hwmodel.table import CostTable, Totals

_HOME = {
    "access": ("OperandAccess", "count_accesses"),
    "accelerator": ("Accelerator",),
    "choice": ("Choice",),
    "cost": ("LayerCost", "NetworkCost", "evaluate", "find_mapping"),
    "errors": ("HwModelError",),
    "graph": ("LayerGraph", "Port", "Tensor", "Uncounted", "VectorOp"),
    "layer": ("Bits", "Density", "Dims", "Layer"),
    "loader": ("list_accelerators", "load_accelerator"),
    "mapping": ("LevelMapping", "Loop", "Mapping"),
    "table": ("CostTable", "Totals"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Accelerator", "Bits", "Choice", "CostTable", "Density", "Dims", "HwModelError", "Layer", "LayerCost",
    "LayerGraph", "LevelMapping", "Loop", "Mapping", "NetworkCost", "OperandAccess", "Port", "Tensor", "Totals",
    "Uncounted", "VectorOp", "count_accesses", "evaluate", "find_mapping", "list_accelerators",
    "load_accelerator",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Load a public name on first use: `import hwmodel` costs nothing."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
