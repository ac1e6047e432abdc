"""Chips of four levels and more as users write them, and every mapping of a small layer on them."""

from __future__ import annotations

import itertools
import math

from hwmodel.errors import MappingError
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping
from hwmodel.nest.rules import check_mapping
from hwmodel.network.layer import DIM_NAMES
from tests.hwmodel.mapper.test_mapper import divisors, kept_choices

HEAD = """\
name: deep
description: four levels and more
source: made up for tests
clock: 100 MHz
mac: {w: 8 bit, i: 8 bit, accumulator: 16 bit, energy: 0.5 pJ, source: test}
"""
DRAM = """\
  - {name: dram, holds: [W, I, O], size: unbounded, read_energy: 2 pJ/bit, bandwidth: 16 bit/cycle, source: test}
"""
#: Registers in the PEs, a buffer for each column, one for all.
CLUSTERS = (
    HEAD
    + """\
array:
  - {axis: X, size: 2, dims: [K, OX, C]}
  - {axis: Y, size: 2, dims: [C, FX, OY]}
memories:
  - {name: regs, per: pe, holds: [W, O], size: 6 B, read_energy: 0.01 pJ/bit, source: test}
  - {name: column, per: X, holds: [I, O], size: 12 B, read_energy: 0.06 pJ/bit, write_energy: 0.07 pJ/bit,
     read_bandwidth: 16 bit/cycle, write_bandwidth: 8 bit/cycle, double_buffered: true, source: test}
  - {name: buffer, holds: [W, I, O], size: 40 B, read_energy: 0.2 pJ/bit, write_energy: 0.26 pJ/bit,
     bandwidth: 32 bit/cycle, source: test}
"""
    + DRAM
)
#: Memories side by side in each cluster, weights straight from outside (as on Simba).
SIDE_BY_SIDE = (
    HEAD
    + """\
array:
  - {axis: PE, size: 2, dims: [K, C, OX, OY, G, B]}
  - {axis: V, size: 2, dims: [C, FY]}
memories:
  - {name: reg, per: pe, holds: [W], size: 1 B, read_energy: 0.004 pJ/bit, source: test}
  - {name: inputs, level: pe buffers, per: PE, holds: [I], size: 6 B, read_energy: 0.07 pJ/bit, source: test}
  - {name: weights, level: pe buffers, per: PE, holds: [W], size: 8 B, read_energy: 0.1 pJ/bit, source: test}
  - {name: sums, level: pe buffers, per: PE, holds: [O], size: 8 B, read_energy: 0.05 pJ/bit, source: test}
  - {name: glb, holds: [I, O], size: 32 B, read_energy: 0.25 pJ/bit, source: test}
"""
    + DRAM
)
#: Registers that places along an axis share, places that are served alone, three shared levels.
SHARED = (
    HEAD
    + """\
array:
  - {axis: X, size: 2, dims: [K, OX]}
  - {axis: Y, size: 2, dims: [OY, C], multicast: false}
memories:
  - {name: wreg, level: regs, per: X, holds: [W], size: 2 B, read_energy: 0.01 pJ/bit, source: test}
  - {name: oreg, level: regs, per: pe, holds: [O], size: 4 B, read_energy: 0.02 pJ/bit, source: test}
  - {name: l1, holds: [W, I], size: 12 B, read_energy: 0.1 pJ/bit, source: test}
  - {name: l2, holds: [W, I, O], bypass: [W], size: 48 B, read_energy: 0.5 pJ/bit, double_buffered: true,
     source: test}
"""
    + DRAM
)
#: Where weights do not bypass the outer memory, nothing fits it.
TIGHT = SHARED.replace("size: 48 B", "size: 6 B")
#: Outputs and filter rows on one axis: places along a diagonal need the same inputs.
WINDOWS = SHARED.replace("{axis: X, size: 2, dims: [K, OX]}", "{axis: X, size: 4, dims: [OY, FY]}")
#: Channels over clusters that keep sums, wider than outputs: what leaves a cluster is unfinished.
MEETING = (
    HEAD.replace("accumulator: 16 bit", "accumulator: 24 bit")
    + """\
array:
  - {axis: X, size: 2, dims: [C]}
  - {axis: Y, size: 2, dims: [K, C]}
memories:
  - {name: regs, per: pe, holds: [W], size: 2 B, read_energy: 0.01 pJ/bit, source: test}
  - {name: sums, per: X, holds: [O], size: 8 B, read_energy: 0.05 pJ/bit, write_energy: 0.08 pJ/bit,
     bandwidth: 8 bit/cycle, source: test}
  - {name: l1, holds: [W, O], size: 16 B, read_energy: 0.3 pJ/bit, read_bandwidth: 16 bit/cycle,
     write_bandwidth: 8 bit/cycle, source: test}
"""
    + DRAM
)
#: Registers of sums two splits away from the next memory that keeps them.
FAR = CLUSTERS.replace("holds: [I, O], size: 12 B", "holds: [I], size: 4 B").replace(
    "size: 6 B, read_energy: 0.01 pJ/bit", "size: 6 B, read_energy: 0.01 pJ/bit, bandwidth: 32 bit/cycle"
)
#: Places within places within places, each with sums of its own.
NESTED = (
    HEAD.replace("accumulator: 16 bit", "accumulator: 24 bit")
    + """\
array:
  - {axis: X, size: 2, dims: [C]}
  - {axis: Y, size: 2, dims: [K, C]}
  - {axis: Z, size: 2, dims: [K]}
memories:
  - {name: regs, per: pe, holds: [W, O], size: 5 B, read_energy: 0.01 pJ/bit, source: test}
  - {name: inner, per: [X, Y], holds: [O], size: 8 B, read_energy: 0.05 pJ/bit, write_energy: 0.3 pJ/bit,
     source: test}
  - {name: outer, per: X, holds: [O], size: 12 B, read_energy: 0.1 pJ/bit, write_energy: 0.4 pJ/bit, source: test}
  - {name: buffer, holds: [W, O], size: 16 B, read_energy: 0.3 pJ/bit, source: test}
"""
    + DRAM
)
#: Sums that places along an axis share, wider than outputs, and weights for each place.
SHARED_SUMS = (
    HEAD
    + """\
array:
  - {axis: X, size: 2, dims: [OX, K]}
  - {axis: Y, size: 2, dims: [K, C]}
memories:
  - {name: wreg, level: regs, per: pe, holds: [W], size: 2 B, read_energy: 0.01 pJ/bit, source: test}
  - {name: oreg, level: regs, per: X, holds: [O], size: 3 B, read_energy: 0.02 pJ/bit, bandwidth: 8 bit/cycle,
     source: test}
  - {name: l1, holds: [W, I], size: 12 B, read_energy: 0.1 pJ/bit, bandwidth: 16 bit/cycle, source: test}
"""
    + DRAM
)
#: Registers for each place, of which those along an axis are served alone.
ALONE = (
    HEAD
    + """\
array:
  - {axis: X, size: 2, dims: [K, OX]}
  - {axis: Y, size: 2, dims: [K, C], multicast: false}
memories:
  - {name: regs, per: pe, holds: [W, O], size: 6 B, read_energy: 0.01 pJ/bit, source: test}
  - {name: l1, holds: [W, I], size: 12 B, read_energy: 0.1 pJ/bit, bandwidth: 16 bit/cycle, source: test}
"""
    + DRAM
)
#: One PE below three memories.
TOWER = (
    HEAD
    + """\
memories:
  - {name: l0, holds: [W, I, O], size: 6 B, read_energy: 0.02 pJ/bit, bandwidth: 24 bit/cycle, source: test}
  - {name: l1, holds: [W, I], size: 12 B, read_energy: 0.1 pJ/bit, bandwidth: 16 bit/cycle, double_buffered: true,
     source: test}
  - {name: l2, holds: [I, O], size: 16 B, read_energy: 0.3 pJ/bit, read_bandwidth: 16 bit/cycle,
     write_bandwidth: 8 bit/cycle, source: test}
"""
    + DRAM
)
#: A memory between those that keep sums, wider than outputs, that keeps none: its loops may leave them unfinished.
GAP = (
    HEAD.replace("accumulator: 16 bit", "accumulator: 24 bit")
    + """\
array:
  - {axis: X, size: 2, dims: [K, C]}
memories:
  - {name: l0, per: pe, holds: [W, I, O], size: 5 B, read_energy: 0.02 pJ/bit, source: test}
  - {name: l1, per: pe, holds: [W, I], size: 8 B, read_energy: 0.1 pJ/bit, bandwidth: 16 bit/cycle, source: test}
  - {name: l2, holds: [I, O], size: 7 B, read_energy: 0.3 pJ/bit, bandwidth: 8 bit/cycle, source: test}
"""
    + DRAM
)
#: Sums go straight from the MACs to where outputs may stay.
STRAIGHT = (
    HEAD.replace("accumulator: 16 bit", "accumulator: 24 bit")
    + """\
array:
  - {axis: X, size: 2, dims: [K, C]}
memories:
  - {name: l0, per: pe, holds: [W], size: 5 B, read_energy: 0.02 pJ/bit, source: test}
  - {name: l1, holds: [W, I], size: 6 B, read_energy: 0.05 pJ/bit, bandwidth: 16 bit/cycle, source: test}
  - {name: l2, holds: [W, I, O], resident: [I, O], size: 64 B, read_energy: 0.3 pJ/bit, source: test}
"""
    + DRAM
)
#: The tower without the energy of MACs and register reads of zeros: it has no registers.
GATED = TOWER + "gating: [I]\n"
#: Inputs that come slower than anything else moves, straight to the array.
SLOW_READS = MEETING.replace(
    "2 pJ/bit, bandwidth: 16", "2 pJ/bit, write_bandwidth: 64 bit/cycle, read_bandwidth: 1"
)
#: A slow double buffer beside single ones.
BESIDE = SIDE_BY_SIDE.replace("size: 6 B,", "size: 12 B, double_buffered: true, bandwidth: 1 bit/cycle,")
#: Outputs that leave slower than anything else moves, out of a double buffer.
SLOW = MEETING.replace(
    "2 pJ/bit, bandwidth: 16", "2 pJ/bit, write_bandwidth: 0.1 bit/cycle, read_bandwidth: 64"
).replace("holds: [W, O], size: 16 B", "holds: [W, O], double_buffered: true, size: 32 B")
#: The same with room for one weight, so that all loops are outermost.
SLOW_AND_SMALL = SLOW.replace("size: 2 B", "size: 4 B").replace("size: 32 B", "size: 16 B")
#: Loops in a fixed order inside, and tensors that stay.
ORDERED = (
    CLUSTERS.replace("holds: [W, I, O], size: 40 B", "holds: [W, I, O], resident: [I, O], size: 40 B")
    + """\
order: {buffer: [K, OX, C], column: [C, OX]}
"""
)
CHIPS = {
    "clusters": CLUSTERS, "side by side": SIDE_BY_SIDE, "shared": SHARED, "ordered": ORDERED, "meeting": MEETING,
    "far": FAR, "nested": NESTED, "shared sums": SHARED_SUMS, "tower": TOWER, "slow": SLOW,
    "slow and small": SLOW_AND_SMALL, "alone": ALONE, "gated": GATED, "gap": GAP, "straight": STRAIGHT,
    "slow reads": SLOW_READS, "beside": BESIDE, "windows": WINDOWS, "tight": TIGHT,
}  # fmt: skip


def every_mapping(task):
    """Every mapping of a layer, without padding: all tilings, unrollings, orders and bypasses."""
    chip, layer = task.accelerator, task.layer
    levels = len(chip.levels)
    per_dim = []
    for dim in DIM_NAMES:
        places = [n for n, level in enumerate(chip.levels) if dim in level.temporal_dims]
        places += [levels + n for n, axis in enumerate(chip.axes) if dim in axis.dims]
        per_dim.append([dict(zip(places, parts, strict=True)) for parts in _parts(layer.dims[dim], len(places))])
    for combination in itertools.product(*per_dim):
        factors = dict(zip(DIM_NAMES, combination, strict=True))
        spatial = [
            [Loop(dim, own[levels + n], axis.name) for dim, own in factors.items() if own.get(levels + n, 1) > 1]
            for n, axis in enumerate(chip.axes)
        ]
        if any(
            math.prod(loop.bound for loop in loops) > axis.size
            for loops, axis in zip(spatial, chip.axes, strict=True)
        ):
            continue
        across = [
            tuple(loop for axis, loops in zip(chip.axes, spatial, strict=True) for loop in loops
                  if chip.split_levels[axis.name] == level)
            for level in range(levels)
        ]  # fmt: skip
        temporal = [[Loop(dim, own[n]) for dim, own in factors.items() if own.get(n, 1) > 1] for n in range(levels)]
        orders = [[tuple(temporal[0])], *(list(itertools.permutations(loops)) for loops in temporal[1:])]
        for keeps in itertools.product(*(kept_choices(level, task) for level in chip.levels)):
            first = True
            for chosen in itertools.product(*orders):
                mapping = Mapping(
                    levels=tuple(
                        LevelMapping(name=level.name, temporal=chosen[n], spatial=across[n], keeps=keeps[n])
                        for n, level in enumerate(chip.levels)
                    )
                )
                fixed = any(level.order for level in chip.levels)
                if (first or fixed) and not _fits(task, mapping):
                    if fixed:
                        continue
                    break  # what fits does so in any order
                first = False
                yield mapping


def _fits(task, mapping):
    try:
        check_mapping(task, mapping)
    except MappingError:
        return False
    return True


def _parts(number, places):
    """Every way to write a number as a product over places."""
    if places == 1:
        yield (number,)
        return
    for first in divisors(number):
        for rest in _parts(number // first, places - 1):
            yield (first, *rest)
