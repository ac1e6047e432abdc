"""The mapper against Timeloop's: its best mappings, and the optimum of its constrained search space."""

from __future__ import annotations

import pytest

from benchmarks.replays import eyeriss256, timeloop_best
from benchmarks.replays.figures import figures
from hwmodel import find_mapping

BEST = figures("timeloop_mapper_best.json")


@pytest.mark.parametrize("row", BEST["rows"], ids=[row["layer"] for row in BEST["rows"]])
def test_never_worse_than_the_best_known(row):
    layer, accelerator = timeloop_best.problem_of(BEST, row)
    _, cost = find_mapping(layer, accelerator)
    digits = len(str(row["best_pj_per_mac"]).partition(".")[2])  # as many as the file states
    assert round(cost.energy_pj / layer.macs, digits) <= row["best_pj_per_mac"]


def test_optimum_of_the_row_stationary_space():
    """Timeloop v3.0.3 over all 178,200 mappings of this space: the same energy in every level, the same cycles."""
    data = figures("timeloop_eyeriss256.json")
    layer = eyeriss256.problem_of(data)
    mapping, cost = find_mapping(layer, eyeriss256.chip_of(data))
    assert eyeriss256.energy_by_level(layer, cost) == pytest.approx(data["best_fj_per_mac"], abs=0.005)
    assert cost.energy_pj / layer.macs == pytest.approx(data["best_pj_per_mac"], abs=5e-6)
    assert mapping.iterations == data["cycles"]
