"""The bounds of the row-stationary search: no feature of any candidate is below its bound."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from hwmodel.mapper.row_bounds import fill_least
from hwmodel.mapper.row_counting import NUM_FEATURES, Nest, count, fill_tiles

#: Words that the buffer holds, and I and O of 16 bit in one memory of it.
SLOTS, WIDTHS = np.array([[0, 1, 2], [-1, 0, 0]], dtype=np.int64), np.full((2, 3), 16.0)


@njit(error_model="numpy")
def lowest(nest, fits, first, last):
    """The least ratio of a feature to its bound, over every candidate that fits, and how many those are."""
    bi, k, ox = 0, 2, 5
    fill_least(nest, fits, first, last)
    bound = nest.features.copy()
    filters, ratio, number = -(-nest.steps[k] // nest.r[k]), np.inf, 0
    for n in range(first, last + 1):
        for parts in range(1, filters + 1):
            part = -(-filters // parts)
            if nest.steps[bi] % n or n * part * nest.b[ox] == 1:
                continue
            nest.b[bi], nest.left[bi], nest.b[k], nest.left[k] = n, nest.steps[bi] // n, part, -(-filters // part)
            fill_tiles(nest)
            if (nest.tiles[1, 1] + nest.tiles[1, 2]) * 16.0 > fits[1][1, 0]:
                continue
            count(nest)
            number += 1
            for x in range(len(bound)):
                if bound[x] > 0:
                    ratio = min(ratio, nest.features[x] / bound[x])
    return ratio, number


SMALL = st.integers(1, 4)


@settings(max_examples=400, deadline=None)
@given(
    pace=st.tuples(SMALL, SMALL, st.integers(1, 2), st.integers(1, 2)),
    spread=st.tuples(SMALL, st.just(1), SMALL, SMALL, SMALL, SMALL, SMALL, SMALL),
    steps=st.tuples(
        st.sampled_from([1, 2, 6, 12]), SMALL, st.integers(1, 60), st.integers(1, 8), SMALL,
        st.sampled_from([1, 2, 6, 12]), SMALL, st.sampled_from([1, 2, 4, 6]),
    ),
    inside=st.tuples(st.integers(1, 24), st.integers(1, 8), st.sampled_from([1, 2, 4, 6])),
    images=st.tuples(st.integers(1, 12), st.integers(0, 11)), pieces=st.sampled_from([1, 1, 2, 6, 12]),
    starts=st.integers(1, 20), words=st.integers(1, 4000),
)  # fmt: skip
def test_no_feature_is_below_its_bound(pace, spread, steps, inside, images, pieces, starts, words):
    p, q, s = inside
    steps, r, b, left = np.array(steps, dtype=np.int64), *(np.ones(8, dtype=np.int64) for _ in range(3))
    r[2], r[3], r[7] = min(p, steps[2]), min(q, steps[3]), s if steps[7] % s == 0 else 1
    b[6], b[7] = steps[6], steps[7] // r[7]
    left[:] = steps
    left[3], left[6], left[7] = -(-steps[3] // r[3]), 1, 1
    left[5] = pieces if steps[5] % pieces == 0 else 1
    b[5] = steps[5] // left[5]
    first = min(images[0], int(steps[0]))
    last = min(first + images[1], int(steps[0]))
    fits = (SLOTS, np.array([[np.inf] * 3, [words * 16.0, 0.0, 0.0]]), np.zeros((2, 3)), WIDTHS)
    nest = Nest(
        np.array(pace, dtype=np.int64), np.array(spread, dtype=np.int64), starts, steps, r, b, left,
        np.zeros((2, 3)), np.zeros(NUM_FEATURES),
    )  # fmt: skip
    ratio, _ = lowest(nest, fits, first, last)
    assert ratio >= 1 - 1e-12
