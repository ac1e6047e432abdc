"""The mapper with a tile per operand and memory against brute force."""

from __future__ import annotations

import math
from contextlib import suppress
from functools import partial

import numpy as np
import pytest

from hwmodel.errors import MappingError
from hwmodel.mapper.deep.branch import Rules, branches_of
from hwmodel.mapper.deep.find import deep_mapping
from hwmodel.mapper.uneven.find import better, uneven_mapping
from hwmodel.mapper.uneven.floors import UnevenFloors
from hwmodel.mapper.uneven.loops import mapping_of
from hwmodel.mapper.uneven.nest import Nest
from hwmodel.mapper.uneven.paths import cheapest, left_to_pay
from hwmodel.mapper.uneven.ways import Ways, every_split
from hwmodel.nest import access
from hwmodel.nest.rules import check_mapping
from hwmodel.nest.task import Stay, Task
from hwmodel.network.layer import Layer
from hwmodel.price.spatial import price
from tests.hwmodel.chips import chip
from tests.hwmodel.mapper.deep.brute import CHIPS as EVEN_CHIPS
from tests.hwmodel.mapper.deep.brute import DRAM, HEAD
from tests.hwmodel.mapper.deep.test_deep import LAYERS as EVEN_LAYERS
from tests.hwmodel.mapper.uneven.brute import least_energy

CHIPS = {name: text + "tiles: uneven\n" for name, text in EVEN_CHIPS.items() if "order:" not in text}
#: Tensors may stay in the buffer.
CHIPS["staying"] = CHIPS["clusters"].replace(
    "holds: [W, I, O], size: 40 B", "holds: [W, I, O], resident: [I, O], size: 40 B"
)
#: Registers of single words, and a level that loops over outputs alone.
CHIPS["few loops"] = CHIPS["far"] + "temporal: {regs: [], column: [OX, OY, K]}\n"
#: One level between the PEs and the memory off the chip, as the mapper of three slots has it.
CHIPS["flat"] = (
    CHIPS["shared"]
    .replace("multicast: false", "multicast: true")
    .replace("level: regs, per: X", "level: regs, per: pe")
    .replace("  - {name: l1, holds: [W, I], size: 12 B, read_energy: 0.1 pJ/bit, source: test}\n", "")
)
#: Outputs and filter rows on the axis of the MACs, and no registers of inputs: their windows meet there.
CHIPS["meeting windows"] = CHIPS["windows"].replace("holds: [W, I]", "holds: [W, O]").replace("per: X", "per: pe")
CHIPS["two networks"] = (
    CHIPS["meeting windows"]
    .replace("dims: [OY, C], multicast: false", "dims: [FY, C]")
    .replace("array:", "diagonal: false\narray:")
)
#: A memory in which nothing but tensors may lie, so that rooms of nothing are rooms.
CHIPS["tensors alone"] = (
    CHIPS["straight"]
    .replace("holds: [W], size: 5 B", "holds: [W, O], size: 5 B")
    .replace("holds: [W, I, O], resident", "holds: [I, O], resident")
)
#: Inputs in registers, below memories of inputs that places along Y and Z share.
CHIPS["inputs inside"] = (
    HEAD
    + """\
array:
  - {axis: X, size: 2, dims: [K]}
  - {axis: Y, size: 2, dims: [OX, OY]}
  - {axis: Z, size: 2, dims: [FX, FY, OX]}
memories:
  - {name: regs, per: pe, holds: [I], size: 2 B, read_energy: 0.01 pJ/bit, source: test}
  - {name: inputs, level: l1, per: X, holds: [I], size: 5 B, read_energy: 0.1 pJ/bit, source: test}
  - {name: weights, level: l1, per: [X, Y], holds: [W], size: 4 B, read_energy: 0.05 pJ/bit, source: test}
  - {name: l2, holds: [I, O], size: 12 B, read_energy: 0.3 pJ/bit, source: test}
"""
    + DRAM
    + "tiles: uneven\n"
)
#: Windows on two axes above registers of inputs: PEs on a diagonal share, or each axis is a network.
CHIPS["crossing"] = (
    CHIPS["alone"]
    .replace("[K, OX]", "[K, OX, OY]")
    .replace("[K, C]", "[C, FX, FY]")
    .replace(", multicast: false", "")
    .replace("holds: [W, O], size: 6 B", "holds: [W, I, O], size: 8 B")
)
CHIPS["axes apart"] = (
    CHIPS["crossing"]
    .replace("X, size: 2, dims: [K, OX, OY]", "X, size: 4, dims: [OX, FX]")
    .replace("[C, FX, FY]", "[OX, FX, C]")
    + "diagonal: false\n"
)
#: An outer memory that loops over filters alone, outside of one that outputs skip.
CHIPS["few outer loops"] = CHIPS["tower"] + "temporal: {l2: [K]}\n"
CHIPS["far staying"] = CHIPS["far"].replace(
    "holds: [W, I, O], size: 40 B", "holds: [W, I, O], resident: [I, O], size: 40 B"
)
#: One level alone.
CHIPS["bare"] = HEAD + "array:\n  - {axis: X, size: 2, dims: [K, OX]}\nmemories:\n" + DRAM + "tiles: uneven\n"
#: Chips with layers whose best tiles are uneven, and chips of every kind.
PAIRS = [
    ("tower", "plane"), ("tower", "zeros"), ("tower", "reduced"), ("tower", "rows"),
    ("gated", "zero inputs"), ("tight", "strided"), ("tight", "narrow"), ("tight", "wide"),
    ("shared sums", "conv"), ("shared sums", "linear"), ("windows", "conv"), ("windows", "window"),
    ("far", "strided"), ("far", "rows"), ("far", "plane"), ("clusters", "narrow"),
    ("nested", "filters"), ("slow and small", "reduced"), ("slow and small", "taps"),
    ("alone", "linear"), ("alone", "window"), ("meeting", "reduced"), ("side by side", "linear"),
    ("beside", "strided"), ("shared", "depthwise"), ("few loops", "conv"), ("few loops", "plane"), ("flat", "conv"),
    ("flat", "window"), ("gap", "linear"), ("gap", "narrow"), ("straight", "window"),
    ("meeting windows", "window"), ("meeting windows", "tall"), ("two networks", "tall"),
    ("two networks", "window"), ("bare", "conv"), ("bare", "strided"), ("few outer loops", "rows"),
    ("crossing", "plane"), ("crossing", "frame"), ("axes apart", "line"), ("inputs inside", "plane"),
    ("tower", "dilated"), ("tower", "edge"), ("far", "frame"),
]  # fmt: skip
NO_PADS = Rules(pads=False)
LAYERS = {
    **EVEN_LAYERS,
    "tall": Layer(name="tall", dims={"OY": 4, "FY": 4}),
    "dilated": Layer(name="dilated", dims={"C": 2, "OX": 4, "FX": 2}, dilation=2),
    "frame": Layer(name="frame", dims={"OY": 2, "OX": 2, "FY": 2, "FX": 2}, padding=((1, 0), (1, 0))),
    "edge": Layer(name="edge", dims={"C": 2, "OX": 4}, padding=((0, 0), (1, 1))),
    "line": Layer(name="line", dims={"OX": 4, "FX": 4}),
}


def energy(task, mapping):
    return sum(price(task, mapping).energy_pj.values())


@pytest.mark.parametrize(("name", "layer"), PAIRS)
def test_the_least_energy_of_all_mappings_is_found(tmp_path, monkeypatch, name, layer):
    check(Task.of(LAYERS[layer], chip(tmp_path, CHIPS[name])), monkeypatch)


@pytest.mark.parametrize(
    ("name", "layer", "resident", "room", "i_bits"),
    [
        ("staying", "narrow", ("I",), 20, None), ("staying", "narrow", ("O",), 20, None),
        ("staying", "reduced", ("O",), 20, None), ("staying", "narrow", ("I", "O"), 20, None),
        ("staying", "reduced", ("O",), 8, None), ("staying", "narrow", ("I",), 20, 16),
        ("straight", "linear", ("O",), 20, None), ("straight", "linear", ("O",), 14, None),
        ("straight", "narrow", ("I", "O"), 16, None), ("tensors alone", "narrow", ("I", "O"), 0, None),
        ("far staying", "narrow", ("O",), 4, None), ("far staying", "reduced", ("O",), 8, None),
    ],
)  # fmt: skip
def test_the_least_energy_with_tensors_that_stay_is_found(
    tmp_path, monkeypatch, name, layer, resident, room, i_bits
):
    stay = Stay(resident=resident, room_bits=room * 8, i_bits=i_bits)
    check(Task.of(LAYERS[layer], chip(tmp_path, CHIPS[name]), stay), monkeypatch)


def check(task, monkeypatch):
    """The best of all mappings is found, and no bound is above it."""
    least = least_energy(task, monkeypatch)
    try:
        found = uneven_mapping(task, "energy", NO_PADS)
    except MappingError:
        assert least == math.inf
        return
    check_mapping(task, found)
    with suppress(MappingError):  # where windows meet at the MACs these may be shared more with one tile per level
        least = min(least, energy(task, deep_mapping(task, "energy", NO_PADS)))
    assert energy(task, found) == pytest.approx(least, rel=1e-9)
    assert UnevenFloors(task, "energy").bound(task) <= least * (1 + 1e-12)


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("name", sorted(CHIPS))
def test_the_search_knows_what_its_mapping_costs(tmp_path, monkeypatch, name, is_large):
    """Of every way to unroll a layer, and of memories that have room for all: what was left to pay is paid then."""
    if is_large:
        monkeypatch.setattr(access, "check_mapping", lambda task, mapping: None)
    layers = ("conv", "strided", "padded", "narrow", "tall")
    for layer in (*layers, "reduced", "plane", "dilated", "frame", "edge", "line") if is_large else layers:
        task = Task.of(LAYERS[layer], chip(tmp_path, CHIPS[name]))
        for branch in branches_of(task):
            ways = Ways(branch, every_split(branch))
            for n in range(len(ways.on_axes)):
                nest = Nest(ways, n)
                prices = nest.prices()
                if is_large:
                    prices = prices._replace(rooms=np.full_like(prices.rooms, math.inf))
                least = left_to_pay(nest.tiles, prices)
                paid, moves = cheapest(nest.tiles, prices, least, math.inf)
                if paid == math.inf:
                    continue
                cost = energy(task, mapping_of(ways, n, nest.tiles, moves))
                known = ways.fixed[n] + least[0, 0]
                assert ways.floor[n] <= ways.least[n] * (1 + 1e-12) <= known * (1 + 1e-11)
                assert known == pytest.approx(cost, rel=1e-9) if is_large else known <= cost * (1 + 1e-9)
                assert ways.fixed[n] + paid == pytest.approx(cost, rel=1e-9)


def test_one_tile_per_level_is_never_better(tmp_path):
    """With paddings and bypasses: and where it is as good, it is what is found."""
    gains = []
    for name in sorted(CHIPS):
        for layer in ("conv", "plane", "reduced", "linear"):
            task = Task.of(LAYERS[layer], chip(tmp_path, CHIPS[name]))
            even, found = deep_mapping(task), uneven_mapping(task)
            gains.append(1 - energy(task, found) / energy(task, even))
            assert found == even if abs(gains[-1]) < 1e-12 else gains[-1] > 0
    assert sum(gain > 1e-3 for gain in gains) > 10


def test_kernels_are_compiled_once_for_all_chips(tmp_path):
    for text in CHIPS.values():
        task = Task.of(LAYERS["narrow"], chip(tmp_path, text))
        ways = [Ways(branch, every_split(branch)) for branch in branches_of(task)]
        assert list(better(ways, math.inf, partial(energy, task)))
    assert (len(left_to_pay.overloads), len(cheapest.overloads)) == (1, 1)


def test_what_is_known_changes_no_mapping(tmp_path):
    task = Task.of(LAYERS["conv"], chip(tmp_path, CHIPS["tower"]))
    found = uneven_mapping(task)
    assert uneven_mapping(task, reached=energy(task, found)) == found


def test_other_objectives_are_refused(tmp_path):
    task = Task.of(LAYERS["conv"], chip(tmp_path, CHIPS["tower"]))
    with pytest.raises(
        MappingError,
        match=r"`tiles: uneven` of 'deep' is searched for the least energy only, but got latency\. Opt",
    ):
        uneven_mapping(task, "latency")


def test_a_layer_that_fits_nowhere_names_what_holds_too_little(tmp_path):
    wide = Layer(name="wide", dims={"K": 2}, bits=LAYERS["taps"].bits)
    with pytest.raises(MappingError, match="no mapping of 'wide' fits 'deep'"):
        uneven_mapping(Task.of(wide, chip(tmp_path, CHIPS["meeting"])))
