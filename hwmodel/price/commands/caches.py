"""Which lines of an operand a cache lacks when a tile asks for them, without walking through the accesses.

A cache of N lines draws its victims at random. A line that is asked for again after D other lines, of which a
share q misses, is still there with probability exp(-q D / N). Where all D lines come back in turn, q is the
same for all:

    1 - q = exp(-q x),  x = D / N,  so  q = 0 for x <= 1,  else  q = 1 + W(-x exp(-x)) / x

with Lambert's W, read here from a table of the inverse. A tile whose rows stand at a pitch of many lines uses
few sets of the cache: its own lines over the places of these sets are an x of their own, and the larger x
counts.

How far a line's last use lies back follows from the loops outside of the tile, from the inside out. Between two
iterations of a loop that an operand does not depend on, all loops inside of it run once: D is what they touch
of all operands, and all but the first of its iterations find the operand touched before. A loop over a dim
whose neighbouring tiles share lines (channels narrower than a line, pixels around a window) is such a loop for
the share that they have in common. What no loop brings back was touched when the layer ran before: D is all
that it touches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hwmodel.chip.timing.commands import Cache
from hwmodel.network.layer import OPERANDS, REDUCTION, RELEVANT, DimName, Operand

Floats = NDArray[np.float64]


#: q, and the x at which it holds: the equation solved for x, -ln(1 - q) / q.
_SHARES = 1.0 - np.geomspace(1.0, 1e-15, 8192)
_FULLNESS = np.concatenate(([1.0], -np.log1p(-_SHARES[1:]) / _SHARES[1:]))


def miss_share(fullness: Floats) -> Floats:
    """q of the module's equation, for lines that come back after `fullness` = D / N caches full of others."""
    return np.interp(fullness, _FULLNESS, _SHARES, left=0.0, right=1.0)


@lru_cache(maxsize=4096)
def sets_used(sets: int, rows: int, row_pitch: int, columns: int, pitch: int, lines: int) -> int:
    """Sets of a cache on which the lines of a tile fall: rows of columns of so many lines, pitches in lines."""
    first = (
        np.arange(rows)[:, None, None] * row_pitch
        + np.arange(columns)[None, :, None] * pitch
        + np.arange(lines)[None, None, :]
    )
    return int(np.unique(first % sets).size)


def missed_lines(
    cache: Cache,
    order: Sequence[DimName],
    counts: Mapping[DimName, Floats],
    lines: Mapping[Operand, Floats],
    sets: Mapping[Operand, Floats],
    shared: Mapping[Operand, Mapping[DimName, Floats]],
) -> dict[Operand, Floats]:
    """Lines that a tile asks for and the cache lacks, the mean over all tiles. Arrays: one entry per tiling, (n,).

    Args:
        cache: of which.
        order: loops around the tile, outer to inner.
        counts: iterations of each.
        lines: that a tile touches.
        sets: of the cache that these fall on.
        shared: tiles along a dim over the lines that they touch together, in tiles; dims left out share none.
    """
    touched = {operand: lines[operand].copy() for operand in OPERANDS}
    open_share = {operand: np.ones_like(lines[operand]) for operand in OPERANDS}
    missed = {operand: np.zeros_like(lines[operand]) for operand in OPERANDS}

    def again(operand: Operand, share: Floats, between: Floats) -> None:
        own = lines[operand] / (cache.ways * sets[operand])
        missed[operand] += share * miss_share(np.maximum(between / cache.lines, own))

    for dim in reversed(order):
        if (counts[dim] == 1).all():
            continue
        count, between = counts[dim], sum(touched.values(), start=np.zeros(1))
        for operand in OPERANDS:
            if operand == "O" and dim in REDUCTION:  # sums stay where they are until they are done
                continue
            times = shared[operand].get(dim, ONE) if dim in RELEVANT[operand] else count
            again(operand, open_share[operand] * (1.0 - 1.0 / times), between)
            open_share[operand] = open_share[operand] / times
        for operand in OPERANDS:
            if dim in RELEVANT[operand]:
                touched[operand] = touched[operand] * count / shared[operand].get(dim, ONE)
    everything = sum(touched.values(), start=np.zeros(1))
    for operand in OPERANDS:
        again(operand, open_share[operand], everything)
    return {operand: missed[operand] * lines[operand] for operand in OPERANDS}


ONE = np.ones(1)


def lines_of(width: Floats, pitch: float, line: int) -> Floats:
    """Lines that `width` contiguous bytes touch, the mean over rows at a pitch [B] from the start of a line on.

    Rows start at multiples of gcd(pitch, line); those as wide as the pitch share the lines between them.
    """
    step = math.gcd(math.ceil(pitch), line) if pitch == math.ceil(pitch) else 1
    apart = np.where(width % step == 0, width / line + 1.0 - step / line, width / line + 1.0)
    apart = np.ceil(width / line) if step == line else apart
    return np.where(width >= pitch, pitch / line, np.minimum(apart, max(pitch / line, 1.0)))
