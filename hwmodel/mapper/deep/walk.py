"""The compiled walk: from one MAC outward, level by level, to the whole layer (Lemmas 21 to 23 of docs/explain/mapper.md).

At level l the tile below, T, is split over the array, A = T * s; then the loops of the level follow, and what they
reach is the next tile. A hop of an operand is *open* while the loops that come next may still spare it transfers: as
long as none of them indexes it. Of an open hop the label keeps what it costs if nothing more is spared; every loop
that spares it divides that. One class of loops comes first (those that spare W, O or I; or one that slides a window
over I), then any others: by Lemma 2 that is as good as any order.

A label is dominated where another one with the same tile and the same open hops is better in everything.
"""

from __future__ import annotations

import numpy as np

from hwmodel.mapper.compiling import compiled, internal
from hwmodel.mapper.counting import (
    FX, INPUT, OUTPUT, OX, OY, RELEVANT, WEIGHT, Floats, Ints, distinct_tiles, irrelevant, product, tile_words,
)  # fmt: skip
from hwmodel.mapper.deep.hopes import (
    COLUMNS, NUM_VALUES, OPEN, ROWS, SAVED, SETTLED, WAITING, hope, length,
)  # fmt: skip
from hwmodel.mapper.deep.ladder import Ladder

#: Kinds of states at a tile: nothing open, W, I or O open, all of what was.
CLOSED, ALL = 0, 4
#: Columns of the links of a label: the next one in its state, the one that it came from, its tile, and how.
NEXT, FROM, TILE, HOW, NUM_LINKS = 0, 1, 2, 3, 4
#: Loop orders by what the class spares, as rows of `ORDERS`.
W_X, W_Y, O_X, O_Y, I_K = range(5)
STEP, REACHED = -1, -2


@internal
def insert(heads: Ints, state: int, x: Floats, source: int, tile: int, how: int, values: Floats, links: Ints,
           count: int) -> int:  # fmt: skip
    """Adds a label to a state unless another one is as good; drops those that it beats. The number of labels."""
    if count >= len(values):
        return count + 1
    before, node = -1, heads[state]
    while node >= 0:
        y = values[node]
        no_worse, no_better = True, True
        for k in range(SAVED):
            if x[k] < y[k]:
                no_better = False
            elif x[k] > y[k]:
                no_worse = False
        for k in range(SAVED, NUM_VALUES):
            if x[k] > y[k]:
                no_better = False
            elif x[k] < y[k]:
                no_worse = False
        if no_better:
            return count
        after = links[node, NEXT]
        if no_worse:
            if before < 0:
                heads[state] = after
            else:
                links[before, NEXT] = after
        else:
            before = node
        node = after
    for k in range(NUM_VALUES):
        values[count, k] = x[k]
    links[count, NEXT] = heads[state]
    links[count, FROM] = source
    links[count, TILE] = tile
    links[count, HOW] = how
    heads[state] = count
    return count + 1


@internal
def fits(ladder: Ladder, level: int, t: Ints, unfinished: int) -> bool:
    """A tile fits the memories of a level; sums that are to go on are as wide as the accumulator."""
    for slot in range(3):
        need = 0.0
        for x in range(3):
            if ladder.keep[level, x] and ladder.slot[level, x] == slot:
                width = ladder.widths[x]
                if x == OUTPUT and (unfinished or level == ladder.first_outputs):
                    width = ladder.widths[3]
                need += width * tile_words(x, t, ladder.pace)
        if need > ladder.capacity[level, slot]:
            return False
    return True


@internal
def fits_inside(ladder: Ladder, level: int, tile: Ints, parts: Ints) -> bool:
    """As `fits`, where axes share memories, which hold what all of their places need; sums as wide as they may be."""
    t = np.empty(8, np.int64)
    for slot in range(3):
        need = 0.0
        for x in range(3):
            if ladder.keep[level, x] and ladder.slot[level, x] == slot:
                for d in range(8):
                    t[d] = tile[d] * parts[x, d]
                need += ladder.widths[3 if x == OUTPUT else x] * tile_words(x, t, ladder.pace)
        if need > ladder.capacity[level, slot]:
            return False
    return True


@internal
def shared(x: int, networks: Ints, alone: int, r: Ints, whole: int, pace: Ints) -> float:
    """Reads that serve the places of a split, over the transfers of these places."""
    return alone * distinct_tiles(x, networks, r, pace) / whole


@internal
def close(ladder: Ladder, level: int, x: int, y: Floats) -> None:
    """Nothing more is spared of an operand."""
    y[SETTLED] += y[OPEN + x]
    y[OPEN + x] = 0.0
    if ladder.near_parent[level, x]:
        y[SETTLED] += y[WAITING + x]
        y[WAITING + x] = 0.0
    if x == INPUT:
        y[ROWS], y[COLUMNS] = 0.0, 0.0


@compiled
def walk(
    ladder: Ladder, limit: float, reached: Floats, begun: Floats, values: Floats, links: Ints, found: Ints
) -> tuple[float, int]:
    """The least energy at or below a limit, and the number of labels: past the room for them nothing was found.

    Args:
        ladder: one layer on one chip.
        limit: [pJ].
        reached, begun: what every way on costs at least (`hopes`).
        values, links: (P, NUM_VALUES) and (P, NUM_LINKS), room for labels.
        found: (L, 3) becomes per level the tile, the split below it and the row of `ORDERS`.
    """
    num, levels = len(ladder.vectors), len(ladder.keep)
    tiles = np.full((5, num), -1, dtype=np.int64)
    done = np.full(2 * num, -1, dtype=np.int64)  # of the loops of a level: all closed
    open_one = np.full((3, 2 * num), -1, dtype=np.int64)
    x = np.zeros(NUM_VALUES)
    for operand in range(3):
        x[WAITING + operand] = ladder.first[operand]
    count = insert(tiles[CLOSED], 0, x, -1, 0, REACHED, values, links, 0)
    best, last = limit, -1
    for level in range(levels):
        done[:], open_one[:] = -1, -1
        upper = np.full((5, num), -1, dtype=np.int64)
        count = split(ladder, level, best, begun, tiles, upper, done, open_one, values, links, count)
        if count > len(values):
            return best, count
        tiles = upper
        count = spare(ladder, level, best, reached, begun, tiles, done, open_one, values, links, count)
        if count > len(values):
            return best, count
        if level < levels - 1:
            count = loop_on(ladder, level, best, reached, begun, tiles, done, values, links, count)
            if count > len(values):
                return best, count
            continue
        for state in range(2 * num):
            node = done[state]
            while node >= 0:
                total = values[node, SETTLED]
                if (total < best or (last < 0 and total <= best)) and may_loop(ladder, level, state % num):
                    best, last = total, node
                node = links[node, NEXT]
    level = levels - 1
    if last < 0:
        return np.inf, count
    found[level, 0] = num - 1
    node = last
    while node >= 0:
        how = links[node, HOW]
        if how >= 0:
            found[level, 1], found[level, 2] = how // 8, how % 8
            level -= 1
        elif how == REACHED and level >= 0:
            found[level, 0] = links[node, TILE]
        node = links[node, FROM]
    return best, count


@internal
def may_loop(ladder: Ladder, level: int, tile: int) -> bool:
    """What is left of a layer may be looped over at the outermost level."""
    possible = True
    for d in range(8):
        possible = possible and (ladder.loops[level, d] == 1 or ladder.vectors[tile, d] == ladder.bounds[d])
    return possible


@internal
def split(ladder: Ladder, level: int, best: float, begun: Floats, tiles: Ints, upper: Ints, done: Ints, open_one: Ints,
          values: Floats, links: Ints, count: int) -> int:  # fmt: skip
    """Every tile below a level over every split of it, and the first loops of the level."""
    num, volume, pace = len(ladder.vectors), float(product(ladder.bounds)), ladder.pace
    reduction = irrelevant(OUTPUT, ladder.bounds)
    rest, inside, t = np.empty(8, np.int64), np.empty(8, np.int64), np.empty(8, np.int64)
    shares, near, words = np.ones(3), np.ones(3), np.zeros(3)
    x, below = np.empty(NUM_VALUES), level - 1
    for v in range(num):
        empty = True
        for kind in range(5):
            empty = empty and tiles[kind, v] < 0
        if empty:
            continue
        tile = ladder.vectors[v]
        for d in range(8):
            rest[d] = ladder.bounds[d] // tile[d]
        for s in range(ladder.spans[level], ladder.spans[level + 1]):
            whole, possible, joint = ladder.whole[s], True, False
            for d in range(8):
                possible = possible and rest[d] % whole[d] == 0
            if not possible:
                continue
            a = v + ladder.offsets[s]
            unfinished = int(ladder.wide_sums and irrelevant(OUTPUT, ladder.vectors[a]) < reduction)
            places = product(whole)
            for operand in range(3):
                own, part = ladder.own[s, operand], ladder.parts[s, operand]
                for d in range(8):
                    inside[d] = tile[d] * part[d]
                shares[operand] = shared(
                    operand, own, ladder.alone[s, operand], inside, places // product(part), pace
                )
                near[operand] = 1.0
                if product(part) > 1:
                    near[operand] = shared(
                        operand, ladder.inner[s, operand], ladder.inner_alone[s, operand], tile, product(part), pace
                    )
                if level and ladder.keep[below, operand]:
                    words[operand] = tile_words(operand, inside, pace) * (volume / product(inside))
                    joint = joint or product(part) > 1
            if joint and level:
                possible = fits_inside(ladder, below, tile, ladder.parts[s])
            if not possible:
                continue
            for kind in range(5):
                node = tiles[kind, v]
                while node >= 0:
                    for k in range(NUM_VALUES):
                        x[k] = values[node, k]
                    move_out(ladder, level, kind, v, s, shares, near, words, x)
                    if True:
                        count = begin(ladder, level, best, begun, kind, a, s, unfinished, x, node, upper, done, open_one, values,
                                      links, count, t)  # fmt: skip
                        if count > len(values):
                            return count
                    node = links[node, NEXT]
    return count


@internal
def move_out(ladder: Ladder, level: int, kind: int, v: int, s: int, shares: Floats, near: Floats, words: Floats,
             x: Floats) -> None:  # fmt: skip
    """From a tile to its split: hops into the level below end, and others out of it begin."""
    below, tile = level - 1, ladder.vectors[v]
    for operand in range(3):
        opened = kind in (ALL, 1 + operand)
        if level and ladder.keep[below, operand]:
            arrived = x[WAITING + operand] * near[operand]
            fill = ladder.near[below, operand] * words[operand]
            leave = ladder.far[below, operand] * words[operand] * shares[operand]
            if opened:
                x[OPEN + operand] += arrived
            else:
                x[SETTLED] += arrived
            if operand == INPUT:
                rows, columns = float(length(tile, 0, ladder.pace)), float(length(tile, 1, ladder.pace))
                if opened and (x[ROWS] != rows or x[COLUMNS] != columns):
                    rows, columns = 0.0, 0.0  # two tiles are open: their windows would slide apart
                x[ROWS], x[COLUMNS] = rows, columns
            if operand == INPUT and below == ladder.last_inputs:
                x[WAITING + operand] = (fill + leave) * ladder.held[v % len(ladder.held), 0]
            else:
                x[OPEN + operand] += fill
                x[WAITING + operand] = leave
        else:
            x[WAITING + operand] *= shares[operand] * near[operand]
            if operand == INPUT and not opened:
                x[ROWS], x[COLUMNS] = 0.0, 0.0
    saved = x[SAVED] * ladder.reductions[s, 0]
    if level and ladder.keep[below, OUTPUT]:
        saved += ladder.saved[below] * ladder.reductions[s, 1]
    x[SAVED] = saved
    if ladder.most_saved[level] == 1.0:
        x[SETTLED] -= saved
        x[SAVED] = 0.0
    x[SETTLED] -= ladder.tie * np.log2(float(product(ladder.whole[s])))


@internal
def begin(ladder: Ladder, level: int, best: float, begun: Floats, kind: int, a: int, s: int, unfinished: int, x: Floats, node: int, upper: Ints,
          done: Ints, open_one: Ints, values: Floats, links: Ints, count: int, rest: Ints) -> int:  # fmt: skip
    """The first loops of a level around a split tile: each class, and each window that slides."""
    num, tile, below = len(ladder.vectors), ladder.vectors[a], level - 1
    state = unfinished * num + a
    for d in range(8):
        rest[d] = ladder.bounds[d] // tile[d] if ladder.loops[level, d] else 1
    opened = np.zeros(3, np.int64)
    for operand in range(3):
        opened[operand] = kind in (ALL, 1 + operand) or (level > 0 and ladder.keep[below, operand] == 1)
        if not opened[operand] and ladder.near_parent[level, operand]:
            x[SETTLED] += x[WAITING + operand]
            x[WAITING + operand] = 0.0
    lb = hope(ladder, level, x, opened, a)
    if lb + begun[level, a] > best:
        return count
    how = 8 * s
    y = x.copy()
    for operand in range(3):
        close(ladder, level, operand, y)
    count = insert(done, state, y, node, a, how, values, links, count)
    for operand in range(3):
        if opened[operand] and irrelevant(operand, rest) > 1:
            y[:] = x
            for other in range(3):
                if other != operand:
                    close(ladder, level, other, y)
            y[ROWS], y[COLUMNS] = 0.0, 0.0
            order = W_X if operand == WEIGHT else (I_K if operand == INPUT else O_X)
            count = insert(open_one[operand], state, y, node, a, how + order, values, links, count)
    if opened[INPUT] and x[ROWS] > 0:
        count = slide(ladder, level, a, how, state, x, node, done, open_one, opened, values, links, count, rest)
    if (
        level < len(ladder.keep) - 1
        and opened.any()
        and count < len(values)
        and fits(ladder, level, tile, unfinished)
    ):
        count = insert(upper[ALL], a, x, node, a, how, values, links, count)
        if count <= len(values):  # what reached the next tile is told by its split: there is no loop between
            count = mark(upper[ALL], a, values, links, count)
    return count


@internal
def mark(heads: Ints, state: int, values: Floats, links: Ints, count: int) -> int:
    """The newest label of a state becomes one that reached its tile, behind one that tells how."""
    node = heads[state]
    if links[node, HOW] == REACHED or count >= len(values):
        return count + (count >= len(values))
    values[count] = values[node]
    links[count, NEXT], links[count, FROM] = -1, links[node, FROM]
    links[count, TILE], links[count, HOW] = links[node, TILE], links[node, HOW]
    links[node, FROM], links[node, HOW] = count, REACHED
    return count + 1


@internal
def slide(ladder: Ladder, level: int, a: int, how: int, state: int, x: Floats, node: int, done: Ints, open_one: Ints,
          opened: Ints, values: Floats, links: Ints, count: int, rest: Ints) -> int:  # fmt: skip
    """A window of I slides along the innermost loop; loops that spare W, or O, may come next."""
    tile, pace, num_held = ladder.vectors[a], ladder.pace, len(ladder.held)
    y = x.copy()
    for dim in range(OY, FX + 1):
        axis = dim % 2
        size = x[ROWS + axis]
        fresh = min(tile[dim] * pace[dim - OY], size) / size
        if fresh >= 1.0:
            continue
        spared = WEIGHT if dim <= OX else OUTPUT
        order = (W_Y, W_X, O_Y, O_X)[dim - OY]
        for k in range(ladder.steps[dim], ladder.steps[dim + 1]):
            bound = ladder.factors[k, 0]
            if rest[dim] % bound:
                continue
            share = (1.0 + (bound - 1) * fresh) / bound
            y[:] = x
            y[OPEN + INPUT] *= share
            y[WAITING + INPUT] *= share
            if num_held > 1 and 0 <= ladder.last_inputs < level:
                y[WAITING + INPUT] *= ladder.held[a, 1 + dim - OY] / ladder.held[a, 0]
            close(ladder, level, INPUT, y)
            for operand in (WEIGHT, OUTPUT):
                if operand == spared:
                    y[OPEN + operand] /= bound
                    y[WAITING + operand] /= bound if opened[operand] else 1
                else:
                    close(ladder, level, operand, y)
            to = ladder.factors[k, 1]
            if opened[spared]:
                count = insert(open_one[spared], state + to, y, node, a + to, how + order, values, links, count)
            else:
                count = insert(done, state + to, y, node, a + to, how + order, values, links, count)
            if count > len(values):
                return count
    return count


@internal
def spare(ladder: Ladder, level: int, best: float, reached: Floats, begun: Floats, tiles: Ints, done: Ints, open_one: Ints, values: Floats, links: Ints,
          count: int) -> int:  # fmt: skip
    """Loops that spare the open operand; then it is closed, or stays open past the tile of the level."""
    num, outermost = len(ladder.vectors), level == len(ladder.keep) - 1
    x, opened, none = np.empty(NUM_VALUES), np.zeros(3, np.int64), np.zeros(3, np.int64)
    for operand in range(3):
        heads = open_one[operand]
        opened[:] = 0
        opened[operand] = 1
        for state in range(2 * num):
            node, tile = heads[state], state % num
            while node >= 0:
                x[:] = values[node]
                bound = hope(ladder, level, x, opened, tile)
                if bound + begun[level, tile] > best:
                    node = links[node, NEXT]
                    continue
                for j in range(len(ladder.coords)):
                    dim, prime, stride = ladder.coords[j, 0], ladder.coords[j, 1], ladder.coords[j, 2]
                    if RELEVANT[operand, dim] or not ladder.loops[level, dim]:
                        continue
                    if ladder.bounds[dim] // ladder.vectors[tile, dim] % prime == 0:
                        x[:] = values[node]
                        x[OPEN + operand] /= prime
                        x[WAITING + operand] /= prime
                        to = tile + stride
                        count = insert(heads, state + stride, x, node, to, STEP, values, links, count)
                if (
                    not outermost
                    and bound + reached[level, tile] <= best
                    and fits(ladder, level, ladder.vectors[tile], state // num)
                ):
                    x[:] = values[node]
                    count = insert(tiles[1 + operand], tile, x, node, tile, REACHED, values, links, count)
                x[:] = values[node]
                close(ladder, level, operand, x)
                if hope(ladder, level, x, none, tile) + begun[level, tile] <= best:
                    count = insert(done, state, x, node, tile, STEP, values, links, count)
                if count > len(values):
                    return count
                node = links[node, NEXT]
    return count


@internal
def loop_on(ladder: Ladder, level: int, best: float, reached: Floats, begun: Floats, tiles: Ints, done: Ints, values: Floats, links: Ints,
            count: int) -> int:  # fmt: skip
    """Loops that spare nobody, up to the tile of the level."""
    num = len(ladder.vectors)
    x, none = np.empty(NUM_VALUES), np.zeros(3, np.int64)
    for state in range(2 * num):
        node, tile = done[state], state % num
        while node >= 0:
            x[:] = values[node]
            bound = hope(ladder, level, x, none, tile)
            if bound + begun[level, tile] > best:
                node = links[node, NEXT]
                continue
            for j in range(len(ladder.coords)):
                dim, prime, stride = ladder.coords[j, 0], ladder.coords[j, 1], ladder.coords[j, 2]
                if ladder.loops[level, dim] and ladder.bounds[dim] // ladder.vectors[tile, dim] % prime == 0:
                    count = insert(done, state + stride, x, node, tile + stride, STEP, values, links, count)
            if bound + reached[level, tile] <= best and fits(ladder, level, ladder.vectors[tile], state // num):
                count = insert(tiles[CLOSED], tile, x, node, tile, REACHED, values, links, count)
            if count > len(values):
                return count
            node = links[node, NEXT]
    return count
