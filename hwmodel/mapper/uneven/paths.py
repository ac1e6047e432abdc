"""The compiled search: from one MAC outward to the whole layer, tile by tile and prime by prime.

A state is which holders of W, I and O have their tiles, and the tile that the loops so far make. One more loop is
free; a tile for the next holder of an operand costs what the hop out of it moves: its words times all loops around
it, for the loops right around it that do not index the operand may as well lie inside. Of I, a loop over a window
right around it moves new words alone (Lemma 25 of docs/explain/mapper.md).

What is left to pay is known for every state if memories were not shared: the last holder first. With it the search
goes best first, with labels of what the tiles take of the shared memories (Lemma 26).
"""

from __future__ import annotations

import heapq

import numpy as np

from hwmodel.mapper.compiling import compiled, internal
from hwmodel.mapper.counting import FX, INPUT, OUTPUT, OY, WEIGHT, Floats, Ints
from hwmodel.mapper.deep.lattice import Lattice
from hwmodel.mapper.uneven.nest import FINISHED, Prices

#: Moves from a state to the next one, with two numbers each: a loop (dim, prime), the tile of an operand's next
#: holder (operand, 0), tiles of I around which a window slides (how many, the factor).
LOOP, TILE, WINDOW = range(3)
#: Columns of a label: the one before, the next one of its state, its state, its move and the two numbers of it.
BEFORE, NEXT, STATE, MOVE, FIRST, SECOND, COLUMNS = range(7)
#: Sums that differ by less than this share are those of the same tiles, added in another order.
GRAIN = 1e-12


@internal
def held_by(p: int, prices: Prices) -> tuple[int, int, int, int]:
    """Holders of W, I and O that have their tiles in a state, and whether no reduction was left around that of O."""
    sums = outputs_of(prices)
    o, rest = p % sums, p // sums
    w, i = rest // (prices.number[INPUT] + 1), rest % (prices.number[INPUT] + 1)
    if prices.widths_differ:
        return w, i, (o + 1) // 2, int(o > 0 and o % 2 == 0)
    return w, i, o, 0


@internal
def outputs_of(prices: Prices) -> int:
    """What states tell apart of the holders of O."""
    return (2 if prices.widths_differ else 1) * prices.number[OUTPUT] + 1


@internal
def row_of(operand: int, hop: int, finished: int, prices: Prices) -> int:
    """The row of an operand's tile in `Prices`."""
    return FINISHED if operand == OUTPUT and finished and prices.narrows[hop] else operand


@internal
def next_of(p: int, operand: int, hop: int, v: int, prices: Prices) -> int:
    """The state once the next holder of an operand has tile v."""
    sums = outputs_of(prices)
    if operand == WEIGHT:
        return p + sums * (prices.number[INPUT] + 1)
    if operand == INPUT:
        return p + sums
    if not prices.widths_differ:
        return p + 1
    return p - p % sums + 2 * hop + 1 + prices.done[v]


@compiled
def left_to_pay(tiles: Lattice, prices: Prices) -> Floats:
    """What every state has to pay at least, if memories were not shared. (P, V) [pJ]"""
    num, coords, number = len(tiles.vectors), tiles.coords, prices.number
    states = (number[WEIGHT] + 1) * (number[INPUT] + 1) * outputs_of(prices)
    least = np.empty((states, num))
    placed = np.empty(3, np.int64)
    for v in range(num - 1, -1, -1):
        for p in range(states - 1, -1, -1):
            placed[WEIGHT], placed[INPUT], placed[OUTPUT], finished = held_by(p, prices)
            best = 0.0 if (placed == number).all() else np.inf
            for operand in range(3):
                hop = placed[operand]
                if hop < number[operand]:
                    energy = prices.energy[row_of(operand, hop, finished, prices), hop, v]
                    best = min(best, energy + least[next_of(p, operand, hop, v, prices), v])
            for j in range(len(coords)):
                if best > 0.0 and tiles.grows[v, j]:
                    best = min(best, least[p, v + coords[j, 2]])
            for k in range(tiles.steps[OY], tiles.steps[FX + 1]):
                energy, to = 0.0, p
                for end in range(placed[INPUT] + 1, number[INPUT] + 1):
                    energy, to = 0.0, next_of(to, INPUT, end - 1, v, prices)
                    for hop in range(placed[INPUT], end):
                        energy += prices.slides[hop, end, k, v]
                    if energy < best:
                        best = min(best, energy + least[to, v + tiles.factors[k, 1]])
            least[p, v] = best
    return least


@compiled
def cheapest(tiles: Lattice, prices: Prices, least: Floats, limit: float) -> tuple[float, Ints]:
    """The least to pay below a limit, and the moves there from the first one; infinite where there is none.

    least: of `left_to_pay`. Moves: (n, 3), as the columns from `MOVE` on.
    """
    num, coords, rooms = len(tiles.vectors), tiles.coords, prices.rooms
    heads = np.full(least.size, -1, np.int64)
    links, paid, used = np.empty((1024, COLUMNS), np.int64), np.empty(1024), np.empty((1024, len(rooms)))
    links[0], paid[0], used[0], count = -1, 0.0, 0.0, 1
    links[0, STATE] = 0
    grain = max(least[0, 0], 1.0) * GRAIN
    heap = [(0.0, 0)]
    placed = np.empty(3, np.int64)
    while len(heap) > 0:
        node = -heapq.heappop(heap)[1]
        state = links[node, STATE]
        if is_beaten(node, heads[state], links, used):
            continue
        links[node, NEXT], heads[state] = heads[state], node
        p, v = state // num, state % num
        placed[WEIGHT], placed[INPUT], placed[OUTPUT], finished = held_by(p, prices)
        if (placed == prices.number).all():
            return paid[node], moves_to(node, links)
        while count + 4 * (len(coords) + 3 + len(tiles.factors) * len(prices.number)) > len(links):
            links, paid, used = doubled(links), longer(paid), wider(used)
        first = count
        for j in range(len(coords)):
            if tiles.grows[v, j]:
                count = add(node, p * num + v + coords[j, 2], LOOP, coords[j, 0], coords[j, 1], paid[node], links, paid,
                            used, count)  # fmt: skip
        for operand in range(3):
            hop = placed[operand]
            if hop < prices.number[operand]:
                row = row_of(operand, hop, finished, prices)
                count = add(node, next_of(p, operand, hop, v, prices) * num + v, TILE, operand, 0,
                            paid[node] + prices.energy[row, hop, v], links, paid, used, count)  # fmt: skip
                if prices.pool[operand, hop] >= 0:
                    used[count - 1, prices.pool[operand, hop]] += prices.bits[row, hop, v]
        for k in range(tiles.steps[OY], tiles.steps[FX + 1]):
            to = p
            for end in range(placed[INPUT] + 1, prices.number[INPUT] + 1):
                energy, to = paid[node], next_of(to, INPUT, end - 1, v, prices)
                for hop in range(placed[INPUT], end):
                    energy += prices.slides[hop, end, k, v]
                if energy < np.inf:
                    count = add(node, to * num + v + tiles.factors[k, 1], WINDOW, end - placed[INPUT], k, energy, links,
                                paid, used, count)  # fmt: skip
                    for hop in range(placed[INPUT], end):
                        if prices.pool[INPUT, hop] >= 0:
                            used[count - 1, prices.pool[INPUT, hop]] += prices.bits[INPUT, hop, v]
        kept = first
        for new in range(first, count):
            state = links[new, STATE]
            score = paid[new] + least[state // num, state % num]
            if score <= limit and (used[new] <= rooms).all() and not is_beaten(new, heads[state], links, used):
                links[kept], paid[kept], used[kept] = links[new], paid[new], used[new]
                heapq.heappush(heap, (np.floor(score / grain), -kept))
                kept += 1
        count = kept
    return np.inf, np.empty((0, 3), np.int64)


@internal
def add(node: int, state: int, move: int, first: int, second: int, energy: float, links: Ints, paid: Floats,
        used: Floats, count: int) -> int:  # fmt: skip
    """One more label. The number of labels."""
    links[count, BEFORE], links[count, STATE] = node, state
    links[count, MOVE], links[count, FIRST], links[count, SECOND] = move, first, second
    paid[count], used[count] = energy, used[node]
    return count + 1


@internal
def is_beaten(node: int, other: int, links: Ints, used: Floats) -> bool:
    """Another label of the state, which paid no more, takes no more of any memory."""
    while other >= 0:
        if (used[other] <= used[node]).all():
            return True
        other = links[other, NEXT]
    return False


@internal
def moves_to(node: int, links: Ints) -> Ints:
    """The moves to a label from the first one."""
    count, last = 0, node
    while links[last, BEFORE] >= 0:
        count, last = count + 1, links[last, BEFORE]
    found = np.empty((count, 3), np.int64)
    while count > 0:
        count -= 1
        found[count] = links[node, MOVE : SECOND + 1]
        node = links[node, BEFORE]
    return found


@internal
def doubled(links: Ints) -> Ints:
    more = np.empty((2 * len(links), links.shape[1]), np.int64)
    more[: len(links)] = links
    return more


@internal
def wider(values: Floats) -> Floats:
    more = np.empty((2 * len(values), values.shape[1]))
    more[: len(values)] = values
    return more


@internal
def longer(values: Floats) -> Floats:
    more = np.empty(2 * len(values))
    more[: len(values)] = values
    return more
