"""Parameters, MACs and bytes of a model, before and after a transform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from hwmodel.network.choice import FLOAT_BITS
from workloads.compress.layers import QuantLayer
from workloads.compress.pruning.masks import get_masks
from workloads.tracing import trace

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class ModelSize:
    """What a model holds and does.

    Attributes:
        parameters: trained numbers, those of quantizers left out.
        nonzero: those that no mask removes and that are not zero.
        macs: of one forward pass on the example, dense.
        size_bits: of all parameters, stored densely: quantized weights at their bits, the rest as float [bit].
    """

    parameters: int
    nonzero: int
    macs: int
    size_bits: int


def model_size(model: nn.Module, *example: Any) -> ModelSize:
    """Count a model, plain, sparse or compressed; a parameter that several modules share counts with the first.

    Args:
        model: not changed.
        example: inputs of its forward.
    """
    masks = get_masks(model)
    total = nonzero = size_bits = 0
    seen: set[int] = set()
    for name, module in model.named_modules():
        if _is_quantizer(name, model):
            continue
        for key, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen:
                continue
            seen.add(id(parameter))
            value = parameter.detach()
            alive = value.ne(0) & masks[name] if key == "weight" and name in masks else value.ne(0)
            bits = FLOAT_BITS
            if key == "weight" and isinstance(module, QuantLayer) and module.weight_quantizer is not None:
                bits = int(module.weight_quantizer.bits)
            total += value.numel()
            nonzero += int(alive.sum())
            size_bits += value.numel() * bits
    return ModelSize(parameters=total, nonzero=nonzero, macs=trace(model, *example).macs, size_bits=size_bits)


def _is_quantizer(name: str, model: nn.Module) -> bool:
    """Inside a compressed layer."""
    parts = name.split(".")
    return any(isinstance(model.get_submodule(".".join(parts[:end])), QuantLayer) for end in range(1, len(parts)))


def size_table(models: Mapping[str, nn.Module], *example: Any) -> pd.DataFrame:
    """One row per model: model, parameters, nonzero, macs, size_bits.

    Args:
        models: label -> model, such as `{"before": model, "after": sliced}`.
        example: inputs of their forward.
    """
    import pandas as pd

    return pd.DataFrame([{"model": label, **vars(model_size(model, *example))} for label, model in models.items()])
