"""The compiled search of the row-stationary mapper: every mapping that the rules allow, or what bounds it, priced.

The filters and channels that are left are cut into equal parts, the last one padded; of parts that give the same
number of passes the smallest stands for all. Energy, the time of each port, the waiting and the time of exclusive
transfers are linear in the features of `row_counting`, so one row of rates prices each. What cannot be as good as
the best so far by its bound (`row_bounds`) is left out, so the result is that of the whole space.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hwmodel.mapper.compiling import compiled, internal
from hwmodel.mapper.counting import Floats, Ints
from hwmodel.mapper.row_bounds import fill_least
from hwmodel.mapper.row_counting import CARRIED, NUM_FEATURES, STEPS, Nest, count, fill_tiles
from hwmodel.mapper.scores import LATENCY, SLACK, score_of, whole

#: Rows of the rates; the ports follow.
ENERGY_ROW, EXCLUSIVE_ROW, WAIT_ROW, PORTS = 0, 1, 2, 3
#: The best candidate around what a PE holds: its score and tie-break, energy, cycles, n and k; and how many were
#: counted so far.
SCORE, TIE, ENERGY_PJ, CYCLES, BEST_N, BEST_K, COUNTED = range(7)
#: What `search` finds: an arrangement and p, q, s, n, k, f; and how many were counted.
ARRANGEMENT, FOUND_P, FOUND_Q, FOUND_S, FOUND_N, FOUND_K, FOUND_F, NUM_COUNTED = range(8)
#: What belongs to no feature: energy of the arithmetic [pJ], energy of a cycle [pJ], MACs of a PE per cycle.
MACS_PJ, CYCLE_PJ, RATE = range(3)


class Prices(NamedTuple):
    """What an arrangement is judged by: rates (M, NUM_FEATURES), the columns of `unit`, an objective, its PEs."""

    rates: Floats
    unit: Floats
    objective: int
    num_pes: float


@internal
def _dot(row: Floats, features: Floats, num_pes: float) -> float:
    """One metric; num_pes: how often the features of one PE count."""
    near, far = 0.0, 0.0
    for n in range(CARRIED):
        near += row[n] * features[n]
    for n in range(CARRIED, NUM_FEATURES):
        far += row[n] * features[n]
    return near * num_pes + far


@internal
def _fits(slots: Ints, sizes: Floats, banks: Floats, widths: Floats, tiles: Floats) -> bool:
    """Tiles of W, I and O (3) [words] fit the memories of a level, each in whole banks; see `search`."""
    for memory in range(3):
        need = 0.0
        for x in range(3):
            if slots[x] == memory:
                bits = tiles[x] * widths[x]
                need += np.ceil(bits / banks[memory]) * banks[memory] if banks[memory] > 0 else bits
        if need > sizes[memory]:
            return False
    return True


@internal
def _next_part(number: int, part: int) -> int:
    """The smallest above `part` of the sizes of equal parts of a number, the last one padded; 0: there is none."""
    count = -(-number // part)
    return 0 if count == 1 else -(-number // (count - 1))


@internal
def _price(prices: Prices, features: Floats, most: float) -> tuple[float, float]:
    """Energy [pJ] and cycles of a candidate; of one that is above a score, lower bounds."""
    rates, unit, num_pes = prices.rates, prices.unit, prices.num_pes
    energy = unit[MACS_PJ] + _dot(rates[ENERGY_ROW], features, num_pes)
    busy = np.ceil(features[STEPS] / unit[RATE])
    if score_of(prices.objective, energy + busy * unit[CYCLE_PJ], busy) > most:
        return energy + busy * unit[CYCLE_PJ], busy
    for row in range(PORTS, rates.shape[0]):
        busy = max(busy, _dot(rates[row], features, 1.0))
    processing = whole(busy + _dot(rates[WAIT_ROW], features, 1.0))
    return energy + processing * unit[CYCLE_PJ], processing + whole(_dot(rates[EXCLUSIVE_ROW], features, 1.0))


@internal
def _try(nest: Nest, prices: Prices, best: Floats) -> bool:
    """Prices a candidate that fits; True where it is better than the best."""
    count(nest)
    best[COUNTED] += 1
    energy, cycles = _price(prices, nest.features, best[SCORE] * (1 + SLACK))
    score = score_of(prices.objective, energy, cycles)
    tie = energy if prices.objective == LATENCY else cycles
    if score >= best[SCORE] * (1 - SLACK) and (score > best[SCORE] * (1 + SLACK) or tie >= best[TIE]):
        return False
    best[SCORE], best[TIE] = min(score, best[SCORE]), tie
    best[ENERGY_PJ], best[CYCLES] = energy, cycles
    best[BEST_N], best[BEST_K] = nest.b[0], nest.b[2]
    return True


@internal
def _hopeless(
    nest: Nest, fits: tuple[Ints, Floats, Floats, Floats], prices: Prices, best: Floats, first: int, last: int
) -> bool:
    """No n from first to last is as good as the best, but perhaps n = k = f = 1, which is tried by itself."""
    most = best[SCORE] * (1 + 2 * SLACK)
    fill_least(nest, fits, first, last)
    energy, cycles = _price(prices, nest.features, most)
    return score_of(prices.objective, energy, cycles) > most


@internal
def _visit(nest: Nest, fits: tuple[Ints, Floats, Floats, Floats], prices: Prices, best: Floats) -> bool:
    """Prices every n and k around what a PE holds that may be better; True where one is.

    best: the columns SCORE to COUNTED.
    """
    bi, k, c, g, ox = 0, 2, 3, 1, 5
    steps, b, left = nest.steps, nest.b, nest.left
    slots, sizes, banks, widths = fits
    filters, found = -(-steps[k] // nest.r[k]), False
    b[bi], b[k], left[bi], left[k] = 1, 1, steps[bi], filters
    fill_tiles(nest)
    bank = banks[1, slots[1, 1]]
    several = nest.r[c] * nest.spread[c] * nest.spread[g] > 1
    if several and bank > 0 and nest.tiles[1, 1] * widths[1, 1] > bank:
        return False
    if not _fits(slots[1], sizes[1], banks[1], widths[1], nest.tiles[1]):
        return False
    if b[ox] == 1:
        found = _try(nest, prices, best)
    if _hopeless(nest, fits, prices, best, 1, steps[bi]):
        return found
    for n in range(1, steps[bi] + 1):
        if steps[bi] % n != 0:
            continue
        b[bi], b[k] = n, 1
        fill_tiles(nest)
        if not _fits(slots[1], sizes[1], banks[1], widths[1], nest.tiles[1]):
            break
        if _hopeless(nest, fits, prices, best, n, n):
            continue
        b[bi], left[bi], b[k] = n, steps[bi] // n, 1
        while b[k] > 0:
            left[k] = -(-filters // b[k])
            fill_tiles(nest)
            if not _fits(slots[1], sizes[1], banks[1], widths[1], nest.tiles[1]):
                break
            if n * b[k] * b[ox] > 1:
                found |= _try(nest, prices, best)
            b[k] = _next_part(filters, b[k])
    return found


@compiled
def search(
    dims: Ints, pace: Ints, spreads: Ints, starts: Ints, pieces: int, fits: tuple[Ints, Floats, Floats, Floats],
    rates: Floats, unit: Floats, objective: int,
) -> tuple[float, float, Ints]:  # fmt: skip
    """The best candidate of all arrangements.

    The ifmaps of a pass lie in one bank per image, unless a single channel needs more.

    Args:
        dims: (8) of the layer.
        pace: (4) stride y, x, dilation y, x.
        spreads: (S, 8) PEs per dim.
        starts: (S, FX) different tiles of I across the PEs, at [s - 1] with s columns in each.
        pieces: that an output row is cut into, 1 where it is whole.
        fits: (2, 3) each, for PEs and buffer: memory of W, I and O, -1 where they have none; size of each memory
            and its banks [bit], 0 for no banks; widths of W, I and O [bit].
        rates: (M, NUM_FEATURES).
        unit: (3) the columns MACS_PJ, CYCLE_PJ and RATE.
        objective: ENERGY, LATENCY or EDP.

    Returns:
        Energy [pJ], cycles, and the columns ARRANGEMENT (-1 where nothing fits) to NUM_COUNTED.
    """
    best, found, features, tiles = np.full(8, np.inf), np.ones(8), np.zeros(NUM_FEATURES), np.zeros((2, 3))
    found[ARRANGEMENT], best[COUNTED] = -1.0, 0.0
    r, b, left, steps = np.ones(8, np.int64), np.ones(8, np.int64), np.empty(8, np.int64), np.empty(8, np.int64)
    slots, sizes, banks, widths = fits
    k, c, ox, fy, fx, bi = 2, 3, 5, 6, 7, 0
    for a in range(spreads.shape[0]):
        num_pes, total = 1.0, 1
        for d in range(8):
            steps[d] = -(-dims[d] // spreads[a, d])
            left[d] = steps[d]
            num_pes, total = num_pes * spreads[a, d], total * steps[d]
        if steps[ox] % pieces != 0:
            continue
        b[ox], left[ox] = steps[ox] // pieces, pieces
        prices = Prices(rates, unit, objective, num_pes)
        features[:] = 0.0  # what no candidate here is below: the clock and the registers for every MAC
        features[STEPS] = total
        energy, cycles = _price(prices, features, best[SCORE])
        if score_of(objective, energy, cycles) > best[SCORE] * (1 + SLACK):
            continue
        b[fy], left[fy], left[fx], r[k] = steps[fy], 1, 1, 1
        while r[k] > 0:
            r[c] = 1
            while r[c] > 0:
                left[c] = -(-steps[c] // r[c])
                for s in range(1, steps[fx] + 1):
                    r[fx], b[fx] = s, steps[fx] // s
                    b[bi], b[k] = 1, 1
                    nest = Nest(pace, spreads[a], starts[a, s - 1], steps, r, b, left, tiles, features)
                    fill_tiles(nest)
                    if not _fits(slots[0], sizes[0], banks[0], widths[0], tiles[0]):
                        break
                    if steps[fx] % s == 0 and _visit(nest, fits, prices, best):
                        found[ARRANGEMENT], found[FOUND_P], found[FOUND_Q], found[FOUND_S] = a, r[k], r[c], s
                        found[FOUND_N], found[FOUND_K], found[FOUND_F] = best[BEST_N], best[BEST_K], b[ox]
                r[c] = _next_part(steps[c], r[c])
            r[k] = _next_part(steps[k], r[k])
    found[NUM_COUNTED] = best[COUNTED]
    return best[ENERGY_PJ], best[CYCLES], found.astype(np.int64)
