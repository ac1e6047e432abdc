"""Mappings shared between widths and rooms are as good as those that are searched for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwmodel.chip.loader import load_accelerator
from hwmodel.errors import MappingError
from hwmodel.mapper.free import best_mapping
from hwmodel.mapper.shared import forget_mappings, map_and_price, resident_room
from hwmodel.nest.task import Stay, Task, rooms_of
from hwmodel.nest.view import array_view
from hwmodel.network.layer import Bits, Layer
from hwmodel.price.spatial import price


@pytest.mark.parametrize(
    ("dims", "bits", "resident"),
    [
        ({"K": 34, "OY": 11, "FY": 3}, Bits(w=2, i=2, o=32), ()),
        ({"K": 17, "OX": 9, "OY": 11}, Bits(w=8, i=8, o=8), ("I", "O")),
        ({"K": 3, "OX": 13, "OY": 9, "FY": 3}, Bits(w=4, i=2, o=2), ("I", "O")),
        ({"K": 16, "OX": 8, "OY": 6, "C": 5}, Bits(w=4, i=4, o=16), ()),
        ({"K": 16, "OX": 8, "OY": 6, "C": 5}, Bits(w=4, i=4, o=16), ("O",)),
    ],
)
def test_no_width_of_outputs_has_a_better_mapping_of_its_own(dims, bits, resident):
    """Where K or the rows are padded to fill the array, more outputs are written, at whichever width: 34 filters
    on 16 PEs may become 36."""
    forget_mappings()
    task = Task.of(Layer(name="layer", dims=dims, bits=bits), load_accelerator("edge_npu"), Stay(resident))
    _, shared = map_and_price(task, "energy")
    own = price(task, best_mapping(array_view(task), "energy"))
    assert sum(shared.energy_pj.values()) == pytest.approx(sum(own.energy_pj.values()), rel=1e-9)


@pytest.mark.parametrize(
    ("dims", "bits", "i_bits", "resident", "optimize"),
    [
        ({"K": 32, "C": 16, "OY": 4, "OX": 4}, Bits(w=8, i=2, o=8), 8, ("O",), "latency"),
        ({"K": 32, "C": 2, "OY": 6, "OX": 4, "FY": 3}, Bits(w=4, i=2, o=8), 16, (), "edp"),
        ({"K": 4, "C": 16, "OY": 8, "OX": 8, "FX": 3}, Bits(w=8, i=2, o=8), 16, ("I",), "energy"),
        ({"K": 8, "C": 8, "OY": 4, "OX": 8, "FY": 3, "FX": 3}, Bits(w=8, i=4, o=8), 16, (), "edp"),
        ({"K": 16, "C": 16, "OY": 2, "OX": 8, "FY": 3}, Bits(w=8, i=4, o=8), 16, ("O",), "energy"),
        ({"K": 12, "C": 8, "OY": 2, "OX": 4, "FX": 3}, Bits(w=8, i=2, o=8), 16, ("O",), "edp"),
    ],
)
def test_less_room_never_costs_less(dims, bits, i_bits, resident, optimize):
    """And what fits costs the same there: tables copy prices from room to room, and take those of larger rooms as
    bounds; `evaluate` asks for one room alone. Inputs lie wider than they are read."""
    chip = load_accelerator("edge_npu")
    levels = (
        replace(level, memories=tuple(replace(m, size_bits=2048 * 8) if m.resident else m for m in level.memories))
        for level in chip.levels
    )
    chip = replace(chip, levels=tuple(levels))
    layer = Layer(name="layer", dims=dims, bits=bits)
    before = None
    for room in (None, *rooms_of(chip.keeper)[1:]):
        forget_mappings()
        task = Task.of(layer, chip, Stay(resident, room, i_bits))
        try:
            mapping, priced = map_and_price(task, optimize)
        except MappingError:
            break
        energy, cycles = sum(priced.energy_pj.values()), priced.cycles
        score = {"energy": energy, "latency": cycles, "edp": energy * cycles}[optimize]
        if before is not None:
            assert score >= before[1] * (1 - 1e-9)
            assert room < before[0] or (energy, cycles) == before[2:]
        before = (resident_room(task, mapping), score, energy, cycles)
    assert before is not None
