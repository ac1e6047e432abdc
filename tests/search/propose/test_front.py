"""The proposer: greedy on the prediction at first, then by expected improvement, always within the limits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hwmodel.errors import ConfigError
from search.front.pareto import hypervolume, non_dominated
from search.propose import pool as pool_module
from search.propose.accuracy_model import AccuracyModel, Observations, no_observations
from search.propose.front import FIRST_RUNS, FrontProposer
from search.propose.problem import Floats, Picks, Prior, Problem, accuracy_of


def make_problem(
    decisions: int = 5, options: int = 4, num_costs: int = 1, seed: int = 0, **rest: object
) -> Problem:
    """Rises that fall and costs that rise along every decision."""
    rng = np.random.default_rng(seed)
    rises = [np.sort(rng.uniform(0.1, 1.5, (options, 1)), axis=0)[::-1].copy() for _ in range(decisions)]
    for rise in rises:
        rise[-1] = 0.0
    parts = [np.sort(rng.uniform(0.1, 1, (options, num_costs)), axis=0) for _ in range(decisions)]

    def costs(picks: Picks) -> Floats:
        return np.asarray(sum(part[picks[:, column]] for column, part in enumerate(parts)))

    return Problem(
        prior=Prior(rises=tuple(rises), reference=-2.5), costs=costs, num_costs=num_costs,
        precise=(options - 1,) * decisions, **rest,  # type: ignore[arg-type]
    )  # fmt: skip


def every(problem: Problem) -> Picks:
    return np.array(list(itertools.product(*(range(size) for size in problem.sizes))))


def truth(problem: Problem, picks: Picks, slope: float = 0.3) -> Floats:
    return accuracy_of(-2.5 + slope * problem.prior.totals(picks).sum(axis=1))


def share(problem: Problem, picks: Picks) -> float:
    """Of the hypervolume of the exact front."""
    everything = every(problem)

    def volume(rows: Picks) -> float:
        losses = np.column_stack([problem.costs(rows), -truth(problem, rows)])
        return hypervolume(losses, [*problem.costs(np.array([problem.precise]))[0], 0.0])

    return volume(picks) / volume(everything)


def search(problem: Problem, runs: int, width: int = 1) -> Picks:
    """Runs of an evaluator without noise."""
    proposer, rows = FrontProposer(problem), np.zeros((0, len(problem.sizes)), dtype=np.int64)
    while len(rows) < runs:
        y = -np.log(truth(problem, rows) / (1 - truth(problem, rows)))
        seen = Observations(picks=rows, y=y, variance=np.full(len(rows), 1e-4))
        new = proposer.propose(seen, {row.tobytes() for row in rows}, min(width, runs - len(rows)), len(rows))
        rows = np.concatenate((rows, np.array(new)))
    return rows


def test_the_first_run_is_the_most_precise_and_the_others_are_on_the_predicted_front() -> None:
    problem = make_problem()
    found = FrontProposer(problem).propose(no_observations(5), set(), FIRST_RUNS, 0)
    assert found[0] == problem.precise
    everything = every(problem)
    losses = np.column_stack([problem.costs(everything), problem.prior.totals(everything)])
    front = {tuple(row) for row in everything[non_dominated(losses)].tolist()}
    assert set(found) <= front and len(set(found)) == FIRST_RUNS


def test_each_of_the_first_adds_most_predicted_hypervolume() -> None:
    problem = make_problem(decisions=3)
    found = FrontProposer(problem).propose(no_observations(3), set(), 4, 0)
    everything = every(problem)

    def volume(rows: list[tuple[int, ...]]) -> float:
        picks = np.array(rows)
        losses = np.column_stack([problem.costs(picks), -truth(problem, picks, 0.5)])
        return hypervolume(losses, [*problem.costs(np.array([problem.precise]))[0], 0.0])

    for number in range(1, 4):
        gains = [volume([*found[:number], tuple(row)]) for row in everything.tolist()]
        assert volume(found[: number + 1]) == pytest.approx(max(gains))


@pytest.mark.parametrize("num_costs", [1, 2, 3])
def test_few_runs_reach_the_front(num_costs: int) -> None:
    problem = make_problem(num_costs=num_costs)
    assert share(problem, search(problem, 14)) > (0.97 if num_costs == 1 else 0.9)


def test_a_batch_is_nearly_as_good_as_one_by_one() -> None:
    problem = make_problem(seed=2)
    alone, batched = search(problem, 18), search(problem, 18, width=6)
    assert len({tuple(row) for row in batched.tolist()}) == 18
    assert share(problem, batched) > 0.97 * share(problem, alone)


def test_a_large_space_is_searched_without_listing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = make_problem(decisions=5)
    exact = share(problem, search(problem, 12))
    monkeypatch.setattr(pool_module, "MAX_LISTED", 10)
    assert share(problem, search(problem, 12)) > exact - 0.01


def test_no_candidate_outside_the_limits_is_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = float(np.quantile(make_problem().costs(every(make_problem())), 0.4))
    problem = make_problem(is_allowed=lambda costs: costs[:, 0] <= bound)
    for listed in (10**6, 10):
        monkeypatch.setattr(pool_module, "MAX_LISTED", listed)
        rows = search(problem, 10)
        assert (problem.costs(rows) <= bound).all() and len(rows) == 10
        assert problem.costs(rows).max() > 0.8 * bound


def test_limits_that_nothing_meets_are_said() -> None:
    with pytest.raises(ConfigError, match="limits: none of 1024 candidates is within them"):
        FrontProposer(make_problem(is_allowed=lambda costs: costs[:, 0] < 0))


def test_a_floor_steers_to_what_is_above_it() -> None:
    free, held = make_problem(), make_problem(floor=0.85)
    below = [float((truth(problem, search(problem, 12), 0.3) < 0.85).mean()) for problem in (free, held)]
    assert below[1] < 0.3 < below[0]


def test_an_exhausted_space_proposes_nothing() -> None:
    problem = make_problem(decisions=2, options=2)
    rows = every(problem)
    seen = Observations(picks=rows, y=np.zeros(4), variance=np.zeros(4))
    assert FrontProposer(problem).propose(seen, {row.tobytes() for row in rows}, 3, 0) == []


def test_very_many_results_are_thinned_to_those_near_the_front() -> None:
    problem = make_problem(decisions=6)
    rng = np.random.default_rng(0)
    rows = np.unique(np.stack([rng.integers(4, size=2500) for _ in range(6)], axis=1), axis=0)
    y = -np.log(truth(problem, rows) / (1 - truth(problem, rows)))
    seen = Observations(picks=rows, y=y, variance=np.full(len(rows), 1e-4))
    (found,) = FrontProposer(problem).propose(seen, {row.tobytes() for row in rows}, 1, 0)
    model = AccuracyModel(problem.prior, seen.at(np.arange(200)))
    assert tuple(found) not in {tuple(row) for row in rows.tolist()}
    assert share(problem, np.concatenate((rows, np.array([found])))) >= share(problem, rows)
    assert model.scales.shape == (3,)
