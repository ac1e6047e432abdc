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

from hwmodel.mapper.compiling import compiled, inlined, internal
from hwmodel.mapper.counting import INPUT, OUTPUT, WEIGHT, Floats, Ints, irrelevant, product
from hwmodel.mapper.deep.cuts import alike, at_tile, cut_of, divides, move_out, new_cut
from hwmodel.mapper.deep.early import at_labels, at_split, early_of, over_split
from hwmodel.mapper.deep.hopes import (
    BEST,
    BEYOND,
    OPEN,
    ROWS,
    SETTLED,
    TAIL,
    WAITING,
    WIDTH,
    here_of,
    hope,
    no_window,
    score,
    wins,
)
from hwmodel.mapper.deep.labels import FROM, HOW, NEXT, REACHED, TILE, close, insert, mark, take_over
from hwmodel.mapper.deep.ladder import Ladder
from hwmodel.mapper.deep.loops import ALONE, NOTHING, jump, loops_that_spare, other_loops, push, slide
from hwmodel.mapper.deep.states import CLOSED, I_K, KINDS, O_X, ORDERS_OF_CODE, W_X, Aim, Bounds, Here, Pool, States

#: Whether a cut can be made: not looked at, no, yes.
NOT_YET, IMPOSSIBLE = -1, 0


@compiled
def walk(ladder: Ladder, aim: Aim, bounds: Bounds, pool: Pool, found: Ints) -> tuple[float, float, int]:
    """The best score, infinite where none is within the aim; the least that others may have; the number of labels.

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
    best = np.array([aim.limit, np.inf])
    for level in range(levels):
        states.done[:], states.single[:], states.upper[:] = -1, -1, -1
        here = here_of(ladder, bounds, level)
        count = split(ladder, here, aim, bounds, states, pool, count, best, last)
        if count <= room and level < levels - 1:
            count = loops_that_spare(ladder, here, aim, bounds, states, pool, count, best)
        if count <= room and level < levels - 1:
            count = other_loops(ladder, here, aim, bounds, states, pool, count, best)
        if count > room:
            return np.inf, best[BEYOND], count
        if level < levels - 1:
            narrow(here, aim, bounds, states, pool)
        states.tiles[:] = states.upper
    if last[0] < 0:
        return np.inf, best[BEYOND], count
    trace(pool.links, last[0], levels - 1, num - 1, found)
    return best[BEST], best[BEYOND], count


@internal
def narrow(here: Here, aim: Aim, bounds: Bounds, states: States, pool: Pool) -> None:
    """Leaves the most promising labels at the tiles of a level, as many as are wanted and those that tie."""
    number = 0
    for kind in range(KINDS):
        for v in range(len(here.vectors)):
            node = states.upper[kind, v]
            while node >= 0:
                node, number = pool.links[node, NEXT], number + 1
    if number <= aim.width:
        return
    scores = np.empty(number)
    promise(here, aim, bounds, states, pool, scores)
    worst, number = np.sort(scores)[aim.width - 1], 0
    for kind in range(KINDS):
        for v in range(len(here.vectors)):
            before, node = -1, states.upper[kind, v]
            while node >= 0:
                after = pool.links[node, NEXT]
                if scores[number] <= worst:
                    before = node
                elif before < 0:
                    states.upper[kind, v] = after
                else:
                    pool.links[before, NEXT] = after
                node, number = after, number + 1


@internal
def promise(here: Here, aim: Aim, bounds: Bounds, states: States, pool: Pool, scores: Floats) -> None:
    """Fills in what the labels at the tiles of a level come to at least, in their order."""
    opened, least, number = np.empty(3, np.int64), np.empty(len(here.credit)), 0
    for kind in range(KINDS):
        for operand in range(3):
            opened[operand] = kind >> operand & 1
        for v in range(len(here.vectors)):
            node = states.upper[kind, v]
            while node >= 0:
                hope(here, pool.values[node], opened, v, bounds.reached, least)
                scores[number] = score(aim.objective, least)
                node, number = pool.links[node, NEXT], number + 1


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


@inlined
def split(ladder: Ladder, here: Here, aim: Aim, bounds: Bounds, states: States, pool: Pool, count: int,
          best: Floats, last: Ints) -> int:  # fmt: skip
    """Every tile below a level over every split of it, and the first loops of the level; at the outermost all."""
    level, spans, size = here.level, ladder.splits.spans, len(ladder.costs.kind) * WIDTH
    cut, early = new_cut(), early_of(ladder, bounds, level)
    x, y = np.empty(size + TAIL), np.empty(size + TAIL)
    for v in range(len(ladder.tiles.vectors)):
        if states.tiles[:, v].max() < 0:
            continue
        at_tile(ladder, v, cut)
        if level:
            early = at_labels(v, bounds, states, pool, early)
        for s in range(spans[level], spans[level + 1]):
            if not divides(ladder, v, s):
                continue
            if level:
                at_split(ladder, level, v, s, bounds, early)
            is_cut, number = NOT_YET, -1
            for kind in range(KINDS):
                node = states.tiles[kind, v]
                while node >= 0 and is_cut != IMPOSSIBLE:
                    label, node, number = node, pool.links[node, NEXT], number + 1
                    x[:] = pool.values[label]
                    if level:
                        over_split(ladder, level, kind, s, number, x, early)
                        if not wins(aim, early.least, best):
                            continue
                    if is_cut == NOT_YET:
                        is_cut = int(cut_of(ladder, level, v, s, cut))
                        if is_cut == IMPOSSIBLE:
                            continue
                    apart = two_windows(ladder, level, kind, v, s, x)
                    for closed in range(apart, -1, -1):
                        if closed:  # nothing more is spared of the open tile of I
                            close_inside(ladder, x)
                        move_out(ladder, level, kind - (closed << INPUT), v, s, cut, x)
                        count = begin(ladder, here, kind - (closed << INPUT), v, s, aim, bounds, states, pool,
                                      count, best, last, label, x, y)  # fmt: skip
                        if closed:
                            x[:] = pool.values[label]
                    if count > len(pool.values):
                        return count
    return count


@inlined
def two_windows(ladder: Ladder, level: int, kind: int, v: int, s: int, x: Floats) -> bool:
    """An open tile of I passes a level that keeps another one: neither slides, or the inner one closes."""
    if level == 0 or not kind >> INPUT & 1 or not ladder.shape.keep[level - 1, INPUT]:
        return False
    return x[ROWS - TAIL] > 0 and not alike(ladder, v, s, x)


@inlined
def close_inside(ladder: Ladder, x: Floats) -> None:
    """Nothing more is spared of the open tile of I."""
    for r in range(len(ladder.costs.kind)):
        x[r * WIDTH + SETTLED] += x[r * WIDTH + OPEN + INPUT]
        x[r * WIDTH + OPEN + INPUT] = 0.0
    no_window(x)


@inlined
def begin(ladder: Ladder, here: Here, kind: int, v: int, s: int, aim: Aim, bounds: Bounds, states: States,
          pool: Pool, count: int, best: Floats, last: Ints, node: int, x: Floats, y: Floats) -> int:  # fmt: skip
    """The first loops of a level around a split tile: each class, and each window that slides.

    x: values of the label at the split; y: room for others.
    """
    num, own, metrics = len(ladder.tiles.vectors), ladder.shape, len(ladder.costs.kind)
    a, level = v + ladder.offsets[s], here.level
    tile, values, links = ladder.tiles.vectors[a], pool.values, pool.links
    opened, least, rest = np.zeros(3, np.int64), np.empty(metrics), np.ones(8, np.int64)
    stuck = np.zeros(3, np.int64)
    for operand in range(3):
        opened[operand] = kind >> operand & 1 or (level > 0 and own.keep[level - 1, operand] == 1)
        if not opened[operand]:
            for r in range(metrics):
                if own.near_parent[level, operand]:
                    x[r * WIDTH + SETTLED] += x[r * WIDTH + WAITING + operand]
                    x[r * WIDTH + WAITING + operand] = 0.0
    is_whole = irrelevant(OUTPUT, tile) == irrelevant(OUTPUT, ladder.bounds)
    if own.whole_at[level] and not is_whole:
        return count
    hope(here, x, opened, a, bounds.begun, least)
    if not wins(aim, least, best):
        return count
    if level == len(own.keep) - 1 or own.num_orders[level] == 1:
        return jump(ladder, here, a, s, aim, bounds, states, pool, count, best, last, node, x, y, opened)
    unfinished = int(own.wide_sums and (own.wide_at[level] == 1 or not is_whole))
    state, how = unfinished * num + a, ORDERS_OF_CODE * s
    for operand in range(3):
        whole = ladder.splits.whole[s]
        stuck[operand] = own.ends_at_splits and product(whole) > irrelevant(operand, whole)
    for d in range(8):
        if own.loops[level, d]:
            rest[d] = ladder.tiles.rests[a, d]
    if opened[INPUT] and x[ROWS - TAIL] > 0:
        count = slide(ladder, here, a, how, state, aim, bounds, states, pool, count, best, node, x, y, opened, rest,
                      least)  # fmt: skip
    y[:] = x
    for operand in range(3):
        close(here, operand, y)
    take_over(here, y)
    count = push(here, aim, bounds, best, states.done, state, y, NOTHING, node, a, how, pool, count, least)
    for operand in range(3):
        if opened[operand] and irrelevant(operand, rest) > 1:
            y[:] = x
            for other in range(3):
                if other != operand:
                    close(here, other, y)
            no_window(y)
            order = W_X if operand == WEIGHT else (I_K if operand == INPUT else O_X)
            heads = states.single[operand + 3 * stuck[operand]]
            count = push(here, aim, bounds, best, heads, state, y, ALONE[operand], node, a, how + order, pool,
                         count, least)  # fmt: skip
    mask = 0
    for operand in range(3):
        if opened[operand] and stuck[operand]:
            close(here, operand, x)
            opened[operand] = 0
        mask += opened[operand] << operand
    if mask and count < len(values) and here.room[unfinished, a]:
        hope(here, x, opened, a, bounds.reached, least)
        if wins(aim, least, best):
            count = insert(states.upper[mask], a, x, node, a, how, values, links, count)
            if count <= len(values):  # there is no loop between the split and the tile
                count = mark(states.upper[mask], a, values, links, count)
    return count
