"""The timeline against layers played out tile by tile, against hand schedules, and the orders that it must keep."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import Bits, Layer, LevelMapping, Loop, Mapping, find_mapping, load_accelerator
from hwmodel.chip.accelerator import Accelerator, Memory
from hwmodel.errors import MappingError
from hwmodel.nest.task import Task
from hwmodel.price.priced import Priced
from hwmodel.price.spatial import price
from tests.hwmodel.chips import TINY, chip
from tests.hwmodel.price.simulator import simulate

BANDWIDTHS = [None, 4.0, 8.0, 16.0, 32.0, 64.0]


def with_memories(accelerator: Accelerator, change) -> Accelerator:
    """The accelerator with every memory changed by a function."""
    levels = tuple(replace(v, memories=tuple(change(m) for m in v.memories)) for v in accelerator.levels)
    return replace(accelerator, levels=levels)


def random_chip(base: Accelerator, rng: random.Random) -> Accelerator:
    """The tiny chip with other ports and buffers, and room for every tile."""
    kept = rng.choice([("W", "O"), ("W",), ("O",), ("W", "I", "O")])

    def change(memory: Memory) -> Memory:
        shared, read, write = rng.random() < 0.4, rng.choice(BANDWIDTHS), rng.choice(BANDWIDTHS)
        ports = dict(read_bits_per_cycle=read, write_bits_per_cycle=read if shared else write, shared_port=shared)
        double = rng.random() < 0.5
        if memory.name == "regs":
            slow = rng.choice([None, None, 8.0])
            return replace(memory, holds=kept, size_bits=1e9, double_buffered=double, write_bits_per_cycle=slow)
        size = None if memory.name == "dram" else 1e9
        return replace(memory, size_bits=size, double_buffered=double and size is not None, **ports)

    return with_memories(base, change)


def random_nest(accelerator: Accelerator, rng: random.Random) -> tuple[Layer, Mapping]:
    """Loops at every level, in any order, of a layer that they make up."""

    def loops(most: int, bounds: list[int]) -> tuple[Loop, ...]:
        return tuple(
            Loop(dim, rng.choice(bounds)) for dim in rng.sample(["B", "K", "C", "OX"], rng.randint(0, most))
        )

    dram, buffer, regs = loops(3, [2, 3, 4]), loops(3, [2, 3, 4]), loops(1, [2, 3])
    spatial = tuple(
        Loop(rng.choice(dims), 2, axis) for axis, dims in (("X", ["K", "OX"]), ("Y", ["C"])) if rng.random() < 0.6
    )
    bounds: dict[str, int] = {}
    for loop in (*dram, *buffer, *regs, *spatial):
        bounds[loop.dim] = bounds.get(loop.dim, 1) * loop.bound
    kept = rng.choice([("W", "I", "O"), ("W", "I", "O"), ("I", "O")])
    mapping = Mapping(
        levels=(
            LevelMapping(name="regs", keeps=accelerator.levels[0].memories[0].holds, temporal=regs),
            LevelMapping(name="buffer", keeps=kept, temporal=buffer, spatial=spatial),
            LevelMapping(name="dram", keeps=("W", "I", "O"), temporal=dram),
        )
    )
    return Layer(name="x", dims=bounds or {"K": 1}), mapping


def end(priced: Priced) -> float:
    """Cycles before they are rounded."""
    parts = priced.parts
    return parts.busy + parts.waiting + parts.first_fill + parts.last_drain


def busiest(priced: Priced, accelerator: Accelerator) -> float:
    memories = accelerator.memories()
    ports = [sum(p) if memories[name].shared_port else max(p) for name, p in priced.parts.ports.items()]
    return max(priced.parts.compute, *ports)


def test_it_is_what_a_walk_over_the_tiles_finds(tmp_path):
    """Half of the nests within 2 %, four fifths within 20 %, every one of a handful of tiles within a half.

    What is left: transfers of several operands that meet on a port, or run beside each other on two, and ports that
    are as busy as the array, so that every burst delays it.
    """
    base, rng, ratios = chip(tmp_path), random.Random(3), []
    while len(ratios) < 80:
        accelerator = random_chip(base, rng)
        layer, mapping = random_nest(accelerator, rng)
        task = Task.of(layer, accelerator)
        try:
            priced = price(task, mapping)
        except MappingError:  # an odd number on both axes
            continue
        walked, least = simulate(task, mapping), busiest(priced, accelerator)
        assert walked >= least * (1 - 1e-6)
        assert priced.cycles >= math.floor(least)
        ratios.append(walked / end(priced))
    assert 0.6 < min(ratios) <= max(ratios) < 1.6
    assert median(abs(ratio - 1) for ratio in ratios) < 0.02
    assert sum(0.8 < ratio < 1.2 for ratio in ratios) >= 0.8 * len(ratios)


def test_three_tiles_of_filters_on_paper():
    """tpu_like, 1x1 of 96 filters over 24 channels and 56 x 56 pixels; 64 bit/cycle to DRAM, 8-bit words.

    The pixels come (9,408 cycles), then 24 x 32 weights (96); 3,136 cycles later the first third of the outputs is
    there, and DRAM's port writes 37,632 cycles from then on, while the other two thirds are computed.
    """
    accelerator = load_accelerator("tpu_like")
    layer = Layer(name="x", dims=dict(K=96, C=24, OY=56, OX=56), bits=Bits(w=8, i=8, o=8))
    mapping = Mapping(
        levels=(
            LevelMapping(name="registers", keeps=("W", "O")),
            LevelMapping(
                name="sram_2MB",
                keeps=("I", "O"),
                temporal=(Loop("OY", 56), Loop("OX", 56)),
                spatial=(Loop("K", 32, "X"), Loop("C", 24, "Y")),
            ),
            LevelMapping(name="dram", keeps=("W", "I", "O"), temporal=(Loop("K", 3),)),
        )
    )
    priced = price(Task.of(layer, accelerator), mapping)
    sums = 32 * 8 / 2048  # of the last pixel, from the PEs into the buffer
    assert priced.cycles == math.ceil(9_408 + 96 + 3_136 + 37_632 + sums)
    assert priced.bound == "dram"
    best = find_mapping(layer, accelerator, "latency")[1]
    assert 9_408 + 288 + 37_632 <= best.cycles <= 1.01 * (9_408 + 288 + 37_632)  # the port, and little else


def test_one_buffer_waits_where_two_do_not():
    """edge_npu, all in one tile: the array's 18,432 cycles come on top of the 4,340 of DRAM's port."""
    two = load_accelerator("edge_npu")
    one = with_memories(two, lambda memory: replace(memory, double_buffered=False))
    layer = Layer(name="x", dims=dict(K=32, C=32, OY=16, OX=16, FY=3, FX=3), bits=Bits(w=8, i=8, o=8))
    macs, moved = layer.macs / 128, (layer.weights + layer.elements("I") + layer.elements("O")) * 8 / 51.2
    for objective in ("energy", "latency"):
        waits, hides = (find_mapping(layer, item, objective)[1].cycles for item in (one, two))
        assert macs + moved <= waits <= 1.01 * (macs + moved)
        assert macs <= hides < waits


@pytest.mark.parametrize("walk", [simulate, None], ids=["walked", "priced"])
def test_a_small_layer_walked_and_priced(tmp_path, walk):
    """One tile after the other: W and I come, are used, O leaves; in one buffer nothing overlaps."""
    text = TINY.replace("double_buffered: true", "double_buffered: false").replace("[W, O]", "[O]")
    accelerator = chip(tmp_path, text)
    layer = Layer(name="x", dims=dict(OX=4, C=2))
    mapping = Mapping(
        levels=(
            LevelMapping(name="regs", keeps=("O",)),
            LevelMapping(name="buffer", keeps=("W", "I", "O"), temporal=(Loop("C", 2),)),
            LevelMapping(name="dram", keeps=("W", "I", "O"), temporal=(Loop("OX", 4),)),
        )
    )
    task = Task.of(layer, accelerator)
    weights, inputs, steps, sums, outputs = 2 * 8 / 16, 2 * 8 / 16, 2, 8 / 16, 8 / 16
    by_hand = weights + 4 * (inputs + steps + outputs) + sums
    if walk is None:
        assert end(price(task, mapping)) == by_hand
    else:  # the next pixels come while the last sums leave the PEs, and the outputs of the buffer
        assert by_hand - 4 * (sums + outputs) <= walk(task, mapping) <= by_hand + 4 * sums


chips = st.integers(0, 10**9)


@settings(max_examples=60, deadline=None)
@given(seed=chips)
def test_faster_ports_and_second_buffers_never_cost_cycles(seed, tmp_path_factory):
    """Of the same mapping: each bandwidth raised, and each single buffer of the same tiles doubled."""
    rng = random.Random(seed)
    accelerator = random_chip(chip(tmp_path_factory.mktemp("chip")), rng)
    layer, mapping = random_nest(accelerator, rng)

    def cycles(item: Accelerator) -> int:
        return price(Task.of(layer, item), mapping).cycles

    try:
        before = cycles(accelerator)
    except MappingError:
        return
    for name in ("regs", "buffer", "dram"):
        for side in ("read_bits_per_cycle", "write_bits_per_cycle"):
            faster = with_memories(
                accelerator,
                lambda m: replace(m, **{side: getattr(m, side) and getattr(m, side) * 2}) if m.name == name else m,  # noqa: B023
            )
            assert cycles(faster) <= before
        if name != "dram":
            assert cycles(
                with_memories(accelerator, lambda m: replace(m, double_buffered=True) if m.name == name else m)  # noqa: B023
            ) <= before  # fmt: skip


SMALL = st.builds(
    lambda k, c, o, f: Layer(name="x", dims=dict(K=k, C=c, OY=o, OX=o, FY=f)),
    st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 2, 4, 7, 8]), st.sampled_from([1, 3]),
)  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(layer=SMALL, seed=chips, optimize=st.sampled_from(["latency", "edp"]))
def test_faster_ports_and_larger_memories_never_raise_the_optimum(layer, seed, optimize, tmp_path_factory):
    rng = random.Random(seed)
    base = chip(tmp_path_factory.mktemp("chip"), TINY.replace("size: 64 B", "size: 512 B"))

    def score(item: Accelerator) -> float:
        cost = find_mapping(layer, item, optimize)[1]
        return cost.cycles * (cost.energy_pj if optimize == "edp" else 1.0)

    name = rng.choice(["regs", "buffer", "dram"])
    field = rng.choice(["size_bits", "read_bits_per_cycle", "write_bits_per_cycle"])
    larger = with_memories(
        base, lambda m: replace(m, **{field: getattr(m, field) and 2 * getattr(m, field)}) if m.name == name else m
    )
    assert score(larger) <= score(base) * (1 + 1e-9)
