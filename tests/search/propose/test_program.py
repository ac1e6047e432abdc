"""The integer program against every combination, and against HiGHS."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from search.propose.problem import Floats, Picks
from search.propose.program import hull_path, lower_hull, sweep

Parts = list[Floats]


def random_parts(rng: np.random.Generator, decisions: int, options: int) -> tuple[Parts, Parts]:
    rises = [np.sort(rng.uniform(0, 1, options))[::-1].copy() for _ in range(decisions)]
    costs = [np.sort(rng.uniform(0, 1, options)) for _ in range(decisions)]
    return rises, costs


def sums(parts: Parts, picks: Picks) -> Floats:
    return np.asarray(sum(part[picks[:, column]] for column, part in enumerate(parts)))


def test_the_hull_of_one_decision() -> None:
    #            best  on hull  above it  dominated  cheapest
    rises = np.array([0.0, 0.1, 0.4, 0.5, 0.6])
    costs = np.array([8.0, 4.0, 3.9, 5.0, 2.0])
    assert lower_hull(rises, costs) == [0, 1, 4]


@pytest.mark.parametrize("seed", range(8))
def test_every_step_of_the_path_is_optimal_at_its_cost(seed: int) -> None:
    rises, costs = random_parts(np.random.default_rng(seed), 4, 4)
    everything = np.array(list(itertools.product(*(range(len(rise)) for rise in rises))))
    path = hull_path(rises, costs)
    for cost, rise in zip(sums(costs, path), sums(rises, path), strict=True):
        allowed = everything[sums(costs, everything) <= cost + 1e-12]
        assert rise <= sums(rises, allowed).min() + 1e-12


@pytest.mark.parametrize("seed", range(6))
def test_the_sweep_finds_what_lies_between_the_steps(seed: int) -> None:
    """Against all combinations: at every budget within what rounding the costs may lose."""
    rises, costs = random_parts(np.random.default_rng(seed), 5, 4)
    everything = np.array(list(itertools.product(*(range(len(rise)) for rise in rises))))
    all_rises, all_costs = sums(rises, everything), sums(costs, everything)
    found = sweep(rises, costs, 4000)
    slack = len(rises) * 0.5 * sum(float(np.ptp(cost)) for cost in costs) / 4000
    for budget in np.linspace(all_costs.min() + 2 * slack, all_costs.max(), 40):
        best = all_rises[all_costs <= budget - 2 * slack].min()
        assert sums(rises, found)[sums(costs, found) <= budget].min() <= best + 1e-12
    assert len(found) > len(hull_path(rises, costs))


def by_highs(rises: Parts, costs: Parts, budget: float) -> float:
    sizes = [len(rise) for rise in rises]
    one_each = np.zeros((len(sizes), sum(sizes)))
    for row, (start, size) in enumerate(zip(np.cumsum([0, *sizes]), sizes, strict=False)):
        one_each[row, start : start + size] = 1
    answer = milp(
        np.concatenate(rises), integrality=np.ones(sum(sizes)), bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(one_each, 1, 1),
            LinearConstraint(np.concatenate(costs)[None], -np.inf, budget),
        ],
    )  # fmt: skip
    assert answer.success
    return float(answer.fun)


def test_highs_finds_nothing_better_in_a_larger_space() -> None:
    rises, costs = random_parts(np.random.default_rng(3), 18, 6)
    found = sweep(rises, costs)
    low, high = sum(float(cost.min()) for cost in costs), sum(float(cost.max()) for cost in costs)
    span = sum(float(rise.max()) for rise in rises)
    for budget in np.linspace(low, high, 7)[1:-1]:
        own = sums(rises, found)[sums(costs, found) <= budget].min()
        assert own <= by_highs(rises, costs, budget) + 0.002 * span


def test_a_decision_without_a_choice_and_costs_that_are_all_alike() -> None:
    rises, costs = [np.zeros(1), np.array([0.5, 0.0])], [np.ones(1), np.array([2.0, 2.0])]
    assert hull_path(rises, costs).tolist() == [[0, 1]]
    assert sweep(rises, costs).tolist() == [[0, 1]]
