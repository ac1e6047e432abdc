"""Parameters, MACs and bytes of a model, before and after a transform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from hwmodel.deprecated import example_was_spread
from hwmodel.network.graph import LayerGraph
from workloads.compress.layers import QuantLayer
from workloads.compress.pruning.masks import get_masks
from workloads.example import arguments
from workloads.tracing import trace

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class ModelSize:
    """What a model, or a part of it, holds and does. A parameter that modules share counts once.

    Attributes:
        parameters: trained numbers, those of quantizers left out.
        trainable: those with a gradient.
        nonzero: those that no mask removes and that are not zero.
        macs: of one forward pass on the example, dense.
        size_bits: of all parameters, stored densely: quantized weights at their bits, the rest at the width of
            their type [bit].
    """

    parameters: int
    trainable: int
    nonzero: int
    macs: int
    size_bits: int

    @property
    def size_bytes(self) -> int:
        """The same in whole bytes [byte]."""
        return -(-self.size_bits // 8)


@example_was_spread(1)
def model_size(model: nn.Module, example: Any) -> ModelSize:
    """Count a model, plain, sparse or compressed.

    Args:
        model: not changed.
        example: its input, or a tuple of them.
    """
    return size_of(model, trace(model, *arguments(example)))


def size_of(model: nn.Module, graph: LayerGraph, name: str = "") -> ModelSize:
    """Count a module of a model that is traced.

    Args:
        model: plain, sparse or compressed; not changed.
        graph: its trace.
        name: of the module; "" is the model.
    """
    part = model.get_submodule(name)
    masks, quantizers = get_masks(part), _quantizer_parameters(part)
    seen: set[int] = set()
    total = trainable = nonzero = size_bits = 0
    for path, module in part.named_modules():
        for key, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen | quantizers:
                continue
            seen.add(id(parameter))
            is_weight = key in ("weight", "weight_orig")  # the latter under torch.nn.utils.prune
            alive = parameter.detach().ne(0)
            total += parameter.numel()
            trainable += parameter.numel() if parameter.requires_grad else 0
            nonzero += int((alive & masks[path] if is_weight and path in masks else alive).sum())
            size_bits += parameter.numel() * _width(module, key, parameter)
    inside = (layer for layer in graph.layers if not name or f"{layer.module}.".startswith(f"{name}."))
    macs = sum(layer.macs for layer in inside)
    return ModelSize(parameters=total, trainable=trainable, nonzero=nonzero, macs=macs, size_bits=size_bits)


def _quantizer_parameters(model: nn.Module) -> set[int]:
    """id of every parameter inside a compressed layer that is not the layer's own."""
    return {
        id(parameter)
        for layer in model.modules()
        if isinstance(layer, QuantLayer)
        for child in layer.children()
        for parameter in child.parameters()
    }


def _width(module: nn.Module, key: str, parameter: nn.Parameter) -> int:
    """Of a stored element [bit]."""
    own = 8 * parameter.element_size()
    if key != "weight" or not isinstance(module, QuantLayer) or module.weight_quantizer is None:
        return own
    return min(own, int(module.weight_quantizer.bits))


@example_was_spread(1)
def size_table(models: Mapping[str, nn.Module], example: Any) -> pd.DataFrame:
    """One row per model: model, parameters, nonzero, macs, size_bits.

    Args:
        models: label -> model, such as `{"before": model, "after": sliced}`.
        example: their input, or a tuple of them.
    """
    import pandas as pd

    sizes = {label: model_size(model, example) for label, model in models.items()}
    columns = ("parameters", "nonzero", "macs", "size_bits")
    return pd.DataFrame(
        [{"model": label, **{name: getattr(size, name) for name in columns}} for label, size in sizes.items()]
    )
