"""Chips that share mappings cost what they cost by themselves, and share no more than the rule allows."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from hwmodel import evaluate, load_accelerator
from hwmodel.chip.accelerator import Accelerator
from hwmodel.errors import MappingError
from hwmodel.mapper import shared
from hwmodel.mapper.kin.chips import kin_of, shares_mappings
from hwmodel.mapper.kin.library import Library
from hwmodel.mapper.shared import forget_mappings, map_and_price, sharing_chips
from hwmodel.nest.task import Task
from tests.hwmodel.chips import TINY, chip
from tests.hwmodel.mapper.test_monotone import ROOMY, random_layer
from tests.search.helpers import make_graph

TEXTS = [TINY, ROOMY, ROOMY + "skipping: [W]\ngating: [I]\n", TINY.replace("d: true", "d: false")]


def varied(accelerator: Accelerator, rng: random.Random) -> Accelerator:
    """The chip with other sizes, ports and things that no mapping sees."""
    levels = tuple(
        replace(
            level,
            memories=tuple(
                replace(
                    memory,
                    size_bits=memory.size_bits and memory.size_bits * rng.choice([1, 1.5, 2, 8]),
                    read_bits_per_cycle=memory.read_bits_per_cycle
                    and memory.read_bits_per_cycle * rng.choice([1, 4]),
                    leakage_w=rng.choice([0.0, 1e-3]),
                )
                for memory in level.memories
            ),
        )
        for level in accelerator.levels
    )
    return replace(accelerator, levels=levels, clock_hz=rng.choice([1e8, 3e8]), name=f"n{rng.random()}")


@pytest.mark.parametrize("seed", range(20))
def test_shared_mappings_cost_what_own_ones_do(tmp_path, seed: int) -> None:
    rng = random.Random(seed)
    base, layer = chip(tmp_path, rng.choice(TEXTS)), random_layer(rng)
    chips = [varied(base, rng) for _ in range(6)]
    optimize = rng.choice(["energy", "latency", "edp"])
    costs = []
    for library in (None, Library()):
        forget_mappings()
        found = []
        for one in chips:
            try:
                if library is None:
                    found.append(_key(evaluate(layer, one, optimize=optimize)))
                else:
                    with sharing_chips(library):
                        found.append(_key(evaluate(layer, one, optimize=optimize)))
            except MappingError:
                found.append(None)
        costs.append(found)
    for own, shared_cost in zip(*costs, strict=True):
        assert (own is None) == (shared_cost is None)
        if own is not None:
            assert shared_cost[0] == pytest.approx(own[0], rel=1e-12)
            assert shared_cost[1] == own[1]


def _key(cost) -> tuple[float, int]:
    return cost.energy_pj, cost.cycles


@pytest.mark.parametrize("optimize", ["energy", "latency"])
def test_networks_whose_tensors_stay(tmp_path, optimize: str) -> None:
    text = TINY.replace("    size: 64 B\n", "    size: 1 KiB\n    resident: [I, O]\n")
    base, library = chip(tmp_path, text), Library()
    for factor in (4, 2, 1.3, 1, 0.5):
        memory = base.levels[1].memories[0]
        sized = replace(memory, size_bits=memory.size_bits * factor)
        one = replace(base, levels=(base.levels[0], replace(base.levels[1], memories=(sized,)), base.levels[2]))
        forget_mappings()
        own = evaluate(make_graph(), one, optimize=optimize)
        forget_mappings()
        with sharing_chips(library):
            found = evaluate(make_graph(), one, optimize=optimize)
        assert (found.energy_pj, found.cycles) == (pytest.approx(own.energy_pj, rel=1e-12), own.cycles)


def test_a_mapping_is_searched_for_once_where_sizes_do_not_bind(tmp_path, monkeypatch) -> None:
    searches = []
    search = shared._search

    def counted(task, optimize, *reached):
        searches.append(task)
        return search(task, optimize, *reached)

    monkeypatch.setattr(shared, "_search", counted)
    monkeypatch.setenv("HWMODEL_CACHE", "off")
    base = chip(tmp_path, ROOMY)
    layer = random_layer(random.Random(3))
    forget_mappings()
    with sharing_chips(Library()):
        for factor in (1000, 900, 800):  # the buffer holds all of the layer in each
            memory = base.levels[1].memories[0]
            sized = replace(memory, size_bits=memory.size_bits * factor)
            middle = replace(base.levels[1], memories=(sized,))
            one = replace(base, levels=(base.levels[0], middle, base.levels[2]))
            map_and_price(Task.of(layer, one), "energy")
    assert len(searches) == 1


def test_kin_differ_in_sizes_and_ports_alone() -> None:
    base = load_accelerator("edge_npu")
    memory = base.levels[1].memories[0]

    def outline(**changes) -> str:
        middle = replace(base.levels[1], memories=(replace(memory, **changes),))
        return kin_of(replace(base, levels=(base.levels[0], middle, base.levels[2]))).outline

    same = [outline(size_bits=1e6), outline(read_bits_per_cycle=7.0), outline(leakage_w=1.0)]
    assert same == [kin_of(base).outline] * 3
    assert outline(read_pj_per_bit=1.0) != kin_of(base).outline
    assert outline(double_buffered=False) != kin_of(base).outline
    assert not shares_mappings(load_accelerator("eyeriss"))
    assert not shares_mappings(load_accelerator("h100"))
