"""Which pairs (register tile, unrolling) a buffer tile is made of, for all of them at once.

A pair multiplies to A = r * s, and fits into a tile T only where A divides it, dim by dim. Of the pairs that are
left when a tile is looked at, a few in a hundred do. So every dim has one mask of bits per divisor of its bound, a
bit per pair that says whether its A divides that, and eight words, one per dim, tell of 64 pairs which divide T.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwmodel.mapper.compiling import internal
from hwmodel.mapper.counting import Ints, NestInputs

Words = NDArray[np.uint64]
WORD = 64
_ONE, _NONE, _ALL, _BYTE = np.uint64(1), np.uint64(0), np.uint64(2**64 - 1), np.uint64(255)


@internal
def divisors_of(bounds: Ints) -> Ints:
    """The divisors of every bound, rising, then zeros. (8, n)"""
    most = 1
    for d in range(8):
        count, value = 0, 1
        while value * value <= bounds[d]:
            count += 2 if bounds[d] % value == 0 else 0
            value += 1
        most = max(most, count)
    found = np.zeros((8, most), np.int64)
    for d in range(8):
        count, value = 0, 1
        while value * value <= bounds[d]:
            if bounds[d] % value == 0:
                found[d, count] = value
                count += 1
            value += 1
        for n in range(count - 1, -1, -1):
            large = bounds[d] // found[d, n]
            if large > found[d, count - 1]:
                found[d, count] = large
                count += 1
    return found


@internal
def _place(divisors: Ints, value: int) -> int:
    """Where a divisor stands in its row."""
    n = 0
    while divisors[n] != value:
        n += 1
    return n


@internal
def divisor_masks(nest: NestInputs, divisors: Ints, registers: Ints, unrollings: Ints, pairs: Ints) -> Words:
    """Per dim and divisor of its bound: bit p of the words where the A of pair p divides it. (8, n, words)

    A dim that the buffer may not loop over must be equal.
    """
    most = divisors.shape[1]
    masks = np.zeros((8, most, (pairs.shape[0] + WORD - 1) // WORD), np.uint64)
    for p in range(pairs.shape[0]):
        bit = _ONE << np.uint64(p % WORD)
        for d in range(8):
            n = _place(divisors[d], registers[pairs[p, 0], d] * unrollings[pairs[p, 1], d])
            masks[d, n, p // WORD] |= bit
    for d in range(8):
        if nest.loops[0, d] == 0:
            continue
        for n in range(most - 1, 0, -1):
            for k in range(n):
                if divisors[d, n] and divisors[d, n] % divisors[d, k] == 0:
                    for w in range(masks.shape[2]):
                        masks[d, n, w] |= masks[d, k, w]
    return masks


@internal
def dividing(divisors: Ints, masks: Words, t: Ints, reach: int, able: Ints) -> int:
    """Fills able with the pairs below `reach` that divide a tile, rising, and gives their number."""
    count = 0
    places = (
        _place(divisors[0], t[0]), _place(divisors[1], t[1]), _place(divisors[2], t[2]), _place(divisors[3], t[3]),
        _place(divisors[4], t[4]), _place(divisors[5], t[5]), _place(divisors[6], t[6]), _place(divisors[7], t[7]),
    )  # fmt: skip
    for w in range((reach + WORD - 1) // WORD):
        word = _ALL
        for d in range(8):
            word &= masks[d, places[d], w]
        first = w * WORD
        while word != _NONE:
            if word & _BYTE != _NONE:
                for n in range(8):
                    if (word >> np.uint64(n)) & _ONE != _NONE and first + n < reach:
                        able[count] = first + n
                        count += 1
            word >>= np.uint64(8)
            first += 8
    return count
