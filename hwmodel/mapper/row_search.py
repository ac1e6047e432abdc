"""The compiled search of the row-stationary mapper: every mapping that the rules allow, priced exactly.

On one arrangement of sets a candidate is (p, q, s; n, k, f): p filters, q channels and s filter columns in a PE; n
images, k * p filters and f output columns in the buffer. The filters and channels that are left are cut into
equal parts, the last one padded; of parts that give the same number of passes the smallest stands for all.

Energy, the time of each port, the waiting and the time of exclusive transfers are linear in the features below, so
one row of rates prices each. The counting is that of `hwmodel.nest.access` under the loop order of
`hwmodel.mapper.row_stationary`: C runs innermost at DRAM, so that an output leaves the buffer once.
"""

from __future__ import annotations

import numpy as np

from hwmodel.mapper.compiling import compiled, internal
from hwmodel.mapper.counting import Floats, Ints
from hwmodel.mapper.scores import LATENCY, SLACK, score_of, whole

#: Features of a candidate. Of one PE: its steps, the words of W, I and O that it exchanges with the level above,
#: sums that it reads again, sums that come back to it, and its tiles. Of the chip: the different words that all PEs
#: exchange, sums that the buffer gives back, words of I from outside, finished outputs, the buffer's tiles of I and
#: O, and the first windows of all passes.
STEPS, WORDS, REREAD, RETURNED, TILE = 0, 1, 4, 5, 6
CARRIED, WAITING, OUTSIDE, DONE, HELD, WINDOWS = 9, 12, 13, 14, 15, 17
NUM_FEATURES = 18
#: Rows of the rates; the ports follow.
ENERGY_ROW, EXCLUSIVE_ROW, WAIT_ROW, PORTS = 0, 1, 2, 3
#: The best candidate around what a PE holds: its score and tie-break, energy, cycles, n, k and f; and how many were
#: counted so far.
SCORE, TIE, ENERGY_PJ, CYCLES, BEST_N, BEST_K, BEST_F, COUNTED = range(8)
#: What `search` finds: an arrangement and p, q, s, n, k, f; and how many were counted.
ARRANGEMENT, FOUND_P, FOUND_Q, FOUND_S, FOUND_N, FOUND_K, FOUND_F, NUM_COUNTED = range(8)
#: What belongs to no feature: energy of the arithmetic [pJ], energy of a cycle [pJ], MACs of a PE per cycle.
MACS_PJ, CYCLE_PJ, RATE = range(3)


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
def _slid(extent: int, bound: int, step: int) -> float:
    """Share of the words that still move where a loop slides a window of `extent` by `step`."""
    return (1.0 + (bound - 1) * (min(step, extent) / extent)) / bound


@internal
def _tiles(pace: Ints, spread: Ints, r: Ints, b: Ints, tiles: Floats) -> None:
    """Fills tiles (2, 3): words of W, I and O in a PE, and of I and O in the buffer."""
    g, bi, k, c, oy, ox, fy, fx = 1, 0, 2, 3, 4, 5, 6, 7
    sets = spread[bi] * spread[g] * b[bi]
    rows = (spread[oy] - 1) * pace[0] + (spread[fy] * b[fy] - 1) * pace[2] + 1
    columns = (spread[ox] * b[ox] - 1) * pace[1] + (spread[fx] * r[fx] * b[fx] - 1) * pace[3] + 1
    tiles[0, 0], tiles[0, 2] = r[k] * r[c] * r[fx], r[k]
    tiles[0, 1] = r[c] * ((r[fx] - 1) * pace[3] + 1)
    tiles[1, 0], tiles[1, 1] = 0.0, sets * r[c] * spread[c] * rows * columns
    tiles[1, 2] = sets * r[k] * b[k] * spread[k] * spread[oy] * b[ox] * spread[ox]


@internal
def _count(
    pace: Ints, spread: Ints, starts: int, left: Ints, r: Ints, b: Ints, tiles: Floats, features: Floats
) -> None:
    """Fills the features of a candidate.

    pace: stride y, x, dilation y, x; spread: (8) PEs per dim; starts: different tiles of I across the PEs; left:
    (8) loops at DRAM; r, b: (8) loops in a PE and at the buffer; tiles: of `_tiles`.
    """
    g, bi, k, c, oy, ox, fy, fx = 1, 0, 2, 3, 4, 5, 6, 7
    outer, inner, steps = 1, 1, 1
    for d in range(8):
        outer, inner, steps = outer * left[d], inner * b[d], steps * r[d]
    loops = outer * inner
    steps *= loops
    # W: OX and B run inside its loops; where it has none but G, all of it stays
    w = float(left[g])
    if b[k] * b[fy] * b[fx] * left[k] * left[c] > 1:
        w = loops / (b[ox] * b[bi])
    # I at DRAM: windows slide where C and K, which run inside OX and OY, have no loop
    held, step_x, step_y = outer / left[k], spread[ox] * b[ox] * pace[1], spread[oy] * pace[0]
    if left[c] > 1:
        held = float(outer)
    elif left[k] == 1 and left[ox] > 1:
        columns = step_x - pace[1] + (spread[fx] * r[fx] * b[fx] - 1) * pace[3] + 1
        held = outer * _slid(columns, left[ox], step_x)
    elif left[k] == 1 and left[oy] > 1:
        rows = step_y - pace[0] + (spread[fy] * b[fy] - 1) * pace[2] + 1
        held = outer * _slid(rows, left[oy], step_y)
    # I in a PE: a single input row, so that only OX and FX slide
    i, width = float(loops), (r[fx] - 1) * pace[3] + 1
    if b[ox] > 1:
        i = loops * _slid(width, b[ox], spread[ox] * pace[1])
    elif b[bi] == 1:
        i = loops / b[k]
        if b[fx] > 1:
            if b[k] == 1:
                i = loops * _slid(width, b[fx], r[fx] * spread[fx] * pace[3])
        elif b[fy] * left[c] == 1:
            i = loops / (b[k] * left[k])
            if b[k] * left[k] == 1 and left[ox] > 1:
                i = loops * _slid(width, left[ox], step_x)
    # O: FX, FY and C run innermost where the buffer has no other loop
    o = float(loops)
    if b[ox] * b[bi] * b[k] == 1:
        o = loops / (b[fx] * b[fy] * left[c])
    seen = float(steps) / (r[c] * r[fx] * b[fx] * b[fy] * left[c])
    features[STEPS] = steps
    features[WORDS], features[WORDS + 1], features[WORDS + 2] = w * tiles[0, 0], i * tiles[0, 1], o * tiles[0, 2]
    features[REREAD], features[RETURNED] = steps - seen, features[WORDS + 2] - seen
    for x in range(3):
        features[TILE + x] = tiles[0, x]
    distinct = spread[bi] * spread[g] * spread[k] * spread[oy] * spread[ox]
    features[CARRIED] = features[WORDS] * (spread[g] * spread[k] * spread[c] * spread[fy] * spread[fx])
    features[CARRIED + 1], features[CARRIED + 2] = features[WORDS + 1] * starts, features[WORDS + 2] * distinct
    features[DONE] = seen * distinct
    features[WAITING], features[OUTSIDE] = features[CARRIED + 2] - features[DONE], held * tiles[1, 1]
    features[HELD], features[HELD + 1], features[WINDOWS] = tiles[1, 1], tiles[1, 2], w * tiles[0, 1] * starts


@internal
def _next_part(number: int, part: int) -> int:
    """The smallest above `part` of the sizes of equal parts of a number, the last one padded; 0: there is none."""
    count = -(-number // part)
    return 0 if count == 1 else -(-number // (count - 1))


@internal
def _price(
    rates: Floats, features: Floats, num_pes: float, unit: Floats, objective: int, most: float
) -> tuple[float, float]:
    """Energy [pJ] and cycles of a candidate; of one that is above a score, lower bounds. unit: see `search`."""
    energy = unit[MACS_PJ] + _dot(rates[ENERGY_ROW], features, num_pes)
    busy = np.ceil(features[STEPS] / unit[RATE])
    if score_of(objective, energy + busy * unit[CYCLE_PJ], busy) > most:
        return energy + busy * unit[CYCLE_PJ], busy
    for row in range(PORTS, rates.shape[0]):
        busy = max(busy, _dot(rates[row], features, 1.0))
    processing = whole(busy + _dot(rates[WAIT_ROW], features, 1.0))
    return energy + processing * unit[CYCLE_PJ], processing + whole(_dot(rates[EXCLUSIVE_ROW], features, 1.0))


@internal
def _visit(
    pace: Ints, spread: Ints, starts: int, steps: Ints, r: Ints, b: Ints, left: Ints,
    fits: tuple[Ints, Floats, Floats, Floats], rates: Floats, unit: Floats, objective: int,
    tiles: Floats, features: Floats, best: Floats,
) -> bool:  # fmt: skip
    """Prices every n, k and f around what a PE holds; True where it is better.

    best: the columns SCORE to COUNTED.
    """
    bi, k, ox = 0, 2, 5
    slots, sizes, banks, widths = fits
    filters, num_pes, found = -(-steps[k] // r[k]), 1.0, False
    for d in range(8):
        num_pes *= spread[d]
    for n in range(1, steps[bi] + 1):
        if steps[bi] % n != 0:
            continue
        b[bi], left[bi], b[k] = n, steps[bi] // n, 1
        while b[k] > 0:
            left[k] = -(-filters // b[k])
            for f in range(1, steps[ox] + 1):
                if steps[ox] % f != 0:
                    continue
                b[ox], left[ox] = f, steps[ox] // f
                _tiles(pace, spread, r, b, tiles)
                if not _fits(slots[1], sizes[1], banks[1], widths[1], tiles[1]):
                    break
                _count(pace, spread, starts, left, r, b, tiles, features)
                best[COUNTED] += 1
                energy, cycles = _price(rates, features, num_pes, unit, objective, best[SCORE] * (1 + SLACK))
                score = score_of(objective, energy, cycles)
                tie = energy if objective == LATENCY else cycles
                if score < best[SCORE] * (1 - SLACK) or (score <= best[SCORE] * (1 + SLACK) and tie < best[TIE]):
                    found = True
                    best[SCORE], best[TIE] = min(score, best[SCORE]), tie
                    best[ENERGY_PJ], best[CYCLES] = energy, cycles
                    best[BEST_N], best[BEST_K], best[BEST_F] = n, b[k], f
            b[k] = _next_part(filters, b[k])
    return found


@compiled
def search(
    dims: Ints, pace: Ints, spreads: Ints, starts: Ints, fits: tuple[Ints, Floats, Floats, Floats],
    rates: Floats, unit: Floats, objective: int,
) -> tuple[float, float, Ints]:  # fmt: skip
    """The best candidate of all arrangements.

    Args:
        dims: (8) of the layer.
        pace: (4) stride y, x, dilation y, x.
        spreads: (S, 8) PEs per dim.
        starts: (S, FX) different tiles of I across the PEs, at [s - 1] with s columns in each.
        fits: (2, 3) each, for PEs and buffer: memory of W, I and O, -1 where they have none; size of each memory
            and its banks [bit], 0 for no banks; widths of W, I and O [bit].
        rates: (M, NUM_FEATURES).
        unit: (3) the columns MACS_PJ, CYCLE_PJ and RATE.
        objective: ENERGY, LATENCY or EDP.

    Returns:
        Energy [pJ], cycles, and the columns ARRANGEMENT (-1 where nothing fits) to NUM_COUNTED.
    """
    best, found, features, tiles = np.full(8, np.inf), np.empty(8), np.zeros(NUM_FEATURES), np.zeros((2, 3))
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
        features[:] = 0.0  # what no candidate here is below: the clock and the registers for every MAC
        features[STEPS] = total
        energy, cycles = _price(rates, features, num_pes, unit, objective, best[SCORE])
        if score_of(objective, energy, cycles) > best[SCORE] * (1 + SLACK):
            continue
        b[fy], left[fy], left[fx], r[k] = steps[fy], 1, 1, 1
        while r[k] > 0:
            r[c] = 1
            while r[c] > 0:
                left[c] = -(-steps[c] // r[c])
                for s in range(1, steps[fx] + 1):
                    r[fx], b[fx] = s, steps[fx] // s
                    b[bi], b[k], b[ox] = 1, 1, 1
                    _tiles(pace, spreads[a], r, b, tiles)
                    if not _fits(slots[0], sizes[0], banks[0], widths[0], tiles[0]):
                        break
                    if steps[fx] % s == 0 and _visit(
                        pace, spreads[a], starts[a, s - 1], steps, r, b, left, fits,
                        rates, unit, objective, tiles, features, best,
                    ):  # fmt: skip
                        found[ARRANGEMENT], found[FOUND_P], found[FOUND_Q], found[FOUND_S] = a, r[k], r[c], s
                        found[FOUND_N], found[FOUND_K], found[FOUND_F] = best[BEST_N], best[BEST_K], best[BEST_F]
                r[c] = _next_part(steps[c], r[c])
            r[k] = _next_part(steps[k], r[k])
    found[NUM_COUNTED] = best[COUNTED]
    return best[ENERGY_PJ], best[CYCLES], found.astype(np.int64)
