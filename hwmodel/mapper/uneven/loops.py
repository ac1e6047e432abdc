"""From the moves of a search to the mapping: loops at the levels, and tiles that lie further inside."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from hwmodel.mapper.counting import INPUT, Ints
from hwmodel.mapper.deep.lattice import Lattice
from hwmodel.mapper.free import in_order
from hwmodel.mapper.space.unrolling import axis_loops
from hwmodel.mapper.uneven.paths import LOOP, TILE
from hwmodel.mapper.uneven.ways import Ways
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping
from hwmodel.network.layer import DIM_NAMES, OPERANDS


def mapping_of(ways: Ways, n: int, tiles: Lattice, moves: Ints) -> Mapping:
    """The mapping of a way to unroll a layer whose temporal loops and tiles come about by moves."""
    loops, inside = _nested(tiles, moves)
    chip, last = ways.chip, len(ways.chip.levels) - 1
    around: list[dict[int, int]] = [{} for _ in chip.levels]  # by level and operand: temporal loops around its tile
    for x, chain in enumerate(ways.chains):
        for level, own in zip(chain, inside[x], strict=False):
            around[level][x] = len(loops) - own
    levels, begins = [], _begins(ways, around, len(loops))
    # one tile per level: said all the same where it makes places take neighbouring windows (`Mapping.cut_for`)
    even = all(own == begins[level] for level, places in enumerate(around) for own in places.values())
    said = even and ways.has_crossing(n)
    for level in range(last, -1, -1):
        end = begins[level - 1] if level else len(loops)
        here = [chip.split_levels[axis.name] == level for axis in chip.axes]
        factors = np.where(np.array(here, dtype=bool).reshape(-1, 1), ways.on_axes[n], 1)
        moved = ((OPERANDS[x], own - begins[level]) for x, own in sorted(around[level].items()))
        levels.append(
            LevelMapping(
                name=chip.levels[level].name,
                temporal=tuple(loops[begins[level] : end]),
                spatial=axis_loops(chip.axes, factors),
                keeps=in_order(ways.branch.kept[level]),
                inward=tuple((operand, own) for operand, own in moved if own or said),
            )
        )
    return Mapping(levels=tuple(reversed(levels)))


def _begins(ways: Ways, around: list[dict[int, int]], num_loops: int) -> list[int]:
    """Loops outside of every level: of each operand those around its tile there, or around what is inside of it."""
    found, least = [], dict.fromkeys(range(len(ways.chains)), num_loops)
    for level in range(len(around) - 1):
        least |= around[level]
        found.append(min(least.values()))
    return [*found, 0]


def _nested(tiles: Lattice, moves: Ints) -> tuple[list[Loop], list[list[int]]]:
    """Temporal loops, outermost first, and by operand how many of them lie inside of the tiles of its holders."""
    loops: list[Loop] = []
    inside: list[list[int]] = [[], [], []]
    pending: dict[int, int] = {}  # since the last tile; what slides is the first

    for move, first, second in moves.tolist():
        if move == LOOP:
            pending[first] = pending.get(first, 1) * second
            continue
        loops += _flush(pending)
        if move == TILE:
            inside[first].append(len(loops))
            continue
        inside[INPUT] += [len(loops)] * first
        dim = int(np.searchsorted(tiles.steps, second, side="right")) - 1
        pending[dim] = int(tiles.factors[second, 0])
    loops += _flush(pending)
    for dim, bound in enumerate(tiles.vectors[-1].tolist()):  # what is left runs around all tiles
        pending[dim] = bound // math.prod(loop.bound for loop in loops if loop.dim == DIM_NAMES[dim])
    loops += _flush(pending)
    return loops[::-1], inside


def _flush(pending: dict[int, int]) -> Iterator[Loop]:
    """The loops since the last tile, innermost first; then there are none."""
    yield from [Loop(DIM_NAMES[dim], bound) for dim, bound in pending.items() if bound > 1]
    pending.clear()
