"""The compiled inner loops of the mapper: every tile, order and unrolling of a three-level hierarchy.

One candidate is a register tile r, a spatial unrolling s, a buffer tile T and a loop order at the buffer and
at DRAM. With A = r * s, the buffer runs m = T / A iterations per tile and DRAM n = N / T. In convolution,
matmul and depthwise the dims that do not index W (B, OY, OX), I (K) and O (C, FY, FX) are disjoint, so only
one operand gains from the order of one level: three stationarity classes, and within W- and O-stationary the
choice of the innermost dim that slides I, cover all 8! permutations.

The words that a tile exchanges with its parent are |tile| * moves, where moves depends on m, n and the
orders alone. So the energy inside the buffer's tile is a constant of the pair (r, s) plus, per operand, a
weight of the pair times its moves; pairs of equal A that are worse in all of these are dropped first. Pairs
and tiles are visited by rising lower bound of their share of the cost, and skipped once the two bounds
together cannot win. The result is the optimum over the whole space.

Numbers are indexed [W, I, O] = [0, 1, 2], levels [PE, buffer, DRAM] = [0, 1, 2], and dims in the order
B G K C OY OX FY FX.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

ENERGY, LATENCY, EDP = 0, 1, 2
#: Loop orders of a level: (stationary operand, innermost dim).
ORDERS = np.array([[0, 5], [0, 4], [2, 7], [2, 6], [1, 2]], dtype=np.int64)


class Problem(NamedTuple):
    """One layer on one hierarchy.

    Attributes:
        bounds: (8) loop bounds N.
        pace: (4) stride y, x and dilation y, x.
        holds: (2, 3) PE and buffer keep the operand.
        widths: (4) of w, i, o, acc [bit].
        read_pj, write_pj: (3, 3) per level and operand [pJ/bit].
        active: (3) fraction of the register accesses that gating leaves.
        stored: (3, 3) compressed over dense size per level and operand.
        bandwidth: (3, 3, 3) per level and memory slot: read, write [bit/cycle], 1 where they share a port.
        memory: (3, 3) memory slot per level and operand.
        fill: (2, 3) per level and slot: 1 its fills wait, 2 it is double buffered, 0 neither.
        capacity: (3) of the buffer's slots [bit], halved where double buffered.
        rate: MACs per PE and cycle.
        base_pj: energy of the arithmetic [pJ].
    """

    bounds: Ints
    pace: Ints
    holds: Ints
    widths: Floats
    read_pj: Floats
    write_pj: Floats
    active: Floats
    stored: Floats
    bandwidth: Floats
    memory: Ints
    fill: Ints
    capacity: Floats
    rate: float
    base_pj: float


@njit(cache=True)
def _irrelevant(operand: int, f: Ints) -> int:
    """Product of the factors of the dims that do not index an operand."""
    if operand == 0:
        return f[0] * f[4] * f[5]
    if operand == 1:
        return f[2]
    return f[3] * f[6] * f[7]


@njit(cache=True)
def _product(f: Ints) -> int:
    return f[0] * f[1] * f[2] * f[3] * f[4] * f[5] * f[6] * f[7]


@njit(cache=True)
def _tile(operand: int, t: Ints, pace: Ints) -> int:
    """Elements of an operand under a tile."""
    if operand == 0:
        return t[1] * t[2] * t[3] * t[6] * t[7]
    if operand == 2:
        return t[0] * t[1] * t[2] * t[4] * t[5]
    rows = (t[4] - 1) * pace[0] + (t[6] - 1) * pace[2] + 1
    columns = (t[5] - 1) * pace[1] + (t[7] - 1) * pace[3] + 1
    return t[0] * t[1] * t[3] * rows * columns


@njit(cache=True)
def _fresh(t: Ints, inside: Ints, pace: Ints, fresh: Floats) -> None:
    """Per dim OY, OX, FY, FX: fraction of an input tile t that is new after a step by `inside`."""
    for dim in range(4, 8):
        axis = dim % 2
        length = (t[4 + axis] - 1) * pace[axis] + (t[6 + axis] - 1) * pace[2 + axis] + 1
        step = inside[dim] * pace[dim - 4]
        fresh[dim - 4] = min(step, length) / length


@njit(cache=True)
def _slide(order: int, loops: Ints, fresh: Floats) -> float:
    """Share of |tile| * prod(loops) that moves when the innermost loop slides the window over I."""
    dim = ORDERS[order, 1]
    if dim < 4 or loops[dim] == 1:
        return 1.0
    return (1.0 + (loops[dim] - 1) * fresh[dim - 4]) / loops[dim]


@njit(cache=True)
def _moves_outer(operand: int, order: int, n: Ints, fresh: Floats) -> float:
    """Transfers of a tile with the loops n above it, in units of the tile."""
    total = _product(n)
    strip = _irrelevant(operand, n)
    if strip > 1 and (ORDERS[order, 0] == operand or strip == total):
        return total / strip
    if operand == 1:
        return total * _slide(order, n, fresh)
    return float(total)


@njit(cache=True)
def _moves(operand: int, inner: int, outer: int, m: Ints, n: Ints, fresh: Floats) -> float:
    """Transfers of a register tile with the buffer's loops m and DRAM's loops n above it, in units of the tile."""
    all_m, all_n = _product(m), _product(n)
    if all_m == 1:
        return _moves_outer(operand, outer, n, fresh)
    strip = _irrelevant(operand, m)
    if strip == all_m:  # the tile stays for all of m: reuse goes on into the loops of DRAM
        strip_n = _irrelevant(operand, n)
        return all_n / strip_n if ORDERS[outer, 0] == operand or strip_n == all_n else float(all_n)
    if ORDERS[inner, 0] == operand and strip > 1:
        return all_m * all_n / strip
    if operand == 1:
        return all_m * all_n * _slide(inner, m, fresh)
    return float(all_m * all_n)


@njit(cache=True)
def _useful(order: int, f: Ints) -> bool:
    """False where another order of the loops f does the same (I-stationary stands for no reuse at all)."""
    if order == 0:
        return f[5] > 1 or (f[0] > 1 and f[4] == 1)
    if order == 1:
        return f[4] > 1
    if order == 2:
        return f[7] > 1 or (f[3] > 1 and f[6] == 1)
    if order == 3:
        return f[6] > 1
    return True


@njit(cache=True)
def _carries(m: Ints) -> bool:
    """Some operand stays for all loops m of the buffer, so its reuse depends on the order at DRAM too."""
    total = _product(m)
    return _irrelevant(0, m) == total or _irrelevant(1, m) == total or _irrelevant(2, m) == total


@njit(cache=True)
def _distinct_starts(out: int, filt: int, out_step: int, filt_step: int) -> int:
    """Different values of x * out_step + y * filt_step for x < out, y < filt."""
    if out == 1 or filt == 1:
        return out * filt
    seen = np.zeros((out - 1) * out_step + (filt - 1) * filt_step + 1, dtype=np.uint8)
    for x in range(out):
        for y in range(filt):
            seen[x * out_step + y * filt_step] = 1
    return int(seen.sum())


@njit(cache=True)
def _distinct(operand: int, s: Ints, r: Ints, pace: Ints) -> int:
    """Different register tiles across the PEs."""
    if operand == 0:
        return s[1] * s[2] * s[3] * s[6] * s[7]
    if operand == 2:
        return s[0] * s[1] * s[2] * s[4] * s[5]
    rows = _distinct_starts(s[4], s[6], r[4] * pace[0], r[6] * pace[2])
    columns = _distinct_starts(s[5], s[7], r[5] * pace[1], r[7] * pace[3])
    return s[0] * s[1] * s[3] * rows * columns


@njit(cache=True)
def join(registers: Ints, unrollings: Ints, bounds: Ints) -> Ints:
    """Indices (register tile, unrolling) whose product divides the bounds. (n, 2)"""
    count = 0
    pairs = np.empty((0, 2), dtype=np.int64)
    for keep in range(2):
        if keep:
            pairs = np.empty((count, 2), dtype=np.int64)
            count = 0
        for i in range(registers.shape[0]):
            for j in range(unrollings.shape[0]):
                fits = True
                for d in range(8):
                    if bounds[d] % (registers[i, d] * unrollings[j, d]) != 0:
                        fits = False
                        break
                if fits:
                    if keep:
                        pairs[count, 0], pairs[count, 1] = i, j
                    count += 1
    return pairs


@njit(cache=True)
def _pair_energy(problem: Problem, r: Ints, s: Ints, weights: Floats) -> float:
    """The constant part of the energy inside the buffer's tile [pJ]; fills `weights` (3), energy per move."""
    bounds, pace, holds = problem.bounds, problem.pace, problem.holds
    num_pes = _product(s)
    iterations = _product(bounds) / num_pes
    outputs = float(bounds[0] * bounds[1] * bounds[2] * bounds[4] * bounds[5])
    constant = 0.0
    for x in range(3):
        width = problem.widths[3] if x == 2 else problem.widths[x]
        distinct = _distinct(x, s, r, pace)
        parent = 1 if holds[1, x] else 2
        word = width * problem.stored[parent, x]
        read, write = word * problem.read_pj[parent, x], word * problem.write_pj[parent, x]
        weights[x] = 0.0
        if not holds[0, x]:
            if x < 2:
                constant += iterations * distinct * read
            else:
                constant += iterations * distinct * (write + read) - outputs * read
            continue
        tile = _tile(x, r, pace)
        own = width * problem.stored[0, x]
        own_read, own_write = own * problem.read_pj[0, x], own * problem.write_pj[0, x]
        if x < 2:
            constant += num_pes * iterations * problem.active[x] * own_read
            weights[x] = tile * (num_pes * own_write + distinct * read)
        else:
            seen = outputs / distinct  # by one PE
            constant += num_pes * problem.active[x] * (iterations * own_write + (iterations - seen) * own_read)
            constant -= num_pes * seen * own_write
            finished = outputs * problem.widths[2] * problem.stored[parent, x] * problem.write_pj[parent, x]
            constant += finished - outputs * (write + read)
            weights[x] = tile * (num_pes * own_write + distinct * (write + read))
    return constant


@njit(cache=True)
def _tile_energy(problem: Problem, t: Ints, order: int, fresh: Floats) -> float:
    """Energy of the exchange between the buffer and DRAM [pJ]; fresh: of the tile t."""
    n = problem.bounds // t
    bounds = problem.bounds
    outputs = float(bounds[0] * bounds[1] * bounds[2] * bounds[4] * bounds[5])
    energy = 0.0
    for x in range(3):
        if not problem.holds[1, x]:
            continue
        width = problem.widths[3] if x == 2 else problem.widths[x]
        fill = width * problem.stored[1, x] * problem.write_pj[1, x]
        read = width * problem.stored[2, x] * problem.read_pj[2, x]
        words = _tile(x, t, problem.pace) * _moves_outer(x, order, n, fresh)
        if x < 2:
            energy += words * (fill + read)
        else:
            write = problem.stored[2, x] * problem.write_pj[2, x]
            energy += (words - outputs) * (fill + read + problem.widths[3] * write)
            energy += outputs * problem.widths[2] * write
    return energy


@njit(cache=True)
def _inside(constant: float, weights: Floats, inner: int, outer: int, m: Ints, n: Ints, fresh: Floats) -> float:
    """Energy inside the buffer's tile of one pair under one pair of orders [pJ]."""
    energy = constant
    for x in range(3):
        if weights[x] > 0.0:
            energy += weights[x] * _moves(x, inner, outer, m, n, fresh)
    return energy


@njit(cache=True)
def _cycles(problem: Problem, r: Ints, s: Ints, t: Ints, inner: int, outer: int, moved: Floats) -> float:
    """Cycles of one candidate: the busiest port or the array, exposed fills, first fill and last drain.

    moved: scratch (3, 3, 3): per level and slot the bits read, written, and filled while the array waits.
    """
    bounds, pace, holds, widths = problem.bounds, problem.pace, problem.holds, problem.widths
    a, n = r * s, bounds // t
    m = t // a
    iterations = _product(bounds) / _product(s)
    outputs = float(bounds[0] * bounds[1] * bounds[2] * bounds[4] * bounds[5])
    fresh_r, fresh_t = np.empty(4), np.empty(4)
    _fresh(r, a, pace, fresh_r)
    _fresh(t, t, pace, fresh_t)
    edges = 0.0
    moved[:] = 0.0
    for x in range(3):
        distinct = _distinct(x, s, r, pace)
        width = widths[3] if x == 2 else widths[x]
        served, from_mac, from_array = iterations, True, True
        for level in range(3):
            if level < 2 and holds[level, x] == 0:
                continue
            word, slot = problem.stored[level, x], problem.memory[level, x]
            reads = served * (distinct if level > 0 and from_array else 1)
            tile, fills = 0.0, 0.0
            if level == 0:
                tile = float(_tile(x, r, pace))
                fills = tile * _moves(x, inner, outer, m, n, fresh_r)
            elif level == 1:
                tile = float(_tile(x, t, pace))
                fills = tile * _moves_outer(x, outer, n, fresh_t)
            served = fills
            updates_bits, fill_bits = 0.0, fills * width * word
            if x == 2:
                seen = outputs / distinct if level == 0 else outputs
                final = 0.0 if from_mac else seen
                updates_bits = ((reads - final) * widths[3] + final * widths[2]) * word
                reads -= seen
                fill_bits = (fills - seen) * width * word if level < 2 else 0.0
            moved[level, slot, 0] += reads * width * word
            moved[level, slot, 1] += updates_bits + fill_bits
            if level < 2 and problem.fill[level, slot] == 1:
                moved[level, slot, 2] += fill_bits
            if level < 2 and problem.fill[level, slot] == 2:
                parent = 1 if level == 0 and holds[1, x] else 2
                port = problem.bandwidth[parent, problem.memory[parent, x], 1 if x == 2 else 0]
                edges += tile * widths[x] * problem.stored[parent, x] / port
            from_mac = False
            from_array = level == 0
    busiest = np.ceil(iterations / problem.rate)
    exposed = 0.0
    for level in range(3):
        for slot in range(3):
            reading = moved[level, slot, 0] / problem.bandwidth[level, slot, 0]
            writing = moved[level, slot, 1] / problem.bandwidth[level, slot, 1]
            port = reading + writing if problem.bandwidth[level, slot, 2] else max(reading, writing)
            busiest = max(busiest, port)
            exposed += moved[level, slot, 2] / problem.bandwidth[level, slot, 1]
    return float(np.ceil(busiest + exposed + edges))


@njit(cache=True)
def _dram_cycles(problem: Problem, t: Ints, order: int, fresh: Floats) -> float:
    """Cycles that DRAM's busiest port needs at least, when the buffer keeps every operand; else 0."""
    if not problem.holds[1].all():
        return 0.0
    n = problem.bounds // t
    busiest = 0.0
    reads, writes = np.zeros(3), np.zeros(3)
    bounds = problem.bounds
    outputs = float(bounds[0] * bounds[1] * bounds[2] * bounds[4] * bounds[5])
    for x in range(3):
        slot, word = problem.memory[2, x], problem.stored[2, x]
        words = _tile(x, t, problem.pace) * _moves_outer(x, order, n, fresh)
        if x < 2:
            reads[slot] += words * problem.widths[x] * word
        else:
            reads[slot] += (words - outputs) * problem.widths[3] * word
            writes[slot] += ((words - outputs) * problem.widths[3] + outputs * problem.widths[2]) * word
    for slot in range(3):
        reading = reads[slot] / problem.bandwidth[2, slot, 0]
        writing = writes[slot] / problem.bandwidth[2, slot, 1]
        busiest = max(busiest, reading + writing if problem.bandwidth[2, slot, 2] else max(reading, writing))
    return busiest


@njit(cache=True)
def _fits(problem: Problem, t: Ints, a: Ints, need: Floats) -> bool:
    """The buffer's tile fits; O takes `acc` bits where sums wait in it."""
    need[:] = 0.0
    for x in range(3):
        if problem.holds[1, x]:
            width = problem.widths[x]
            if x == 2:
                loops = _irrelevant(2, problem.bounds) // _irrelevant(2, a)
                if not problem.holds[0, 2] or loops > 1:
                    width = problem.widths[3]
            need[problem.memory[1, x]] += _tile(x, t, problem.pace) * width
    return need[0] <= problem.capacity[0] and need[1] <= problem.capacity[1] and need[2] <= problem.capacity[2]


@njit(cache=True)
def _undominated(keys: Ints, a: Ints, values: Floats) -> Ints:
    """Indices of the rows that no other row with the same a beats in every column of values.

    keys (P): equal where the rows of a (P, 8) are equal, and seldom else. values (P, V).
    """
    order = np.argsort(keys, kind="mergesort")
    alive = np.ones(len(keys), dtype=np.bool_)
    start = 0
    while start < len(order):
        stop = start
        while stop < len(order) and keys[order[stop]] == keys[order[start]]:
            stop += 1
        for i in range(start, stop):
            p = order[i]
            for j in range(start, stop):
                q = order[j]
                if i == j or not alive[q]:
                    continue
                worse, equal = True, True
                for v in range(values.shape[1]):
                    if values[q, v] > values[p, v]:
                        worse = False
                        break
                    if values[q, v] < values[p, v]:
                        equal = False
                if worse and equal and j > i:
                    worse = False  # of equal rows the first stays
                if worse:
                    for d in range(8):
                        if a[p, d] != a[q, d]:
                            worse = False
                            break
                if worse:
                    alive[p] = False
                    break
        start = stop
    return np.flatnonzero(alive)


@njit(cache=True)
def _score(objective: int, energy: float, cycles: float) -> float:
    if objective == ENERGY:
        return energy
    return cycles if objective == LATENCY else energy * cycles


@njit(cache=True)
def _price_pairs(
    objective: int, problem: Problem, registers: Ints, unrollings: Ints, pairs: Ints
) -> tuple[Ints, Ints, Floats, Ints]:
    """Pairs worth trying: (P, 2), A (P, 8), values (P, 10) and their order by lower bound.

    values: lower bound of energy [pJ] and compute cycles, constant, weights (3), fresh fractions (4).
    """
    num = pairs.shape[0]
    a = np.empty((num, 8), dtype=np.int64)
    values = np.empty((num, 10))
    keys = np.empty(num, dtype=np.int64)
    total = float(_product(problem.bounds))
    one = np.ones(8, dtype=np.int64)
    for p in range(num):
        r, s = registers[pairs[p, 0]], unrollings[pairs[p, 1]]
        a[p] = r * s
        values[p, 1] = np.ceil(total / _product(s) / problem.rate)
        values[p, 2] = _pair_energy(problem, r, s, values[p, 3:6])
        _fresh(r, a[p], problem.pace, values[p, 6:10])
        key = np.int64(0)
        for d in range(8):
            key = key * 1000003 + a[p, d]
        keys[p] = key
    kept = _undominated(keys, a, values[:, 1:]) if objective == ENERGY else np.arange(num)
    pairs, a, values = pairs[kept], a[kept], values[kept]
    for p in range(len(kept)):
        m = problem.bounds // a[p]
        values[p, 0] = np.inf
        for order in range(ORDERS.shape[0]):
            if _useful(order, m):
                energy = _inside(values[p, 2], values[p, 3:6], order, 4, m, one, values[p, 6:10])
                values[p, 0] = min(values[p, 0], energy)
    return pairs, a, values, np.argsort(values[:, 1] if objective == LATENCY else values[:, 0])


@njit(cache=True)
def _price_tiles(objective: int, problem: Problem, tiles: Ints) -> tuple[Floats, Ints]:
    """Lower bounds of energy [pJ] and cycles of every tile (T, 2), and their order."""
    values = np.empty((tiles.shape[0], 2))
    fresh = np.empty(4)
    for q in range(tiles.shape[0]):
        t = tiles[q]
        _fresh(t, t, problem.pace, fresh)
        n = problem.bounds // t
        values[q, 0], values[q, 1] = np.inf, np.inf
        for order in range(ORDERS.shape[0]):
            if _useful(order, n):
                values[q, 0] = min(values[q, 0], _tile_energy(problem, t, order, fresh))
                if objective != ENERGY:
                    values[q, 1] = min(values[q, 1], _dram_cycles(problem, t, order, fresh))
        if objective == ENERGY:
            values[q, 1] = 0.0
    return values, np.argsort(values[:, 1] if objective == LATENCY else values[:, 0])


@njit(cache=True)
def search(
    objective: int, problem: Problem, registers: Ints, unrollings: Ints, pairs: Ints, tiles: Ints, beat: float
) -> tuple[float, float, Ints]:
    """The best candidate: energy [pJ], cycles, and its indices.

    Args:
        objective: ENERGY, LATENCY or EDP; ties are broken by the other of energy and cycles.
        problem: the layer on the hierarchy.
        registers, unrollings, tiles: (R, 8), (S, 8), (T, 8).
        pairs: (P, 2) indices into registers and unrollings.
        beat: a score to be at or below; infinite for none.

    Returns:
        Energy and cycles (infinite where nothing fits or nothing is as good as `beat`), and the indices
        (register tile, unrolling, tile, order at the buffer, order at DRAM).
    """
    moved, need, fresh_t = np.zeros((3, 3, 3)), np.zeros(3), np.empty(4)
    num_orders = ORDERS.shape[0]
    pairs, a_of, pair_values, pair_order = _price_pairs(objective, problem, registers, unrollings, pairs)
    tile_values, tile_order = _price_tiles(objective, problem, tiles)
    least_pj, least_cycles = pair_values[:, 0].min(), pair_values[:, 1].min()
    best = np.full(5, -1, dtype=np.int64)
    slack = 1.0 + 1e-12
    best_score, best_tie, best_pj, best_cycles = beat * slack, np.inf, np.inf, np.inf
    base = problem.base_pj
    for q in tile_order:
        tile_pj, tile_cycles = tile_values[q, 0], tile_values[q, 1]
        if _score(objective, base + tile_pj + least_pj, max(tile_cycles, least_cycles)) > best_score * slack:
            if objective != EDP:
                break
            continue
        t = tiles[q]
        n = problem.bounds // t
        _fresh(t, t, problem.pace, fresh_t)
        for p in pair_order:
            bound_pj, bound_cycles = base + tile_pj + pair_values[p, 0], max(tile_cycles, pair_values[p, 1])
            score = _score(objective, bound_pj, bound_cycles)
            if score > best_score * slack:
                if objective == ENERGY:
                    break
                continue
            tie = bound_pj if objective == LATENCY else bound_cycles
            if score >= best_score / slack and tie >= best_tie:
                continue
            a = a_of[p]
            divides = True
            for d in range(8):
                if t[d] % a[d] != 0:
                    divides = False
                    break
            if not divides or not _fits(problem, t, a, need):
                continue
            r, s = registers[pairs[p, 0]], unrollings[pairs[p, 1]]
            m = t // a
            constant, weights, fresh = pair_values[p, 2], pair_values[p, 3:6], pair_values[p, 6:10]
            separable = objective == ENERGY and not _carries(m)
            first = 4
            if separable:  # the orders of the two levels can be chosen one after the other
                lowest = np.inf
                for inner in range(num_orders):
                    if _useful(inner, m):
                        energy = _inside(constant, weights, inner, 4, m, n, fresh)
                        if energy < lowest:
                            lowest, first = energy, inner
                if base + lowest + tile_pj > best_score * slack:
                    continue
            for inner in range(num_orders):
                if not _useful(inner, m) or (separable and inner != first):
                    continue
                for outer in range(num_orders):
                    if not _useful(outer, n):
                        continue
                    energy = base + _inside(constant, weights, inner, outer, m, n, fresh)
                    energy += _tile_energy(problem, t, outer, fresh_t)
                    if _score(objective, energy, bound_cycles) > best_score * slack:
                        continue
                    cycles = _cycles(problem, r, s, t, inner, outer, moved)
                    score = _score(objective, energy, cycles)
                    tie = energy if objective == LATENCY else cycles
                    if score < best_score / slack or (score <= best_score * slack and tie < best_tie):
                        best_score, best_tie, best_pj, best_cycles = score, tie, energy, cycles
                        best[0], best[1], best[2] = pairs[p, 0], pairs[p, 1], q
                        best[3], best[4] = inner, outer
    return best_pj, best_cycles, best
