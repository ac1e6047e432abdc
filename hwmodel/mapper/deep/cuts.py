"""From a tile to its split: which hops end there, which begin, and what the places of a split share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hwmodel.mapper.compiling import inlined, internal
from hwmodel.mapper.counting import INPUT, OUTPUT, Floats, Ints, distinct_tiles, product, tile_words
from hwmodel.mapper.deep.hopes import (
    COLUMNS,
    FAR_EDGE,
    FINISHED,
    NEAR_EDGE,
    OPEN,
    ROWS,
    SAVED,
    SETTLED,
    TAIL,
    WAITING,
    WIDTH,
    length,
    no_window,
)
from hwmodel.mapper.deep.ladder import Ladder


class Cut(NamedTuple):
    """One split of one tile.

    Attributes:
        shares, within: (3) reads over the transfers of the places outside and inside of the memory below.
        words: (3) words of the hop out of the level below, if nothing is spared.
        tile: (3) words of its tile.
        places: (3) copies of the memory below in the split.
        waits, later: (3) cycles of a word of its fills, which are waited for: now, and where splits will share
            them.
        one_tile, one_words: (3) as `tile` and `words`, if the copies of the memory served one place each.
    """

    shares: Floats
    within: Floats
    words: Floats
    tile: Floats
    places: Floats
    waits: Floats
    later: Floats
    one_tile: Floats
    one_words: Floats


@internal
def new_cut() -> Cut:
    """Room for a cut."""
    return Cut(
        np.ones(3), np.ones(3), np.zeros(3), np.zeros(3), np.ones(3), np.zeros(3), np.zeros(3), np.zeros(3),
        np.zeros(3),
    )  # fmt: skip


@inlined
def at_tile(ladder: Ladder, v: int, cut: Cut) -> None:
    """Fills in what all cuts of tile v have in common."""
    moves = product(ladder.tiles.rests[v])
    for x in range(3):
        cut.one_tile[x] = tile_words(x, ladder.tiles.vectors[v], ladder.pace)
        cut.one_words[x] = cut.one_tile[x] * moves


@inlined
def divides(ladder: Ladder, v: int, s: int) -> bool:
    """A split divides what is left around tile v."""
    for d in range(8):
        factor = ladder.splits.whole[s, d]
        if factor > 1 and ladder.tiles.rests[v, d] % factor:
            return False
    return True


@inlined
def cut_of(ladder: Ladder, level: int, v: int, s: int, cut: Cut) -> bool:
    """Fills in the cut of tile v (`at_tile`) by split s; whether it is possible."""
    parted, joint = ladder.splits, False
    for x in range(3):
        within = parted.within[s, x]
        cut.places[x] = parted.total[s] // within
        cut.tile[x], cut.words[x], cut.within[x] = cut.one_tile[x], cut.one_words[x], 1.0
        if within > 1:
            joint = True
            share_memory(ladder, v, s, x, cut)
        cut.shares[x] = parted.share[s, x]
        if cut.shares[x] == 0.0:
            apart = distinct_tiles(x, parted.own[s, x], inside_of(ladder, v, s, x), ladder.pace)
            cut.shares[x] = parted.alone[s, x] * apart / cut.places[x]
        if level:
            wait_for_fills(ladder, level, x, cut)
    return not joint or level == 0 or fits_inside(ladder, level - 1, ladder.tiles.vectors[v], parted.parts[s])


@inlined
def share_memory(ladder: Ladder, v: int, s: int, x: int, cut: Cut) -> None:
    """Fills in what a memory holds for the places that it serves together."""
    parted, inside = ladder.splits, inside_of(ladder, v, s, x)
    cut.within[x] = parted.inner_share[s, x]
    if cut.within[x] == 0.0:
        apart = distinct_tiles(x, parted.inner[s, x], ladder.tiles.vectors[v], ladder.pace)
        cut.within[x] = parted.inner_alone[s, x] * apart / parted.within[s, x]
    cut.tile[x] = tile_words(x, inside, ladder.pace)
    cut.words[x] = cut.tile[x] * (float(product(ladder.bounds)) / product(inside))


@internal
def inside_of(ladder: Ladder, v: int, s: int, x: int) -> Ints:
    """Tile v with the factors of a split inside of the copies of the memory of an operand."""
    inside = np.empty(8, np.int64)
    for d in range(8):
        inside[d] = ladder.tiles.vectors[v, d] * ladder.splits.parts[s, x, d]
    return inside


@internal
def wait_for_fills(ladder: Ladder, level: int, x: int, cut: Cut) -> None:
    """The longer of both ports of a fill; as later splits share it, that of the parent may become the shorter."""
    costs, own = ladder.costs, ladder.shape
    near, far = costs.fill_near[level - 1, x], costs.fill_far[level - 1, x] * cut.shares[x]
    cut.waits[x], cut.later[x] = max(near, far), 0.0
    if (
        not own.near_parent[level, x]
        and far > near
        and near <= costs.fill_far[level - 1, x] * own.shares[level - 1, x]
    ):
        cut.waits[x], cut.later[x] = 0.0, far


@internal
def fits_inside(ladder: Ladder, level: int, tile: Ints, parts: Ints) -> bool:
    """As `Needs.room`, where axes share memories, which hold what all their places need; sums as wide as can be."""
    t, own = np.empty(8, np.int64), ladder.shape
    for slot in range(3):
        need = 0.0
        for x in range(3):
            if own.keep[level, x] and own.slot[level, x] == slot:
                for d in range(8):
                    t[d] = tile[d] * parts[x, d]
                need += ladder.widths[3 if x == OUTPUT else x] * tile_words(x, t, ladder.pace)
        if need > own.capacity[level, slot]:
            return False
    return True


@inlined
def move_out(ladder: Ladder, level: int, kind: int, v: int, s: int, cut: Cut, x: Floats) -> None:
    """From a tile to its split: hops into the level below end, and others out of it begin."""
    below, own, costs = level - 1, ladder.shape, ladder.costs
    reductions = ladder.splits.reductions[s]
    sums = level > 0 and own.keep[below, OUTPUT] == 1
    for r in range(len(costs.kind)):
        y = x[r * WIDTH : (r + 1) * WIDTH]
        saved = y[SAVED] * reductions[0]
        finished = y[FINISHED] if reductions[0] == 1 else 0.0
        for operand in range(3):
            opened = kind >> operand & 1
            if level == 0 or not own.keep[below, operand]:
                y[WAITING + operand] *= cut.shares[operand] * cut.within[operand]
                continue
            arrived, words = y[WAITING + operand] * cut.within[operand], cut.words[operand]
            if opened:
                y[OPEN + operand] += arrived
            else:
                y[SETTLED] += arrived
            wait = costs.waits[r, below, operand] * cut.waits[operand]
            y[SETTLED] -= costs.own[r, below, operand] * cut.tile[operand]
            fill = (costs.near[r, below, operand] + wait) * words
            leave = costs.far[r, below, operand] * words * cut.shares[operand]
            if cut.later[operand] > 0:
                late = costs.waits[r, below, operand] * cut.later[operand]
                leave += late * words
                if operand == OUTPUT:
                    y[SETTLED] -= late * ladder.outputs * reductions[1]
            if operand == INPUT and below == own.last_inputs:
                y[WAITING + operand] = (fill + leave) * ladder.held[v % len(ladder.held), 0]
            else:
                y[OPEN + operand] += fill
                y[WAITING + operand] = leave
            if operand == OUTPUT:
                saved += (costs.saved[r, below] + wait * ladder.outputs) * reductions[1]
        if sums and reductions[1] == 1:
            finished += costs.finished[r, below]
        y[SAVED], y[FINISHED] = saved, finished
        if own.later[level] == 1.0:
            y[SETTLED] -= saved + finished
            y[SAVED], y[FINISHED] = 0.0, 0.0
    if len(costs.kind) > 1:
        edges(ladder, level, cut, x)
    x[SETTLED] -= ladder.tie * np.log2(float(ladder.splits.total[s]))
    if level and own.keep[below, INPUT]:
        same = alike(ladder, v, s, x)
        x[ROWS - TAIL], x[COLUMNS - TAIL] = rows_of(ladder, v, s, 0), rows_of(ladder, v, s, 1)
        if kind >> INPUT & 1 and not same:
            no_window(x)  # two tiles are open: their windows would slide apart
    elif not kind >> INPUT & 1:
        no_window(x)


@internal
def alike(ladder: Ladder, v: int, s: int, x: Floats) -> bool:
    """The open tile of I has the rows and columns of that of the level below."""
    return x[ROWS - TAIL] == rows_of(ladder, v, s, 0) and x[COLUMNS - TAIL] == rows_of(ladder, v, s, 1)


@internal
def edges(ladder: Ladder, level: int, cut: Cut, x: Floats) -> None:
    """First fills and last drains: one tile for every place that does not share it, at the slower of both ports."""
    below, own, costs, size = level - 1, ladder.shape, ladder.costs, len(x) - TAIL
    for operand in range(3):
        far, near = size + FAR_EDGE + operand, size + NEAR_EDGE + operand
        if level and own.keep[below, operand]:
            x[far] = costs.edge_far[below, operand] * cut.tile[operand]
            x[near] = costs.edge_near[below, operand] * cut.tile[operand]
        x[far] *= cut.shares[operand] * cut.places[operand]
        if own.near_parent[level, operand] and max(x[far], x[near]) > 0:
            edge = max(x[far], x[near])
            for r in range(len(costs.kind)):
                x[r * WIDTH + SETTLED] += costs.edges[r, own.child[level, operand], operand] * edge
            x[far], x[near] = 0.0, 0.0


@internal
def rows_of(ladder: Ladder, v: int, s: int, axis: int) -> float:
    """Rows (axis 0) or columns of I in the memory below a split, with what places that share it need."""
    return float(length(inside_of(ladder, v, s, INPUT), axis, ladder.pace))
