"""Expected hypervolume improvement against hypervolumes of drawn accuracies."""

from __future__ import annotations

import numpy as np
import pytest

from search.front.pareto import hypervolume
from search.propose.acquisition import Front
from search.propose.problem import Floats, accuracy_of


def gain(front: Front, cost: Floats, accuracy: float) -> float:
    """What one point adds to the hypervolume, by two hypervolumes. In shares of the box."""

    def volume(costs: Floats, accuracies: Floats) -> float:
        losses = np.column_stack([costs, -accuracies])
        return hypervolume(losses, [*front.reference, -front.floor])

    box = np.prod(front.reference - front.ideal)
    after = volume(np.vstack([front.costs, cost]), np.append(front.accuracy, accuracy))
    return (after - volume(front.costs, front.accuracy)) / float(box)


def make_front(rng: np.random.Generator, num_costs: int, count: int, floor: float) -> Front:
    return Front(
        costs=rng.uniform(0, 10, (count, num_costs)),
        accuracy=rng.uniform(0.3, 0.9, count),
        ideal=np.zeros(num_costs),
        reference=np.full(num_costs, 10.0),
        floor=floor,
    )


@pytest.mark.parametrize("floor", [0.0, 0.5])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_with_one_cost_it_is_exact(count: int, floor: float) -> None:
    rng = np.random.default_rng(count)
    front = make_front(rng, 1, count, floor)
    costs = rng.uniform(0, 11, (60, 1))
    accuracy = rng.uniform(0.2, 0.99, 60)
    logit = np.log((1 - accuracy) / accuracy)
    expected = [gain(front, cost, a) for cost, a in zip(costs, accuracy, strict=True)]
    assert front.improvement(costs, logit) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("num_costs", [2, 3])
def test_with_more_costs_it_is_close(num_costs: int) -> None:
    rng = np.random.default_rng(num_costs)
    front = make_front(rng, num_costs, 6, 0.1)
    costs = rng.uniform(0, 8, (30, num_costs))
    accuracy = rng.uniform(0.5, 0.99, 30)
    expected = np.array([gain(front, cost, a) for cost, a in zip(costs, accuracy, strict=True)])
    found = front.improvement(costs, np.log((1 - accuracy) / accuracy))
    assert np.abs(found - expected).max() < 0.005


def test_the_expectation_is_that_over_the_posterior() -> None:
    rng = np.random.default_rng(4)
    front = make_front(rng, 1, 5, 0.0)
    cost, mean, deviation = np.array([[1.5]]), np.array([-1.0]), np.array([0.6])
    draws = accuracy_of(rng.normal(mean[0], deviation[0], 4000))
    expected = np.mean([gain(front, cost[0], float(a)) for a in draws])
    assert front.improvement(cost, mean, deviation)[0] == pytest.approx(expected, rel=0.03)


def test_what_can_add_nothing_adds_nothing() -> None:
    front = Front(
        costs=np.array([[2.0]]),
        accuracy=np.array([0.8]),
        ideal=np.array([0.0]),
        reference=np.array([8.0]),
        floor=0.1,
    )
    worse, outside, better = np.array([[3.0]]), np.array([[8.5]]), np.array([[1.0]])
    logit = np.array([np.log(0.3 / 0.7)])
    assert front.improvement(worse, logit)[0] == 0
    assert front.improvement(outside, logit - 3)[0] == 0
    assert front.improvement(better, logit)[0] == pytest.approx((2.0 - 1.0) * (0.7 - 0.1) / 8)
