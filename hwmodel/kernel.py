"""The compiled inner loop of the mapper: every tile, order and unrolling of a three-level hierarchy.

One candidate is a register tile r, a spatial unrolling s, a buffer tile T and a loop order at the buffer and
at DRAM. With A = r * s, the buffer runs m = T / A iterations per tile and DRAM n = N / T. In convolution,
matmul and depthwise the dims that do not index W (B, OY, OX), I (K) and O (C, FY, FX) are disjoint, so only
one operand gains from the order of one level: three stationarity classes, and within W- and O-stationary the
choice of the innermost dim that slides I, cover all 8! permutations.

Pairs (r, s) and tiles T are visited by rising lower bound of their share of the cost; a pair of them is
skipped once the two bounds together cannot win. The result is the optimum over the whole space.

Numbers are indexed [W, I, O] = [0, 1, 2], levels [PE, buffer, DRAM] = [0, 1, 2], and dims in the order
B G K C OY OX FY FX.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

ENERGY, LATENCY, EDP = 0, 1, 2
#: Loop orders of a level: (stationary operand, innermost dim).
ORDERS = np.array([[0, 5], [0, 4], [2, 7], [2, 6], [1, 2]], dtype=np.int64)


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
    """Elements of an operand under a tile; pace = (stride y, x, dilation y, x)."""
    if operand == 0:
        return t[1] * t[2] * t[3] * t[6] * t[7]
    if operand == 2:
        return t[0] * t[1] * t[2] * t[4] * t[5]
    rows = (t[4] - 1) * pace[0] + (t[6] - 1) * pace[2] + 1
    columns = (t[5] - 1) * pace[1] + (t[7] - 1) * pace[3] + 1
    return t[0] * t[1] * t[3] * rows * columns


@njit(cache=True)
def _fresh(dim: int, t: Ints, inside: Ints, pace: Ints) -> float:
    """Fraction of an input tile that is new after a step of the loop over `dim` (4..7)."""
    axis = dim % 2
    length = (t[4 + axis] - 1) * pace[axis] + (t[6 + axis] - 1) * pace[2 + axis] + 1
    step = inside[dim] * (pace[axis] if dim < 6 else pace[2 + axis])
    return min(step, length) / length


@njit(cache=True)
def _slide(order: int, f: Ints, t: Ints, inside: Ints, pace: Ints) -> float:
    """Share of |tile| * prod(loops) that moves when the innermost loop slides the window over I."""
    dim = ORDERS[order, 1]
    if dim < 4 or f[dim] == 1:
        return 1.0
    return (1.0 + (f[dim] - 1) * _fresh(dim, t, inside, pace)) / f[dim]


@njit(cache=True)
def _transfers_outer(operand: int, tile: float, order: int, n: Ints, t: Ints, inside: Ints, pace: Ints) -> float:
    """Words between a tile and its parent when only the loops n (in `order`) lie above it."""
    total = _product(n)
    if ORDERS[order, 0] == operand:
        strip = _irrelevant(operand, n)
        if strip > 1:
            return tile * total / strip
    if total == _irrelevant(operand, n):
        return tile
    if operand == 1:
        return tile * total * _slide(order, n, t, inside, pace)
    return tile * total


@njit(cache=True)
def _transfers_inner(
    operand: int, tile: float, orders: tuple[int, int], m: Ints, n: Ints, r: Ints, a: Ints, t: Ints, pace: Ints
) -> float:
    """Words between one register tile r and its parent, with the buffer's loops m and DRAM's loops n above."""
    all_m, all_n = _product(m), _product(n)
    if all_m == 1:
        return _transfers_outer(operand, tile, orders[1], n, r, t, pace)
    strip = _irrelevant(operand, m)
    if strip == all_m:  # the tile stays for all of m: reuse goes on into the loops of DRAM
        if ORDERS[orders[1], 0] == operand or all_n == _irrelevant(operand, n):
            return tile * all_n / _irrelevant(operand, n)
        return tile * all_n
    if ORDERS[orders[0], 0] == operand and strip > 1:
        return tile * all_m * all_n / strip
    if operand == 1:
        return tile * all_m * all_n * _slide(orders[0], m, r, a, pace)
    return tile * all_m * all_n


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
def _evaluate(
    bounds: Ints, pace: Ints, r: Ints, s: Ints, t: Ints, orders: tuple[int, int], holds: Ints, widths: Floats,
    read_pj: Floats, write_pj: Floats, active: Floats, stored: Floats, bandwidth: Floats, memory: Ints,
    single: Ints, rate: float, moved: Floats,
) -> tuple[float, float, float]:  # fmt: skip
    """Energy inside the buffer's tile and of its exchange with DRAM [pJ], and cycles, of one candidate.

    holds (2, 3): PE and buffer keep the operand. widths (4): w, i, o, acc. read_pj, write_pj, stored (3, 3):
    per level and operand. active (3): fraction of ungated register accesses. bandwidth (3, 3, 3): per level and
    memory slot, read, write [bit/cycle] and 1 where they share a port. memory (3, 3): memory slot per level
    and operand. single (2, 3): 1 exposed fills, 2 double buffered, 0 neither. moved: scratch (3, 3, 3).
    """
    a, m, n = r * s, t // (r * s), bounds // t
    num_pes, cycles = _product(s), _product(r) * _product(m) * _product(n)
    outputs = bounds[0] * bounds[1] * bounds[2] * bounds[4] * bounds[5]
    inside_pj, outside_pj, edges = 0.0, 0.0, 0.0
    moved[:] = 0.0  # level, slot, (read bits, write bits, fill bits) per instance
    for x in range(3):
        distinct = _distinct(x, s, r, pace)
        width = widths[3] if x == 2 else widths[x]
        split = num_pes / _irrelevant(2, s)
        inner = -1
        served = float(cycles)  # words per inner instance
        for level in range(3):
            if level < 2 and holds[level, x] == 0:
                continue
            copies = num_pes if level == 0 else 1
            below = 1 if level == 0 or inner == 1 else distinct
            word = stored[level, x]
            reads = served * below
            fills, tile = 0.0, 0.0
            if level == 0:
                tile = float(_tile(x, r, pace))
                fills = _transfers_inner(x, tile, orders, m, n, r, a, t, pace)
            elif level == 1:
                tile = float(_tile(x, t, pace))
                fills = _transfers_outer(x, tile, orders[1], n, t, t, pace)
            up = fills
            updates_bits, fill_bits = 0.0, fills * width * word
            if x == 2:
                seen = outputs / split if level == 0 else float(outputs)
                final = 0.0 if inner < 0 else seen
                updates_bits = ((reads - final) * widths[3] + final * widths[2]) * word
                reads -= seen
                fill_bits = (fills - seen) * width * word if level < 2 else 0.0
            ungated = active[x] if level == 0 and inner < 0 else 1.0
            read_bits = reads * width * word
            access_pj = copies * ungated * (read_bits * read_pj[level, x] + updates_bits * write_pj[level, x])
            fill_pj = copies * fill_bits * write_pj[level, x]
            if level == 2 and holds[1, x]:
                outside_pj += access_pj + fill_pj
            elif level == 1:
                inside_pj += access_pj
                outside_pj += fill_pj
            else:
                inside_pj += access_pj + fill_pj
            slot = memory[level, x]
            moved[level, slot, 0] += read_bits
            moved[level, slot, 1] += updates_bits + fill_bits
            if level < 2 and single[level, slot] == 1:
                moved[level, slot, 2] += fill_bits
            if level < 2 and single[level, slot] == 2:
                parent = 1 if level == 0 and holds[1, x] else 2
                port = bandwidth[parent, memory[parent, x], 1 if x == 2 else 0]
                edges += tile * widths[x] * stored[parent, x] / port
            served = up
            inner = level
    busiest = np.ceil(cycles / rate)
    exposed = 0.0
    for level in range(3):
        for slot in range(3):
            reading = moved[level, slot, 0] / bandwidth[level, slot, 0]
            writing = moved[level, slot, 1] / bandwidth[level, slot, 1]
            port = reading + writing if bandwidth[level, slot, 2] else max(reading, writing)
            busiest = max(busiest, port)
            exposed += moved[level, slot, 2] / bandwidth[level, slot, 1]
    return inside_pj, outside_pj, np.ceil(busiest + exposed + edges)


@njit(cache=True)
def _fits(t: Ints, m_n: Ints, pace: Ints, holds: Ints, widths: Floats, memory: Ints, capacity: Floats) -> bool:
    """The buffer's tile fits; O takes `acc` bits where sums wait in it. m_n: loops above the PEs' tiles."""
    need = np.zeros(3)
    for x in range(3):
        if holds[1, x]:
            waits = x == 2 and (holds[0, 2] == 0 or m_n[3] * m_n[6] * m_n[7] > 1)
            need[memory[1, x]] += _tile(x, t, pace) * (widths[3] if waits else widths[x])
    return bool((need <= capacity).all())


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
def _score(objective: int, energy: float, cycles: float) -> float:
    if objective == ENERGY:
        return energy
    return cycles if objective == LATENCY else energy * cycles


@njit(cache=True)
def search(
    objective: int, base_pj: float, bounds: Ints, pace: Ints, registers: Ints, unrollings: Ints, pairs: Ints,
    tiles: Ints, holds: Ints, widths: Floats, read_pj: Floats, write_pj: Floats, active: Floats, stored: Floats,
    bandwidth: Floats, memory: Ints, single: Ints, capacity: Floats, rate: float,
) -> tuple[float, float, Ints]:  # fmt: skip
    """The best candidate: energy with `base_pj` [pJ], cycles, (pair, tile, buffer order, DRAM order).

    Ties in the objective are broken by the other of energy and cycles. Energy is infinite where nothing fits.
    The arrays are those of `_evaluate`; registers (R, 8), unrollings (S, 8), pairs (P, 2), tiles (T, 8),
    capacity (3) of the buffer's memory slots [bit], halved where double buffered.
    """
    moved = np.zeros((3, 3, 3))
    one = np.ones(8, dtype=np.int64)
    num_pairs, num_tiles, num_orders = pairs.shape[0], tiles.shape[0], ORDERS.shape[0]
    pair_pj, pair_cycles = np.empty(num_pairs), np.empty(num_pairs)
    total = float(_product(bounds))
    for p in range(num_pairs):
        r, s = registers[pairs[p, 0]], unrollings[pairs[p, 1]]
        pair_cycles[p] = np.ceil(total / _product(s) / rate)
        pair_pj[p] = np.inf
        for order in range(num_orders):
            inside, _, _ = _evaluate(
                bounds, pace, r, s, bounds, (order, 0), holds, widths, read_pj, write_pj, active, stored,
                bandwidth, memory, single, rate, moved,
            )  # fmt: skip
            pair_pj[p] = min(pair_pj[p], inside)
    tile_pj, tile_cycles = np.empty(num_tiles), np.zeros(num_tiles)
    for q in range(num_tiles):
        tile_pj[q], tile_cycles[q] = np.inf, np.inf
        for order in range(num_orders):
            _, outside, _ = _evaluate(
                bounds, pace, one, one, tiles[q], (0, order), holds, widths, read_pj, write_pj, active, stored,
                bandwidth, memory, single, rate, moved,
            )  # fmt: skip
            tile_pj[q] = min(tile_pj[q], outside)
            port = 0.0
            if holds[1].all():
                for slot in range(3):
                    port = max(port, moved[2, slot, 0] / bandwidth[2, slot, 0])
                    port = max(port, moved[2, slot, 1] / bandwidth[2, slot, 1])
            tile_cycles[q] = min(tile_cycles[q], port)
    if objective == LATENCY:
        pair_order, tile_order = np.argsort(pair_cycles), np.argsort(tile_cycles)
    else:
        pair_order, tile_order = np.argsort(pair_pj), np.argsort(tile_pj)
    least_pj, least_cycles = pair_pj.min(), pair_cycles.min()
    best = np.full(4, -1, dtype=np.int64)
    best_score, best_tie, best_pj, best_cycles = np.inf, np.inf, np.inf, np.inf
    slack = 1.0 + 1e-12
    for q in tile_order:
        lowest = max(tile_cycles[q], least_cycles)
        if _score(objective, base_pj + tile_pj[q] + least_pj, lowest) > best_score * slack:
            continue
        t = tiles[q]
        for p in pair_order:
            bound_pj, bound_cycles = base_pj + tile_pj[q] + pair_pj[p], max(tile_cycles[q], pair_cycles[p])
            score = _score(objective, bound_pj, bound_cycles)
            if score > best_score * slack:
                if objective == ENERGY:
                    break
                continue
            tie = bound_pj if objective == LATENCY else bound_cycles
            if score >= best_score / slack and tie >= best_tie:
                continue
            r, s = registers[pairs[p, 0]], unrollings[pairs[p, 1]]
            a = r * s
            divides = True
            for d in range(8):
                if t[d] % a[d] != 0:
                    divides = False
                    break
            if not divides or not _fits(t, bounds // a, pace, holds, widths, memory, capacity):
                continue
            m, n = t // a, bounds // t
            separable = objective == ENERGY and not _carries(m)
            first = 4
            if separable:  # the orders of the two levels can be chosen one after the other
                lowest_inside = np.inf
                for inner in range(num_orders):
                    if _useful(inner, m):
                        inside, _, _ = _evaluate(
                            bounds, pace, r, s, t, (inner, 4), holds, widths, read_pj, write_pj, active, stored,
                            bandwidth, memory, single, rate, moved,
                        )  # fmt: skip
                        if inside < lowest_inside:
                            lowest_inside, first = inside, inner
                if base_pj + lowest_inside + tile_pj[q] > best_score * slack:
                    continue
            for inner in range(num_orders):
                if not _useful(inner, m) or (separable and inner != first):
                    continue
                for outer in range(num_orders):
                    if not _useful(outer, n):
                        continue
                    inside, outside, cycles = _evaluate(
                        bounds, pace, r, s, t, (inner, outer), holds, widths, read_pj, write_pj, active, stored,
                        bandwidth, memory, single, rate, moved,
                    )  # fmt: skip
                    energy = base_pj + inside + outside
                    score = _score(objective, energy, cycles)
                    tie = energy if objective == LATENCY else cycles
                    if score < best_score / slack or (score <= best_score * slack and tie < best_tie):
                        best_score, best_tie, best_pj, best_cycles = score, tie, energy, cycles
                        best[0], best[1], best[2], best[3] = p, q, inner, outer
    return best_pj, best_cycles, best
