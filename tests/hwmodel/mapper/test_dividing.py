"""Which pairs divide a tile: the masks against division, pair by pair."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from hwmodel.mapper.dividing import dividing, divisor_masks, divisors_of


class Loops(NamedTuple):
    """The part of a layer that is looked at."""

    loops: np.ndarray


@njit
def able_pairs(nest, bounds, registers, unrollings, pairs, tile, reach):
    divisors = divisors_of(bounds)
    masks = divisor_masks(nest, divisors, registers, unrollings, pairs)
    able = np.empty(pairs.shape[0], np.int64)
    return divisors, able[: dividing(divisors, masks, tile, reach, able)]


def factors(bound: int) -> list[int]:
    return [value for value in range(1, bound + 1) if bound % value == 0]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_pairs_are_those_whose_product_divides_the_tile(data):
    bounds = data.draw(st.lists(st.sampled_from([1, 2, 6, 12, 16, 30, 36, 49, 224]), min_size=8, max_size=8))
    looped = data.draw(st.lists(st.booleans(), min_size=8, max_size=8))
    count = data.draw(st.integers(1, 150))
    seed = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    registers, unrollings = np.ones((count, 8), np.int64), np.ones((count, 8), np.int64)
    for d, bound in enumerate(bounds):
        registers[:, d] = seed.choice(factors(bound), count)
        for p in range(count):
            unrollings[p, d] = seed.choice(factors(bound // registers[p, d]))
    tile = np.array([seed.choice(factors(bound)[-2:]) for bound in bounds], np.int64)
    pairs = np.stack([seed.permutation(count), seed.permutation(count)], axis=1).astype(np.int64)
    products = registers[pairs[:, 0]] * unrollings[pairs[:, 1]]
    known = np.array([all(bound % a == 0 for bound, a in zip(bounds, row, strict=True)) for row in products])
    pairs, products = np.ascontiguousarray(pairs[known]), products[known]
    reach = data.draw(st.integers(0, len(pairs)))
    nest = Loops(np.array([looped, looped], np.int64))
    divisors, able = able_pairs(nest, np.array(bounds), registers, unrollings, pairs, tile, reach)
    for d, bound in enumerate(bounds):
        assert [value for value in divisors[d] if value] == factors(bound)
    expected = [
        p
        for p, a in enumerate(products[:reach])
        if all(t % x == 0 if free else t == x for t, x, free in zip(tile, a, looped, strict=True))
    ]
    assert able.tolist() == expected
