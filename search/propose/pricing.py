"""What a candidate costs: exact, and free compared with its accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hwmodel.network.choice import FLOAT, Choice, remove_filters, surviving_weights
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import Bits, Layer
from search.front.costs import COSTS
from workloads.compress.config import CompressionConfig
from workloads.compress.precision import average_precision


class Table(Protocol):
    """Prices a choice for every module, such as `hwmodel.CostTable`: an object that every `Cost.of` takes."""

    def price(self, choices: Mapping[str, Choice], /) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class ModelTotals:
    """What a candidate costs on any accelerator.

    Attributes:
        avg_w_bits: by `workloads.compress.average_precision` [bit].
        weight_bits: of the surviving weights, each once, without indices [bit].
        bops: MACs after removed filters * b_w * b_i.
    """

    avg_w_bits: float
    weight_bits: float
    bops: float

    @classmethod
    def of(cls, graph: LayerGraph, config: CompressionConfig) -> ModelTotals:
        """Totals of a graph under a configuration."""
        annotated = config.annotate(graph)
        return cls(
            avg_w_bits=average_precision(graph, config),
            weight_bits=sum(surviving_weights(layer) * _bits(layer).w for layer in annotated.weight_layers),
            bops=sum(remove_filters(layer).macs * _bits(layer).w * _bits(layer).i for layer in annotated.layers),
        )


class Pricer:
    """Costs of configurations of one graph.

    Args:
        graph: of the model.
        table: of an accelerator; None prices what needs none.
    """

    def __init__(self, graph: LayerGraph, table: Table | None) -> None:
        self._graph = graph
        self._table = table

    def costs(self, config: CompressionConfig) -> dict[str, float]:
        """`Cost.key` -> value."""
        if self._table is None:
            totals: Any = ModelTotals.of(self._graph, config)
            return {cost.key: cost.of(totals) for cost in COSTS if not cost.needs_accelerator}
        totals = self._table.price({module: choice.choice for module, choice in config.layers.items()})
        return {cost.key: cost.of(totals) for cost in COSTS}


def _bits(layer: Layer) -> Bits:
    return layer.bits or FLOAT
