"""The search benchmark: its figure of merit, its problem, and that a short run ends."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks import search


def test_hypervolume_of_two_points():
    # Above accuracy 0.1 and below 8 bits: boxes 0.4 x 4 and, where higher, 0.4 x 2, of 0.9 x 6 in all.
    assert search.hypervolume([(0.9, 6.0), (0.5, 4.0), (0.4, 5.0)]) == pytest.approx(
        (0.4 * 4 + 0.4 * 2) / (0.9 * 6)
    )
    assert search.hypervolume([(0.05, 3.0)]) == 0


def test_more_bits_never_lose_accuracy():
    problem = search.Problem.draw(np.random.default_rng(0))
    path = problem.hull_path(100, np.random.default_rng(0), 0.0)
    scores = [problem.score(point) for point in path]
    assert path[0] == (2,) * search.GROUPS
    assert path[-1] == (0,) * search.GROUPS
    for (accuracy, cost), (worse, cheaper) in itertools.pairwise(scores):
        assert worse <= accuracy
        assert cheaper < cost


@pytest.mark.parametrize("name", ["random", "mutation", "mutation-crossover", "nsga2", "tpe"])
def test_a_proposer_spends_its_budget_once(name):
    problem = search.Problem.draw(np.random.default_rng(1))
    start = search.first_candidates("knapsack", problem, np.random.default_rng(1))
    state = search.Search(problem, 25, start)
    search.PROPOSERS[name](state, 0)
    assert len(state.seen) == 25
    assert list(state.seen)[:3] == start[:3]
