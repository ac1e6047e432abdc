"""Compiled counting for the mapper: tiles, transfers and the metrics that are linear in them.

A candidate is a register tile r, a spatial unrolling s, a buffer tile T and a loop order at the buffer and at
DRAM. With A = r * s the buffer runs m = T / A iterations per tile and DRAM n = N / T. Every metric of a candidate
(its energy, the time of one port, the time that fills are waited for) is linear in three numbers per operand:

    iterations                              what one PE asks for
    f0 = |register tile| * moves(m, n)      words that one PE exchanges with its parent
    f1 = |buffer tile| * moves(n)           words that the buffer exchanges with DRAM

so one set of coefficients prices them all (Lemma 3 of docs/explain/mapper.md). The counting is that of
`hwmodel.nest.access`.

Numbers are indexed [W, I, O] = [0, 1, 2], levels [PE, buffer, DRAM] = [0, 1, 2], and dims in the order
B G K C OY OX FY FX.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from hwmodel.mapper.compiling import internal
from hwmodel.network import layer

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Operands, and small numbers, as arguments: each plain 0 or 1 would be a type of its own, compiled once more.
WEIGHT, INPUT, OUTPUT = ZERO, ONE, _ = cast(tuple[int, int, int], tuple(np.arange(3, dtype=np.int64)))

#: Dims, levels, and what a bit costs, as columns.
B, G, K, C, OY, OX, FY, FX = range(8)
PE, BUFFER, DRAM = range(3)
READ, UPDATE, FILL = range(3)
STRIDE, DILATION = 0, 2  # of y in the pace; of x one further
#: Columns of what a word costs: whatever moves, per word that a PE exchanges, per word of the buffer.
ALWAYS, NEAR, FAR = range(3)
#: The width of partial sums, behind those of W, I and O.
PSUM = 3
#: The row of the costs behind the energy: transfers of single-buffered memories. All others are ports.
WAITS = 1
#: What a port belongs to: a memory of the PEs, the buffer, an outermost memory as a whole, its reads, its writes.
INSIDE_PE, INSIDE_BUFFER, OUTER_ALL, OUTER_READS, OUTER_WRITES = range(5)

#: RELEVANT[operand, dim]: the dim indexes the operand.
RELEVANT = np.array(
    [[dim in layer.RELEVANT[operand] for dim in layer.DIM_NAMES] for operand in layer.OPERANDS], np.int64
)
#: Loop orders, outer to inner (Lemma 2 of docs/explain/mapper.md): W-stationary with OX or OY innermost,
#: O-stationary with FX or FY, I-stationary.
ORDERS = np.array(
    [
        [G, K, C, FY, FX, B, OY, OX],
        [G, K, C, FY, FX, B, OX, OY],
        [B, G, K, OY, OX, C, FY, FX],
        [B, G, K, OY, OX, C, FX, FY],
        [B, G, C, OY, OX, FY, FX, K],
    ],
    dtype=np.int64,
)


class Edges(NamedTuple):
    """First fills (W, I) and last drains (O), in cycles per word of a tile.

    Attributes:
        far, near: (2, 3) of PE and buffer: at the parent's port, per different tile, and at the own one; 0 where
            the operand is not kept there or the memory is unbounded.
        double: (2, 3) 1 where the memory is double buffered.
        apart: (2, 3) 1 where the first fill or last drain is not among what is waited for.
        own: (M, 2, 3) what a port does in the first fill of its double-buffered memory.
        stays: (M) 1 where an iteration of the outermost loops goes before or after a row.
    """

    far: Floats
    near: Floats
    double: Ints
    apart: Ints
    own: Floats
    stays: Floats


class NestInputs(NamedTuple):
    """One layer on one hierarchy, with the operands that each level keeps.

    Attributes:
        bounds: (8) loop bounds N.
        pace: (4) stride y, x and dilation y, x.
        holds: (2, 3) PE and buffer keep the operand.
        widths: (4) of w, i, o, acc [bit].
        stored: (3, 3) compressed over dense size per level and operand; of O, of finished ones.
        cost: (M, 3, 3, 3) per metric, level and operand: of a bit read, updated and filled. Metric 0 is the
            energy [pJ], of all PEs; WAITS is waiting for single-buffered memories; the next are ports, of one
            instance [cycle].
        kind: (M) of the ports; those from `num_bounds` on are sides of ports that are there as a whole.
        edges: first fills and last drains.
        memory: (3, 3) memory slot per level and operand.
        capacity: (3) of the buffer's slots [bit], halved where double buffered.
        unfinished: (3) what resident outputs take more of them while their sums come and go [bit], halved likewise.
        loops: (2, 8) 1 where the buffer and DRAM may loop over the dim.
        inner, outer: (n, 8) loop orders to try at the buffer and at DRAM.
        rate: MACs per PE and cycle.
        array_steps: of the array whatever the mapping is, 0: one per iteration.
        skipped: densities of W, of I and of both where they are skipped, else 2: at most one of the steps of a PE's
            tile, or this share of them, is left.
        balanced: share of the steps that is left in every PE alike.
        least_cycles: of the layer whatever the mapping is.
        base_pj: energy of the arithmetic [pJ].
        networks: (S, n, 8) per unrolling its factors on each network that serves PEs of its own.
    """

    bounds: Ints
    pace: Ints
    holds: Ints
    widths: Floats
    stored: Floats
    cost: Floats
    kind: Ints
    edges: Edges
    memory: Ints
    capacity: Floats
    unfinished: Floats
    loops: Ints
    inner: Ints
    outer: Ints
    rate: float
    array_steps: float
    skipped: Floats
    balanced: float
    least_cycles: float
    base_pj: float
    networks: Ints


@internal
def product(f: Ints) -> int:
    return f[0] * f[1] * f[2] * f[3] * f[4] * f[5] * f[6] * f[7]


@internal
def irrelevant(operand: int, f: Ints) -> int:
    """Product of the factors of the dims that do not index an operand: of the zeros in `RELEVANT`."""
    if operand == WEIGHT:
        return f[B] * f[OY] * f[OX]
    if operand == INPUT:
        return f[K]
    return f[C] * f[FY] * f[FX]


@internal
def tile_words(operand: int, t: Ints, pace: Ints) -> int:
    """Elements of an operand under a tile."""
    if operand == WEIGHT:
        return t[G] * t[K] * t[C] * t[FY] * t[FX]
    if operand == OUTPUT:
        return t[B] * t[G] * t[K] * t[OY] * t[OX]
    rows = (t[OY] - 1) * pace[STRIDE] + (t[FY] - 1) * pace[DILATION] + 1
    columns = (t[OX] - 1) * pace[STRIDE + 1] + (t[FX] - 1) * pace[DILATION + 1] + 1
    return t[B] * t[G] * t[C] * rows * columns


@internal
def fresh_part(dim: int, t: Ints, inside: int, pace: Ints) -> float:
    """Fraction of an input tile t that is new after one step of the loop over `dim` by `inside`."""
    if dim < OY:
        return 1.0
    axis = dim % 2
    length = (t[OY + axis] - 1) * pace[STRIDE + axis] + (t[FY + axis] - 1) * pace[DILATION + axis] + 1
    return min(inside * pace[dim - OY], length) / length


@internal
def moves(
    operand: int, tile: Ints, inner: Ints, m: Ints, inside_m: Ints, outer: Ints, n: Ints, inside_n: Ints,
    pace: Ints, iterations: float,
) -> float:  # fmt: skip
    """Transfers of a tile, in units of the tile, with the loops n (in order `outer`) around m (in order `inner`).

    inside_m, inside_n: (8) extent of one iteration of the loops m and n; iterations: of all of them, or 1 for the
    share of the iterations that move the tile.
    """
    strip = 1
    for level in range(2):
        for k in range(7, -1, -1):
            dim = inner[k] if level == 0 else outer[k]
            bound = m[dim] if level == 0 else n[dim]
            if bound == 1:
                continue
            if RELEVANT[operand, dim] == 0:
                strip *= bound
                continue
            if operand == INPUT and strip == 1:
                step = inside_m[dim] if level == 0 else inside_n[dim]
                return iterations / bound * (1.0 + (bound - 1) * fresh_part(dim, tile, step, pace))
            return iterations / strip
    return iterations / strip


@internal
def _distinct_starts(out: int, filt: int, out_step: int, filt_step: int) -> int:
    """Different values of x * out_step + y * filt_step for x < out, y < filt.

    Values are equal where x rises by filt_step / gcd while y falls by out_step / gcd; one of each chain counts.
    """
    if out == 1 or filt == 1:
        return out * filt
    gcd, remainder = out_step, filt_step
    while remainder:
        gcd, remainder = remainder, gcd % remainder
    return out * filt - max(out - filt_step // gcd, 0) * max(filt - out_step // gcd, 0)


@internal
def distinct_tiles(operand: int, networks: Ints, r: Ints, pace: Ints) -> int:
    """Different register tiles across the PEs. networks (n, 8): factors on each network, outer to inner."""
    count = 1
    for k in range(networks.shape[0]):
        s = networks[k]
        if operand == WEIGHT:
            count *= s[G] * s[K] * s[C] * s[FY] * s[FX]
        elif operand == OUTPUT:
            count *= s[B] * s[G] * s[K] * s[OY] * s[OX]
        else:
            count *= s[B] * s[G] * s[C]
            for axis in range(2):
                out, filt = OY + axis, FY + axis
                out_step, filt_step = r[out] * pace[STRIDE + axis], r[filt] * pace[DILATION + axis]
                for inner in range(k + 1, networks.shape[0]):
                    out_step *= networks[inner, out]
                    filt_step *= networks[inner, filt]
                count *= _distinct_starts(s[out], s[filt], out_step, filt_step)
    return count


@internal
def array_cycles(nest: NestInputs, num_pes: int, share: float) -> float:
    """Cycles of the array alone, of whose steps a share is left by skipping."""
    steps = nest.array_steps if nest.array_steps > 0 else product(nest.bounds) / num_pes
    return np.ceil(steps * share / nest.rate * (1.0 - 1e-12))


@internal
def least_share(nest: NestInputs, r: Ints) -> float:
    """A lower bound of the share of the steps that skipping leaves to PEs with a register tile r.

    The PE with most to do has no less than the mean, nor less than one step.
    """
    least, macs = 1.0, product(r)
    least = min(least, max(nest.skipped[WEIGHT], irrelevant(WEIGHT, r) / macs))
    least = min(least, max(nest.skipped[INPUT], irrelevant(INPUT, r) / macs))
    least = min(least, max(nest.skipped[OUTPUT], 1.0 / macs))
    return least * nest.balanced


@internal
def coefficients(nest: NestInputs, metric: int, operand: int, num_pes: int, distinct: int, out: Floats) -> None:
    """Fills out (ALWAYS, NEAR, FAR) with the constant and the factors of f0 and f1 in one metric of one operand.

    Energies of the two ends of a transfer into a PE add; of its times the longer counts.
    """
    cost, stored, widths = nest.cost[metric], nest.stored, nest.widths
    x = operand
    parent = BUFFER if nest.holds[BUFFER, x] else DRAM
    pes = float(num_pes) if metric == 0 else 1.0
    iterations = product(nest.bounds) / num_pes
    constant, f0, f1 = 0.0, 0.0, 0.0
    if x != OUTPUT:
        below = widths[x] * stored[parent, x] * cost[parent, x, READ] * distinct
        if nest.holds[PE, x]:
            word = pes * widths[x] * stored[PE, x]
            fill = word * cost[PE, x, FILL]
            constant += iterations * word * cost[PE, x, READ]
            f0 += fill + below if metric == 0 else max(fill, below)
        else:
            constant += iterations * below
        if parent == BUFFER:
            f1 += widths[x] * (stored[BUFFER, x] * cost[BUFFER, x, FILL] + stored[DRAM, x] * cost[DRAM, x, READ])
    else:
        b = nest.bounds
        outputs = float(b[B] * b[G] * b[K] * b[OY] * b[OX])
        width, final = widths[PSUM], widths[OUTPUT]
        again, update = width * cost[parent, x, READ], width * cost[parent, x, UPDATE]
        if nest.holds[PE, x]:
            seen, own = outputs / distinct, pes * width
            fill, below = own * cost[PE, x, FILL], again * distinct
            refill = fill + below if metric == 0 else max(fill, below)
            constant += own * (iterations * cost[PE, x, UPDATE] + (iterations - seen) * cost[PE, x, READ])
            f0 += refill + distinct * update
            constant += outputs * (final * stored[parent, x] * cost[parent, x, UPDATE] - update) - seen * refill
        else:
            constant += iterations * distinct * (again + update) - outputs * again
        if parent == BUFFER:
            exchange = width * (cost[BUFFER, x, FILL] + cost[DRAM, x, READ] + cost[DRAM, x, UPDATE])
            f1 += exchange
            constant += outputs * (final * stored[DRAM, x] * cost[DRAM, x, UPDATE] - exchange)
    out[ALWAYS], out[NEAR], out[FAR] = constant, f0, f1
