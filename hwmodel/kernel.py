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
from hwmodel.nest import (
    Floats,
    Ints,
    Problem,
    coefficients,
    compiled,
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


@compiled
def _cycles(values: Floats, compute: float) -> float:
    """Cycles from the metrics (M): the busiest of array and ports, and the fills waited for."""
    busiest = compute
    for k in range(1, len(values) - 1):
        busiest = max(busiest, values[k])
    return busiest + max(0.0, values[len(values) - 1])


@compiled
def _whole(cycles: float) -> float:
    """Whole cycles, rounding noise aside."""
    return np.ceil(cycles * (1.0 - SLACK))


@compiled
def _score(objective: int, energy: float, cycles: float) -> float:
    if objective == ENERGY:
        return energy
    return _whole(cycles) if objective == LATENCY else energy * _whole(cycles)


@compiled
def _tile_factors(problem: Problem) -> Floats:
    """What a word between buffer and DRAM costs in every metric. (M, 3)"""
    factors, three = np.empty((problem.cost.shape[0], 3)), np.empty(3)
    for k in range(factors.shape[0]):
        for x in range(3):
            coefficients(problem, k, x, 1, 1, three)
            factors[k, x] = three[2]
    return factors


@compiled
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


@compiled
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


@compiled
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


@compiled
def _pair(
    problem: Problem, first: int, last: int, r: Ints, j: int, num_pes: int, a: Ints, lines: Floats
) -> None:
    """Fills lines (M, 10) from a first to before a last metric: constant + base per class (3), slope per class (3), constant, F per operand (3)."""
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
    for k in range(first, last):
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


@compiled
def join(
    problem: Problem,
    objective: int,
    num_metrics: int,
    registers: Ints,
    unrollings: Ints,
    bounds_s: Floats,
    least_tile: Floats,
    limits: tuple[float, float],
    pairs: Ints,
    lines: Floats,
    scores: Floats,
) -> int:
    """Writes the pairs (register tile, unrolling) that may win, and gives their number.

    bounds_s (S, M) and least_tile (M): lower bounds of the unrollings and of the exchange with DRAM; limits: the
    score and the cycles to be at or below. Written, as far as there is room: indices (P, 2), lines (P, M, 10), the
    lower bounds of their scores (P).
    """
    room, count = len(scores), 0
    spare = np.empty((lines.shape[1], 10))
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
            row = lines[count] if count < room else spare
            _pair(problem, 0, num_metrics, registers[i], j, product(s), a, row)
            for k in range(num_metrics):
                line = row[k]
                values[k] = min(line[0] + line[3] / irr[0], line[1] + line[4] / irr[1], line[2] + line[5] / irr[2])
                values[k] += least_tile[k]
            cycles = _cycles(values, compute)
            score = _score(objective, values[0], cycles)
            if score > limits[0] or _whole(cycles) > limits[1]:
                continue
            if count < room:
                _pair(problem, num_metrics, lines.shape[1], registers[i], j, product(s), a, row)
                pairs[count, 0], pairs[count, 1], scores[count] = i, j, score
            count += 1
    return count


@compiled
def _rest(operand: int, t: Ints) -> int:
    return product(t) // irrelevant(operand, t)


@compiled
def pair_sizes(problem: Problem, registers: Ints, unrollings: Ints, pairs: Ints) -> Ints:
    """Per pair the parts of A over the dims that do not, and that do, index W, I, O; and its PEs. (P, 7)"""
    sizes, a = np.empty((pairs.shape[0], 7), np.int64), np.empty(8, np.int64)
    for p in range(pairs.shape[0]):
        for d in range(8):
            a[d] = registers[pairs[p, 0], d] * unrollings[pairs[p, 1], d]
        for c in range(3):
            sizes[p, c] = irrelevant(c, a)
            sizes[p, 3 + c] = _rest(c, a)
        sizes[p, 6] = product(unrollings[pairs[p, 1]])
    return sizes


@compiled
def bound_tiles(
    problem: Problem,
    objective: int,
    num_metrics: int,
    tiles: Ints,
    tile_values: Floats,
    lines: Floats,
    sizes: Ints,
    most_cycles: float,
) -> Floats:
    """Lower bounds of the score of every buffer tile with its best pair. (T); sizes: from `pair_sizes`"""
    irr = (irrelevant(0, problem.bounds), irrelevant(1, problem.bounds), irrelevant(2, problem.bounds))
    steps = 2 + int(np.log(float(max(irr[0], irr[1], irr[2]))) / np.log(_RATIO))
    envelope, carried = np.full((3, steps), np.inf), np.full((3, _HASH), np.inf)
    least, most_pes = np.full(num_metrics, np.inf), 1
    for p in range(lines.shape[0]):
        most_pes = max(most_pes, sizes[p, 6])
        for k in range(num_metrics):
            line = lines[p, k]
            for c in range(3):
                least[k] = min(least[k], line[c] + line[3 + c] / irr[c])
        for c in range(3):
            base, slope, u = lines[p, 0, c], lines[p, 0, 3 + c], 1.0
            spot = sizes[p, 3 + c] % _HASH
            carried[c, spot] = min(carried[c, spot], base + slope / irr[c])
            for g in range(steps):
                if u * _RATIO > sizes[p, c]:
                    envelope[c, g] = min(envelope[c, g], base + slope / min(u, irr[c]))
                u *= _RATIO
    compute = np.ceil(product(problem.bounds) / most_pes / problem.rate)
    out, values = np.empty(tiles.shape[0]), np.zeros(tile_values.shape[1])
    for q in range(tiles.shape[0]):
        energy = np.inf
        for c in range(3):
            own, g, u = irrelevant(c, tiles[q]), 0, 1.0
            while u < own:
                u *= _RATIO
                g += 1
            energy = min(energy, envelope[c, g], carried[c, _rest(c, tiles[q]) % _HASH])
        for k in range(num_metrics):
            values[k] = tile_values[q, k] + least[k]
        values[0] = tile_values[q, 0] + energy
        cycles = _cycles(values, compute)
        out[q] = _score(objective, values[0], cycles) if _whole(cycles) <= most_cycles else np.inf
    return out


@compiled
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


@compiled
def _exchange(problem: Problem, t: Ints, n: Ints, words: Floats) -> None:
    """Fills words (orders, 3) with what a buffer tile t under the loops n exchanges with DRAM."""
    ones = np.ones(8, np.int64)
    for x in range(3):
        size = tile_words(x, t, problem.pace)
        for o in range(words.shape[0]):
            order = problem.outer[o]
            words[o, x] = size * moves(x, t, order, ones, t, order, n, t, problem.pace)


@compiled
def search(
    problem: Problem,
    objective: int,
    num_metrics: int,
    registers: Ints,
    unrollings: Ints,
    pairs: Ints,
    lines: Floats,
    scores: Floats,
    sizes: Ints,
    tiles: Ints,
    keys: Floats,
    limits: tuple[float, float],
) -> tuple[float, float, Ints]:
    """The best candidate: energy [pJ], cycles, and its indices.

    Args:
        problem: the layer on the hierarchy.
        objective: ENERGY, LATENCY or EDP.
        num_metrics: metrics that enter the bounds.
        registers, unrollings: (R, 8), (S, 8).
        pairs, lines, scores, sizes: from `join` and `pair_sizes`, by rising score.
        tiles, keys: (T, 8) and their lower bounds (T), rising.
        limits: a score and cycles to be at or below.

    Returns:
        Energy and cycles (infinite where nothing is as good as the limits), and the indices (register tile,
        unrolling, tile, order at the buffer, order at DRAM).
    """
    best = np.full(5, -1, np.int64)
    best_pj, best_cycles, best_score, best_tie = np.inf, np.inf, limits[0], np.inf
    cutoff, factors = limits[0] * (1 + SLACK), _tile_factors(problem)
    pace, bounds, all_metrics = problem.pace, problem.bounds, lines.shape[1]
    irr = (irrelevant(0, bounds), irrelevant(1, bounds), irrelevant(2, bounds))
    total = product(bounds)
    a, m, n = np.empty(8, np.int64), np.empty(8, np.int64), np.empty(8, np.int64)
    share, values, least = np.empty(3), np.zeros(all_metrics), np.empty(num_metrics)
    words, far = np.empty((problem.outer.shape[0], 3)), np.empty((problem.outer.shape[0], all_metrics))
    for q in range(tiles.shape[0]):
        if keys[q] > cutoff:
            break
        t = tiles[q]
        own = (irrelevant(0, t), irrelevant(1, t), irrelevant(2, t))
        rest = (_rest(0, t), _rest(1, t), _rest(2, t))
        edge_t = 0.0
        for d in range(8):
            n[d] = bounds[d] // t[d]
        _exchange(problem, t, n, words)
        least[:] = np.inf
        for o in range(words.shape[0]):
            for k in range(all_metrics):
                far[o, k] = factors[k, 0] * words[o, 0] + factors[k, 1] * words[o, 1] + factors[k, 2] * words[o, 2]
                if k < num_metrics:
                    least[k] = min(least[k], far[o, k])
        for x in range(3):
            edge_t += problem.edge[1, x] * tile_words(x, t, pace) * problem.holds[1, x]
        for p in range(pairs.shape[0]):
            if scores[p] > cutoff:
                break
            compute = np.ceil(total / sizes[p, 6] / problem.rate)
            carries = False
            for k in range(num_metrics):
                value = np.inf
                for c in range(3):
                    carried = sizes[p, 3 + c] == rest[c]
                    carries |= carried
                    value = min(value, lines[p, k, c] + lines[p, k, 3 + c] / (irr[c] if carried else own[c]))
                values[k] = value + least[k]
            cycles = _cycles(values, compute) if num_metrics > 1 else compute
            score = _score(objective, values[0], cycles)
            if score > cutoff or _whole(cycles) > limits[1]:
                continue
            if score >= best_score * (1 - SLACK) and (values[0] if objective == LATENCY else cycles) >= best_tie:
                continue
            r = registers[pairs[p, 0]]
            for d in range(8):
                a[d] = r[d] * unrollings[pairs[p, 1], d]
            if not _fits(problem, t, a):
                continue
            edges = edge_t
            for x in range(3):
                edges += problem.edge[0, x] * tile_words(x, r, pace) * problem.holds[0, x]
            for d in range(8):
                m[d] = t[d] // a[d]
            full = product(m) * product(n)
            for i in range(problem.inner.shape[0]):
                for o in range(problem.outer.shape[0]):
                    if o == 0 or carries:
                        for x in range(3):
                            share[x] = moves(x, r, problem.inner[i], m, a, problem.outer[o], n, t, pace) / full
                    energy = lines[p, 0, 6] + far[o, 0]
                    for x in range(3):
                        energy += lines[p, 0, 7 + x] * share[x]
                    if objective == ENERGY and energy > cutoff:
                        continue
                    for k in range(1, all_metrics):
                        values[k] = lines[p, k, 6] + far[o, k]
                        for x in range(3):
                            values[k] += lines[p, k, 7 + x] * share[x]
                    cycles = np.ceil(_cycles(values, compute) + edges)
                    score = _score(objective, energy, cycles)
                    tie = energy if objective == LATENCY else cycles
                    if cycles > limits[1] or score > cutoff:
                        continue
                    if score < best_score * (1 - SLACK) or tie < best_tie:
                        best_score, best_tie, best_pj, best_cycles = min(score, best_score), tie, energy, cycles
                        cutoff = best_score * (1 + SLACK)
                        best[0], best[1], best[2], best[3], best[4] = pairs[p, 0], pairs[p, 1], q, i, o
    return best_pj, best_cycles, best
