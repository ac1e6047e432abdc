"""The compiled search: from one MAC outward to the whole layer, tile by tile and prime by prime.

A state is which holders of W, I and O have their tiles, and the tile that the loops so far make. One more loop is
free; a tile for the next holder of an operand costs what the hop out of it moves: its words times all loops around
it, for the loops right around it that do not index the operand may as well lie inside. Of I, a loop over a window
right around it moves new words alone (Lemma 27 of docs/explain/mapper.md).

What is left to pay is known for every state if memories were not shared: the last holder first. With it the search
goes best first, with labels of what the tiles take of the shared memories (Lemma 28).
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

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


class Steps(NamedTuple):
    """What may come next, by state: states are ordered so that tiles lead to later ones.

    Attributes:
        hops: (P, 3) holders of W, I and O that have their tiles.
        rows: (P, 3) of the next tiles in `Prices`; -1 where no holder is left.
        to: (2, P, 3) the state once the next holder has its tile, which leaves some reduction around it or none.
        barred: (8, P) infinite where no loop over a dim may come next, else 0.
        sums: states that differ in the holders of O alone.
    """

    hops: Ints
    rows: Ints
    to: Ints
    barred: Floats
    sums: int


@internal
def steps_of(prices: Prices) -> Steps:
    """Those of a way to unroll a layer."""
    number = prices.number
    sums = (1 + prices.widths_differ) * number[OUTPUT] + 1
    states = (number[WEIGHT] + 1) * (number[INPUT] + 1) * sums
    hops, rows, to = np.empty((states, 3), np.int64), np.full((states, 3), -1), np.zeros((2, states, 3), np.int64)
    barred = np.zeros((8, states))
    for p in range(states):
        o, rest = p % sums, p // sums
        hops[p, WEIGHT], hops[p, INPUT] = rest // (number[INPUT] + 1), rest % (number[INPUT] + 1)
        hops[p, OUTPUT], is_whole = o, False
        if prices.widths_differ:
            # behind each holder twice: some reduction was left around it, or none
            hops[p, OUTPUT], is_whole = (o + 1) // 2, o > 0 and o % 2 == 0
        to[:, p, WEIGHT], to[:, p, INPUT], to[:, p, OUTPUT] = p + sums * (number[INPUT] + 1), p + sums, p + 1
        if prices.widths_differ:
            to[0, p, OUTPUT] = p - o + 2 * hops[p, OUTPUT] + 1
            to[1, p, OUTPUT] = to[0, p, OUTPUT] + 1
        for operand in range(3):
            hop = hops[p, operand]
            if hop < number[operand]:
                rows[p, operand] = operand
            for dim in range(8):
                if not prices.loops[operand, hop, dim]:
                    barred[dim, p] = np.inf
        if is_whole and rows[p, OUTPUT] >= 0 and prices.narrows[hops[p, OUTPUT]]:
            rows[p, OUTPUT] = FINISHED
    return Steps(hops, rows, to, barred, sums)


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
    num, coords, steps = len(tiles.vectors), tiles.coords, steps_of(prices)
    states, sums = len(steps.hops), steps.sums
    least = np.full((num, states), np.inf)
    most = len(tiles.factors) * (prices.number[INPUT] + 1) ** 2
    ways, energies = np.empty((most, 4), np.int64), np.empty(most)
    least[num - 1, states - 1 - prices.widths_differ :] = 0.0
    for v in range(num - 1, -1, -1):
        here = least[v]
        for j in range(len(coords)):
            if tiles.grows[v, j]:
                larger, barred = least[v + coords[j, 2]], steps.barred[coords[j, 0]]
                for p in range(states):
                    here[p] = min(here[p], larger[p] + barred[p])
        for n in range(windows_at(v, tiles, prices, ways, energies)):
            begin, end, k, dim = ways[n]
            larger, barred, energy = least[v + tiles.factors[k, 1]], steps.barred[dim], energies[n]
            for w in range(prices.number[WEIGHT] + 1):
                p = (w * (prices.number[INPUT] + 1) + begin) * sums
                to = p + (end - begin) * sums
                for o in range(sums):
                    here[p + o] = min(here[p + o], energy + larger[to + o] + barred[to + o])
        for p in range(states - 1, -1, -1):
            for operand in range(3):
                if steps.rows[p, operand] >= 0:
                    energy = prices.energy[steps.rows[p, operand], steps.hops[p, operand], v]
                    here[p] = min(here[p], energy + here[steps.to[prices.done[v], p, operand]])
    return least


@compiled
def cheapest(tiles: Lattice, prices: Prices, least: Floats, limit: float) -> tuple[float, Ints]:
    """The least that is paid, infinite where all pay more than a limit, and its moves.

    least: of `left_to_pay`. Moves: (n, 3), the columns of a label from `MOVE` on.
    """
    num, steps, rooms = len(tiles.vectors), steps_of(prices), prices.rooms
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
        if (steps.rows[state // num] < 0).all():
            return paid[node], moves_to(node, links)
        while count + len(tiles.coords) + 3 + most > len(links):
            links = np.concatenate((links, np.empty_like(links)))
            paid, used = np.concatenate((paid, np.empty_like(paid))), np.concatenate((used, np.empty_like(used)))
        windows = windows_at(state % num, tiles, prices, ways, energies)
        end = loops_and_tiles(node, tiles, prices, steps, links, paid, used, count)
        end = sliding(node, tiles, prices, steps, ways[:windows], energies, links, paid, used, end)
        for new in range(count, end):
            state = links[new, STATE]
            score = paid[new] + least[state % num, state // num]
            if (
                score < np.inf
                and score <= limit
                and (used[new] <= rooms).all()
                and not is_beaten(new, heads[state], links, used)
            ):
                links[count], paid[count], used[count] = links[new], paid[new], used[new]
                heapq.heappush(heap, (np.floor(score / grain), -count))
                count += 1
    return np.inf, np.empty((0, 3), np.int64)


@internal
def loops_and_tiles(node: int, tiles: Lattice, prices: Prices, steps: Steps, links: Ints, paid: Floats,
                    used: Floats, count: int) -> int:  # fmt: skip
    """A label for each loop that may come next, and for the tile of each next holder. The number of labels."""
    num, coords, state = len(tiles.vectors), tiles.coords, links[node, STATE]
    p, v = state // num, state % num
    for j in range(len(coords)):
        if tiles.grows[v, j] and steps.barred[coords[j, 0], p] == 0.0:
            to = state + coords[j, 2]
            count = add(node, to, LOOP, coords[j, 0], coords[j, 1], 0.0, links, paid, used, count)
    for operand in range(3):
        row, hop = steps.rows[p, operand], steps.hops[p, operand]
        if row >= 0:
            to = steps.to[prices.done[v], p, operand] * num + v
            count = add(node, to, TILE, operand, 0, prices.energy[row, hop, v], links, paid, used, count)
            if prices.pool[operand, hop] >= 0:
                used[count - 1, prices.pool[operand, hop]] += prices.bits[row, hop, v]
    return count


@internal
def sliding(node: int, tiles: Lattice, prices: Prices, steps: Steps, ways: Ints, energies: Floats, links: Ints,
            paid: Floats, used: Floats, count: int) -> int:  # fmt: skip
    """A label for each of the `windows_at` a tile. The number of labels."""
    num, state = len(tiles.vectors), links[node, STATE]
    p, v = state // num, state % num
    for n in range(len(ways)):
        begin, end, k, dim = ways[n]
        to = p + (end - begin) * steps.sums
        if begin == steps.hops[p, INPUT] and steps.barred[dim, to] == 0.0:
            to = to * num + v + tiles.factors[k, 1]
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
