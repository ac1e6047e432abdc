"""The mapping rules of a row-stationary chip: sets of PEs, folding and replication.

A PE keeps one filter row and slides it over one input row, the whole of it: a pass makes whole output rows (in as
few equal pieces as the buffer has room for, where not one mapping fits with whole ones). R x e PEs make a set: R
filter rows down, e output rows across, all or a strip of them (`pe_sets`). r sets for different channels and t for
different filters (or groups, where a group has one of each) fill the array. A PE interleaves p filters and q
channels. A processing pass runs n images; m filters of partial sums wait in the buffer while the passes go through
the channels. The ifmaps of a pass lie in one bank of the buffer per image, unless a single channel needs more. Dims
that the sets do not divide are padded. Of all (m, n, e, p, q, r, t) that fit, the cheapest is taken, as the chip's
offline optimiser does: `row_search` prices them exactly.

In the loops below: PE: p of K, q of C, S of FX. Array: R of FY, e of OY, r of C, t of K. Buffer: the filters of m,
then n images, then OX innermost. DRAM: groups, images, strips of e rows, filters, channels innermost.

Source: Chen et al., ISCA 2016, section V (its primitive is a whole row), and Chen et al., JSSC 52(1), 2017,
sections III and IV. The bank per image is read from table VI, and table III agrees with it
(docs/explain/silicon.md).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from hwmodel.chip.accelerator import Accelerator, Axis, Widths
from hwmodel.errors import MappingError, check_one_of
from hwmodel.mapper import ahead, row_search
from hwmodel.mapper.counting import Floats, Ints
from hwmodel.mapper.pe_sets import Sets, arrangements
from hwmodel.mapper.row_rates import search_rates
from hwmodel.nest.access import Networks, distinct_tiles
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping
from hwmodel.nest.task import Task
from hwmodel.network.layer import DIM_NAMES, OPERANDS, DimName, Dims, Layer
from hwmodel.network.numbers import divisors

OBJECTIVES = ("energy", "latency", "edp")
#: Loops at DRAM, outer to inner.
OUTER: tuple[DimName, ...] = ("G", "B", "OY", "OX", "K", "C")


def row_stationary(task: Task, optimize: str = "energy") -> Mapping:
    """The best mapping under the rules of the chip.

    Args:
        task: whole filters already removed; its density is not looked at. On an accelerator of one level per PE,
            one shared buffer for I and O, and the outermost memory.
        optimize: `energy`, `latency` or `edp`; ties go to fewer cycles (for `latency`, to less energy).

    Raises:
        MappingError: another hierarchy, or no mapping fits.
    """
    check_one_of("optimize", optimize, OBJECTIVES, MappingError)
    layer, accelerator = task.layer, task.accelerator
    check_hierarchy(accelerator)
    sets, _, _, found = search(task, optimize)
    if found[row_search.ARRANGEMENT] < 0:
        raise MappingError(
            f"no row-stationary mapping of {layer.name!r} fits {accelerator.name!r}: "
            "use fewer bits, or a larger memory"
        )
    arrangement, *inside, _ = found.tolist()
    return _mapping(layer.dims, accelerator, sets[arrangement], inside)


def search(task: Task, optimize: str) -> tuple[tuple[Sets, ...], float, float, Ints]:
    """The arrangements, and what `row_search` finds among them: energy [pJ], cycles and the columns of `found`."""
    layer, accelerator = task.layer, task.accelerator
    sets, *_ = _arrays(layer.dims, layer.stride, layer.dilation, accelerator.axes, accelerator.diagonal)
    energy, cycles, found = np.inf, np.inf, np.full(row_search.NUM_COUNTED + 1, -1, dtype=np.int64)
    for pieces in divisors(layer.dims.OX):
        kernel, arguments = row_call(task, optimize, pieces)
        energy, cycles, found = kernel(*arguments)
        if found[row_search.ARRANGEMENT] >= 0:
            break
    return sets, energy, cycles, found


def row_call(task: Task, optimize: str, pieces: int) -> ahead.Call:
    """The compiled search for a task whose output rows are cut into so many pieces."""
    layer, accelerator, widths = task.layer, task.accelerator, task.widths
    _, spreads, starts = _arrays(layer.dims, layer.stride, layer.dilation, accelerator.axes, accelerator.diagonal)
    rate = accelerator.precision.macs_per_cycle(widths.w, widths.i)
    mac_pj = accelerator.precision.energy_pj(widths.w, widths.i)
    arguments = (
        np.array(layer.dims.values_tuple, dtype=np.int64),
        np.array(layer.stride + layer.dilation, dtype=np.int64),
        spreads,
        starts,
        pieces,
        (*_memories(accelerator), _tile_widths(widths)),
        search_rates(accelerator, widths, task.stay.i_bits or widths.i),
        np.array([layer.macs * mac_pj, accelerator.clock_pj, rate], dtype=np.float64),
        OBJECTIVES.index(optimize),
    )
    return ahead.Call(row_search.search, arguments)


def check_hierarchy(accelerator: Accelerator) -> None:
    """Raise unless the levels are those that the rules speak of.

    Raises:
        MappingError: other levels, or operands in other places.
    """
    levels = accelerator.levels
    placed = len(levels) == 3 and levels[0].per_pe and not levels[1].per_pe
    if placed and set(levels[0].holds) == set(OPERANDS) and set(levels[1].holds) == {"I", "O"}:
        return
    raise MappingError(
        f"accelerator {accelerator.name!r}: dataflow row_stationary needs one level per PE that holds W, I and O, "
        "one shared level that holds I and O, and the outermost memory"
    )


@lru_cache(maxsize=1024)
def _arrays(
    dims: Dims, stride: tuple[int, int], dilation: tuple[int, int], axes: tuple[Axis, ...], diagonal: bool
) -> tuple[tuple[Sets, ...], Ints, Ints]:
    """Arrangements; PEs per dim (S, 8); and different tiles of I across them for every s, at [s - 1] (S, FX)."""
    layer = Layer(name="", dims=dims, stride=stride, dilation=dilation)
    sets = arrangements(dims, axes, diagonal)
    spreads = np.array([[item.factors.get(dim, 1) for dim in DIM_NAMES] for item in sets], dtype=np.int64)
    starts = np.empty((len(sets), dims.FX), dtype=np.int64)
    for row, item in zip(starts, sets, strict=True):
        for columns in range(1, dims.FX + 1) if "FX" in item.factors else (1,):
            pe = LevelMapping(name="", temporal=(Loop("FX", columns),))
            array = Mapping(levels=(pe, LevelMapping(name="", spatial=item.loops)))
            row[columns - 1 :] = distinct_tiles(layer, array, "I", 0, 1, Networks(diagonal))
    return sets, spreads, starts


def _memories(accelerator: Accelerator) -> tuple[Ints, Floats, Floats]:
    """Memory of each operand (-1: none), and capacity and bank of each memory [bit]; of PEs and buffer. (2, 3)"""
    slots, sizes, banks = np.full((2, 3), -1, dtype=np.int64), np.full((2, 3), np.inf), np.zeros((2, 3))
    for index, level in enumerate(accelerator.levels[:2]):
        for slot, memory in enumerate(level.memories):
            sizes[index, slot] = memory.tile_room_bits
            banks[index, slot] = memory.bank_bits or 0.0
            for operand in memory.holds:
                slots[index, OPERANDS.index(operand)] = slot
    return slots, sizes, banks


def _tile_widths(widths: Widths) -> Floats:
    """Bits of a word of W, I and O in the PEs, and in the buffer, where sums are finished. (2, 3)"""
    rows = [[widths.w, widths.i, widths.acc], [widths.w, widths.i, max(widths.acc, widths.o)]]
    return np.array(rows, dtype=np.float64)


def _mapping(dims: Dims, accelerator: Accelerator, sets: Sets, found: list[int]) -> Mapping:
    """The loops of p, q, s in a PE and of n, k, f in the buffer, on these sets."""
    p, q, s, n, k, f = found
    steps: dict[DimName, int] = {d: math.ceil(dims[d] / sets.factors.get(d, 1)) for d in DIM_NAMES}
    pe: dict[DimName, int] = {"C": q, "FX": s, "K": p}
    buffer: dict[DimName, int] = {"FY": steps["FY"], "FX": steps["FX"] // s, "K": k, "B": n, "OX": f}
    outer = {dim: math.ceil(steps[dim] / (pe.get(dim, 1) * buffer.get(dim, 1))) for dim in OUTER}
    temporal = _loops(pe, tuple(pe)), _loops(buffer, tuple(buffer)), _loops(outer, OUTER)
    return Mapping(
        levels=tuple(
            LevelMapping(
                name=level.name, temporal=loops, spatial=sets.loops if index == 1 else (), keeps=level.holds
            )
            for index, (level, loops) in enumerate(zip(accelerator.levels, temporal, strict=True))
        )
    )


def _loops(bounds: dict[DimName, int], order: tuple[DimName, ...]) -> tuple[Loop, ...]:
    return tuple(Loop(dim, bounds[dim]) for dim in order if bounds[dim] > 1)
