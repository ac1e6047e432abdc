"""Loops of a level around a split tile: what they spare, what they close, and where they lead."""

from __future__ import annotations

import numpy as np

from hwmodel.mapper.compiling import inlined, internal
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
from hwmodel.mapper.deep.hopes import BEST, ROWS, SETTLED, TAIL, WIDTH, hope, no_window, score, wins
from hwmodel.mapper.deep.labels import FROM, HOW, NEXT, REACHED, STEP, close, insert, mark, spare, take_over
from hwmodel.mapper.deep.ladder import Ladder
from hwmodel.mapper.deep.metrics import OUTER_READS, OUTER_WRITES
from hwmodel.mapper.deep.states import CLOSED, O_X, O_Y, ORDERS_OF_CODE, W_X, W_Y, Aim, Bounds, Here, Pool, States

#: What is open: nothing, or one operand.
NOTHING, ALONE = np.zeros(3, dtype=np.int64), np.eye(3, dtype=np.int64)


@internal
def push(here: Here, aim: Aim, bounds: Bounds, best: Floats, heads: Ints, state: int, x: Floats, opened: Ints,
         source: int, a: int, how: int, pool: Pool, count: int, least: Floats) -> int:  # fmt: skip
    """Adds a label at split tile a where it may still win. The number of labels."""
    hope(here, x, opened, a, bounds.begun, least)
    if not wins(aim, least, best):
        return count
    return insert(heads, state, x, source, a, how, pool.values, pool.links, count)


@inlined
def slide(ladder: Ladder, here: Here, a: int, how: int, state: int, aim: Aim, bounds: Bounds, states: States,
          pool: Pool, count: int, best: Floats, node: int, x: Floats, y: Floats, opened: Ints, rest: Ints,
          least: Floats) -> int:  # fmt: skip
    """A window of I slides along the innermost loop; loops that spare W, or O, may come next.

    least: what the label comes to at least whatever comes; changed.
    """
    tile, pace, size, factors = ladder.tiles.vectors[a], ladder.pace, len(x) - TAIL, ladder.tiles.factors
    begun, floor, further = bounds.begun, least.copy(), np.empty_like(least)
    for dim in range(OY, FX + 1):
        window = x[size + dim % 2]
        fresh = min(tile[dim] * pace[dim - OY], window) / window
        if fresh >= 1.0:
            continue
        spared = WEIGHT if dim <= OX else OUTPUT
        order = (W_Y, W_X, O_Y, O_X)[dim - OY]
        held = held_share(here, a, dim)
        for k in range(ladder.tiles.steps[dim], ladder.tiles.steps[dim + 1]):
            bound, to = factors[k, 0], factors[k, 1]
            if rest[dim] % bound:
                continue
            for r in range(len(floor)):
                further[r] = floor[r] + (begun[r, here.level, a + to] - begun[r, here.level, a])
            if not wins(aim, further, best):
                continue
            y[:] = x
            spare(INPUT, (1.0 + (bound - 1) * fresh) / bound, held, y)
            close(here, INPUT, y)
            close(here, OUTPUT if spared == WEIGHT else WEIGHT, y)
            if opened[spared]:
                spare(spared, 1.0 / bound, 1.0, y)
                heads, still = states.single[spared], ALONE[spared]
            else:
                close(here, spared, y)
                take_over(here, y)
                heads, still = states.done, NOTHING
            count = push(here, aim, bounds, best, heads, state + to, y, still, node, a + to, how + order, pool,
                         count, least)  # fmt: skip
            if count > len(pool.values):
                return count
    return count


@internal
def held_share(here: Here, a: int, dim: int) -> float:
    """What of the words of tile a from off the chip is stored, if it slides along a dim, over what is if not."""
    return 1.0 if len(here.held) == 1 else float(here.held[a, 1 + dim - OY] / here.held[a, 0])


@inlined
def loops_that_spare(ladder: Ladder, here: Here, aim: Aim, bounds: Bounds, states: States, pool: Pool,
                     count: int, best: Floats) -> int:  # fmt: skip
    """Loops that spare the open operand; then it is closed, or stays open past the tile of the level."""
    num, own, coords = len(ladder.tiles.vectors), ladder.shape, ladder.tiles.coords
    metrics, values, links = len(ladder.costs.kind), pool.values, pool.links
    x, least = np.empty(metrics * WIDTH + TAIL), np.empty(metrics)
    for n in range(5, -1, -1):
        operand, heads = n % 3, states.single[n]
        for state in range(2 * num):
            node, v = heads[state], state % num
            while node >= 0:
                for j in range(len(coords)):
                    dim, to = coords[j, 0], coords[j, 2]
                    if ladder.tiles.grows[v, j] and own.loops[here.level, dim] and not RELEVANT[operand, dim]:
                        x[:] = values[node]
                        spare(operand, 1.0 / coords[j, 1], 1.0, x)
                        count = push(here, aim, bounds, best, states.single[operand], state + to, x, ALONE[operand],
                                     node, v + to, STEP, pool, count, least)  # fmt: skip
                x[:] = values[node]
                if n < 3 and here.room[state // num, v]:
                    hope(here, x, ALONE[operand], v, bounds.reached, least)
                    if wins(aim, least, best):
                        count = insert(states.upper[1 << operand], v, x, node, v, REACHED, values, links, count)
                close(here, operand, x)
                take_over(here, x)
                count = push(here, aim, bounds, best, states.done, state, x, NOTHING, node, v, STEP, pool, count,
                             least)  # fmt: skip
                if count > len(values):
                    return count
                node = links[node, NEXT]
    return count


@inlined
def other_loops(ladder: Ladder, here: Here, aim: Aim, bounds: Bounds, states: States, pool: Pool,
                count: int, best: Floats) -> int:  # fmt: skip
    """Loops that spare nobody, up to the tile of the level."""
    num, own, coords = len(ladder.tiles.vectors), ladder.shape, ladder.tiles.coords
    metrics, values, links = len(ladder.costs.kind), pool.values, pool.links
    x, least, further = np.empty(metrics * WIDTH + TAIL), np.empty(metrics), np.empty(metrics)
    for state in range(2 * num):
        node, v = states.done[state], state % num
        while node >= 0:
            x[:] = values[node]
            hope(here, x, NOTHING, v, bounds.begun, least)
            for j in range(len(coords)):
                if own.loops[here.level, coords[j, 0]] and ladder.tiles.grows[v, j]:
                    to = coords[j, 2]
                    for r in range(metrics):  # the label itself stays what it is
                        further[r] = least[r] + (
                            bounds.begun[r, here.level, v + to] - bounds.begun[r, here.level, v]
                        )
                    if wins(aim, further, best):
                        count = insert(states.done, state + to, x, node, v + to, STEP, values, links, count)
            if here.room[state // num, v]:
                hope(here, x, NOTHING, v, bounds.reached, least)
                if wins(aim, least, best):
                    count = insert(states.upper[CLOSED], v, x, node, v, REACHED, values, links, count)
            if count > len(values):
                return count
            node = links[node, NEXT]
    return count


@inlined
def jump(ladder: Ladder, here: Here, a: int, s: int, aim: Aim, bounds: Bounds, states: States, pool: Pool,
         count: int, best: Floats, last: Ints, node: int, x: Floats, y: Floats, opened: Ints) -> int:  # fmt: skip
    """All loops of a level at once: of one whose order is fixed, and of the outermost."""
    own, vectors, metrics = ladder.shape, ladder.tiles.vectors, len(ladder.costs.kind)
    level, least = here.level, np.empty(metrics)
    outermost = level == len(own.keep) - 1
    m, open_now = np.empty(8, np.int64), np.empty(3, np.int64)
    is_whole = irrelevant(OUTPUT, vectors[a]) == irrelevant(OUTPUT, ladder.bounds)
    unfinished = int(own.wide_sums and (own.wide_at[level] == 1 or not is_whole))
    for t in range(len(vectors) - 1 if outermost else a, len(vectors)):
        possible = True
        for d in range(8):
            m[d] = vectors[t, d] // vectors[a, d]
            possible = (
                possible and vectors[t, d] % vectors[a, d] == 0 and (m[d] == 1 or own.loops[here.level, d] == 1)
            )
        if not possible or not here.room[unfinished, t]:
            continue
        for n in range(own.num_orders[level]):
            y[:] = x
            open_now[:] = opened
            run(here, own.orders[level, n], a, m, y, open_now)
            how = ORDERS_OF_CODE * s + n
            if outermost:
                count = finish(ladder, here, own.orders[level, n], a, node, how, m, aim, y, pool, count, best, last)
            else:
                count = arrive(here, t, node, how, aim, y, open_now, bounds, states, pool, count, best, least)
            if count > len(pool.values):
                return count
    return count


@inlined
def run(here: Here, order: Ints, a: int, m: Ints, x: Floats, opened: Ints) -> None:
    """The loops m of a level around split tile a, innermost first: what they spare, and what they close."""
    tile, size, spared = here.vectors[a], len(x) - TAIL, False
    for k in range(7, -1, -1):
        dim = order[k]
        if m[dim] == 1:
            continue
        for operand in range(3):
            if not opened[operand]:
                continue
            if not RELEVANT[operand, dim]:
                spare(operand, 1.0 / m[dim], 1.0, x)
                spared = spared or operand == INPUT
                continue
            if operand == INPUT and not spared and dim >= OY and x[ROWS - TAIL] > 0:
                window = x[size + dim % 2]
                fresh = min(tile[dim] * here.pace[dim - OY], window) / window
                held = held_share(here, a, dim) if tile[dim] * here.pace[dim - OY] <= window else 1.0
                spare(operand, (1.0 + (m[dim] - 1) * fresh) / m[dim], held, x)
            close(here, operand, x)
            opened[operand] = 0
    if spared:
        no_window(x)


@inlined
def arrive(here: Here, t: int, node: int, how: int, aim: Aim, x: Floats, opened: Ints,
           bounds: Bounds, states: States, pool: Pool, count: int, best: Floats, least: Floats) -> int:  # fmt: skip
    """A label at the tile of a level whose loops ran in their order."""
    kind = opened[0] + 2 * opened[1] + 4 * opened[2]
    if kind == CLOSED:
        take_over(here, x)
    hope(here, x, opened, t, bounds.reached, least)
    if not wins(aim, least, best):
        return count
    count = insert(states.upper[kind], t, x, node, t, how, pool.values, pool.links, count)
    if count <= len(pool.values):
        count = mark(states.upper[kind], t, pool.values, pool.links, count)
    return count


@inlined
def finish(ladder: Ladder, here: Here, order: Ints, a: int, node: int, how: int, m: Ints, aim: Aim, x: Floats,
           pool: Pool, count: int, best: Floats, last: Ints) -> int:  # fmt: skip
    """The whole layer: keeps it where it is the best so far."""
    costs = ladder.costs
    values = np.empty(len(costs.kind))
    for operand in range(3):
        close(here, operand, x)
    iteration, stay = costs.iteration / product(m), 1.0
    for k in range(7, -1, -1):
        if m[order[k]] > 1:
            if RELEVANT[OUTPUT, order[k]]:
                break
            stay *= m[order[k]]
    for r in range(len(values)):
        values[r] = x[r * WIDTH + SETTLED] - costs.saved[r, here.level] - costs.finished[r, here.level]
        if costs.kind[r] == OUTER_READS:
            values[r] += costs.stays[r] * iteration
        elif costs.kind[r] == OUTER_WRITES:
            values[r] += costs.stays[r] * iteration * stay
    if not wins(aim, values, best):
        return count
    if last[0] >= 0 and score(aim.objective, values) >= best[BEST]:
        return count
    if count >= len(pool.values):
        return count + 1
    best[BEST], last[0] = score(aim.objective, values), count
    pool.links[count, FROM], pool.links[count, HOW], pool.links[count, NEXT] = node, how, -1
    return count + 1
