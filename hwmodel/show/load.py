"""Which weights of a priced network stay on chip between inferences, and what their load costs once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hwmodel.network.names import times
from hwmodel.show.quantities import quantity

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
        f"({math.ceil(load.bits / 8):,} B): loaded once for {quantity(load.energy_pj * 1e-12, 'J')} in "
        f"{load.cycles:,} cycles, which no total has"
    ]
