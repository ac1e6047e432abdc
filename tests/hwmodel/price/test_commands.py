"""Machines driven by commands: passes, caches and tiles against walks over every cycle, access and tile."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import Bits, Layer, load_accelerator
from hwmodel.chip.timing.commands import Passes
from hwmodel.errors import MappingError
from hwmodel.explain import explain_mapping
from hwmodel.mapper.commands.tilings import tiling_mapping
from hwmodel.nest.task import Stay, Task
from hwmodel.network.layer import DIM_NAMES, Dims
from hwmodel.price.commands.cycles import commands_of, phases_of_mapping
from hwmodel.price.commands.passes import _starts, block_cycles
from hwmodel.price.commands.tilings import Tilings, mean_extent, tiling_of
from hwmodel.price.spatial import price

GEMMINI = load_accelerator("gemmini")
ORDER = ("B", "G", "K", "OY", "OX", "FY", "FX", "C")


# ---- passes ------------------------------------------------------------------------------------------------


def walked(machine: Passes, rows: list[int], blocks: int) -> list[int]:
    """When each pass starts, cycle by cycle: a command a cycle enters a free entry, a pass runs when it may."""
    total = len(rows) * blocks
    accepted: list[int] = []
    freed: list[int] = []  # cycles at which entries are free again
    starts: list[int] = []
    end = cycle = 0
    while len(starts) < total:
        freed = [free for free in freed if free > cycle]
        waiting = len(accepted) - 2 * len(starts)  # accepted, of passes that have not started
        if len(freed) + waiting < machine.entries:
            accepted.append(cycle)
        n = len(starts)
        if cycle >= end and len(accepted) > 2 * (n + 1) and cycle >= accepted[2 * (n + 1)] + machine.dispatch:
            starts.append(cycle)
            long = machine.weight_rows if (n + 1) % len(rows) == 0 else 0
            end = cycle + max(rows[n % len(rows)], machine.least, long)
            freed += [end, end + machine.latency]
        cycle += 1
    return starts


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(st.integers(1, 8), min_size=1, max_size=5),
    least=st.integers(1, 4),
    entries=st.integers(4, 12),
    latency=st.integers(0, 30),
    dispatch=st.integers(1, 20),
)
def test_passes_start_as_in_a_walk_over_every_cycle(rows, least, entries, latency, dispatch):
    machine = Passes(rows=8, weight_rows=8, least=least, entries=entries, latency=latency, dispatch=dispatch)
    assert _starts(machine, rows, 4) == walked(machine, rows, 4)


def test_full_passes_follow_each_other_and_short_ones_wait_for_entries():
    own = GEMMINI.timing.passes
    assert block_cycles(own, 128, 1) == 8 * 16
    assert block_cycles(own, 28, 28) == pytest.approx(28 * 28 + 16 - 12)  # weights move in beside the last, 12 rows
    assert block_cycles(own, 388, 1) == 24 * 16 + 16  # beside the last pass, of 4 rows
    entries = own.entries // 2  # two commands a pass: so many passes in latency + dispatch and their own rows
    few = block_cycles(own, 2, 96) - block_cycles(own, 2, 64)
    assert (
        (own.latency + own.dispatch - own.weight_rows) / entries < few / 32 < (own.latency + own.dispatch) / entries
    )
    free = replace(own, entries=1000)
    assert block_cycles(free, 2, 28) == 27 * own.least + 16


# ---- tiles -------------------------------------------------------------------------------------------------

layers = st.builds(
    lambda oy, ox, fy, fx, sy, sx, k, c, b: Layer(
        name="x",
        dims=Dims(B=b, K=k, C=c, OY=oy, OX=ox, FY=fy, FX=fx),
        stride=(sy, sx),
        padding=((fy // 2, fy // 2), (fx // 2, fx // 2)),
    ),
    *[st.integers(2, 7), st.integers(2, 7), st.integers(1, 3), st.integers(1, 3)],
    *[st.integers(1, 2), st.integers(1, 2), st.integers(1, 40), st.integers(1, 40), st.integers(1, 2)],
)


@given(layer=layers, outputs=st.integers(1, 7), taps=st.integers(1, 3))
def test_columns_under_a_tile_are_those_that_its_outputs_read(layer, outputs, taps):
    d, stride, (before, after) = layer.dims, layer.stride[1], layer.padding[1]
    size = (d.OX - 1) * stride + d.FX - before - after
    spans = []
    for first, tap in itertools.product(range(0, d.OX, outputs), range(0, d.FX, taps)):
        reads = [
            o * stride + f - before
            for o in range(first, min(first + outputs, d.OX))
            for f in range(tap, min(tap + taps, d.FX))
        ]
        spans.append(len([x for x in range(min(reads), max(reads) + 1) if 0 <= x < size]))
    assert mean_extent(layer, 1, outputs, taps) == pytest.approx(sum(spans) / len(spans))


def tile_of(draw: st.DrawFn, layer: Layer) -> dict[str, int]:
    tile = {dim: draw(st.integers(1, layer.dims[dim])) for dim in DIM_NAMES}
    for dim in ("K", "C"):
        tile[dim] = layer.dims[dim] if layer.dims[dim] <= 16 else draw(st.sampled_from([16, layer.dims[dim]]))
    return tile


@st.composite
def tiled(draw: st.DrawFn) -> tuple[Layer, dict[str, int]]:
    layer = draw(layers)
    return layer, tile_of(draw, layer)


@settings(max_examples=60, deadline=None)
@given(tiled())
def test_commands_passes_and_stores_are_those_of_the_tiles_one_by_one(case):
    """Without caches: the full tiles' loads are counted at their mean size, passes at every tile's own."""
    layer, tile = case
    own = replace(GEMMINI.timing, caches=())
    chip = replace(GEMMINI, timing=own)
    task = Task.of(layer, chip)
    phases = phases_of_mapping(own, task, tiling_mapping(task, tile, ORDER))
    d = layer.dims
    count = {dim: math.ceil(d[dim] / tile[dim]) for dim in DIM_NAMES}
    assert phases.tiles[0] == math.prod(count.values())
    passes = 0.0
    ranges = {dim: [min(tile[dim], d[dim] - n) for n in range(0, d[dim], tile[dim])] for dim in DIM_NAMES}
    for b, oy, ox, k, c, fy, fx in itertools.product(
        *(ranges[dim] for dim in ("B", "OY", "OX", "K", "C", "FY", "FX"))
    ):
        blocks = math.ceil(k / 16) * math.ceil(c / 16) * fy * fx
        passes += blocks * block_cycles(own.passes, ox, oy * b)
    assert phases.passes[0] * phases.tiles[0] == pytest.approx(passes)
    # one full request of 16 B and 2 cycles for every 16 filters of every pixel; of the tiles that finish sums
    stored = d.B * d.OY * d.OX * count["K"] * math.ceil(d.K / count["K"] / 16)
    each = 2 + (22 if d.K < 16 else 0)
    assert phases.stores[0] * phases.tiles[0] == pytest.approx(stored * each)
    if all(count[dim] == 1 for dim in DIM_NAMES):
        sizes = [(d.OY - 1) * layer.stride[0] + d.FY, (d.OX - 1) * layer.stride[1] + d.FX]
        rows, columns = (s - sum(p) for s, p in zip(sizes, layer.padding, strict=True))
        commands = d.FY * d.FX * math.ceil(d.C / 16) * math.ceil(d.K / 64)
        commands += d.B * rows * math.ceil(columns / 16) * math.ceil(d.C / 64)
        words = d.FY * d.FX * d.C * math.ceil(d.K / 16) + d.B * rows * columns * math.ceil(d.C / 16)
        assert phases.loads[0] == pytest.approx(max(words, (commands * 108 + words) / 2))


def test_one_tile_by_hand():
    """16 filters over 16 channels of a row of 16 pixels: one command each of 16 words, one pass, 16 stores."""
    layer = Layer(name="x", dims={"K": 16, "C": 16, "OX": 16})
    task = Task.of(layer, GEMMINI)
    mapping = tiling_mapping(task, dict(layer.dims), ORDER)
    loads, passes, stores = (2 * 108 + 32) / 2, 16, 16 * 2
    assert price(task, mapping).cycles == loads + passes + stores


def test_tiles_overlap_two_at_a_time():
    """Four rows of 16 pixels, a tile each: weights again with every tile, which is bound by its loads."""
    layer = Layer(name="x", dims={"K": 16, "C": 16, "OX": 16, "OY": 4})
    task = Task.of(layer, GEMMINI)
    priced = price(task, tiling_mapping(task, dict(layer.dims) | {"OY": 1}, ORDER))
    assert priced.cycles == 124 + 3 * max(124, 16, 32, (124 + 16 + 32) / 2) + 16 + 32
    assert (priced.bound, priced.compute_cycles) == ("dram", 4 * 16)
    slow = replace(GEMMINI, timing=replace(GEMMINI.timing, in_flight=1))
    one = price(Task.of(layer, slow), tiling_mapping(task, dict(layer.dims) | {"OY": 1}, ORDER))
    assert one.cycles == 4 * (124 + 16 + 32)
    parts = one.parts
    assert parts.busy + parts.waiting + parts.first_fill + parts.last_drain == pytest.approx(one.cycles)


def test_sums_are_stored_once_they_are_done():
    """Two tiles of channels: the second stores, and its stores follow the last pass."""
    layer = Layer(name="x", dims={"K": 16, "C": 32, "OX": 16})
    task = Task.of(layer, GEMMINI)
    phases = phases_of_mapping(GEMMINI.timing, task, tiling_mapping(task, dict(layer.dims) | {"C": 16}, ORDER))
    assert (phases.stores[0], phases.last_stores[0]) == (16, 32)


def test_a_matrix_product_streams_its_rows_past_the_weights():
    layer = Layer(name="x", kind="linear", dims={"B": 64, "K": 16, "C": 16})
    task = Task.of(layer, GEMMINI)
    phases = phases_of_mapping(GEMMINI.timing, task, tiling_mapping(task, dict(layer.dims), ORDER))
    assert phases.passes[0] == 64
    assert phases.loads[0] == (5 * 108 + 16 + 64) / 2


@pytest.mark.parametrize(
    ("w", "i", "passes"), [(8, 8, 1), (4, 2, 1), (9, 8, 2), (16, 8, 2), (8, 24, 3), (16, 16, 4)]
)
def test_operands_wider_than_the_multipliers_take_passes(w, i, passes):
    """Each part of a weight with each part of an input, as on every chip."""
    layer = Layer(name="x", dims={"K": 32, "C": 16, "OX": 32})
    one, task = (Task.of(layer.with_bits(bits), GEMMINI) for bits in (Bits(w=8, i=8), Bits(w=w, i=i)))
    mapping = tiling_mapping(task, dict(layer.dims), ORDER)
    assert phases_of_mapping(GEMMINI.timing, one, mapping).passes[0] == 2 * 32
    assert phases_of_mapping(GEMMINI.timing, task, mapping).passes[0] == passes * 2 * 32
    priced = price(task, mapping)
    assert priced.compute_cycles == passes * 2 * 32
    macs = GEMMINI.num_pes * GEMMINI.precision.macs_per_cycle(w, i) * priced.compute_cycles
    assert macs >= layer.macs


def test_inputs_are_loaded_as_wide_as_they_lie():
    """4-bit inputs that another reader wants at 16 bit are loaded as 16-bit ones, and multiplied as they are."""
    layer = Layer(name="x", dims={"K": 16, "C": 64, "OX": 16})
    narrow, wide = (layer.with_bits(Bits(w=8, i=i, o=8)) for i in (4, 16))
    stored = Task.of(narrow, GEMMINI, Stay(i_bits=16))
    mapping = tiling_mapping(stored, dict(layer.dims), ORDER)
    phases, plain, all_wide = (
        phases_of_mapping(GEMMINI.timing, task, mapping)
        for task in (stored, Task.of(narrow, GEMMINI), Task.of(wide, GEMMINI))
    )
    assert phases.loads[0] == all_wide.loads[0] > plain.loads[0]
    assert phases.passes[0] == plain.passes[0]
    assert price(stored, mapping).cycles > price(Task.of(narrow, GEMMINI), mapping).cycles


def test_misses_in_one_bank_wait_for_each_other():
    """64 rows of weights miss both caches. At a pitch of two lines all are in one bank of two, at three in each."""
    own = GEMMINI.timing
    tiny = tuple(replace(cache, size_bytes=cache.line_bytes * cache.ways * cache.banks) for cache in own.caches)
    machine = replace(own, caches=(replace(tiny[0], load_cycles=8.0), replace(tiny[1], load_cycles=0.0)))
    extra = {}
    for filters in (128, 192):
        task = Task.of(Layer(name="x", dims={"K": filters, "C": 64, "OX": 1, "FX": 2}), GEMMINI)
        mapping = tiling_mapping(task, dict(task.layer.dims) | {"K": 64}, ORDER)
        weights = replace(machine, caches=(replace(machine.caches[0], load_cycles=0.0), machine.caches[1]))
        extra[filters] = float((phases_of_mapping(machine, task, mapping).loads
                                - phases_of_mapping(weights, task, mapping).loads)[0])  # fmt: skip
    assert extra[128] == pytest.approx(2 * extra[192], rel=0.05)
    assert extra[128] == pytest.approx(8 * (2 * 64 + 2), rel=0.01)  # and the two pixels of one line each


@settings(max_examples=60, deadline=None)
@given(case=tiled(), which=st.sampled_from(["latency", "load", "store", "request"]), more=st.floats(0, 50))
def test_what_costs_more_never_makes_a_layer_faster(case, which, more):
    layer, tile = case
    own = GEMMINI.timing
    near = own.caches[0]
    dearer = {
        "latency": replace(own, loads=replace(own.loads, latency=own.loads.latency + more)),
        "load": replace(own, caches=(replace(near, load_cycles=near.load_cycles + more), own.caches[1])),
        "store": replace(own, caches=(replace(near, store_cycles=near.store_cycles + more), own.caches[1])),
        "request": replace(own, stores=replace(own.stores, cycles=own.stores.cycles + more)),
    }[which]
    task = Task.of(layer, GEMMINI)
    mapping = tiling_mapping(task, tile, ORDER)
    assert phases_of_mapping(dearer, task, mapping).total[0] >= phases_of_mapping(own, task, mapping).total[0]


@settings(max_examples=40, deadline=None)
@given(tiled())
def test_a_larger_cache_never_lacks_more(case):
    layer, tile = case
    task = Task.of(layer, GEMMINI)
    mapping = tiling_mapping(task, tile, ORDER)
    totals = []
    for size in (2**10, 2**13, 2**16, 2**19):
        caches = tuple(replace(cache, size_bytes=size) for cache in GEMMINI.timing.caches)
        totals.append(phases_of_mapping(replace(GEMMINI.timing, caches=caches), task, mapping).total[0])
    assert totals == sorted(totals, reverse=True)


@given(tiled())
def test_the_tiling_of_a_mapping_is_the_tiling_that_it_was_made_of(case):
    layer, tile = case
    task = Task.of(layer, GEMMINI)
    found: Tilings = tiling_of(task, tiling_mapping(task, tile, ("OX", "K", "C")))
    assert {dim: int(sizes[0]) for dim, sizes in found.tile.items()} == tile
    moving = [dim for dim in ("OX", "K", "C") if tile[dim] < layer.dims[dim]]
    assert [dim for dim in found.order if dim in moving] == moving


def test_a_mapping_is_explained_by_its_loads_passes_and_stores():
    """The four tiles of above: the array is busy for 64 cycles, loads for 4 * 124 and stores for 4 * 32."""
    layer = Layer(name="x", dims={"K": 16, "C": 16, "OX": 16, "OY": 4})
    mapping = tiling_mapping(Task.of(layer, GEMMINI), dict(layer.dims) | {"OY": 1}, ORDER)
    told = explain_mapping(layer, GEMMINI, mapping)
    ports = {port.name: (port.read_cycles, port.write_cycles) for port in told.ports}
    assert ports == {"weight_register": (0, 0), "accumulator": (0, 0), "scratchpad": (0, 0), "dram": (496, 128)}
    assert (told.array_cycles, told.busy_cycles, told.last_drain_cycles, told.cycles) == (64, 496, 16 + 32, 544)


def test_a_chip_that_is_not_driven_by_commands_has_none():
    with pytest.raises(MappingError, match=r"'edge_npu' has no `timing: \{kind: commands\}`"):
        commands_of(load_accelerator("edge_npu"))
