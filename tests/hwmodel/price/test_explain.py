"""The parts of a cost add up to the cost, and are what the loops say."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hwmodel import Bits, Layer, LevelMapping, Loop, Mapping, find_mapping, list_accelerators, load_accelerator
from hwmodel.errors import MappingError
from hwmodel.explain import explain_mapping
from hwmodel.nest.task import Task
from hwmodel.nest.view import array_view
from tests.hwmodel.chips import chip

SPATIAL = [name for name in list_accelerators() if load_accelerator(name).kind == "spatial"]


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(SPATIAL),
    k=st.integers(1, 40),
    c=st.integers(1, 40),
    o=st.integers(1, 14),
    bits=st.sampled_from([2, 8, 16]),
    optimize=st.sampled_from(["energy", "latency"]),
)
def test_the_parts_add_up(name, k, c, o, bits, optimize):
    accelerator = load_accelerator(name)
    layer = Layer(name="x", dims=dict(K=k, C=c, OY=o, OX=o, FY=3), bits=Bits(w=bits, i=bits))
    try:
        mapping, cost = find_mapping(layer, accelerator, optimize=optimize)
    except MappingError:  # registers of one native word hold no wider one
        assume(bits <= accelerator.native_bits.w)
        raise
    told = explain_mapping(layer, accelerator, mapping)
    assert (told.cycles, told.bound, told.utilization) == (cost.cycles, cost.bound, cost.utilization)
    extra = told.waiting_cycles + told.first_fill_cycles + told.last_drain_cycles
    assert told.cycles == pytest.approx(math.ceil(told.busy_cycles + extra - 1e-6), abs=1)  # rounded up twice
    busy = {"compute": told.array_cycles, **{port.name: port.cycles for port in told.ports}}
    assert told.busy_cycles <= busy[told.bound] * (1 + 1e-9)  # of a port it may be one side
    assert told.cycles >= math.floor(max(told.array_cycles, *(port.cycles for port in told.ports)))
    assert all(memory.fill is None or 0 <= memory.fill <= 1 for memory in told.memories)
    array = array_view(Task.of(layer, accelerator)).accelerator  # narrow widths lengthen a fused axis
    assert told.array_share == pytest.approx(mapping.num_active / array.num_pes)
    assert told.padding >= 1


def test_every_part_by_hand(tmp_path):
    """K = 4 over X and time, C = 6 over Y and time, on the tiny chip: 2x2 PEs, 8-bit words, 16-bit sums."""
    accelerator = chip(tmp_path)
    layer = Layer(name="x", dims=dict(K=4, C=6))
    mapping = Mapping(
        levels=(
            LevelMapping(name="regs", keeps=("W", "O")),
            LevelMapping(
                name="buffer",
                keeps=("W", "I", "O"),
                temporal=(Loop("C", 3),),
                spatial=(Loop("K", 2, "X"), Loop("C", 2, "Y")),
            ),
            LevelMapping(name="dram", keeps=("W", "I", "O"), temporal=(Loop("K", 2),)),
        )
    )
    told = explain_mapping(layer, accelerator, mapping)
    regs, buffer, dram = told.memories
    assert dict(buffer.tiles) == {"W": 2 * 6, "I": 6, "O": 2}
    assert dict(buffer.tile_bits) == {"W": 12 * 8, "I": 6 * 8, "O": 2 * 16}  # sums over C come back
    assert buffer.used_bits == 2 * (96 + 48 + 32)  # double buffered
    assert buffer.fill == 352 / (64 * 8)
    assert (regs.used_bits, regs.fill, regs.instances) == (8 + 16, 24 / 64, 4)
    assert dram.fill is None
    assert [(axis.name, axis.used, axis.size, axis.utilization) for axis in told.axes] == [
        ("X", 2, 2, 1.0),
        ("Y", 2, 2, 1.0),
    ]
    assert told.array_cycles == 3 * 2
    # One port of 16 bit/cycle at DRAM: it reads 24 words of W and 6 of I (kept), and takes 4 outputs, of 8 bit.
    port = {port.name: port for port in told.ports}["dram"]
    assert (port.read_cycles, port.write_cycles, port.shared) == ((24 + 6) * 8 / 16, 4 * 8 / 16, True)
    # The array: the buffer's first tiles of W and I come, and its last outputs leave, at 16 bit/cycle; weights for
    # the registers come at 32 bit/cycle while it waits, their last two outputs leave at 16 bit/cycle.
    assert told.bound == "compute"
    assert told.busy_cycles == 3 * 2
    assert told.waiting_cycles == 24 * 8 / 32
    assert told.first_fill_cycles == (12 + 6) * 8 / 16
    assert told.last_drain_cycles == 2 * 8 / 16 + 2 * 8 / 16
    assert told.array_cycles < port.cycles == 17
    assert told.cycles == 6 + 6 + 9 + 2
