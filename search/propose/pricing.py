"""What a candidate costs: exact, and free compared with its accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hwmodel.errors import ConfigError, did_you_mean
from hwmodel.network.choice import FLOAT, Choice, remove_filters, surviving_weights
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import Bits, Layer
from search.designs.table import DesignTable
from search.front.costs import COSTS, at_chip
from workloads.compress.config import CompressionConfig
from workloads.compress.precision import average_precision


class Table(Protocol):
    """Prices a choice for every module, such as `hwmodel.CostTable`: an object that every `Cost.of` takes.

    One that also has `modules`, `choices` and `totals(indices)` as a `CostTable` prices many candidates at once.
    """

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
        tables: of accelerators by name. The costs of the first have the plain keys, those of each further one
            `KEY@NAME` (`search.front.costs.at_chip`). None prices what needs no accelerator; a single table is the
            first.
    """

    def __init__(self, graph: LayerGraph, tables: Mapping[str, Table] | Table | None) -> None:
        self.graph = graph
        if tables is None:
            self.tables: dict[str, Table] = {}
        else:
            self.tables = dict(tables) if isinstance(tables, Mapping) else {"": tables}
        self._modules = {layer.module for layer in graph.layers}
        self._first = {layer.name for layer in graph.weight_layers}
        self._parts: dict[tuple[int, Choice | None], tuple[float, float, float, float]] = {}

    def costs(self, config: CompressionConfig) -> dict[str, float]:
        """`Cost.key` -> value."""
        if not self.tables:
            totals: Any = self._plain_totals(config)
            return {cost.key: cost.of(totals) for cost in COSTS if not cost.needs_accelerator}
        choices = {module: choice.choice for module, choice in config.layers.items()}
        found: dict[str, float] = {}
        for position, (name, table) in enumerate(self.tables.items()):
            totals = table.price(choices)
            for cost in COSTS:
                if not cost.is_known(totals):
                    continue
                if not position:
                    found[cost.key] = cost.of(totals)
                elif cost.needs_accelerator:
                    found[at_chip(cost.key, name)] = cost.of(totals)
        return found

    def _plain_totals(self, config: CompressionConfig) -> ModelTotals:
        """As `ModelTotals.of`, from what each layer adds at each choice."""
        choices = {module: choice.choice for module, choice in config.layers.items()}
        is_whole = self._modules.issuperset(choices) and choices.keys() >= set(self.graph.modules)
        if not is_whole or any(":" in choice.pattern for choice in choices.values()):  # names and blocks to check
            return ModelTotals.of(self.graph, config)
        parts = [self._part(index, choices.get(layer.module)) for index, layer in enumerate(self.graph.layers)]
        weighted, weights, weight_bits, bops = (sum(column) for column in zip(*parts, strict=True))
        if not weights:
            return ModelTotals.of(self.graph, config)
        return ModelTotals(avg_w_bits=weighted / weights, weight_bits=weight_bits, bops=bops)

    def _part(self, index: int, choice: Choice | None) -> tuple[float, float, float, float]:
        """(weights * bits, weights, surviving weights * bits, bit operations) of one layer."""
        found = self._parts.get((index, choice))
        if found is None:
            layer = self.graph.layers[index]
            done = layer if choice is None else choice.annotate(layer)
            bits = _bits(done)
            own = layer.weights if layer.name in self._first else 0
            kept = surviving_weights(done) * bits.w if layer.name in self._first else 0
            found = (own * bits.w, own, kept, remove_filters(done).macs * bits.w * bits.i)
            self._parts[index, choice] = found
        return found

    @property
    def designs(self) -> DesignTable | None:
        """The table of the first accelerator, where that is a chip of several designs."""
        first = next(iter(self.tables.values()), None)
        return first if isinstance(first, DesignTable) else None

    def table_of(self, key: str) -> tuple[Table | None, str]:
        """The table that prices a cost key, and the key without its accelerator.

        Raises:
            ConfigError: no such accelerator.
        """
        plain, _, name = key.partition("@")
        if not name:
            return (next(iter(self.tables.values())) if self.tables else None), plain
        if name not in self.tables:
            raise ConfigError(
                f"costs: {key} needs the accelerator {name!r}, but there are {', '.join(self.tables) or 'none'}."
                f"{did_you_mean(name, self.tables)}"
            )
        return self.tables[name], plain


def _bits(layer: Layer) -> Bits:
    return layer.bits or FLOAT
