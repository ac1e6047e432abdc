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
def states_of(prices: Prices) -> Ints:
    """Per state, ordered so that tiles lead to later ones: holders of W, I and O that have their tiles, and whether
    no reduction was left around that of O. (P, 4)"""
    sums = (2 if prices.widths_differ else 1) * prices.number[OUTPUT] + 1
    found = np.zeros(((prices.number[WEIGHT] + 1) * (prices.number[INPUT] + 1) * sums, 4), np.int64)
    for p in range(len(found)):
        o, rest = p % sums, p // sums
        found[p, WEIGHT], found[p, INPUT] = rest // (prices.number[INPUT] + 1), rest % (prices.number[INPUT] + 1)
        found[p, OUTPUT] = o
        if prices.widths_differ:
            found[p, OUTPUT], found[p, 3] = (o + 1) // 2, int(o > 0 and o % 2 == 0)
    return found


@internal
def may_loop(states: Ints, prices: Prices) -> Ints:
    """1 where a loop over a dim may come next: of each operand inside of its next tile. (P, 8)"""
    found = np.ones((len(states), 8), np.int64)
    for p in range(len(states)):
        for operand in range(3):
            found[p] &= prices.loops[operand, states[p, operand]]
    return found


@internal
def row_of(operand: int, placed: Ints, prices: Prices) -> int:
    """The row of the next tile of an operand in `Prices`."""
    return FINISHED if operand == OUTPUT and placed[3] and prices.narrows[placed[OUTPUT]] else operand


@internal
def next_of(p: int, operand: int, placed: Ints, v: int, prices: Prices) -> int:
    """The state once the next holder of an operand has tile v."""
    sums = (2 if prices.widths_differ else 1) * prices.number[OUTPUT] + 1
    if operand == WEIGHT:
        return p + sums * (prices.number[INPUT] + 1)
    if operand == INPUT:
        return p + sums
    if not prices.widths_differ:
        return p + 1
    return p - p % sums + 2 * placed[OUTPUT] + 1 + prices.done[v]


@internal
def windows_at(v: int, tiles: Lattice, prices: Prices, ways: Ints, energies: Floats) -> int:
    """Fills in the ways in which tiles of I have a window that slides, and what their hops cost.

    ways: (n, 4) how many holders had their tiles before and have them after, the factor and its dim. The number of
    ways.
    """
    count = 0
    for dim in range(OY, FX + 1):
        for k in range(tiles.steps[dim], tiles.steps[dim + 1]):
            for begin in range(prices.number[INPUT]):
                for end in range(begin + 1, prices.number[INPUT] + 1):
                    energy = 0.0
                    for hop in range(begin, end):
                        energy += prices.slides[hop, end, k, v]
                    if energy < np.inf:
                        ways[count, 0], ways[count, 1], ways[count, 2], ways[count, 3] = begin, end, k, dim
                        energies[count] = energy
                        count += 1
    return count


@compiled
def left_to_pay(tiles: Lattice, prices: Prices) -> Floats:
    """What every state has to pay at least, if memories were not shared. (V, P) [pJ]"""
    num, coords, states = len(tiles.vectors), tiles.coords, states_of(prices)
    allowed = may_loop(states, prices)
    least = np.full((num, len(states)), np.inf)
    most = len(tiles.factors) * (prices.number[INPUT] + 1) ** 2
    ways, energies = np.empty((most, 4), np.int64), np.empty(most)
    sums = (2 if prices.widths_differ else 1) * prices.number[OUTPUT] + 1
    for v in range(num - 1, -1, -1):
        here = least[v]
        for j in range(len(coords)):
            if tiles.grows[v, j]:
                larger = least[v + coords[j, 2]]
                for p in range(len(here)):
                    if allowed[p, coords[j, 0]]:
                        here[p] = min(here[p], larger[p])
        for n in range(windows_at(v, tiles, prices, ways, energies)):
            begin, end, k, dim = ways[n]
            larger = least[v + tiles.factors[k, 1]]
            for p in range(len(here)):
                to = p + (end - begin) * sums
                if states[p, INPUT] == begin and allowed[to, dim]:
                    here[p] = min(here[p], energies[n] + larger[to])
        for p in range(len(here) - 1, -1, -1):
            here[p] = min(here[p], with_tile(p, v, states[p], prices, here))
            if v == num - 1 and (states[p, :3] == prices.number).all():
                here[p] = 0.0
    return least


@internal
def with_tile(p: int, v: int, placed: Ints, prices: Prices, least: Floats) -> float:
    """What is left to pay at least if v is the tile of some next holder.

    least: (P) of the states with tile v.
    """
    best = np.inf
    for operand in range(3):
        hop = placed[operand]
        if hop < prices.number[operand]:
            energy = prices.energy[row_of(operand, placed, prices), hop, v]
            best = min(best, energy + least[next_of(p, operand, placed, v, prices)])
    return best


@compiled
def cheapest(tiles: Lattice, prices: Prices, least: Floats, limit: float) -> Ints:
    """The moves of what pays least, (n, 3) as the columns of a label from `MOVE` on; none where all pay more than a
    limit.

    least: of `left_to_pay`.
    """
    num, states, rooms = len(tiles.vectors), states_of(prices), prices.rooms
    allowed = may_loop(states, prices)
    most = len(tiles.factors) * (prices.number[INPUT] + 1) ** 2
    ways, energies = np.empty((most, 4), np.int64), np.empty(most)
    heads, grain = np.full(least.size, -1, np.int64), max(least[0, 0], 1.0) * GRAIN
    links, paid, used = np.full((1024, COLUMNS), -1, np.int64), np.zeros(1024), np.zeros((1024, len(rooms)))
    links[0, STATE], count = 0, 1
    heap = [(0.0, 0)]
    while len(heap) > 0:
        node = -heapq.heappop(heap)[1]
        state = links[node, STATE]
        if is_beaten(node, heads[state], links, used):
            continue
        links[node, NEXT], heads[state] = heads[state], node
        placed = states[state // num]
        if least[state % num, state // num] == 0.0:
            return moves_to(node, links)
        while count + len(tiles.coords) + 3 + most > len(links):
            links, paid, used = doubled(links), longer(paid), wider(used)
        windows = windows_at(state % num, tiles, prices, ways, energies)
        end = loops_and_tiles(node, placed, allowed, tiles, prices, links, paid, used, count)
        end = sliding(node, placed, allowed, tiles, prices, ways[:windows], energies, links, paid, used, end)
        first = count
        for new in range(first, end):
            state = links[new, STATE]
            score = paid[new] + least[state % num, state // num]
            if score <= limit and (used[new] <= rooms).all() and not is_beaten(new, heads[state], links, used):
                links[count], paid[count], used[count] = links[new], paid[new], used[new]
                heapq.heappush(heap, (np.floor(score / grain), -count))
                count += 1
    return np.empty((0, 3), np.int64)


@internal
def loops_and_tiles(node: int, placed: Ints, allowed: Ints, tiles: Lattice, prices: Prices, links: Ints, paid: Floats,
                    used: Floats, count: int) -> int:  # fmt: skip
    """A label for each loop that may come next, and for the tile of each next holder. The number of labels."""
    num, coords, state = len(tiles.vectors), tiles.coords, links[node, STATE]
    p, v = state // num, state % num
    for j in range(len(coords)):
        if tiles.grows[v, j] and allowed[p, coords[j, 0]]:
            to = state + coords[j, 2]
            count = add(node, to, LOOP, coords[j, 0], coords[j, 1], 0.0, links, paid, used, count)
    for operand in range(3):
        hop = placed[operand]
        if hop < prices.number[operand]:
            row, to = row_of(operand, placed, prices), next_of(p, operand, placed, v, prices) * num + v
            count = add(node, to, TILE, operand, 0, prices.energy[row, hop, v], links, paid, used, count)
            if prices.pool[operand, hop] >= 0:
                used[count - 1, prices.pool[operand, hop]] += prices.bits[row, hop, v]
    return count


@internal
def sliding(node: int, placed: Ints, allowed: Ints, tiles: Lattice, prices: Prices, ways: Ints, energies: Floats, links: Ints,
            paid: Floats, used: Floats, count: int) -> int:  # fmt: skip
    """A label for each of the `windows_at` a tile. The number of labels."""
    num, state = len(tiles.vectors), links[node, STATE]
    v, sums = state % num, next_of(0, INPUT, placed, 0, prices)
    for n in range(len(ways)):
        begin, end, k, dim = ways[n]
        if begin == placed[INPUT] and allowed[state // num + (end - begin) * sums, dim]:
            to = state + (end - begin) * sums * num + tiles.factors[k, 1]
            count = add(node, to, WINDOW, end - begin, k, energies[n], links, paid, used, count)
            for hop in range(begin, end):
                if prices.pool[INPUT, hop] >= 0:
                    used[count - 1, prices.pool[INPUT, hop]] += prices.bits[INPUT, hop, v]
    return count


@internal
def add(node: int, state: int, move: int, first: int, second: int, energy: float, links: Ints, paid: Floats,
        used: Floats, count: int) -> int:  # fmt: skip
    """A label that pays some more than another one. The number of labels."""
    links[count, BEFORE], links[count, STATE] = node, state
    links[count, MOVE], links[count, FIRST], links[count, SECOND] = move, first, second
    paid[count], used[count] = paid[node] + energy, used[node]
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
