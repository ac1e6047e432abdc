"""The compiled search of the mapper: branch and bound over unrollings, register tiles, buffer tiles and orders.

At one level only one operand gains from the order (the dims that do not index W (B, OY, OX), I (K) and O (C, FY, FX)
are disjoint), so with N iterations and A = r * s a metric inside the buffer's tile T is at least

    constant + sum_x F_x - F_c * (1 - A_c / U_c)      for one operand c,

where F_x is what operand x costs without reuse, A_c and U_c are the parts of A and T over the dims that do not index
c: a line in 1/U_c per pair (r, s). Where the buffer's loops leave all of c in place, reuse goes on into the loops of
DRAM and U_c = N_c. Unrollings, pairs and buffer tiles whose bounds cannot beat the incumbent are dropped before
anything is counted exactly; the rest is visited by rising bound. The result is the optimum of the whole space.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hwmodel.nest import (
    Floats,
    Ints,
    Problem,
    coefficients,
    distinct_tiles,
    fresh_part,
    irrelevant,
    moves,
    product,
    tile_words,
)

ENERGY, LATENCY, EDP = 0, 1, 2
SLACK = 1e-12
_HASH = 4093
_RATIO = 1.2


@njit(cache=True)
def _cycles(values: Floats, compute: float) -> float:
    """Cycles from the metrics (M): the busiest of array and ports, and the fills waited for."""
    busiest = compute
    for k in range(1, len(values) - 1):
        busiest = max(busiest, values[k])
    return busiest + max(0.0, values[len(values) - 1])


@njit(cache=True)
def _whole(cycles: float) -> float:
    """Whole cycles, rounding noise aside."""
    return np.ceil(cycles * (1.0 - SLACK))


@njit(cache=True)
def _score(objective: int, energy: float, cycles: float) -> float:
    if objective == ENERGY:
        return energy
    return _whole(cycles) if objective == LATENCY else energy * _whole(cycles)


@njit(cache=True)
def _tile_factors(problem: Problem) -> Floats:
    """What a word between buffer and DRAM costs in every metric. (M, 3)"""
    factors, three = np.empty((problem.cost.shape[0], 3)), np.empty(3)
    for k in range(factors.shape[0]):
        for x in range(3):
            coefficients(problem, k, x, 1, 1, three)
            factors[k, x] = three[2]
    return factors


@njit(cache=True)
def price_tiles(problem: Problem, num_metrics: int, tiles: Ints) -> Floats:
    """Lower bounds of every metric of the exchange of buffer tiles (T, 8) with DRAM. (T, M)

    As inside the tile, one operand gains from the order; I may slide by whichever dim gains most.
    """
    factors, b, pace = _tile_factors(problem), problem.bounds, problem.pace
    out, f = np.zeros((tiles.shape[0], factors.shape[0])), np.empty(3)
    total = float(product(b))
    irr = (float(irrelevant(0, b)), float(irrelevant(1, b)), float(irrelevant(2, b)))
    for q in range(tiles.shape[0]):
        t = tiles[q]
        around, slide = total / product(t), 1.0
        for dim in range(4, 8):
            if t[dim] != b[dim]:
                share = t[dim] / b[dim]
                slide = min(slide, share + (1.0 - share) * fresh_part(dim, t, t[dim], pace))
        keep = (1.0 - irrelevant(0, t) / irr[0], 1.0 - irrelevant(1, t) / irr[1], 1.0 - irrelevant(2, t) / irr[2])
        words = (
            around * tile_words(0, t, pace), around * slide * tile_words(1, t, pace), around * tile_words(2, t, pace)
        )  # fmt: skip
        for k in range(num_metrics):
            gain = 0.0
            for x in range(3):
                f[x] = factors[k, x] * words[x]
                gain = max(gain, f[x] * keep[x])
            out[q, k] = f[0] + f[1] + f[2] - gain
    return out


@njit(cache=True)
def bound_unrollings(problem: Problem, num_metrics: int, unrollings: Ints) -> Floats:
    """Lower bounds of every metric inside the buffer's tile, whatever the register tile is. (S, M)"""
    b = problem.bounds
    three, values = np.empty(3), np.zeros((unrollings.shape[0], problem.cost.shape[0]))
    least = (
        float(b[1] * b[2] * b[3] * b[6] * b[7]),
        float(b[0] * b[1] * b[3] * max(b[4], b[6]) * max(b[5], b[7])),
        float(b[0] * b[1] * b[2] * b[4] * b[5]),
    )
    for i in range(unrollings.shape[0]):
        s = unrollings[i]
        num_pes = product(s)
        for k in range(num_metrics):
            values[i, k] = problem.base_pj if k == 0 else 0.0
            for x in range(3):
                most = num_pes // irrelevant(x, s)
                few = most
                if x == 1:  # at least out + filter - 1 different starts per axis
                    few = s[0] * s[1] * s[3] * (s[4] + s[6] - 1) * (s[5] + s[7] - 1)
                coefficients(problem, k, x, num_pes, few, three)
                values[i, k] += three[0] + three[1] * least[x] / most
    return values


@njit(cache=True)
def bound_case(problem: Problem, objective: int, unrollings: Ints, bounds_s: Floats, most_cycles: float) -> float:
    """A lower bound of the score: the best unrolling, and every element exchanged with DRAM once."""
    b, pace, total = problem.bounds, problem.pace, float(product(problem.bounds))
    least_i = float(b[0] * b[1] * b[3] * max(b[4], b[6]) * max(b[5], b[7]))
    factors = _tile_factors(problem)
    values, best = np.zeros(factors.shape[0]), np.inf
    for j in range(unrollings.shape[0]):
        for k in range(len(values)):
            far = factors[k, 0] * tile_words(0, b, pace) + factors[k, 1] * least_i + factors[k, 2] * tile_words(2, b, pace)
            values[k] = bounds_s[j, k] + far
        cycles = _cycles(values, np.ceil(total / product(unrollings[j]) / problem.rate))
        if _whole(cycles) <= most_cycles:
            best = min(best, _score(objective, values[0], cycles))
    return best


@njit(cache=True)
def _pair(problem: Problem, num_metrics: int, r: Ints, j: int, num_pes: int, a: Ints, lines: Floats) -> None:
    """Fills lines (metrics, 10): constant + base per class (3), slope per class (3), constant, F per operand (3)."""
    pace, parts = problem.pace, problem.networks[j]
    full = product(problem.bounds) / product(a)
    slides = np.ones(3)  # per stationary operand: the least share of I that moves
    for dim in range(4, 8):
        bound = problem.bounds[dim] // a[dim]
        if bound > 1:
            share = (1.0 + (bound - 1) * fresh_part(dim, r, a[dim], pace)) / bound
            for c in range(3):  # with a fixed order any dim may be innermost; else those that c leaves in place
                slides[c] = min(slides[c], share)
    three, f = np.empty(3), np.empty(3)
    distinct = (
        distinct_tiles(0, parts, r, pace), distinct_tiles(1, parts, r, pace), distinct_tiles(2, parts, r, pace)
    )  # fmt: skip
    words = (tile_words(0, r, pace), tile_words(1, r, pace), tile_words(2, r, pace))
    for k in range(num_metrics):
        constant = problem.base_pj if k == 0 else 0.0
        for x in range(3):
            coefficients(problem, k, x, num_pes, distinct[x], three)
            constant += three[0]
            f[x] = three[1] * words[x] * full
        lines[k, 6] = constant
        for c in range(3):
            lines[k, 7 + c] = f[c]
            base = constant
            for x in range(3):
                if x != c:
                    base += f[x] * (slides[c] if x == 1 else 1.0)
            lines[k, c] = base
            lines[k, 3 + c] = f[c] * irrelevant(c, a)
            if c == 1 and irrelevant(1, problem.bounds) == irrelevant(1, a):
                lines[k, 3 + c] *= slides[1]


@njit(cache=True)
def join(
    problem: Problem,
    objective: int,
    num_metrics: int,
    registers: Ints,
    unrollings: Ints,
    bounds_s: Floats,
    least_tile: Floats,
    limits: tuple[float, float],
) -> tuple[Ints, Floats, Floats]:
    """Pairs (register tile, unrolling) that may win: indices (P, 2), lines (P, metrics, 10), their bounds (P).

    bounds_s (S, M) and least_tile (M): lower bounds of the unrollings and of the exchange with DRAM; limits: the
    score and the cycles to be at or below.
    """
    room, count = 1024, 0
    pairs, lines, scores = np.empty((room, 2), np.int64), np.empty((room, num_metrics, 10)), np.empty(room)
    a, values = np.empty(8, np.int64), np.zeros(problem.cost.shape[0])
    total = float(product(problem.bounds))
    irr = (irrelevant(0, problem.bounds), irrelevant(1, problem.bounds), irrelevant(2, problem.bounds))
    for j in range(unrollings.shape[0]):
        s = unrollings[j]
        compute = np.ceil(total / product(s) / problem.rate)
        for k in range(len(values)):
            values[k] = bounds_s[j, k] + least_tile[k]
        cycles = _cycles(values, compute)
        if _whole(cycles) > limits[1] or _score(objective, values[0], cycles) > limits[0]:
            continue
        for i in range(registers.shape[0]):
            fits = True
            for d in range(8):
                a[d] = s[d] * registers[i, d]
                if problem.bounds[d] % a[d] != 0:
                    fits = False
                    break
            if not fits:
                continue
            if count == room:
                room *= 2
                pairs = np.concatenate((pairs, np.empty_like(pairs)))
                lines = np.concatenate((lines, np.empty_like(lines)))
                scores = np.concatenate((scores, np.empty_like(scores)))
            _pair(problem, num_metrics, registers[i], j, product(s), a, lines[count])
            for k in range(num_metrics):
                line = lines[count, k]
                values[k] = min(line[0] + line[3] / irr[0], line[1] + line[4] / irr[1], line[2] + line[5] / irr[2])
                values[k] += least_tile[k]
            cycles = _cycles(values, compute)
            score = _score(objective, values[0], cycles)
            if score > limits[0] or _whole(cycles) > limits[1]:
                continue
            pairs[count, 0], pairs[count, 1], scores[count] = i, j, score
            count += 1
    order = np.argsort(scores[:count])
    return pairs[:count][order], lines[:count][order], scores[:count][order]


@njit(cache=True)
def _rest(operand: int, t: Ints) -> int:
    return product(t) // irrelevant(operand, t)


@njit(cache=True)
def bound_tiles(
    problem: Problem, tiles: Ints, tile_values: Floats, lines: Floats, sizes: Ints
) -> Floats:
    """Lower bounds of the energy of every buffer tile with its best pair [pJ]. (T)

    sizes (P, 6): per pair the parts of A over the dims that do not, and that do, index W, I, O.
    """
    irr = (irrelevant(0, problem.bounds), irrelevant(1, problem.bounds), irrelevant(2, problem.bounds))
    steps = 2 + int(np.log(float(max(irr))) / np.log(_RATIO))
    envelope, carried = np.full((3, steps), np.inf), np.full((3, _HASH), np.inf)
    for p in range(lines.shape[0]):
        for c in range(3):
            base, slope, u = lines[p, 0, c], lines[p, 0, 3 + c], 1.0
            spot = sizes[p, 3 + c] % _HASH
            carried[c, spot] = min(carried[c, spot], base + slope / irr[c])
            for g in range(steps):
                if u * _RATIO > sizes[p, c]:
                    envelope[c, g] = min(envelope[c, g], base + slope / min(u, irr[c]))
                u *= _RATIO
    out = np.empty(tiles.shape[0])
    for q in range(tiles.shape[0]):
        least = np.inf
        for c in range(3):
            own = irrelevant(c, tiles[q])
            g = 0
            u = 1.0
            while u < own:
                u *= _RATIO
                g += 1
            least = min(least, envelope[c, g], carried[c, _rest(c, tiles[q]) % _HASH])
        out[q] = tile_values[q, 0] + least
    return out


@njit(cache=True)
def _fits(problem: Problem, t: Ints, a: Ints) -> bool:
    """A divides the tile, only loops that are allowed remain, and the buffer holds it (O at `acc` while unfinished)."""
    for d in range(8):
        if t[d] % a[d] != 0 or (t[d] != a[d] and problem.loops[0, d] == 0):
            return False
    need = np.zeros(3)
    for x in range(3):
        if problem.holds[1, x]:
            width = problem.widths[x]
            if x == 2 and (not problem.holds[0, 2] or irrelevant(2, problem.bounds) != irrelevant(2, a)):
                width = problem.widths[3]
            need[problem.memory[1, x]] += tile_words(x, t, problem.pace) * width
    return need[0] <= problem.capacity[0] and need[1] <= problem.capacity[1] and need[2] <= problem.capacity[2]


@njit(cache=True)
def _exchange(problem: Problem, t: Ints, n: Ints, words: Floats) -> None:
    """Fills words (orders, 3) with what a buffer tile t under the loops n exchanges with DRAM."""
    ones = np.ones(8, np.int64)
    for x in range(3):
        size = tile_words(x, t, problem.pace)
        for o in range(words.shape[0]):
            order = problem.outer[o]
            words[o, x] = size * moves(x, t, order, ones, t, order, n, t, problem.pace)


@njit(cache=True)
def _evaluate(problem: Problem, r: Ints, j: int, num_pes: int, t: Ints, f0: Floats, f1: Floats) -> tuple[float, float]:
    """Energy [pJ] and cycles of one candidate, from its words f0 (3) and f1 (3)."""
    values, three = np.zeros(problem.cost.shape[0]), np.empty(3)
    values[0] = problem.base_pj
    edges = 0.0
    for x in range(3):
        distinct = distinct_tiles(x, problem.networks[j], r, problem.pace)
        for k in range(len(values)):
            coefficients(problem, k, x, num_pes, distinct, three)
            values[k] += three[0] + three[1] * f0[x] + three[2] * f1[x]
        edges += problem.edge[0, x] * tile_words(x, r, problem.pace) * problem.holds[0, x]
        edges += problem.edge[1, x] * tile_words(x, t, problem.pace) * problem.holds[1, x]
    compute = np.ceil(product(problem.bounds) / num_pes / problem.rate)
    return values[0], np.ceil(_cycles(values, compute) + edges)


@njit(cache=True)
def search(
    problem: Problem,
    objective: int,
    registers: Ints,
    unrollings: Ints,
    pairs: Ints,
    lines: Floats,
    scores: Floats,
    tiles: Ints,
    tile_values: Floats,
    limits: tuple[float, float],
) -> tuple[float, float, Ints]:
    """The best candidate: energy [pJ], cycles, and its indices.

    Args:
        problem: the layer on the hierarchy.
        objective: ENERGY, LATENCY or EDP.
        registers, unrollings, tiles: (R, 8), (S, 8), (T, 8).
        pairs, lines, scores: from `join`.
        tile_values: from `price_tiles`.
        limits: a score and cycles to be at or below.

    Returns:
        Energy and cycles (infinite where nothing is as good as the limits), and the indices (register tile,
        unrolling, tile, order at the buffer, order at DRAM).
    """
    best = np.full(5, -1, np.int64)
    best_pj, best_cycles, best_score, best_tie = np.inf, np.inf, limits[0], np.inf
    num_pairs, num_metrics = lines.shape[0], lines.shape[1]
    pace, bounds = problem.pace, problem.bounds
    irr = (irrelevant(0, bounds), irrelevant(1, bounds), irrelevant(2, bounds))
    a, m, n = np.empty(8, np.int64), np.empty(8, np.int64), np.empty(8, np.int64)
    sizes, compute = np.empty((num_pairs, 6), np.int64), np.empty(num_pairs)
    least = np.full(num_metrics, np.inf)
    for p in range(num_pairs):
        for d in range(8):
            a[d] = registers[pairs[p, 0], d] * unrollings[pairs[p, 1], d]
        for c in range(3):
            sizes[p, c] = irrelevant(c, a)
            sizes[p, 3 + c] = _rest(c, a)
        compute[p] = np.ceil(product(bounds) / product(unrollings[pairs[p, 1]]) / problem.rate)
        for k in range(num_metrics):
            line = lines[p, k]
            low = min(line[0] + line[3] / irr[0], line[1] + line[4] / irr[1], line[2] + line[5] / irr[2])
            least[k] = min(least[k], low)
    least_compute = compute.min() if num_pairs else 0.0
    values = np.zeros(problem.cost.shape[0])
    energies = bound_tiles(problem, tiles, tile_values, lines, sizes)
    keys = np.empty(tiles.shape[0])
    for q in range(tiles.shape[0]):
        for k in range(num_metrics):
            values[k] = least[k] + tile_values[q, k]
        values[0] = energies[q]
        cycles = _cycles(values, least_compute)
        keys[q] = _score(objective, energies[q], cycles) if _whole(cycles) <= limits[1] else np.inf
    kept = np.flatnonzero(keys <= limits[0] * (1 + SLACK))
    f0, f1, share = np.empty(3), np.empty(3), np.empty(3)
    words = np.empty((problem.outer.shape[0], 3))
    factors, cutoff = _tile_factors(problem), best_score * (1 + SLACK)
    for q in kept[np.argsort(keys[kept])]:
        if keys[q] > cutoff:
            break
        t = tiles[q]
        own = (irrelevant(0, t), irrelevant(1, t), irrelevant(2, t))
        rest = (_rest(0, t), _rest(1, t), _rest(2, t))
        for d in range(8):
            n[d] = bounds[d] // t[d]
        _exchange(problem, t, n, words)
        for k in range(num_metrics):
            least[k] = np.inf
            for o in range(words.shape[0]):
                value = factors[k, 0] * words[o, 0] + factors[k, 1] * words[o, 1] + factors[k, 2] * words[o, 2]
                least[k] = min(least[k], value)
        for p in range(num_pairs):
            if scores[p] > cutoff:
                break
            carries = False
            for k in range(num_metrics):
                value = np.inf
                for c in range(3):
                    carried = sizes[p, 3 + c] == rest[c]
                    carries |= carried
                    value = min(value, lines[p, k, c] + lines[p, k, 3 + c] / (irr[c] if carried else own[c]))
                values[k] = value + least[k]
            cycles = _cycles(values, compute[p])
            if _score(objective, values[0], cycles) > cutoff or _whole(cycles) > limits[1]:
                continue
            r, s = registers[pairs[p, 0]], unrollings[pairs[p, 1]]
            for d in range(8):
                a[d] = r[d] * s[d]
            if not _fits(problem, t, a):
                continue
            for d in range(8):
                m[d] = t[d] // a[d]
            full = product(m) * product(n)
            for i in range(problem.inner.shape[0]):
                for o in range(problem.outer.shape[0]):
                    if o == 0 or carries:
                        for x in range(3):
                            share[x] = moves(x, r, problem.inner[i], m, a, problem.outer[o], n, t, pace) / full
                    for k in range(num_metrics):
                        values[k] = lines[p, k, 6]
                        for x in range(3):
                            values[k] += lines[p, k, 7 + x] * share[x] + factors[k, x] * words[o, x]
                    cycles = _cycles(values, compute[p])
                    if _score(objective, values[0], cycles) > cutoff or _whole(cycles) > limits[1]:
                        continue
                    for x in range(3):
                        f0[x] = tile_words(x, r, pace) * share[x] * full
                        f1[x] = words[o, x]
                    energy, cycles = _evaluate(problem, r, pairs[p, 1], product(s), t, f0, f1)
                    score = _score(objective, energy, cycles)
                    tie = energy if objective == LATENCY else cycles
                    if cycles > limits[1] or score > cutoff:
                        continue
                    if score < best_score * (1 - SLACK) or tie < best_tie:
                        best_score, best_tie, best_pj, best_cycles = min(score, best_score), tie, energy, cycles
                        cutoff = best_score * (1 + SLACK)
                        best[0], best[1], best[2], best[3], best[4] = pairs[p, 0], pairs[p, 1], q, i, o
    return best_pj, best_cycles, best
