"""The compiled walk: from one MAC outward, level by level, to the whole layer.

At level l the tile below, T, is split over the array, A = T * s; then the loops of the level follow, and what they
reach is the next tile. A hop of an operand is *open* while the loops that come next may still spare it transfers:
as long as none of them indexes it. Of an open hop the label keeps what it costs if nothing more is spared; every
loop that spares it divides that. One class of loops comes first (those that spare W, O or I; or one that slides a
window over I), then any others: by Lemma 2 that is as good as any order.

A label is dominated where another one with the same tile and the same open hops is better in everything. Lemmas 21
to 23 of docs/explain/mapper.md.
"""

from __future__ import annotations

import numpy as np

from hwmodel.mapper.compiling import compiled, internal
from hwmodel.mapper.counting import INPUT, OUTPUT, WEIGHT, Floats, Ints, irrelevant, product
from hwmodel.mapper.deep.cuts import Cut, alike, cut_of, move_out
from hwmodel.mapper.deep.hopes import OPEN, ROWS, SETTLED, TAIL, WAITING, WIDTH, fits, hope, no_window, wins
from hwmodel.mapper.deep.labels import FROM, HOW, NEXT, REACHED, TILE, close, insert, mark, take_over
from hwmodel.mapper.deep.ladder import Ladder
from hwmodel.mapper.deep.loops import jump, loops_that_spare, other_loops, slide
from hwmodel.mapper.deep.states import CLOSED, I_K, KINDS, O_X, ORDERS_OF_CODE, W_X, Aim, Bounds, Pool, States


@compiled
def walk(ladder: Ladder, aim: Aim, bounds: Bounds, pool: Pool, found: Ints) -> tuple[float, int]:
    """The best score, infinite where none is within the aim, and the number of labels.

    Past the room for labels nothing is found.

    Args:
        ladder: one layer on one chip.
        aim: what is looked for.
        bounds: of `hopes`.
        pool: room for labels.
        found: (L, 3) becomes per level the tile, the split below it and the row of the level's orders.
    """
    num, levels = len(ladder.tiles.vectors), len(ladder.shape.keep)
    size, room = len(ladder.costs.kind) * WIDTH, len(pool.values)
    states = States(
        np.full((KINDS, num), -1, dtype=np.int64), np.full((KINDS, num), -1, dtype=np.int64),
        np.full(2 * num, -1, dtype=np.int64), np.full((6, 2 * num), -1, dtype=np.int64),
    )  # fmt: skip
    x = np.zeros(size + TAIL)
    for r in range(len(ladder.costs.kind)):
        x[r * WIDTH + SETTLED] = ladder.costs.base[r]
        for operand in range(3):
            x[r * WIDTH + WAITING + operand] = ladder.costs.first[r, operand]
    count = insert(states.tiles[CLOSED], 0, x, -1, 0, REACHED, pool.values, pool.links, 0)
    last = np.full(1, -1, dtype=np.int64)
    best = np.full(1, aim.limit)
    for level in range(levels):
        states.done[:], states.single[:], states.upper[:] = -1, -1, -1
        count = split(ladder, level, aim, bounds, states, pool, count, best, last)
        if count <= room and level < levels - 1:
            count = loops_that_spare(ladder, level, aim, bounds, states, pool, count)
        if count <= room and level < levels - 1:
            count = other_loops(ladder, level, aim, bounds, states, pool, count)
        if count > room:
            return np.inf, count
        states.tiles[:] = states.upper
    if last[0] < 0:
        return np.inf, count
    trace(pool.links, last[0], levels - 1, num - 1, found)
    return best[0], count


@internal
def trace(links: Ints, node: int, level: int, whole: int, found: Ints) -> None:
    """The tiles, splits and orders behind a label of the whole layer."""
    found[level, 0] = whole
    while node >= 0:
        how = links[node, HOW]
        if how >= 0:
            found[level, 1], found[level, 2] = how // ORDERS_OF_CODE, how % ORDERS_OF_CODE
            level -= 1
        elif how == REACHED and level >= 0:
            found[level, 0] = links[node, TILE]
        node = links[node, FROM]


@internal
def split(ladder: Ladder, level: int, aim: Aim, bounds: Bounds, states: States, pool: Pool, count: int,
          best: Floats, last: Ints) -> int:  # fmt: skip
    """Every tile below a level over every split of it, and the first loops of the level; at the outermost all."""
    parted, size = ladder.splits, len(ladder.costs.kind) * WIDTH
    cut = Cut(np.ones(3), np.ones(3), np.zeros(3), np.zeros(3), np.ones(3), np.zeros(3), np.zeros(3))
    x, y = np.empty(size + TAIL), np.empty(size + TAIL)
    for v in range(len(ladder.tiles.vectors)):
        empty = True
        for kind in range(KINDS):
            empty = empty and states.tiles[kind, v] < 0
        if empty:
            continue
        for s in range(parted.spans[level], parted.spans[level + 1]):
            if not cut_of(ladder, level, v, s, cut):
                continue
            for kind in range(KINDS):
                node = states.tiles[kind, v]
                while node >= 0:
                    x[:] = pool.values[node]
                    if two_windows(ladder, level, kind, v, s, x):
                        close_inside(ladder, x)
                        count = cross(ladder, level, kind - (1 << INPUT), v, s, cut, aim, bounds, states, pool,
                                      count, best, last, node, x, y)  # fmt: skip
                        x[:] = pool.values[node]
                    count = cross(ladder, level, kind, v, s, cut, aim, bounds, states, pool, count, best, last,
                                  node, x, y)  # fmt: skip
                    if count > len(pool.values):
                        return count
                    node = pool.links[node, NEXT]
    return count


@internal
def cross(ladder: Ladder, level: int, kind: int, v: int, s: int, cut: Cut, aim: Aim, bounds: Bounds, states: States,
          pool: Pool, count: int, best: Floats, last: Ints, node: int, x: Floats, y: Floats) -> int:  # fmt: skip
    """A label over a split, to the first loops of the level."""
    move_out(ladder, level, kind, v, s, cut, x)
    return begin(ladder, level, kind, v, s, aim, bounds, states, pool, count, best, last, node, x, y)


@internal
def two_windows(ladder: Ladder, level: int, kind: int, v: int, s: int, x: Floats) -> bool:
    """An open tile of I passes a level that keeps another one: neither slides, or the inner one closes."""
    if level == 0 or not kind >> INPUT & 1 or not ladder.shape.keep[level - 1, INPUT]:
        return False
    return x[ROWS - TAIL] > 0 and not alike(ladder, v, s, x)


@internal
def close_inside(ladder: Ladder, x: Floats) -> None:
    """Nothing more is spared of the open tile of I."""
    for r in range(len(ladder.costs.kind)):
        x[r * WIDTH + SETTLED] += x[r * WIDTH + OPEN + INPUT]
        x[r * WIDTH + OPEN + INPUT] = 0.0
    no_window(x)


@internal
def begin(ladder: Ladder, level: int, kind: int, v: int, s: int, aim: Aim, bounds: Bounds, states: States,
          pool: Pool, count: int, best: Floats, last: Ints, node: int, x: Floats, y: Floats) -> int:  # fmt: skip
    """The first loops of a level around a split tile: each class, and each window that slides.

    x: values of the label at the split; y: room for others.
    """
    num, own, metrics = len(ladder.tiles.vectors), ladder.shape, len(ladder.costs.kind)
    a = v + ladder.offsets[s]
    tile, values, links = ladder.tiles.vectors[a], pool.values, pool.links
    opened, least, rest = np.zeros(3, np.int64), np.empty(metrics), np.empty(8, np.int64)
    stuck = np.zeros(3, np.int64)
    for operand in range(3):
        opened[operand] = kind >> operand & 1 or (level > 0 and own.keep[level - 1, operand] == 1)
        if not opened[operand]:
            for r in range(metrics):
                if own.near_parent[level, operand]:
                    x[r * WIDTH + SETTLED] += x[r * WIDTH + WAITING + operand]
                    x[r * WIDTH + WAITING + operand] = 0.0
    if level == own.whole_sums_at and irrelevant(OUTPUT, tile) < irrelevant(OUTPUT, ladder.bounds):
        return count
    hope(ladder, level, x, opened, a, bounds.begun, least)
    if not wins(aim.objective, least, best[0], aim.most_cycles):
        return count
    if level == len(own.keep) - 1 or own.num_orders[level] == 1:
        return jump(ladder, level, a, s, aim, bounds, states, pool, count, best, last, node, x, y, opened)
    unfinished = int(own.wide_sums and irrelevant(OUTPUT, tile) < irrelevant(OUTPUT, ladder.bounds))
    state, how = unfinished * num + a, ORDERS_OF_CODE * s
    for operand in range(3):
        whole = ladder.splits.whole[s]
        stuck[operand] = own.ends_at_splits and product(whole) > irrelevant(operand, whole)
    for d in range(8):
        rest[d] = ladder.bounds[d] // tile[d] if own.loops[level, d] else 1
    y[:] = x
    for operand in range(3):
        close(ladder, level, operand, y)
    take_over(ladder, level, y)
    count = insert(states.done, state, y, node, a, how, values, links, count)
    for operand in range(3):
        if opened[operand] and irrelevant(operand, rest) > 1:
            y[:] = x
            for other in range(3):
                if other != operand:
                    close(ladder, level, other, y)
            no_window(y)
            order = W_X if operand == WEIGHT else (I_K if operand == INPUT else O_X)
            heads = states.single[operand + 3 * stuck[operand]]
            count = insert(heads, state, y, node, a, how + order, values, links, count)
    if opened[INPUT] and x[ROWS - TAIL] > 0:
        count = slide(ladder, level, a, how, state, states, pool, count, node, x, y, opened, rest)
    mask = 0
    for operand in range(3):
        if opened[operand] and stuck[operand]:
            close(ladder, level, operand, x)
            opened[operand] = 0
        mask += opened[operand] << operand
    if mask and count < len(values) and fits(ladder, level, tile, unfinished):
        hope(ladder, level, x, opened, a, bounds.reached, least)
        if wins(aim.objective, least, best[0], aim.most_cycles):
            count = insert(states.upper[mask], a, x, node, a, how, values, links, count)
            if count <= len(values):  # there is no loop between the split and the tile
                count = mark(states.upper[mask], a, values, links, count)
    return count
