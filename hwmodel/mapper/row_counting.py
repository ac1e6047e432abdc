"""What a row-stationary candidate moves: its features, in which every metric is linear.

On one arrangement of sets a candidate is (p, q, s; n, k, f): p filters, q channels and s filter columns in a PE; n
images, k * p filters and f output columns in the buffer: an output row, or a piece of one. The counting is that of
`hwmodel.nest.access` under the loop order of `hwmodel.mapper.row_stationary`: C runs innermost at DRAM, so that an
output leaves the buffer once.
"""

from __future__ import annotations

from typing import NamedTuple

from hwmodel.mapper.compiling import internal
from hwmodel.mapper.counting import Floats, Ints

#: Features of a candidate. Of one PE: its steps, the words of W, I and O that it exchanges with the level above,
#: sums that it reads again, sums that come back to it, and its tiles. Of the chip: the different words that all PEs
#: exchange, sums that the buffer gives back, words of I from outside, finished outputs, the buffer's tiles of I and
#: O, and the first windows of all passes.
STEPS, WORDS, REREAD, RETURNED, TILE = 0, 1, 4, 5, 6
CARRIED, WAITING, OUTSIDE, DONE, HELD, WINDOWS = 9, 12, 13, 14, 15, 17
NUM_FEATURES = 18


class Nest(NamedTuple):
    """Loops of a candidate on one arrangement, and what is counted of them. Dims stand in the order of `Dims`.

    Attributes:
        pace: (4) stride y, x, dilation y, x.
        spread: (8) PEs per dim.
        starts: different tiles of I across the PEs.
        steps: (8) loops that the PEs leave.
        r, b, left: (8) loops in a PE, at the buffer, and at DRAM.
        tiles: (2, 3) words of W, I and O in a PE and in the buffer, of `fill_tiles`.
        features: (NUM_FEATURES), of `fill_features`.
    """

    pace: Ints
    spread: Ints
    starts: int
    steps: Ints
    r: Ints
    b: Ints
    left: Ints
    tiles: Floats
    features: Floats


@internal
def slid(extent: int, bound: int, step: int) -> float:
    """Share of the words that still move where a loop slides a window of `extent` by `step`."""
    return (1.0 + (bound - 1) * (min(step, extent) / extent)) / bound


@internal
def fill_tiles(nest: Nest) -> None:
    """Fills the tiles from the loops in a PE and at the buffer; W has none there."""
    pace, spread, r, b, tiles = nest.pace, nest.spread, nest.r, nest.b, nest.tiles
    g, bi, k, c, oy, ox, fy, fx = 1, 0, 2, 3, 4, 5, 6, 7
    sets = spread[bi] * spread[g] * b[bi]
    rows = (spread[oy] - 1) * pace[0] + (spread[fy] * b[fy] - 1) * pace[2] + 1
    columns = (spread[ox] * b[ox] - 1) * pace[1] + (spread[fx] * r[fx] * b[fx] - 1) * pace[3] + 1
    tiles[0, 0], tiles[0, 2] = r[k] * r[c] * r[fx], r[k]
    tiles[0, 1] = r[c] * ((r[fx] - 1) * pace[3] + 1)
    tiles[1, 0], tiles[1, 1] = 0.0, sets * r[c] * spread[c] * rows * columns
    tiles[1, 2] = sets * r[k] * b[k] * spread[k] * spread[oy] * b[ox] * spread[ox]


@internal
def count(nest: Nest) -> None:
    """Fills the features from the loops and the tiles."""
    g, bi, k, c, oy, ox, fy, fx = 1, 0, 2, 3, 4, 5, 6, 7
    pace, spread, left, r, b, tiles = nest.pace, nest.spread, nest.left, nest.r, nest.b, nest.tiles
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
        held = outer * slid(columns, left[ox], step_x)
    elif left[k] == 1 and left[oy] > 1:
        rows = step_y - pace[0] + (spread[fy] * b[fy] - 1) * pace[2] + 1
        held = outer * slid(rows, left[oy], step_y)
    # I in a PE: a single input row, so that only OX and FX slide
    i, width = float(loops), (r[fx] - 1) * pace[3] + 1
    if b[ox] > 1:
        i = loops * slid(width, b[ox], spread[ox] * pace[1])
    elif b[bi] == 1:
        i = loops / b[k]
        if b[fx] > 1:
            if b[k] == 1:
                i = loops * slid(width, b[fx], r[fx] * spread[fx] * pace[3])
        elif b[fy] * left[c] == 1:
            i = loops / (b[k] * left[k])
            if b[k] * left[k] == 1 and left[ox] > 1:
                i = loops * slid(width, left[ox], step_x)
    # O: FX, FY and C run innermost where the buffer has no other loop
    o = float(loops)
    if b[ox] * b[bi] * b[k] == 1:
        o = loops / (b[fx] * b[fy] * left[c])
    seen = float(steps) / (r[c] * r[fx] * b[fx] * b[fy] * left[c])
    fill_features(nest, float(steps), seen, (w, i, o), held * tiles[1, 1])


@internal
def fill_features(nest: Nest, steps: float, seen: float, moved: tuple[float, float, float], outside: float) -> None:
    """Fills the features from what was counted.

    steps, seen: of a PE, and the sums that it sees for the first time; moved: the tiles of W, I and O that it
    exchanges with the level above; outside: words of I that come from outside.
    """
    g, bi, k, c, oy, ox, fy, fx = 1, 0, 2, 3, 4, 5, 6, 7
    spread, starts, tiles, features = nest.spread, nest.starts, nest.tiles, nest.features
    w, i, o = moved
    features[STEPS] = steps
    features[WORDS], features[WORDS + 1], features[WORDS + 2] = w * tiles[0, 0], i * tiles[0, 1], o * tiles[0, 2]
    features[REREAD], features[RETURNED] = steps - seen, features[WORDS + 2] - seen
    for x in range(3):
        features[TILE + x] = tiles[0, x]
    distinct = spread[bi] * spread[g] * spread[k] * spread[oy] * spread[ox]
    features[CARRIED] = features[WORDS] * (spread[g] * spread[k] * spread[c] * spread[fy] * spread[fx])
    features[CARRIED + 1], features[CARRIED + 2] = features[WORDS + 1] * starts, features[WORDS + 2] * distinct
    features[DONE] = seen * distinct
    features[WAITING], features[OUTSIDE] = features[CARRIED + 2] - features[DONE], outside
    features[HELD], features[HELD + 1], features[WINDOWS] = tiles[1, 1], tiles[1, 2], w * tiles[0, 1] * starts
