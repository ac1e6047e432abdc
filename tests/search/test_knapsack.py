"""The budget path is optimal at each of its costs."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from search.propose.knapsack import Option, Selection, budget_path, lower_hull, spread

# integers and halves: sums are exact, so optimality can be tested without tolerance
option = st.builds(
    Option, cost=st.integers(0, 20).map(float), drop=st.integers(-2, 30).map(lambda value: value / 2)
)
groups = st.lists(st.lists(option, min_size=1, max_size=4), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(groups)
def test_every_selection_has_the_least_drop_at_its_cost(options: list[list[Option]]) -> None:
    path = budget_path(options)
    everything = [
        (sum(o.cost for o in choice), sum(o.drop for o in choice)) for choice in itertools.product(*options)
    ]
    for selection in path:
        chosen = [group[pick] for group, pick in zip(options, selection.picks, strict=True)]
        assert selection.cost == sum(o.cost for o in chosen)
        assert selection.drop == min(drop for cost, drop in everything if cost <= selection.cost)
    costs = [selection.cost for selection in path]
    assert costs == sorted(costs, reverse=True)
    assert path[0].drop == min(drop for _, drop in everything)
    assert path[-1].cost == min(cost for cost, _ in everything)


def test_hull_skips_what_two_others_mix() -> None:
    # cost 8 -> 4 saves 4 for 3.0; 8 -> 2 saves 6 for 3.3: the middle lies above the line
    options = [Option(cost=2, drop=3.3), Option(cost=4, drop=3.0), Option(cost=8, drop=0.0)]
    assert lower_hull(options) == [2, 0]


def test_spread_goes_to_the_ends_and_then_into_the_largest_gaps() -> None:
    path = [Selection(picks=(n,), cost=cost, drop=0.0) for n, cost in enumerate([10.0, 9.0, 6.0, 1.0, 0.0])]
    # distances to {0, 10}: 1, 4, 1; then 6 is taken: 9 and 1 are both 1 away
    assert [s.cost for s in spread(path, 99)] == [0.0, 10.0, 6.0, 9.0, 1.0]
    assert [s.cost for s in spread(path, 3)] == [0.0, 10.0, 6.0]
    assert spread(path, 0) == []
    assert spread([], 3) == []


def test_spread_of_equal_costs() -> None:
    same = [Selection(picks=(n,), cost=1.0, drop=float(n)) for n in range(3)]
    assert spread(same, 5) == [same[-1]]
