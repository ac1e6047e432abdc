"""Lower bounds of the row-stationary search: what no candidate around the contents of a PE is below.

A PE holds p filters, q channels and s columns, and the buffer f output columns; a candidate chooses n images (in a
range) and k * p filters for it. n divides the images, so that only the filters are padded: no candidate has fewer
loops than with the filters that there are. With so many the terms of `row_counting.count` are bounded one by one, k
being `largest` at most:

- W moves once per OX and B of the buffer: least with the most images.
- I from outside comes once per part of the filters where channels are left. Where none are it slides at best along
  rows and columns both.
- I in a PE is the least of the cases that the ranges allow.
- O moves in every loop, but where n = k = f = 1: that candidate is priced, and bounded by nothing here.

The rest of the features follows from these as in the count. Rates are at least 0, so that the price of the least
features is a least price (Lemma 15 of docs/explain/mapper.md).
"""

from __future__ import annotations

from hwmodel.mapper.compiling import internal
from hwmodel.mapper.counting import Floats, Ints
from hwmodel.mapper.row_counting import Nest, fill_features, fill_tiles, slid


@internal
def fill_least(nest: Nest, fits: tuple[Ints, Floats, Floats, Floats], first: int, last: int) -> None:
    """Fills the features with least ones of all candidates with n from first to last, but that of n = k = f = 1.

    nest: r; b of FY, FX and OX; left of G, OY, OX and C. Its b of B and K are overwritten.
    """
    g, bi, k, c, oy, ox, fy, fx = 1, 0, 2, 3, 4, 5, 6, 7
    steps, r, b, left = nest.steps, nest.r, nest.b, nest.left
    filters = -(-steps[k] // r[k])
    b[bi], b[k] = first, 1
    fill_tiles(nest)
    most = largest(nest, fits, filters)
    left_k = -(-filters // most)
    inner = b[fy] * b[fx]
    loops = left[g] * left[oy] * left[c] * inner * filters * steps[bi] * steps[ox]
    w = float(left[g])
    if inner * filters * left[c] > 1:
        w = loops / (b[ox] * last)
    i = least_input(nest, loops, filters, left_k, most, first)
    outside = least_outside(nest, left_k)
    done = float(loops * r[k] * r[c] * r[fx])
    fill_features(nest, done, done / (r[c] * r[fx] * inner * left[c]), (w, i, float(loops)), outside)


@internal
def largest(nest: Nest, fits: tuple[Ints, Floats, Floats, Floats], filters: int) -> int:
    """No k above fits beside the tiles of the nest, where k is 1; whole banks are left out."""
    slots, sizes, _, widths = fits
    tiles, memory = nest.tiles, slots[1, 2]
    if memory < 0:
        return filters
    room, unit = sizes[1, memory], tiles[1, 2] * widths[1, 2]
    if slots[1, 1] == memory:
        room -= tiles[1, 1] * widths[1, 1]
    if room >= unit * filters:
        return filters
    return min(filters, max(1, int(room / unit * (1.0 + 1e-12))))


@internal
def least_input(nest: Nest, loops: int, filters: int, left_k: int, most: int, first: int) -> float:
    """Tiles of I that a PE takes, at least."""
    c, ox, fy, fx = 3, 5, 6, 7
    pace, spread, r, b, left = nest.pace, nest.spread, nest.r, nest.b, nest.left
    width, step = (r[fx] - 1) * pace[3] + 1, spread[ox] * pace[1]
    if b[ox] > 1:
        return loops * slid(width, b[ox], step)
    if first > 1:
        return float(loops)
    rest = loops / filters
    if b[fx] > 1:
        i = loops * slid(width, b[fx], r[fx] * spread[fx] * pace[3])
        return min(i, rest * left_k) if most > 1 else i
    if b[fy] * left[c] == 1:
        return rest * slid(width, left[ox], step)
    return rest * left_k


@internal
def least_outside(nest: Nest, left_k: int) -> float:
    """Words of I that come into the buffer, at least; the tiles are those of some n, and n divides the images."""
    g, bi, c, oy, ox, fy, fx = 1, 0, 3, 4, 5, 6, 7
    pace, spread, r, b, left = nest.pace, nest.spread, nest.r, nest.b, nest.left
    words = left[g] * nest.steps[bi] * (nest.tiles[1, 1] / b[bi])
    if left[c] > 1:
        return float(words * left[oy] * left[ox] * left_k * left[c])
    rows = (spread[oy] - 1) * pace[0] + (spread[fy] * b[fy] - 1) * pace[2] + 1
    step = spread[ox] * b[ox] * pace[1]
    columns = step - pace[1] + (spread[fx] * r[fx] * b[fx] - 1) * pace[3] + 1
    words *= left[oy] * slid(rows, left[oy], spread[oy] * pace[0])
    return float(words * left[ox] * slid(columns, left[ox], step))
