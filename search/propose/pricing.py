"""What a candidate costs: exact, and free compared with its accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from hwmodel.network.choice import FLOAT, Choice, surviving_weights
from hwmodel.network.graph import LayerGraph
from workloads.compress.config import CompressionConfig
from workloads.compress.precision import average_precision

if TYPE_CHECKING:
    from collections.abc import Callable

#: Keys of `Result.costs`; the first three need no accelerator.
COST_KEYS = ("avg_w_bits", "weight_bits", "bops", "energy_pj", "latency_s", "cycles", "memory_bits")


class Table(Protocol):
    """Prices a choice for every module, such as `hwmodel.CostTable`: an object with the `COST_KEYS`."""

    def price(self, choices: Mapping[str, Choice], /) -> Any: ...


class Pricer:
    """Costs of configurations of one graph.

    Args:
        graph: of the model.
        table: of an accelerator; None prices what needs none: average weight bits, the bits of the
            surviving weights (no indices), and bit operations.
    """

    def __init__(self, graph: LayerGraph, table: Table | None) -> None:
        self._graph = graph
        self._table = table

    def costs(self, config: CompressionConfig) -> dict[str, float]:
        """Cost key -> value."""
        if self._table is None:
            return self._without_accelerator(config)
        totals = self._table.price({module: choice.choice for module, choice in config.layers.items()})
        return {key: float(getattr(totals, key)) for key in COST_KEYS}

    def _without_accelerator(self, config: CompressionConfig) -> dict[str, float]:
        graph = config.annotate(self._graph)
        widths = {layer.name: layer.bits or FLOAT for layer in graph.layers}
        return {
            "avg_w_bits": average_precision(self._graph, config),
            "weight_bits": float(
                sum(surviving_weights(layer) * widths[layer.name].w for layer in graph.weight_layers)
            ),
            "bops": float(sum(layer.macs * widths[layer.name].w * widths[layer.name].i for layer in graph.layers)),
        }


def build_table(
    graph: LayerGraph,
    accelerator: Any,
    choices: Mapping[str, tuple[Choice, ...]],
    progress: Callable[[int, int], None] | None = None,
) -> Table:
    """The cost table of an accelerator: every layer at every choice, priced once."""
    from hwmodel import CostTable

    return CostTable.build(graph, accelerator, choices, progress=progress)
