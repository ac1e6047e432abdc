"""What every way on costs at least, metric by metric (Lemma 23 of docs/explain/mapper.md)."""

from __future__ import annotations

import numpy as np

from hwmodel.mapper.compiling import compiled, inlined, internal
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
)
from hwmodel.mapper.deep.ladder import Ladder
from hwmodel.mapper.deep.metrics import INSIDE
from hwmodel.mapper.deep.states import Aim, Bounds, Here, Needs
from hwmodel.mapper.scores import EDP, ENERGY, SLACK, whole

#: Columns of a metric of a label: what is settled; of W, I and O what is open, and what of it (or of the
#: settled) waits for splits; what the first visits of outputs spare, and what finished ones do.
SETTLED, OPEN, WAITING, SAVED, FINISHED, WIDTH = 0, 1, 4, 7, 8, 9
#: Columns behind all metrics: rows and columns of the open tile of I, 0 where none slides; cycles of the first fill
#: (last drain) of a hop that splits are still to share, at the parent and at the child, of W, I and O.
ROWS, COLUMNS, FAR_EDGE, NEAR_EDGE, TAIL = 0, 1, 2, 5, 8
#: Columns of what the words of a hop cost: at its level and at its parent, the share of them that the parent sees
#: and their least number there, words of first visits and what they spare at the parent.
NEAR, FAR, SHARE, DISTINCT, FREE, CREDIT, RATES = range(7)
#: Of a walk: the best score so far (at first the limit), and the least that anything above it comes to.
BEST, BEYOND = 0, 1
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
def hopes(ladder: Ladder, bounds: Bounds) -> None:
    """Fills in lower bounds of the hops out of a level and of all levels outside of it, from what they need.

    A tile pays for its hop what it pays without any loop that spares it transfers, less what the one operand
    that the next loop spares may gain; a window of I may slide beside.
    """
    needed, reached, begun = bounds
    num, levels, own = len(ladder.tiles.vectors), len(ladder.shape.keep), ladder.shape
    coords, grows, rates = ladder.tiles.coords, ladder.tiles.grows, np.empty((3, RATES))
    reached[:, levels - 1], begun[:, levels - 1] = 0.0, 0.0
    for level in range(levels - 2, -1, -1):
        for r in range(len(ladder.costs.kind)):
            rates_of(ladder, r, level, rates)
            for v in range(num - 1, -1, -1):
                least = np.inf
                if needed.room[0, level, v]:
                    least = begun[r, level + 1, v] + hop_out(rates, needed, level, v)
                reached[r, level, v] = least
                for j in range(len(coords)):
                    if grows[v, j] and own.grows[level, coords[j, 0]]:
                        least = min(least, begun[r, level, v + coords[j, 2]])
                begun[r, level, v] = least


@internal
def rates_of(ladder: Ladder, r: int, level: int, rates: Floats) -> None:
    """Fills in what the words of a hop out of a level cost at least in a metric; 0 where an operand is not kept."""
    costs, own = ladder.costs, ladder.shape
    rates[:] = 0.0
    for x in range(3):
        if own.keep[level, x]:
            share = own.shares[level, x]
            waits = costs.waits[r, level, x] * max(costs.fill_near[level, x], costs.fill_far[level, x] * share)
            rates[x, NEAR] = costs.near[r, level, x] + waits
            rates[x, FAR], rates[x, SHARE], rates[x, DISTINCT] = costs.far[r, level, x], share, ladder.distinct[x]
    if own.keep[level, OUTPUT]:
        rates[OUTPUT, FREE] = ladder.outputs * own.later[level]
        rates[OUTPUT, CREDIT] = credit(ladder, r, level + 1)


@inlined
def hop_out(rates: Floats, needed: Needs, level: int, v: int) -> float:
    """The least cost of the hops out of a level with tile v."""
    total, spared = 0.0, 0.0
    for x in range(3):
        words = needed.words[level, x, v]
        full = priced(rates, x, words)
        total += full
        spared = max(spared, full - priced(rates, x, words / needed.spared[x, v]))
    return total - spared


@inlined
def priced(rates: Floats, x: int, words: float) -> float:
    """The least cost of the words of a hop, at its parent of every different word once; first visits are free."""
    near = max(rates[x, NEAR] * (words - rates[x, FREE]), 0.0)
    return near + max(rates[x, FAR] * max(words * rates[x, SHARE], rates[x, DISTINCT]) - rates[x, CREDIT], 0.0)


@internal
def credit(ladder: Ladder, r: int, level: int) -> float:
    """`Here.credit` of a level in a metric."""
    to = ladder.shape.next_outputs[level]
    return ladder.costs.arrived[r, to] * ladder.shape.later[to] + ladder.costs.finished[r, to]


@internal
def here_of(ladder: Ladder, bounds: Bounds, level: int) -> Here:
    """What a level asks of labels."""
    own, costs, metrics = ladder.shape, ladder.costs, len(ladder.costs.kind)
    credits, edges, inside = np.zeros(metrics), np.zeros((metrics, 3)), np.zeros(metrics, np.int64)
    for r in range(metrics):
        credits[r] = credit(ladder, r, level)
        inside[r] = costs.kind[r] == INSIDE and costs.level[r] < level
        for x in range(3):
            edges[r, x] = costs.edges[r, own.child[level, x], x]
    held = ladder.held if 0 <= own.last_inputs < level else np.ones((1, 5))
    return Here(
        level, own.near_parent[level], own.later[level], credits, edges, inside,
        bounds.needed.room[:, level].copy(), bounds.needed.spared, ladder.tiles.vectors, ladder.tiles.rests,
        ladder.pace, held, ladder.tie,
    )  # fmt: skip


@internal
def hope(here: Here, x: Floats, opened: Ints, a: int, further: Floats, bounds: Floats) -> None:
    """Fills in the least that a label comes to in every metric, at split tile a of a level.

    x: its values (`hwmodel.mapper.deep.walk`); opened: (3) 1 where an operand's hop is open; further: (M, L, V) of
    `hopes`, what begins later; bounds: (M).
    """
    size = len(here.credit) * WIDTH
    slide = 1.0
    if opened[INPUT]:
        slide = slid(here.rests[a], here.vectors[a], x[size + ROWS], x[size + COLUMNS], here.pace)
        if len(here.held) > 1:
            slide *= here.held[a].min() / here.held[a].max()
    for r in range(len(here.credit)):
        y = r * WIDTH
        total = x[y + SETTLED] - x[y + SAVED] * here.later - x[y + FINISHED] - here.credit[r]
        spared = 0.0
        for operand in range(3):
            edge = max(x[size + FAR_EDGE + operand], x[size + NEAR_EDGE + operand])
            if edge > 0:
                total += here.edges[r, operand] * edge
            cost = x[y + OPEN + operand]
            if here.near[operand]:
                cost += x[y + WAITING + operand]
            if opened[operand]:
                if operand == INPUT:
                    cost *= slide
                spared = max(spared, cost * (1.0 - 1.0 / here.spared[operand, a]))
            total += cost
        bounds[r] = total - spared + further[r, here.level, a]
        if r == 0:
            bounds[r] -= MOST_DOUBLINGS * here.tie


@internal
def cycles_of(values: Floats) -> float:
    """Whole cycles of the lines among metrics: the last to end."""
    last = 0.0
    for r in range(1, len(values)):
        last = max(last, values[r])
    return whole(last)


@internal
def wins(aim: Aim, values: Floats, best: Floats) -> bool:
    """What the metrics come to is no worse than the best so far; else it is noted if nothing less was, so far.

    best: (2) the limit, and the least score above it.
    """
    limit = best[BEST]
    if len(values) == 1:
        came_to = values[0]
    else:
        cycles = cycles_of(values)
        if cycles > aim.most_cycles:
            return False
        came_to = values[0] if aim.objective == ENERGY else cycles
        if aim.objective == EDP:
            came_to, limit = values[0] * cycles, limit * (1 + SLACK)
    if came_to <= limit:
        return True
    best[BEYOND] = min(best[BEYOND], came_to)
    return False


@internal
def score(objective: int, values: Floats) -> float:
    """Energy, cycles or their product."""
    if objective == ENERGY:
        return values[0]
    return values[0] * cycles_of(values) if objective == EDP else cycles_of(values)
