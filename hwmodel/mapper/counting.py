"""Compiled counting for the mapper: tiles, transfers and the metrics that are linear in them.

A candidate is a register tile r, a spatial unrolling s, a buffer tile T and a loop order at the buffer and at
DRAM. With A = r * s the buffer runs m = T / A iterations per tile and DRAM n = N / T. Every metric of a candidate
(its energy, the time of one port, the time that fills are waited for) is linear in three numbers per operand:

    iterations                              what one PE asks for
    f0 = |register tile| * moves(m, n)      words that one PE exchanges with its parent
    f1 = |buffer tile| * moves(n)           words that the buffer exchanges with DRAM

so one set of coefficients prices them all. The counting is that of `hwmodel.nest.access`.

Numbers are indexed [W, I, O] = [0, 1, 2], levels [PE, buffer, DRAM] = [0, 1, 2], and dims in the order
B G K C OY OX FY FX.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwmodel.network import layer

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_compile: Any = partial(njit, error_model="numpy", no_cfunc_wrapper=True)


def compiled(function: _Function) -> _Function:
    """What Python calls: kept on disk, with all that it calls."""
    return cast(_Function, _compile(cache=True)(function))


def internal(function: _Function) -> _Function:
    """What only compiled code calls. The wrapper that it goes without would take a quarter of the first call."""
    return cast(_Function, _compile(no_cpython_wrapper=True)(function))


#: Operands, and small numbers, as arguments: each plain 0 or 1 would be a type of its own, compiled once more.
WEIGHT, INPUT, OUTPUT = ZERO, ONE, _ = cast(tuple[int, int, int], tuple(np.arange(3, dtype=np.int64)))

#: RELEVANT[operand, dim]: the dim indexes the operand.
RELEVANT = np.array(
    [[dim in layer.RELEVANT[operand] for dim in layer.DIM_NAMES] for operand in layer.OPERANDS], np.int64
)
#: Loop orders, outer to inner: W-stationary with OX or OY innermost, O-stationary with FX or FY, I-stationary.
ORDERS = np.array(
    [
        [1, 2, 3, 6, 7, 0, 4, 5],
        [1, 2, 3, 6, 7, 0, 5, 4],
        [0, 1, 2, 4, 5, 3, 6, 7],
        [0, 1, 2, 4, 5, 3, 7, 6],
        [0, 1, 3, 4, 5, 6, 7, 2],
    ],
    dtype=np.int64,
)


class NestInputs(NamedTuple):
    """One layer on one hierarchy, with the operands that each level keeps.

    Attributes:
        bounds: (8) loop bounds N.
        pace: (4) stride y, x and dilation y, x.
        holds: (2, 3) PE and buffer keep the operand.
        widths: (4) of w, i, o, acc [bit].
        stored: (3, 3) compressed over dense size per level and operand.
        cost: (M, 3, 3, 3) per metric, level and operand: of a bit read, updated and filled. Metric 0 is the
            energy [pJ], of all PEs; the next are ports, of one instance [cycle]; the last is waiting for fills.
        edge: (2, 3) cycles of the first fill (last drain) per word of the tile at PE and buffer.
        memory: (3, 3) memory slot per level and operand.
        capacity: (3) of the buffer's slots [bit], halved where double buffered.
        loops: (2, 8) 1 where the buffer and DRAM may loop over the dim.
        inner, outer: (n, 8) loop orders to try at the buffer and at DRAM.
        rate: MACs per PE and cycle.
        base_pj: energy of the arithmetic [pJ].
        networks: (S, n, 8) per unrolling its factors on each network that serves PEs of its own.
    """

    bounds: Ints
    pace: Ints
    holds: Ints
    widths: Floats
    stored: Floats
    cost: Floats
    edge: Floats
    memory: Ints
    capacity: Floats
    loops: Ints
    inner: Ints
    outer: Ints
    rate: float
    base_pj: float
    networks: Ints


@internal
def product(f: Ints) -> int:
    return f[0] * f[1] * f[2] * f[3] * f[4] * f[5] * f[6] * f[7]


@internal
def irrelevant(operand: int, f: Ints) -> int:
    """Product of the factors of the dims that do not index an operand: of the zeros in `RELEVANT`."""
    if operand == 0:
        return f[0] * f[4] * f[5]
    if operand == 1:
        return f[2]
    return f[3] * f[6] * f[7]


@internal
def tile_words(operand: int, t: Ints, pace: Ints) -> int:
    """Elements of an operand under a tile."""
    if operand == 0:
        return t[1] * t[2] * t[3] * t[6] * t[7]
    if operand == 2:
        return t[0] * t[1] * t[2] * t[4] * t[5]
    rows = (t[4] - 1) * pace[0] + (t[6] - 1) * pace[2] + 1
    columns = (t[5] - 1) * pace[1] + (t[7] - 1) * pace[3] + 1
    return t[0] * t[1] * t[3] * rows * columns


@internal
def fresh_part(dim: int, t: Ints, inside: int, pace: Ints) -> float:
    """Fraction of an input tile t that is new after one step of the loop over `dim` by `inside`."""
    if dim < 4:
        return 1.0
    axis = dim % 2
    length = (t[4 + axis] - 1) * pace[axis] + (t[6 + axis] - 1) * pace[2 + axis] + 1
    return min(inside * pace[dim - 4], length) / length


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
            if operand == 1 and strip == 1:
                step = inside_m[dim] if level == 0 else inside_n[dim]
                return iterations / bound * (1.0 + (bound - 1) * fresh_part(dim, tile, step, pace))
            return iterations / strip
    return iterations / strip


@internal
def _distinct_starts(out: int, filt: int, out_step: int, filt_step: int) -> int:
    """Different values of x * out_step + y * filt_step for x < out, y < filt.

    Values are equal where x rises by filt_step / gcd while y falls by out_step / gcd; one of each chain counts.
    """
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
        if operand == 0:
            count *= s[1] * s[2] * s[3] * s[6] * s[7]
        elif operand == 2:
            count *= s[0] * s[1] * s[2] * s[4] * s[5]
        else:
            count *= s[0] * s[1] * s[3]
            for axis in range(2):
                out_step, filt_step = r[4 + axis] * pace[axis], r[6 + axis] * pace[2 + axis]
                for inner in range(k + 1, networks.shape[0]):
                    out_step *= networks[inner, 4 + axis]
                    filt_step *= networks[inner, 6 + axis]
                count *= _distinct_starts(s[4 + axis], s[6 + axis], out_step, filt_step)
    return count


@internal
def coefficients(nest: NestInputs, metric: int, operand: int, num_pes: int, distinct: int, out: Floats) -> None:
    """Fills out (3) with the constant and the factors of f0 and f1 in one metric of one operand."""
    cost, stored, widths = nest.cost[metric], nest.stored, nest.widths
    x = operand
    parent = 1 if nest.holds[1, x] else 2
    pes = float(num_pes) if metric == 0 else 1.0
    iterations = product(nest.bounds) / num_pes
    constant, f0, f1 = 0.0, 0.0, 0.0
    if x < 2:
        below = widths[x] * stored[parent, x] * cost[parent, x, 0] * distinct
        if nest.holds[0, x]:
            word = pes * widths[x] * stored[0, x]
            constant += iterations * word * cost[0, x, 0]
            f0 += word * cost[0, x, 2] + below
        else:
            constant += iterations * below
        if parent == 1:
            f1 += widths[x] * (stored[1, x] * cost[1, x, 2] + stored[2, x] * cost[2, x, 0])
    else:
        b = nest.bounds
        outputs = float(b[0] * b[1] * b[2] * b[4] * b[5])
        width, final = widths[3], widths[2]
        word = width * stored[parent, x]
        both = word * (cost[parent, x, 0] + cost[parent, x, 1])
        if nest.holds[0, x]:
            seen, own = outputs / distinct, pes * width * stored[0, x]
            constant += own * (
                iterations * cost[0, x, 1] + (iterations - seen) * cost[0, x, 0] - seen * cost[0, x, 2]
            )
            f0 += own * cost[0, x, 2] + distinct * both
            constant += outputs * (final * stored[parent, x] * cost[parent, x, 1] - both)
        else:
            constant += iterations * distinct * both - outputs * word * cost[parent, x, 0]
        if parent == 1:
            far = stored[2, x]
            exchange = width * (stored[1, x] * cost[1, x, 2] + far * (cost[2, x, 0] + cost[2, x, 1]))
            f1 += exchange
            constant += outputs * (final * far * cost[2, x, 1] - exchange)
    out[0], out[1], out[2] = constant, f0, f1
