"""A network costs no less than its lower bounds, on any chip of an outline."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import pytest

from hwmodel import evaluate, list_accelerators, load_accelerator
from hwmodel.chip.accelerator import Accelerator
from hwmodel.cost import price_situation
from hwmodel.mapper.kin.chips import has_bounds
from hwmodel.mapper.kin.library import Library
from hwmodel.mapper.shared import sharing_chips
from hwmodel.nest.task import Stay
from hwmodel.network.graph import LayerGraph
from hwmodel.network.layer import Bits, Density, Dims, Layer
from hwmodel.place.lower import METRICS, Least, Widest, bound_situation, least_of_network, widened
from hwmodel.place.plan import Plan
from hwmodel.place.situation import Situation
from search.explore.pricing import room_of, widest
from tests.hwmodel.chips import TINY, chip
from tests.hwmodel.mapper.test_library import varied
from tests.search.helpers import make_graph

SPATIAL = [name for name in list_accelerators() if has_bounds(load_accelerator(name))]
RESIDENT = TINY.replace("    size: 64 B\n", "    size: 1 KiB\n    resident: [I, O]\n")


def lower(graph: LayerGraph, one: Accelerator, most: Mapping[str, Widest]) -> Least:
    """The bounds of a network on a chip with the widest ports of some chips."""
    wide = widened(one, most, sizes=False)
    return least_of_network(Plan.of(graph, wide), wide)


@pytest.mark.parametrize("text", [TINY.replace("size: 64 B", "size: 1 KiB"), RESIDENT], ids=["plain", "resident"])
@pytest.mark.parametrize("seed", range(3))
def test_a_network_costs_no_less(tmp_path, text: str, seed: int) -> None:
    rng = random.Random(seed)
    base, graph = chip(tmp_path, text), make_graph()
    chips = [varied(base, rng) for _ in range(4)]
    most, library = widest(room_of(one) for one in chips), Library()
    for one in chips:
        with sharing_chips(library):
            least = lower(graph, one, most)
        assert 0 < least.energy_pj <= evaluate(graph, one, optimize="energy").energy_pj
        assert 0 < least.cycles <= evaluate(graph, one, optimize="latency").cycles


@pytest.mark.parametrize("name", SPATIAL)
def test_a_network_costs_no_less_on_any_kind_of_chip(name: str) -> None:
    graph, one = make_graph(), load_accelerator(name)
    with sharing_chips(Library()):
        least = lower(graph, one, room_of(one))
    assert 0 < least.energy_pj <= evaluate(graph, one, optimize="energy").energy_pj
    assert 0 < least.cycles <= evaluate(graph, one, optimize="latency").cycles


def test_a_bound_is_that_of_its_own_sizes(tmp_path) -> None:
    """What a library knows of other sizes changes no bound of energy, and one of cycles by no more than it may."""
    graph, library = make_graph(), Library()
    chips = [chip(tmp_path, RESIDENT.replace("size: 1 KiB", f"size: {size} B")) for size in (64, 128, 256, 1024)]
    most, found = widest(room_of(one) for one in chips), []
    for one in chips:
        with sharing_chips(library):
            found.append(lower(graph, one, most))
        assert found[-1].energy_pj == lower(graph, one, most).energy_pj
        assert found[-1].cycles <= lower(graph, one, most).cycles
    assert found[0].energy_pj > found[1].energy_pj > found[-1].energy_pj


#: On their own chip: the layer, and how much of what it costs its bounds are at least, in energy and cycles.
CONV = Layer(
    name="x", kind="conv", dims=Dims(K=4, C=3, FY=3, FX=3, OY=5, OX=5), padding=((1, 1), (1, 1)),
    bits=Bits(w=8, i=8, o=8),
)  # fmt: skip
POINTWISE = replace(CONV, dims=Dims(K=16, C=1, OY=5, OX=5), padding=((0, 0), (0, 0)))
SITUATIONS = {
    "whole": (Situation(layer=CONV), 0.8, 0.8),
    "stripes": (Situation(layer=replace(CONV, dims=replace(CONV.dims, OY=12)), rows=2), 0.8, 0.75),
    "pooled": (Situation(layer=CONV, unwritten=Fraction(3, 4)), 0.5, 0.8),
    "mostly outputs": (Situation(layer=POINTWISE, unwritten=Fraction(3, 4)), 0.3, 0.5),
    "filters": (Situation(layer=replace(CONV, density=Density(w=0.5, pattern="filter"))), 0.8, 0.8),
    "zeros": (Situation(layer=replace(CONV, density=Density(w=0.25))), 0.8, 0.8),
    "inputs that stay": (Situation(layer=CONV, stay=Stay(resident=("I",), room_bits=2048.0)), 0.8, 0.8),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_situation_costs_no_less_and_little_more(tmp_path, name: str) -> None:
    situation, energy, cycles = SITUATIONS[name]
    one = chip(tmp_path, RESIDENT)
    for metric, nearest in (("energy", energy), ("latency", cycles)):
        least, price = bound_situation(one, metric, situation), price_situation(one, metric, situation)
        assert least.energy_pj <= price.energy_pj and least.cycles <= price.cycles
        column = METRICS.index(metric)
        assert least[column] > nearest * price[column]


def test_zeros_that_are_skipped_lower_the_bound(tmp_path) -> None:
    sparse = Situation(layer=replace(CONV, density=Density(w=0.25)))
    skipping = chip(tmp_path, RESIDENT + "skipping: [W]\n")
    least, price = bound_situation(skipping, "latency", sparse), price_situation(skipping, "latency", sparse)
    assert least.cycles <= price.cycles < bound_situation(chip(tmp_path, RESIDENT), "latency", sparse).cycles


def test_bounds_of_one_outline_are_not_those_of_another(tmp_path) -> None:
    """Chips of two energies asked of the same library."""
    first = chip(tmp_path, RESIDENT)
    second = chip(tmp_path, RESIDENT.replace("read_energy: 2 pJ/bit", "read_energy: 5 pJ/bit"))
    graph, library, found = make_graph(), Library(), []
    for one in (first, second):
        with sharing_chips(library):
            found.append(lower(graph, one, room_of(one)).energy_pj)
    assert found == [lower(graph, one, room_of(one)).energy_pj for one in (first, second)]
    assert found[0] < found[1]


def test_a_bound_is_near_where_nothing_binds() -> None:
    """On a chip of its own size the bound is that of the mapper: within 10 % of the energy, 40 % of the cycles."""
    one = load_accelerator("edge_npu")
    graph = make_graph()
    most = room_of(one)
    assert most["sram"] == Widest(128 * 8192.0, 256.0, 256.0, float("inf"))
    least = lower(graph, one, most)
    cost = evaluate(graph, one, optimize="energy")
    assert least.energy_pj > 0.9 * cost.energy_pj
    assert least.cycles > 0.6 * evaluate(graph, one, optimize="latency").cycles


def test_widened_keeps_what_is_unbounded() -> None:
    one = load_accelerator("edge_npu")
    most = {name: Widest(*(2 * value for value in own)) for name, own in room_of(one).items()}
    wide = widened(one, most, sizes=True)
    assert [m.size_bits for m in wide.memories().values()] == [64, 2 * 128 * 8192, None]
    assert wide.memories()["sram"].read_bits_per_cycle == 512
    assert wide.memories()["accumulators"].read_bits_per_cycle is None
    networked = tuple(
        replace(level, memories=tuple(replace(m, network_bits_per_cycle=8.0) for m in level.memories))
        for level in one.levels
    )
    ports = {"sram": Widest(1.0, 2.0, 3.0, 4.0)}
    ports |= dict.fromkeys(room_of(one), ports["sram"])
    sram = widened(replace(one, levels=networked), ports, sizes=False).memories()["sram"]
    assert (sram.read_bits_per_cycle, sram.write_bits_per_cycle, sram.network_bits_per_cycle) == (2.0, 3.0, 4.0)
    narrow = widened(one, most, sizes=False)
    assert replace(narrow, levels=()) == replace(one, levels=())
    assert narrow.memories()["sram"].size_bits == 128 * 8192
