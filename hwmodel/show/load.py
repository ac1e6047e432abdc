"""Which weights of a priced network stay on chip between inferences, and what their load costs once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hwmodel.network.names import times

if TYPE_CHECKING:
    from hwmodel.price.results import NetworkCost


def load_lines(cost: NetworkCost) -> list[str]:
    """One line; none where no weights stay."""
    load = cost.load
    if load is None:
        return []
    reading = sum(item.layer.weights > 0 for item in cost.layers)
    return [
        f"weights of {len(load.layers)} of {times(reading, 'layer')} stay in {load.memory} "
        f"({math.ceil(load.bits / 8):,} B): loaded once for {load.energy_pj:,.0f} pJ in {load.cycles:,} cycles, "
        "which no total has"
    ]
