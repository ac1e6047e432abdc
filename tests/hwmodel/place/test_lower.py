"""A network costs no less than its lower bounds, on any chip of an outline."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from hwmodel import evaluate, load_accelerator
from hwmodel.chip.accelerator import Accelerator
from hwmodel.mapper.kin.library import Library
from hwmodel.mapper.shared import sharing_chips
from hwmodel.place.lower import Bounds, Widest, widened
from hwmodel.place.plan import Plan
from search.explore.pricing import room_of, widest
from tests.hwmodel.chips import TINY, chip
from tests.hwmodel.mapper.test_library import varied
from tests.search.helpers import make_graph

RESIDENT = TINY.replace("    size: 64 B\n", "    size: 1 KiB\n    resident: [I, O]\n")


def bounds_of(chips: list[Accelerator]) -> Bounds:
    most = widest(room_of(one) for one in chips)
    return Bounds(lambda accelerator: widened(accelerator, most, sizes=True))


@pytest.mark.parametrize("text", [TINY.replace("size: 64 B", "size: 1 KiB"), RESIDENT], ids=["plain", "resident"])
@pytest.mark.parametrize("seed", range(3))
def test_a_network_costs_no_less(tmp_path, text: str, seed: int) -> None:
    rng = random.Random(seed)
    base, graph = chip(tmp_path, text), make_graph()
    chips = [varied(base, rng) for _ in range(4)]
    bounds, most = bounds_of(chips), widest(room_of(one) for one in chips)
    for one in chips:
        wide = widened(one, most, sizes=False)
        with sharing_chips(Library()):
            least = bounds.of_network(Plan.of(graph, wide), wide)
        assert 0 < least.energy_pj <= evaluate(graph, one, optimize="energy").energy_pj
        assert 0 < least.cycles <= evaluate(graph, one, optimize="latency").cycles


def test_a_bound_is_near_where_nothing_binds() -> None:
    """On a chip of its own size the bound is that of the mapper: within 6 % of energy and cycles of each layer."""
    one = load_accelerator("edge_npu")
    graph = make_graph()
    most = room_of(one)
    assert most["sram"] == Widest(128 * 8192.0, 256.0, 256.0, float("inf"))
    least = bounds_of([one]).of_network(Plan.of(graph, one), one)
    cost = evaluate(graph, one, optimize="energy")
    assert least.energy_pj > 0.9 * cost.energy_pj


def test_widened_keeps_what_is_unbounded() -> None:
    one = load_accelerator("edge_npu")
    most = {name: Widest(*(2 * value for value in own)) for name, own in room_of(one).items()}
    wide = widened(one, most, sizes=True)
    assert [m.size_bits for m in wide.memories().values()] == [64, 2 * 128 * 8192, None]
    assert wide.memories()["sram"].read_bits_per_cycle == 512
    assert wide.memories()["accumulators"].read_bits_per_cycle is None
    narrow = widened(one, most, sizes=False)
    assert replace(narrow, levels=()) == replace(one, levels=())
    assert narrow.memories()["sram"].size_bits == 128 * 8192
