"""What every way on costs at least, metric by metric (Lemma 23 of docs/explain/mapper.md)."""

from __future__ import annotations

import numpy as np

from hwmodel.mapper.compiling import compiled, internal
from hwmodel.mapper.counting import (
    DILATION,
    FX,
    FY,
    INPUT,
    OUTPUT,
    OY,
    STRIDE,
    Floats,
    Ints,
    irrelevant,
    product,
    tile_words,
)
from hwmodel.mapper.deep.ladder import Ladder
from hwmodel.mapper.scores import EDP, ENERGY, LATENCY, SLACK, whole

#: Columns of a metric of a label: what is settled; of W, I and O what is open, and what of it (or of the
#: settled) waits for splits; what the first visits of outputs spare, and what finished ones do.
SETTLED, OPEN, WAITING, SAVED, FINISHED, WIDTH = 0, 1, 4, 7, 8, 9
#: Columns behind all metrics: rows and columns of the open tile of I, 0 where none slides; cycles of the first fill
#: (last drain) of a hop that splits are still to share, at the parent and at the child, of W, I and O.
ROWS, COLUMNS, FAR_EDGE, NEAR_EDGE, TAIL = 0, 1, 2, 5, 8
#: Doublings of the PEs that a mapping may unroll: a chip has at most 2^31.
MOST_DOUBLINGS = 31


@internal
def length(t: Ints, axis: int, pace: Ints) -> int:
    """Rows (axis 0) or columns (axis 1) of I under a tile."""
    rows = (t[OY + axis] - 1) * pace[STRIDE + axis]
    columns = (t[FY + axis] - 1) * pace[DILATION + axis]
    return rows + columns + 1


@internal
def no_window(x: Floats) -> None:
    """No tile of I is open that could slide."""
    x[ROWS - TAIL], x[COLUMNS - TAIL] = 0.0, 0.0


@internal
def slid(rest: Ints, tile: Ints, rows: float, columns: float, pace: Ints) -> float:
    """The least share of the transfers of a tile of I that loops `rest` around `tile` leave if one of them slides.

    rows, columns: of the tile of I, 0 where it cannot slide.
    """
    share = 1.0
    if rows > 0:
        for dim in range(OY, FX + 1):
            size = rows if dim % 2 == 0 else columns
            fresh = min(1.0, tile[dim] * pace[dim - OY] / size)
            share = min(share, (1.0 + (rest[dim] - 1) * fresh) / rest[dim])
    return share


@compiled
def hopes(ladder: Ladder, reached: Floats, begun: Floats) -> None:
    """Fills in lower bounds for tiles (M, L, V) of the hops out of a level and of all levels outside of it.

    A tile pays for its hop what it pays without any loop that spares it transfers, less what the one operand
    that the next loop spares may gain; a window of I may slide beside.

    Args:
        ladder: one layer on one chip.
        reached: becomes the bound where the tile of the level is v.
        begun: that where v is split for the level and its loops are to come; infinite where no tile around it fits.
    """
    num, levels, own = len(ladder.tiles.vectors), len(ladder.shape.keep), ladder.shape
    coords = ladder.tiles.coords
    reached[:, levels - 1], begun[:, levels - 1] = 0.0, 0.0
    for level in range(levels - 2, -1, -1):
        for v in range(num - 1, -1, -1):
            tile = ladder.tiles.vectors[v]
            room = fits(ladder, level, tile, 0)
            for r in range(len(ladder.costs.kind)):
                reached[r, level, v] = np.inf
                if room:
                    reached[r, level, v] = begun[r, level + 1, v]
            if room:
                hop_out(ladder, level, v, reached)
            for r in range(len(ladder.costs.kind)):
                begun[r, level, v] = reached[r, level, v]
                for j in range(len(coords)):
                    dim, prime, stride = coords[j, 0], coords[j, 1], coords[j, 2]
                    if own.grows[level, dim] and ladder.bounds[dim] // tile[dim] % prime == 0:
                        begun[r, level, v] = min(begun[r, level, v], begun[r, level, v + stride])


@internal
def hop_out(ladder: Ladder, level: int, v: int, reached: Floats) -> None:
    """Adds the least cost of the hops out of a level with tile v."""
    tile, pace, own = ladder.tiles.vectors[v], ladder.pace, ladder.shape
    rest, words = np.empty(8, np.int64), np.zeros(3)
    for d in range(8):
        rest[d] = ladder.bounds[d] // tile[d]
    moves = float(product(rest))
    for x in range(3):
        if own.keep[level, x]:
            words[x] = tile_words(x, tile, pace) * moves * own.inside[level, x]
    words[INPUT] *= slid(rest, tile, float(length(tile, 0, pace)), float(length(tile, 1, pace)), pace)
    if own.last_inputs == level:
        words[INPUT] *= ladder.held[v % len(ladder.held)].min()
    for r in range(len(ladder.costs.kind)):
        total, spared = 0.0, 0.0
        for x in range(3):
            if own.keep[level, x]:
                full = priced(ladder, r, level, x, words[x])
                total += full
                spared = max(spared, full - priced(ladder, r, level, x, words[x] / irrelevant(x, rest)))
        reached[r, level, v] += total - spared


@internal
def priced(ladder: Ladder, r: int, level: int, x: int, words: float) -> float:
    """The least cost of the words of a hop out of a level, at its parent of every different word once.

    First visits of outputs are free.
    """
    costs, share = ladder.costs, ladder.shape.shares[level, x]
    near, far = costs.near[r, level, x], costs.far[r, level, x] * max(words * share, ladder.distinct[x])
    near += costs.waits[r, level, x] * max(costs.fill_near[level, x], costs.fill_far[level, x] * share)
    if x != OUTPUT:
        return near * words + far
    least = max(near * (words - ladder.outputs * ladder.shape.later[level]), 0.0)
    return least + max(far - credit(ladder, r, level + 1), 0.0)


@internal
def credit(ladder: Ladder, r: int, level: int) -> float:
    """The most that first visits and finished outputs may spare of what arrives where O is kept next."""
    to = ladder.shape.next_outputs[level]
    return ladder.costs.arrived[r, to] * ladder.shape.later[to] + ladder.costs.finished[r, to]


@internal
def hope(ladder: Ladder, level: int, x: Floats, opened: Ints, a: int, further: Floats, bounds: Floats) -> None:
    """Fills in the least that a label comes to in every metric, at split tile a of a level.

    x: its values (`hwmodel.mapper.deep.walk`); opened: (3) 1 where an operand's hop is open; further: (M, L, V) of
    `hopes`, what begins later; bounds: (M).
    """
    rest, tile, own = np.empty(8, np.int64), ladder.tiles.vectors[a], ladder.shape
    for d in range(8):
        rest[d] = ladder.bounds[d] // tile[d]
    size = len(ladder.costs.kind) * WIDTH
    slide = 1.0
    if opened[INPUT]:
        slide = slid(rest, tile, x[size + ROWS], x[size + COLUMNS], ladder.pace)
        if 0 <= own.last_inputs < level:
            held = ladder.held[a % len(ladder.held)]
            slide *= held.min() / held.max()
    for r in range(len(ladder.costs.kind)):
        y = x[r * WIDTH : (r + 1) * WIDTH]
        total, spared = y[SETTLED] - y[SAVED] * own.later[level] - y[FINISHED] - credit(ladder, r, level), 0.0
        for operand in range(3):
            edge = max(x[size + FAR_EDGE + operand], x[size + NEAR_EDGE + operand])
            if edge > 0:
                total += ladder.costs.edges[r, own.child[level, operand], operand] * edge
            cost = y[OPEN + operand]
            if own.near_parent[level, operand]:
                cost += y[WAITING + operand]
            if opened[operand]:
                if operand == INPUT:
                    cost *= slide
                spared = max(spared, cost * (1.0 - 1.0 / irrelevant(operand, rest)))
            total += cost
        bounds[r] = total - spared + further[r, level, a]
        if r == 0:
            bounds[r] -= MOST_DOUBLINGS * ladder.tie


@internal
def cycles_of(values: Floats) -> float:
    """Whole cycles of the lines among metrics: the last to end."""
    last = 0.0
    for r in range(1, len(values)):
        last = max(last, values[r])
    return whole(last)


@internal
def wins(objective: int, values: Floats, limit: float, most_cycles: float) -> bool:
    """What the metrics come to is no worse than a limit."""
    if len(values) == 1:
        return values[0] <= limit
    cycles = cycles_of(values)
    if cycles > most_cycles:
        return False
    if objective == ENERGY:
        return values[0] <= limit
    if objective == LATENCY:
        return cycles <= limit
    return values[0] * cycles <= limit * (1 + SLACK)


@internal
def score(objective: int, values: Floats) -> float:
    """Energy, cycles or their product."""
    if objective == ENERGY:
        return values[0]
    return values[0] * cycles_of(values) if objective == EDP else cycles_of(values)


@internal
def fits(ladder: Ladder, level: int, t: Ints, unfinished: int) -> bool:
    """A tile fits the memories of a level; sums that are to go on are as wide as the accumulator."""
    own = ladder.shape
    for slot in range(3):
        need = 0.0
        for x in range(3):
            if own.keep[level, x] and own.slot[level, x] == slot:
                wide = x == OUTPUT and (unfinished or level == own.first_outputs)
                need += ladder.widths[3 if wide else x] * tile_words(x, t, ladder.pace)
        if need > own.capacity[level, slot]:
            return False
    return True
