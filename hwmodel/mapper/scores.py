"""What a candidate is judged by: energy, whole cycles or their product."""

from __future__ import annotations

import numpy as np

from hwmodel.mapper.compiling import internal
from hwmodel.mapper.counting import WAITS, Floats

ENERGY, LATENCY, EDP = 0, 1, 2
#: Relative difference below which two numbers are equal.
SLACK = 1e-12


@internal
def busy_cycles(values: Floats, compute: float, num_metrics: int) -> float:
    """A lower bound of the cycles from the first metrics: the busiest port, or the array with what it waits for.

    Lemma 9 of docs/explain/mapper.md.
    """
    busiest = compute
    if num_metrics > WAITS:
        busiest += max(0.0, values[WAITS])
    for k in range(WAITS + 1, num_metrics):
        busiest = max(busiest, values[k])
    return busiest


@internal
def end_cycles(values: Floats, edges: Floats, compute: float, num_metrics: int) -> float:
    """The cycles from the first metrics and what goes before and after each; at WAITS that of the array."""
    last = compute + max(0.0, values[WAITS]) + edges[WAITS]
    for k in range(WAITS + 1, num_metrics):
        last = max(last, values[k] + edges[k])
    return last


@internal
def whole(cycles: float) -> float:
    """Whole cycles, rounding noise aside."""
    return np.ceil(cycles * (1.0 - SLACK))


@internal
def score_of(objective: int, energy: float, cycles: float) -> float:
    if objective == ENERGY:
        return energy
    return whole(cycles) if objective == LATENCY else energy * whole(cycles)
