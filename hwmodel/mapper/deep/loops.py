"""Loops of a level around a split tile: what they spare, what they close, and where they lead."""

from __future__ import annotations

import numpy as np

from hwmodel.mapper.compiling import internal
from hwmodel.mapper.counting import (
    FX,
    INPUT,
    OUTPUT,
    OX,
    OY,
    RELEVANT,
    WEIGHT,
    Floats,
    Ints,
    irrelevant,
    product,
)
from hwmodel.mapper.deep.hopes import ROWS, SETTLED, TAIL, WIDTH, fits, hope, no_window, score, wins
from hwmodel.mapper.deep.labels import FROM, HOW, NEXT, REACHED, STEP, close, insert, mark, spare, take_over
from hwmodel.mapper.deep.ladder import Ladder
from hwmodel.mapper.deep.metrics import OUTER_READS, OUTER_WRITES
from hwmodel.mapper.deep.states import CLOSED, O_X, O_Y, ORDERS_OF_CODE, W_X, W_Y, Aim, Bounds, Pool, States


@internal
def slide(ladder: Ladder, level: int, a: int, how: int, state: int, states: States, pool: Pool, count: int,
          node: int, x: Floats, y: Floats, opened: Ints, rest: Ints) -> int:  # fmt: skip
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
    """What of the words of tile a from off the chip is stored, if it slides along a dim, over what is if not."""
    if len(ladder.held) == 1 or not 0 <= ladder.shape.last_inputs < level:
        return 1.0
    return float(ladder.held[a, 1 + dim - OY] / ladder.held[a, 0])


@internal
def loops_that_spare(ladder: Ladder, level: int, aim: Aim, bounds: Bounds, states: States, pool: Pool,
                     count: int) -> int:  # fmt: skip
    """Loops that spare the open operand; then it is closed, or stays open past the tile of the level."""
    num, own, coords = len(ladder.tiles.vectors), ladder.shape, ladder.tiles.coords
    metrics, values, links = len(ladder.costs.kind), pool.values, pool.links
    x, opened, least = np.empty(metrics * WIDTH + TAIL), np.zeros(3, np.int64), np.empty(metrics)
    for n in range(5, -1, -1):
        operand, heads = n % 3, states.single[n]
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
                            count = insert(
                                states.single[operand],
                                state + stride,
                                x,
                                node,
                                v + stride,
                                STEP,
                                values,
                                links,
                                count,
                            )
                    x[:] = values[node]
                    if n < 3 and fits(ladder, level, tile, state // num):
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
def jump(ladder: Ladder, level: int, a: int, s: int, aim: Aim, bounds: Bounds, states: States, pool: Pool,
         count: int, best: Floats, last: Ints, node: int, x: Floats, y: Floats, opened: Ints) -> int:  # fmt: skip
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
            if operand == INPUT and not spared and dim >= OY and x[ROWS - TAIL] > 0:
                window = x[size + dim % 2]
                fresh = min(tile[dim] * ladder.pace[dim - OY], window) / window
                held = held_share(ladder, level, a, dim) if tile[dim] * ladder.pace[dim - OY] <= window else 1.0
                spare(ladder, operand, (1.0 + (m[dim] - 1) * fresh) / m[dim], held, x)
            close(ladder, level, operand, x)
            opened[operand] = 0
    if spared:
        no_window(x)


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
