"""Non-dominated sorting, hypervolume and knee against brute force and figures done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hwmodel.errors import ConfigError
from search.front.pareto import hypervolume, knee, non_dominated, pareto_front, ranks
from tests.search.helpers import make_result

small = settings(max_examples=60, deadline=None)


def points(max_dims: int = 4) -> st.SearchStrategy[np.ndarray]:
    """Few distinct values, so that ties and duplicates are common."""
    shape = st.tuples(st.integers(1, 14), st.integers(1, max_dims))
    return shape.flatmap(lambda s: arrays(np.float64, s, elements=st.integers(0, 4).map(float)))


def brute_front(losses: np.ndarray) -> list[bool]:
    return [
        not any((other <= one).all() and (other < one).any() for other in losses)
        for one in losses
    ]  # fmt: skip


@small
@given(points())
def test_non_dominated_equals_brute_force(losses: np.ndarray) -> None:
    assert non_dominated(losses).tolist() == brute_front(losses)


@small
@given(points())
def test_ranks_peel_fronts(losses: np.ndarray) -> None:
    found = ranks(losses)
    assert found.min() == 0
    for rank in range(found.max() + 1):
        assert brute_front(losses[found >= rank]) == (found[found >= rank] == rank).tolist()


@small
@given(points(max_dims=3))
def test_hypervolume_counts_unit_cells(losses: np.ndarray) -> None:
    """On integer points the dominated volume is the number of dominated unit cells."""
    dims = losses.shape[1]
    corner = np.full(dims, 5.0)
    cells = np.stack(np.meshgrid(*[np.arange(5)] * dims, indexing="ij"), axis=-1).reshape(-1, dims)
    expected = sum((losses <= cell).all(axis=1).any() for cell in cells)
    assert hypervolume(losses, corner) == pytest.approx(expected)


def test_hypervolume_of_a_staircase() -> None:
    # (1, 3), (2, 1) below (4, 4): columns 1..2 of height 1 and 2..4 of height 3
    assert hypervolume([[1, 3], [2, 1], [3, 3], [5, 0]], [4, 4]) == (2 - 1) * (4 - 3) + (4 - 2) * (4 - 1)


def test_hypervolume_is_zero_without_points_inside() -> None:
    assert hypervolume([[4.0, 1.0]], [4.0, 4.0]) == 0.0


def test_infinite_loss_and_nan() -> None:
    assert non_dominated([[0.0, np.inf], [1.0, np.inf]]).tolist() == [True, False]
    with pytest.raises(ConfigError, match="no nan"):
        non_dominated([[np.nan, 1.0]])


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ConfigError, match="shape"):
        non_dominated([1.0, 2.0])
    with pytest.raises(ConfigError, match="2 values"):
        hypervolume([[1.0, 2.0]], [3.0])


def test_no_points() -> None:
    assert non_dominated(np.empty((0, 2))).tolist() == []
    assert pareto_front([], ["accuracy", "avg_w_bits"]) == ()


def test_knee_is_farthest_from_the_chord() -> None:
    # scaled to [0, 1]: sums 1, 0.1 + 0.2, 0.5 + 0.1, 1
    assert knee([[0.0, 10.0], [1.0, 2.0], [5.0, 1.0], [10.0, 0.0]]) == 1


def test_knee_of_degenerate_fronts() -> None:
    assert knee([[3.0, 7.0]]) == 0
    assert knee([[0.0, 1.0], [1.0, 0.0]]) == 0  # both ends lie on the chord: the smaller first loss
    assert knee([[2.0, 1.0], [1.0, 1.0]]) == 1  # an axis without extent plays no part
    with pytest.raises(ConfigError, match="no points"):
        knee(np.empty((0, 2)))


def test_front_of_results_leaves_failures_out_and_keeps_ties() -> None:
    good = make_result(0, correct=900, avg_w_bits=4.0)
    twin = make_result(1, correct=900, avg_w_bits=4.0)
    worse = make_result(2, correct=890, avg_w_bits=4.0)
    cheap = make_result(3, correct=500, avg_w_bits=2.0)
    failed = make_result(4, avg_w_bits=1.0).from_dict(
        {**make_result(4, avg_w_bits=1.0).to_dict(), "status": "failed", "error": "x", "correct": 0, "total": 0}
    )
    results = [good, twin, worse, cheap, failed]
    assert pareto_front(results, ["accuracy", "avg_w_bits"]) == (cheap, good, twin)
    assert pareto_front(results, ["accuracy", "avg_w_bits"], unique=True) == (cheap, good)
