"""The line from short runs to full ones, and whether both put candidates in the same order."""

from __future__ import annotations

import math

import numpy as np
import pytest

from search.propose.fidelity import (
    LEAST_CORRELATION,
    LEAST_PAIRS,
    OFFSET_SD,
    RESIDUAL,
    SLOPE_SD,
    Link,
    misleads,
    rank_correlation,
)


def test_without_pairs_a_short_run_is_taken_as_it_is() -> None:
    link = Link.fitted([], [])
    assert (link.offset, link.slope, link.residual) == pytest.approx((0.0, 1.0, RESIDUAL))
    assert link.expected(-2.0) == pytest.approx(-2.0)
    assert link.variance(0.01) == pytest.approx(RESIDUAL**2 + 0.01)


def test_the_line_is_found() -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(-3, 0, 400)
    full = -0.4 + 0.8 * low + rng.normal(0, 0.1, 400)
    link = Link.fitted(low, full)
    assert (link.offset, link.slope, link.residual) == pytest.approx((-0.4, 0.8, 0.1), abs=0.03)
    assert link.variance(0.04) == pytest.approx(link.residual**2 + link.slope**2 * 0.04)


def test_one_pair_moves_it_as_its_prior_allows() -> None:
    """At x = 0 only the offset moves: by s^2 / (s^2 + r^2) of the difference, r the residual that the fit has."""
    link = Link.fitted([0.0], [0.3])
    assert link.slope == pytest.approx(1.0)
    assert link.offset == pytest.approx(0.3 * OFFSET_SD**2 / (OFFSET_SD**2 + link.residual**2), rel=0.01)
    tilted = Link.fitted([-2.0], [-1.0])
    assert 1 - 2 * SLOPE_SD < tilted.slope < 1


def test_the_worst_that_still_reaches_a_level() -> None:
    link = Link(offset=-0.2, slope=0.5, residual=0.1)
    worst = link.worst_low(-2.0, 2.0)
    assert link.expected(worst) - 2 * link.residual == pytest.approx(-2.0)
    assert link.worst_low(-2.0, 0.0) < worst, "luck lets worse runs go on"
    assert link.worst_low(-2.0, 2.0) == pytest.approx((-2.0 + 0.2 + 0.2) / 0.5)
    assert math.isinf(Link(slope=-0.1).worst_low(-2.0, 2.0))


def test_rank_correlation_by_hand() -> None:
    """1 - 6 sum d^2 / (n (n^2 - 1)): ranks 1 2 3 4 against 2 1 3 4 have sum d^2 = 2."""
    assert rank_correlation([1, 2, 3, 4], [20, 10, 30, 40]) == pytest.approx(1 - 12 / 60)
    assert math.isnan(rank_correlation([1.0], [1.0]))
    assert rank_correlation([1, 1, 1], [1, 2, 3]) == 0.0


def test_a_rung_misleads_once_enough_pairs_say_so() -> None:
    ordered = list(range(LEAST_PAIRS))
    assert not misleads(ordered[1:], ordered[:0:-1])
    assert misleads(ordered, ordered[::-1])
    assert not misleads(ordered, ordered)
    shuffled = [2, 0, 1, 5, 3, 4]
    assert rank_correlation(ordered, shuffled) == pytest.approx(1 - 6 * 12 / 210)
    assert misleads(ordered, shuffled) == (LEAST_CORRELATION > 1 - 6 * 12 / 210)
