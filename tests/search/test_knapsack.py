"""The budget path is optimal at each of its costs; the candidates made from it, and the drops it stands on."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.front.objective import Objective, resolve_objectives
from search.propose.knapsack import Option, Selection, budget_path, lower_hull, spread
from search.propose.pricing import Pricer
from search.propose.sensitivity import ScoreCache, Sensitivity, knapsack_points, measure_sensitivity
from search.scoring import Outcome
from search.space import Space
from tests.search.helpers import ToyTable, drop_of, make_graph
from workloads.compress.config import CompressionConfig
from workloads.training import Accuracy

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


def test_of_options_with_equal_drop_the_cheapest_stays_and_of_equal_options_the_first() -> None:
    options = [Option(cost=5, drop=0), Option(cost=3, drop=0), Option(cost=3, drop=0), Option(cost=9, drop=0)]
    assert lower_hull(options) == [1]


def test_an_option_on_the_line_between_two_others_is_no_step_of_its_own() -> None:
    assert lower_hull([Option(cost=0, drop=4), Option(cost=2, drop=2), Option(cost=4, drop=0)]) == [2, 0]


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


GRAPH = make_graph()
SPACE = Space.from_graph(GRAPH)
DROPS = Sensitivity(
    reference=0.98,
    drops={p.name: {int(bits): drop_of(p.group, int(bits)) for bits in p.values} for p in SPACE.parameters},
)
ENERGY, MEMORY = resolve_objectives(["accuracy", "energy", "memory"])[1:]


def candidates(costs: list[Objective], count: int) -> list[tuple[int, ...]]:
    points = knapsack_points(SPACE, DROPS, Pricer(GRAPH, ToyTable()), costs, count)
    return [SPACE.indices(point) for point in points]


def test_costs_take_turns_and_a_candidate_of_both_is_named_once() -> None:
    energy, memory = candidates([ENERGY], 99), candidates([MEMORY], 99)
    assert energy != memory and energy[:2] == memory[:2], "the ends are the same"
    turns = [item for turn in itertools.zip_longest(energy, memory) for item in turn if item is not None]
    expected = list(dict.fromkeys(turns))
    assert candidates([ENERGY, MEMORY], 99) == expected
    assert candidates([ENERGY, MEMORY], 5) == expected[:5]


def test_candidates_are_optimal_at_their_own_cost() -> None:
    """Drops and energies of the toy network add up, so every point of the space can be compared."""
    table = Pricer(GRAPH, ToyTable())
    everything = [
        (table.costs(SPACE.config(point))["energy_pj"], DROPS.predicted_drop(point)) for point in SPACE.points()
    ]
    found = [SPACE.point(indices) for indices in candidates([ENERGY], 99)]
    assert len(found) > 5
    for point in found:
        cost, drop = table.costs(SPACE.config(point))["energy_pj"], DROPS.predicted_drop(point)
        assert drop == pytest.approx(min(other for price, other in everything if price <= cost * (1 + 1e-12)))


# ---- sensitivities -------------------------------------------------------------------------------


def test_drops_are_differences_from_the_reference_and_a_failure_loses_all(tmp_path: Path) -> None:
    first, second = (parameter.name for parameter in SPACE.parameters[:2])
    module = SPACE.parameters[0].group

    def score(config: CompressionConfig) -> Outcome:
        bits = config.layers[module].w_bits
        if bits == 2:
            return Outcome(accuracy=None, error="RuntimeError: no memory")
        return Outcome(accuracy=0.75 if bits == 4 else 0.5)

    found = measure_sensitivity(SPACE, score, ScoreCache(tmp_path / "s.json"))
    assert found.reference == 0.5
    assert found.drops[first] == {8: 0.0, 4: -0.25, 2: 0.5}
    assert found.drops[second] == {8: 0.0, 4: 0.0, 2: 0.0}
    assert found.predicted_drop(SPACE.most_precise) == 0.0
    assert found.predicted_drop({**SPACE.most_precise, first: 2, second: 4}) == 0.5


def test_what_was_scored_is_read_back(tmp_path: Path) -> None:
    outcomes = {
        "count": Outcome(accuracy=Accuracy(correct=3, total=4), wall_s=1.5),
        "fraction": Outcome(accuracy=0.25),
        "zero": Outcome(accuracy=0.0),
        "failed": Outcome(accuracy=None, error="RuntimeError: no memory", wall_s=0.5),
    }
    cache = ScoreCache(tmp_path / "s.json")
    for key, outcome in outcomes.items():
        cache.put(key, outcome, "p", 2)
    again = ScoreCache(tmp_path / "s.json")
    assert {key: again.get(key) for key in outcomes} == outcomes
    assert again.get("other") is None
