"""What every way on from a tile costs at least (Lemma 23 of docs/explain/mapper.md)."""

from __future__ import annotations

import numpy as np

from hwmodel.mapper.compiling import compiled, internal
from hwmodel.mapper.counting import (
    DILATION, FX, FY, INPUT, OUTPUT, OY, STRIDE, Floats, Ints, irrelevant, product, tile_words,
)  # fmt: skip
from hwmodel.mapper.deep.ladder import Ladder

#: Columns of a label: what is settled; of W, I and O what is open, and what of it (or of the settled) still waits for
#: splits; the first visits of outputs, which are free; rows and columns of the open tile of I, 0 where none slides.
SETTLED, OPEN, WAITING, SAVED, ROWS, COLUMNS, NUM_VALUES = 0, 1, 4, 7, 8, 9, 10
#: Doublings of the PEs that a mapping may unroll: a chip has at most 2^31.
MOST_DOUBLINGS = 31


@internal
def length(t: Ints, axis: int, pace: Ints) -> int:
    """Rows (axis 0) or columns (axis 1) of I under a tile."""
    rows = (t[OY + axis] - 1) * pace[STRIDE + axis]
    columns = (t[FY + axis] - 1) * pace[DILATION + axis]
    return int(rows + columns + 1)


@internal
def slid(rest: Ints, tile: Ints, rows: float, columns: float, pace: Ints) -> float:
    """The least share of the transfers of a tile of I that loops `rest` around v leave if one slides.

    rows, columns: of the tile that slides, 0 where none does.
    """
    share = 1.0
    if rows > 0:
        for dim in range(OY, FX + 1):
            size = rows if dim % 2 == 0 else columns
            fresh = min(1.0, tile[dim] * pace[dim - OY] / size)
            share = min(share, (1.0 + (rest[dim] - 1) * fresh) / rest[dim])
    return share


@compiled
def hopes(ladder: Ladder, reached: Floats, begun: Floats) -> None:
    """Fills in lower bounds for tiles (L, V) of the hops out of a level and of all levels outside of it.

    A tile pays for its hop what it pays without any loop that spares it transfers, less what the one operand that the
    next loop spares may gain; a window of I may slide beside.

    Args:
        ladder: one layer on one chip.
        reached: becomes the bound where the tile of the level is v.
        begun: that where v is split for the level and its loops are to come; infinite where no tile around it fits.
    """
    num, levels = len(ladder.vectors), len(ladder.keep)
    reached[levels - 1], begun[levels - 1] = 0.0, 0.0
    for level in range(levels - 2, -1, -1):
        for v in range(num - 1, -1, -1):
            tile = ladder.vectors[v]
            reached[level, v] = np.inf
            if fits_finished(ladder, level, tile):
                reached[level, v] = hop_out(ladder, level, v) + begun[level + 1, v]
            begun[level, v] = reached[level, v]
            for j in range(len(ladder.coords)):
                dim, prime, stride = ladder.coords[j, 0], ladder.coords[j, 1], ladder.coords[j, 2]
                if ladder.grows[level, dim] and ladder.bounds[dim] // tile[dim] % prime == 0:
                    begun[level, v] = min(begun[level, v], begun[level, v + stride])


@internal
def hop_out(ladder: Ladder, level: int, v: int) -> float:
    """The least cost of the hops out of a level with tile v."""
    tile, pace = ladder.vectors[v], ladder.pace
    rest = np.empty(8, np.int64)
    for d in range(8):
        rest[d] = ladder.bounds[d] // tile[d]
    moves = float(product(rest))
    slide = slid(rest, tile, float(length(tile, 0, pace)), float(length(tile, 1, pace)), pace)
    total, spared = 0.0, 0.0
    for x in range(3):
        if not ladder.keep[level, x]:
            continue
        words = tile_words(x, tile, pace) * moves * ladder.inside[level, x]
        if x == INPUT:
            words *= slide
            if ladder.last_inputs == level:
                words *= ladder.held[v % len(ladder.held)].min()
        full = priced(ladder, level, x, words)
        total += full
        spared = max(spared, full - priced(ladder, level, x, words / irrelevant(x, rest)))
    return total - spared


@internal
def priced(ladder: Ladder, level: int, x: int, words: float) -> float:
    """The least cost of the words of a hop out of a level; first visits of outputs are free."""
    near, far = ladder.near[level, x] * words, ladder.far[level, x] * ladder.shares[level, x] * words
    if x == OUTPUT:
        near = max(near - ladder.near[level, x] * ladder.outputs * ladder.most_saved[level], 0.0)
        far = max(far - ladder.arrival[level + 1], 0.0)
    return near + far


@internal
def hope(ladder: Ladder, level: int, x: Floats, opened: Ints, a: int) -> float:
    """The least that a label comes to, but for the hops that begin later: at split tile a of a level, or further.

    x: its values (`hwmodel.mapper.deep.walk`), opened: (3) 1 where an operand's hop is open.
    """
    rest, tile = np.empty(8, np.int64), ladder.vectors[a]
    for d in range(8):
        rest[d] = ladder.bounds[d] // tile[d]
    total, spared = x[SETTLED] - x[SAVED] * ladder.most_saved[level] - ladder.arrival[level], 0.0
    for operand in range(3):
        cost = x[OPEN + operand]
        if ladder.near_parent[level, operand]:
            cost += x[WAITING + operand]
        if opened[operand]:
            if operand == INPUT:
                cost *= slid(rest, tile, x[ROWS], x[COLUMNS], ladder.pace)
                if 0 <= ladder.last_inputs < level:
                    held = ladder.held[a % len(ladder.held)]
                    cost *= held.min() / held.max()
            spared = max(spared, cost * (1.0 - 1.0 / irrelevant(operand, rest)))
        total += cost
    return total - spared - MOST_DOUBLINGS * ladder.tie


@internal
def fits_finished(ladder: Ladder, level: int, t: Ints) -> bool:
    """A tile fits the memories of a level if no sum of it is unfinished there."""
    for slot in range(3):
        need = 0.0
        for x in range(3):
            if ladder.keep[level, x] and ladder.slot[level, x] == slot:
                width = ladder.widths[3 if x == OUTPUT and level == ladder.first_outputs else x]
                need += width * tile_words(x, t, ladder.pace)
        if need > ladder.capacity[level, slot]:
            return False
    return True
