"""What a candidate is judged by: energy, whole cycles or their product."""

from __future__ import annotations

import numpy as np

from hwmodel.mapper.compiling import internal
from hwmodel.mapper.counting import Floats

ENERGY, LATENCY, EDP = 0, 1, 2
#: Relative difference below which two numbers are equal.
SLACK = 1e-12


@internal
def busy_cycles(values: Floats, compute: float) -> float:
    """Cycles from the metrics (M): the busiest of array and ports, and the fills waited for."""
    busiest = compute
    for k in range(1, len(values) - 1):
        busiest = max(busiest, values[k])
    return busiest + max(0.0, values[len(values) - 1])


@internal
def whole(cycles: float) -> float:
    """Whole cycles, rounding noise aside."""
    return np.ceil(cycles * (1.0 - SLACK))


@internal
def score_of(objective: int, energy: float, cycles: float) -> float:
    if objective == ENERGY:
        return energy
    return whole(cycles) if objective == LATENCY else energy * whole(cycles)
