"""The compiled walk: from one MAC outward, level by level, to the whole layer (Lemmas 21 to 23 of docs/explain/mapper.md).

At level l the tile below, T, is split over the array, A = T * s; then the loops of the level follow, and what they
reach is the next tile. A hop of an operand is *open* while the loops that come next may still spare it transfers: as
long as none of them indexes it. Of an open hop the label keeps what it costs if nothing more is spared; every loop
that spares it divides that. One class of loops comes first (those that spare W, O or I; or one that slides a window
over I), then any others: by Lemma 2 that is as good as any order.

A label is dominated where another one with the same tile and the same open hops is better in everything.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hwmodel.mapper.compiling import compiled, internal
from hwmodel.mapper.counting import (
    FX, INPUT, OUTPUT, OX, OY, RELEVANT, WEIGHT, Floats, Ints, distinct_tiles, irrelevant, product, tile_words,
)  # fmt: skip
from hwmodel.mapper.deep.hopes import (
    FAR_EDGE, FINISHED, NEAR_EDGE, OPEN, SAVED, SETTLED, TAIL, WAITING, WIDTH, hope, length, score, wins,
)  # fmt: skip
from hwmodel.mapper.deep.labels import FROM, HOW, NEXT, REACHED, STEP, TILE, close, insert, mark, spare, take_over
from hwmodel.mapper.deep.ladder import Ladder
from hwmodel.mapper.deep.metrics import OUTER_READS, OUTER_WRITES

#: States at a tile are told apart by what is open: the sum of 1 for W, 2 for I and 4 for O.
CLOSED, KINDS = 0, 8
#: Loop orders by what the class spares, as rows of `ORDERS`.
W_X, W_Y, O_X, O_Y, I_K = range(5)
#: Loop orders that a split's code leaves room for.
ORDERS_OF_CODE = 8


class Aim(NamedTuple):
    """What is looked for: an objective of `hwmodel.mapper.scores`, at or below a limit and in so many cycles."""

    objective: int
    limit: float
    most_cycles: float


class Bounds(NamedTuple):
    """What every way on costs at least: as `hopes` fills it in, (M, L, V) each."""

    reached: Floats
    begun: Floats


class States(NamedTuple):
    """First labels of the lists, -1 where there are none.

    Attributes:
        tiles: (KINDS, V) at the tile of the level below, by what is open.
        upper: (KINDS, V) the same at the tile of the level.
        done: (2 V) split tiles whose hops are closed, those with sums that go on behind the others.
        single: (3, 2 V) those of which one operand is open.
    """

    tiles: Ints
    upper: Ints
    done: Ints
    single: Ints


class Pool(NamedTuple):
    """Room for labels: their values (P, M * WIDTH + TAIL) and links (P, NUM_LINKS)."""

    values: Floats
    links: Ints


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
        np.full(2 * num, -1, dtype=np.int64), np.full((3, 2 * num), -1, dtype=np.int64),
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


@internal
def fits_inside(ladder: Ladder, level: int, tile: Ints, parts: Ints) -> bool:
    """As `fits`, where axes share memories, which hold what all of their places need; sums as wide as they may be."""
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


class Cut(NamedTuple):
    """One split of one tile.

    Attributes:
        shares, within: (3) reads over the transfers of the places outside and inside of the memory below.
        words: (3) words of the hop out of the level below, if nothing is spared.
        tile: (3) words of its tile.
        places: (3) copies of the memory below in the split.
        waits, later: (3) cycles of a word of its fills, which are waited for: now, and where splits will share them.
    """

    shares: Floats
    within: Floats
    words: Floats
    tile: Floats
    places: Floats
    waits: Floats
    later: Floats


@internal
def cut_of(ladder: Ladder, level: int, v: int, s: int, cut: Cut) -> bool:
    """Fills in the cut of tile v by split s; whether it is possible."""
    tile, pace, parted = ladder.tiles.vectors[v], ladder.pace, ladder.splits
    whole, inside, joint = parted.whole[s], np.empty(8, np.int64), False
    for d in range(8):
        if ladder.bounds[d] // tile[d] % whole[d]:
            return False
    places, volume = product(whole), float(product(ladder.bounds))
    for x in range(3):
        part = parted.parts[s, x]
        within = product(part)
        for d in range(8):
            inside[d] = tile[d] * part[d]
        cut.places[x] = places // within
        cut.shares[x] = parted.alone[s, x] * distinct_tiles(x, parted.own[s, x], inside, pace) / cut.places[x]
        cut.within[x] = 1.0
        if within > 1:
            joint = True
            cut.within[x] = parted.inner_alone[s, x] * distinct_tiles(x, parted.inner[s, x], tile, pace) / within
        cut.tile[x] = tile_words(x, inside, pace)
        cut.words[x] = cut.tile[x] * (volume / product(inside))
        if level:
            wait_for_fills(ladder, level, x, cut)
    return not joint or level == 0 or fits_inside(ladder, level - 1, tile, parted.parts[s])


@internal
def wait_for_fills(ladder: Ladder, level: int, x: int, cut: Cut) -> None:
    """The longer of the two ports of a fill; where later splits share it, that of the parent may become the shorter."""
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
def split(ladder: Ladder, level: int, aim: Aim, bounds: Bounds, states: States, pool: Pool, count: int, best: Floats,
          last: Ints) -> int:  # fmt: skip
    """Every tile below a level over every split of it, and the first loops of the level; at the outermost all loops."""
    parted, size = ladder.splits, len(ladder.costs.kind) * WIDTH
    cut = Cut(np.ones(3), np.ones(3), np.zeros(3), np.zeros(3), np.ones(3), np.zeros(3), np.zeros(3))
    x, y, z = np.empty(size + TAIL), np.empty(size + TAIL), np.empty(size + TAIL)
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
                    move_out(ladder, level, kind, v, s, cut, x)
                    count = begin(ladder, level, kind, v, s, aim, bounds, states, pool, count, best, last, node, x, y,
                                  z)  # fmt: skip
                    if count > len(pool.values):
                        return count
                    node = pool.links[node, NEXT]
    return count


@internal
def move_out(ladder: Ladder, level: int, kind: int, v: int, s: int, cut: Cut, x: Floats) -> None:
    """From a tile to its split: hops into the level below end, and others out of it begin."""
    below, own, costs, pace = level - 1, ladder.shape, ladder.costs, ladder.pace
    reductions, size = ladder.splits.reductions[s], len(costs.kind) * WIDTH
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
    x[SETTLED] -= ladder.tie * np.log2(float(product(ladder.splits.whole[s])))
    if level and own.keep[below, INPUT]:
        rows = float(length(ladder.tiles.vectors[v], 0, pace) + extra(ladder, s, v, 0))
        columns = float(length(ladder.tiles.vectors[v], 1, pace) + extra(ladder, s, v, 1))
        alike = x[size] == rows and x[size + 1] == columns
        if kind >> INPUT & 1 and not alike:
            rows, columns = 0.0, 0.0  # two tiles are open: their windows would slide apart
        x[size], x[size + 1] = rows, columns
    elif not kind >> INPUT & 1:
        x[size], x[size + 1] = 0.0, 0.0


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
def extra(ladder: Ladder, s: int, v: int, axis: int) -> int:
    """Rows (columns) of I that a memory holds more as places along an axis share it."""
    part = ladder.splits.parts[s, INPUT]
    if product(part) == 1:
        return 0
    inside = np.empty(8, np.int64)
    for d in range(8):
        inside[d] = ladder.tiles.vectors[v, d] * part[d]
    return length(inside, axis, ladder.pace) - length(ladder.tiles.vectors[v], axis, ladder.pace)


@internal
def begin(ladder: Ladder, level: int, kind: int, v: int, s: int, aim: Aim, bounds: Bounds, states: States, pool: Pool,
          count: int, best: Floats, last: Ints, node: int, x: Floats, y: Floats, z: Floats) -> int:  # fmt: skip
    """The first loops of a level around a split tile: each class, and each window that slides.

    x: values of the label at the split; y, z: room for others.
    """
    num, own, metrics = len(ladder.tiles.vectors), ladder.shape, len(ladder.costs.kind)
    a = v + ladder.offsets[s]
    tile, values, links = ladder.tiles.vectors[a], pool.values, pool.links
    opened, least, rest = np.zeros(3, np.int64), np.empty(metrics), np.empty(8, np.int64)
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
            y[-TAIL], y[-TAIL + 1] = 0.0, 0.0
            order = W_X if operand == WEIGHT else (I_K if operand == INPUT else O_X)
            count = insert(states.single[operand], state, y, node, a, how + order, values, links, count)
    if opened[INPUT] and x[metrics * WIDTH] > 0:
        count = slide(ladder, level, a, how, state, states, pool, count, node, x, y, opened, rest)
    mask = opened[0] + 2 * opened[1] + 4 * opened[2]
    if mask and count < len(values) and fits(ladder, level, tile, unfinished):
        hope(ladder, level, x, opened, a, bounds.reached, least)
        if wins(aim.objective, least, best[0], aim.most_cycles):
            count = insert(states.upper[mask], a, x, node, a, how, values, links, count)
            if count <= len(values):  # there is no loop between the split and the tile
                count = mark(states.upper[mask], a, values, links, count)
    return count


@internal
def slide(ladder: Ladder, level: int, a: int, how: int, state: int, states: States, pool: Pool, count: int, node: int,
          x: Floats, y: Floats, opened: Ints, rest: Ints) -> int:  # fmt: skip
    """A window of I slides along the innermost loop; loops that spare W, or O, may come next."""
    tile, pace, size, factors = ladder.tiles.vectors[a], ladder.pace, len(x) - TAIL, ladder.tiles.factors
    for dim in range(OY, FX + 1):
        window = x[size + dim % 2]
        fresh = min(tile[dim] * pace[dim - OY], window) / window
        if fresh >= 1.0:
            continue
        spared = WEIGHT if dim <= OX else OUTPUT
        order = (W_Y, W_X, O_Y, O_X)[dim - OY]
        held = held_share(ladder, level, a, dim)
        for k in range(ladder.tiles.steps[dim], ladder.tiles.steps[dim + 1]):
            bound, to = factors[k, 0], factors[k, 1]
            if rest[dim] % bound:
                continue
            y[:] = x
            spare(ladder, INPUT, (1.0 + (bound - 1) * fresh) / bound, held, y)
            close(ladder, level, INPUT, y)
            close(ladder, level, OUTPUT if spared == WEIGHT else WEIGHT, y)
            if opened[spared]:
                spare(ladder, spared, 1.0 / bound, 1.0, y)
                heads = states.single[spared]
            else:
                close(ladder, level, spared, y)
                take_over(ladder, level, y)
                heads = states.done
            count = insert(heads, state + to, y, node, a + to, how + order, pool.values, pool.links, count)
            if count > len(pool.values):
                return count
    return count


@internal
def held_share(ladder: Ladder, level: int, a: int, dim: int) -> float:
    """What of the words of tile a from outside of the chip is stored, if it slides along a dim, over what is if not."""
    if len(ladder.held) == 1 or not 0 <= ladder.shape.last_inputs < level:
        return 1.0
    return ladder.held[a, 1 + dim - OY] / ladder.held[a, 0]


@internal
def loops_that_spare(ladder: Ladder, level: int, aim: Aim, bounds: Bounds, states: States, pool: Pool,
                     count: int) -> int:  # fmt: skip
    """Loops that spare the open operand; then it is closed, or stays open past the tile of the level."""
    num, own, coords = len(ladder.tiles.vectors), ladder.shape, ladder.tiles.coords
    metrics, values, links = len(ladder.costs.kind), pool.values, pool.links
    x, opened, least = np.empty(metrics * WIDTH + TAIL), np.zeros(3, np.int64), np.empty(metrics)
    for operand in range(3):
        heads = states.single[operand]
        for state in range(2 * num):
            node, v = heads[state], state % num
            tile = ladder.tiles.vectors[v]
            while node >= 0:
                x[:] = values[node]
                opened[:] = 0
                opened[operand] = 1
                hope(ladder, level, x, opened, v, bounds.begun, least)
                if wins(aim.objective, least, aim.limit, aim.most_cycles):
                    for j in range(len(coords)):
                        dim, prime, stride = coords[j, 0], coords[j, 1], coords[j, 2]
                        if RELEVANT[operand, dim] or not own.loops[level, dim]:
                            continue
                        if ladder.bounds[dim] // tile[dim] % prime == 0:
                            x[:] = values[node]
                            spare(ladder, operand, 1.0 / prime, 1.0, x)
                            count = insert(heads, state + stride, x, node, v + stride, STEP, values, links, count)
                    x[:] = values[node]
                    if fits(ladder, level, tile, state // num):
                        hope(ladder, level, x, opened, v, bounds.reached, least)
                        if wins(aim.objective, least, aim.limit, aim.most_cycles):
                            count = insert(states.upper[1 << operand], v, x, node, v, REACHED, values, links, count)
                    close(ladder, level, operand, x)
                    take_over(ladder, level, x)
                    opened[:] = 0
                    hope(ladder, level, x, opened, v, bounds.begun, least)
                    if wins(aim.objective, least, aim.limit, aim.most_cycles):
                        count = insert(states.done, state, x, node, v, STEP, values, links, count)
                    if count > len(values):
                        return count
                node = links[node, NEXT]
    return count


@internal
def other_loops(ladder: Ladder, level: int, aim: Aim, bounds: Bounds, states: States, pool: Pool,
                count: int) -> int:  # fmt: skip
    """Loops that spare nobody, up to the tile of the level."""
    num, own, coords = len(ladder.tiles.vectors), ladder.shape, ladder.tiles.coords
    metrics, values, links = len(ladder.costs.kind), pool.values, pool.links
    x, none, least = np.empty(metrics * WIDTH + TAIL), np.zeros(3, np.int64), np.empty(metrics)
    for state in range(2 * num):
        node, v = states.done[state], state % num
        tile = ladder.tiles.vectors[v]
        while node >= 0:
            x[:] = values[node]
            hope(ladder, level, x, none, v, bounds.begun, least)
            if wins(aim.objective, least, aim.limit, aim.most_cycles):
                for j in range(len(coords)):
                    dim, prime, stride = coords[j, 0], coords[j, 1], coords[j, 2]
                    if own.loops[level, dim] and ladder.bounds[dim] // tile[dim] % prime == 0:
                        count = insert(states.done, state + stride, x, node, v + stride, STEP, values, links, count)
                hope(ladder, level, x, none, v, bounds.reached, least)
                if wins(aim.objective, least, aim.limit, aim.most_cycles) and fits(
                    ladder, level, tile, state // num
                ):
                    count = insert(states.upper[CLOSED], v, x, node, v, REACHED, values, links, count)
                if count > len(values):
                    return count
            node = links[node, NEXT]
    return count


@internal
def jump(ladder: Ladder, level: int, a: int, s: int, aim: Aim, bounds: Bounds, states: States, pool: Pool, count: int,
         best: Floats, last: Ints, node: int, x: Floats, y: Floats, opened: Ints) -> int:  # fmt: skip
    """All loops of a level at once: of one whose order is fixed, and of the outermost."""
    own, vectors, metrics = ladder.shape, ladder.tiles.vectors, len(ladder.costs.kind)
    outermost, least = level == len(own.keep) - 1, np.empty(metrics)
    m, open_now = np.empty(8, np.int64), np.empty(3, np.int64)
    unfinished = int(own.wide_sums and irrelevant(OUTPUT, vectors[a]) < irrelevant(OUTPUT, ladder.bounds))
    for t in range(len(vectors) - 1 if outermost else a, len(vectors)):
        possible = True
        for d in range(8):
            m[d] = vectors[t, d] // vectors[a, d]
            possible = possible and vectors[t, d] % vectors[a, d] == 0 and (m[d] == 1 or own.loops[level, d] == 1)
        if not possible or not (outermost or fits(ladder, level, vectors[t], unfinished)):
            continue
        for n in range(own.num_orders[level]):
            y[:] = x
            open_now[:] = opened
            run(ladder, level, own.orders[level, n], a, m, y, open_now)
            how = ORDERS_OF_CODE * s + n
            if outermost:
                count = finish(
                    ladder, level, own.orders[level, n], a, node, how, m, aim, y, pool, count, best, last
                )
            else:
                count = arrive(ladder, level, t, node, how, m, aim, y, open_now, bounds, states, pool, count, least)
            if count > len(pool.values):
                return count
    return count


@internal
def run(ladder: Ladder, level: int, order: Ints, a: int, m: Ints, x: Floats, opened: Ints) -> None:
    """The loops m of a level around split tile a, innermost first: what they spare, and what they close."""
    tile, size, spared = ladder.tiles.vectors[a], len(x) - TAIL, False
    for k in range(7, -1, -1):
        dim = order[k]
        if m[dim] == 1:
            continue
        for operand in range(3):
            if not opened[operand]:
                continue
            if not RELEVANT[operand, dim]:
                spare(ladder, operand, 1.0 / m[dim], 1.0, x)
                spared = spared or operand == INPUT
                continue
            if operand == INPUT and not spared and dim >= OY and x[size] > 0:
                window = x[size + dim % 2]
                fresh = min(tile[dim] * ladder.pace[dim - OY], window) / window
                held = held_share(ladder, level, a, dim) if tile[dim] * ladder.pace[dim - OY] <= window else 1.0
                spare(ladder, operand, (1.0 + (m[dim] - 1) * fresh) / m[dim], held, x)
            close(ladder, level, operand, x)
            opened[operand] = 0
    if spared:
        x[size], x[size + 1] = 0.0, 0.0


@internal
def arrive(ladder: Ladder, level: int, t: int, node: int, how: int, m: Ints, aim: Aim, x: Floats, opened: Ints,
           bounds: Bounds, states: States, pool: Pool, count: int, least: Floats) -> int:  # fmt: skip
    """A label at the tile of a level whose loops ran in their order."""
    kind = opened[0] + 2 * opened[1] + 4 * opened[2]
    if kind == CLOSED:
        take_over(ladder, level, x)
    hope(ladder, level, x, opened, t, bounds.reached, least)
    if not wins(aim.objective, least, aim.limit, aim.most_cycles):
        return count
    count = insert(states.upper[kind], t, x, node, t, how, pool.values, pool.links, count)
    if count <= len(pool.values):
        count = mark(states.upper[kind], t, pool.values, pool.links, count)
    return count


@internal
def finish(ladder: Ladder, level: int, order: Ints, a: int, node: int, how: int, m: Ints, aim: Aim, x: Floats,
           pool: Pool, count: int, best: Floats, last: Ints) -> int:  # fmt: skip
    """The whole layer: keeps it where it is the best so far."""
    costs = ladder.costs
    values = np.empty(len(costs.kind))
    for operand in range(3):
        close(ladder, level, operand, x)
    iteration, stay = costs.iteration / product(m), 1.0
    for k in range(7, -1, -1):
        if m[order[k]] > 1:
            if RELEVANT[OUTPUT, order[k]]:
                break
            stay *= m[order[k]]
    for r in range(len(values)):
        values[r] = x[r * WIDTH + SETTLED] - costs.saved[r, level] - costs.finished[r, level]
        if costs.kind[r] == OUTER_READS:
            values[r] += costs.stays[r] * iteration
        elif costs.kind[r] == OUTER_WRITES:
            values[r] += costs.stays[r] * iteration * stay
    if not wins(aim.objective, values, best[0], aim.most_cycles):
        return count
    if last[0] >= 0 and score(aim.objective, values) >= best[0]:
        return count
    if count >= len(pool.values):
        return count + 1
    best[0], last[0] = score(aim.objective, values), count
    pool.links[count, FROM], pool.links[count, HOW], pool.links[count, NEXT] = node, how, -1
    return count + 1
