"""Promotion, mutation, and the choice of one candidate."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.errors import ConfigError
from search.choosing import pick_or_knee
from search.front.objective import resolve_objectives
from search.front.picking import pick
from search.front.results import Result
from search.propose.mutation import mutate_front
from search.propose.promotion import promote
from search.space import Space
from tests.search.helpers import make_graph, make_result

AXES = resolve_objectives(["accuracy", "avg_w_bits"])
SPACE = Space.from_graph(make_graph())


def many(pairs: list[tuple[int, float]]) -> list[Result]:
    return [make_result(n, correct=correct, avg_w_bits=bits) for n, (correct, bits) in enumerate(pairs)]


def test_low_bits_are_not_starved_where_ptq_collapses() -> None:
    results = many([(980, 8.0), (979, 7.5), (978, 7.2), (970, 6.5), (400, 4.2), (110, 3.1), (105, 2.0)])
    chosen = promote(results, AXES, 4)
    # four bins of width 1.5 from 2.0; 5.0 .. 6.5 is empty
    assert {int((result.costs["avg_w_bits"] - 2.0) / 1.5) for result in chosen} == {0, 1, 3}
    # the interval of 980 of 1,000 begins at 0.969: those from 970 on count as equal, the cheapest goes first
    assert [result.costs["avg_w_bits"] for result in chosen] == [2.0, 6.5, 4.2, 7.2]


def test_the_best_of_a_bin_goes_first_and_ties_go_to_the_sensitivities() -> None:
    # the interval of 900/1000 begins at 880 images: 905 and 900 are equal, 850 is not
    results = many([(905, 4.0), (900, 3.9), (850, 3.8)])
    drops = {0: 0.3, 1: 0.1, 2: 0.0}
    by_drop = promote(results, AXES, 1, lambda result: drops[result.number])
    assert [result.number for result in by_drop] == [1]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1000), st.floats(2, 8)), min_size=1, max_size=25),
    st.integers(0, 30),
)
def test_promotion_is_a_subset_with_the_cheapest(pairs: list[tuple[int, float]], count: int) -> None:
    results = many(pairs)
    chosen = promote(results, AXES, count)
    assert len(chosen) == min(count, len(results)) == len({result.number for result in chosen})
    if count > 1:
        assert chosen[0].costs["avg_w_bits"] == min(bits for _, bits in pairs)
    assert promote(results, AXES, count) == chosen


def test_the_uniform_candidate_that_reports_compare_with_is_finetuned() -> None:
    results = [
        replace(make_result(n, correct=correct, avg_w_bits=bits), origin=origin)
        for n, (correct, bits, origin) in enumerate(
            [(900, 8.0, "uniform"), (980, 7.9, "sampler"), (950, 4.0, "uniform"), (500, 2.0, "uniform")]
        )
    ]
    assert [result.number for result in promote(results, AXES, 3)] == [3, 0, 1]
    assert [result.number for result in promote(results, AXES, 2)] == [3, 0]


THREE = resolve_objectives(["accuracy", "avg_w_bits", "energy"])


def same_bits(pairs: list[tuple[int, float]]) -> list[Result]:
    """(images right of 1,000, energy), all of 4 bits: one bin."""
    return [make_result(n, correct=correct, energy_pj=energy) for n, (correct, energy) in enumerate(pairs)]


def test_outside_the_noise_the_rank_over_every_objective_comes_first_then_accuracy_then_number() -> None:
    # the interval of 900/1000 begins at 880: all others are worse. 1 is dominated by 0; 2, 3 and 4 buy energy
    results = same_bits([(900, 9.0), (800, 10.0), (700, 5.0), (750, 7.0), (750, 7.0)])
    assert [result.number for result in promote(results, THREE, 5)] == [0, 3, 4, 2, 1]


def test_within_the_noise_cost_and_then_the_number_decide() -> None:
    results = many([(900, 4.0), (899, 3.9), (899, 3.9)])
    assert [result.number for result in promote(results, AXES, 1)] == [1]


def test_of_two_cheapest_the_more_accurate_and_of_two_uniform_the_first_goes_to_the_end() -> None:
    results = many([(500, 2.0), (600, 2.0), (990, 8.0), (980, 5.0)])
    assert promote(results, AXES, 2)[0].number == 1
    uniform = [replace(result, origin="uniform") for result in many([(900, 8.0), (950, 8.0), (100, 2.0)])]
    assert [result.number for result in promote(uniform, AXES, 2)] == [2, 0]


def test_there_are_as_many_bins_of_equal_width_as_places() -> None:
    # two bins of width 3 from 2.0: {2.0, 4.9} and {5.1, 8.0}; the second place is the best of the upper one
    results = many([(600, 2.0), (990, 4.9), (900, 5.1), (800, 8.0)])
    assert [result.costs["avg_w_bits"] for result in promote(results, AXES, 2)] == [2.0, 5.1]


def test_failures_are_not_promoted() -> None:
    failed = Result(number=0, stage="ptq", key="a", status="failed", error="x", costs={"avg_w_bits": 2.0})
    assert promote([failed], AXES, 3) == []


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31 - 1), st.data())
def test_mutations_are_near_new_and_repeatable(seed: int, data: st.DataObject) -> None:
    parent = tuple(data.draw(st.integers(0, 2)) for _ in SPACE.parameters)
    seen = frozenset({parent})
    child = mutate_front(SPACE, [SPACE.point(parent)], seen, seed)
    assert child is not None
    steps = [abs(a - b) for a, b in zip(SPACE.indices(child), parent, strict=True)]
    assert max(steps) == 1 and 1 <= sum(steps) <= 3
    assert mutate_front(SPACE, [SPACE.point(parent)], seen, seed) == child


def test_no_neighbour_left() -> None:
    everything = frozenset(SPACE.indices(point) for point in SPACE.points())
    assert mutate_front(SPACE, [SPACE.most_precise], everything, 0) is None
    assert mutate_front(SPACE, [], frozenset(), 0) is None


FRONT = tuple(many([(800, 2.0), (950, 3.0), (960, 5.0), (970, 8.0)]))


@pytest.mark.parametrize(
    ("rule", "number"),
    [
        ("knee", 1),  # scaled sums 1, 1/6 + 2/17, 3/6 + 1/17, 1
        ("accurate", 3),
        ("cheapest", 0),
        (2, 2),
        ("2", 2),
        ({"accuracy": ">=0.95"}, 1),
        ({"accuracy": ">0.95"}, 2),
        ({"accuracy": 0.96}, 2),
        ("accuracy >= 0.955", 2),
        ({"avg_w_bits": "<=5"}, 2),
        ("avg_w_bits<5, accuracy>=0.8", 0),
        ("accuracy>=0.8, accuracy>=0.955", 2),  # both hold
    ],
)
def test_pick(rule: object, number: int) -> None:
    assert pick(FRONT, AXES, rule).number == number  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("kneee", "Did you mean 'knee'"),
        (9, "candidate 9 is not on the front, which holds 0, 1, 2, 3"),
        ({"accuracy": ">=0.99"}, "none of 4 candidates has accuracy >= 0.99; the best has 0.97"),
        ({"acuracy": ">=0.9"}, "Did you mean 'accuracy'"),
        ({"accuracy": "=0.9"}, "must be bounded as in '>=0.95'"),
        ("accuracy>=lots", "must be bounded"),
        ("accuracy>=95", "write 0.95 for 95 %"),
        ({"avg_w_bits": float("nan")}, "cannot be <= nan"),
        (-1, "a candidate's number, but got -1"),
        (True, "but got True"),
        ({}, "but got {}"),
    ],
)
def test_bad_picks(rule: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pick(FRONT, AXES, rule)  # type: ignore[arg-type]


@pytest.mark.parametrize(("rule", "missed"), [("accuracy>=0.99", True), (9, True), ("accuracy>=0.955", False)])
def test_a_rule_that_none_meets_falls_back_to_the_knee(rule: str | int, missed: bool) -> None:
    picked, note = pick_or_knee(FRONT, AXES, rule)
    assert picked == pick(FRONT, AXES, "knee" if missed else rule)
    assert ("The knee, candidate 1, is picked" in note) == missed
    with pytest.raises(ConfigError, match="Did you mean 'knee'"):
        pick_or_knee(FRONT, AXES, "kne")


def test_empty_front() -> None:
    with pytest.raises(ConfigError, match="empty"):
        pick((), AXES)


def test_a_bare_fraction_has_no_noise() -> None:
    results = [
        Result(number=n, stage="ptq", key=str(n), score=score, costs={"avg_w_bits": 4.0})
        for n, score in enumerate((0.89, 0.9))
    ]
    assert [r.number for r in promote(results, AXES, 1, lambda result: 1.0 + result.number)] == [1]


def test_every_parent_of_the_front_has_children_and_none_was_seen() -> None:
    low, high = (SPACE.point([end] * len(SPACE.parameters)) for end in (0, 2))
    children = set()
    for seed in range(24):
        child = mutate_front(SPACE, [low, high], frozenset(children), seed)
        assert child is not None and SPACE.indices(child) not in children
        children.add(SPACE.indices(child))
    # a child lies one to three steps from its parent: 0 .. 3 in sum from the lowest, 5 .. 8 from the highest
    assert {sum(child) <= 3 for child in children} == {True, False}


def test_scores_without_counts_promote_too() -> None:
    results = [
        Result(number=n, stage="ptq", key=str(n), score=n / 10, costs={"avg_w_bits": float(n)}) for n in range(9)
    ]
    assert results[3].interval is None
    assert len(promote(results, AXES, 5)) == 5
