"""Ruling out: whatever the costs and the bounds are, what is left is the front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwmodel.mapper.free import Objective
from hwmodel.place.lower import Least, Widest
from search.explore.axes import AXES, Axes, cost_of, mean, parse_axes, parse_budget
from search.explore.field import NO_AREA, NO_CHIP, OPEN, OUTSIDE, PRICED, RULED_OUT, Field
from search.explore.pricing import Look, Price
from search.front.pareto import non_dominated

DESIGN = st.tuples(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=2, max_size=2),  # costs of two networks
    st.integers(1, 2),  # area
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=2),  # what bounds are below
    st.integers(1, 3),  # ports
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(designs=st.lists(DESIGN, min_size=1, max_size=12), per_model=st.booleans(), limit=st.integers(1, 3))
def test_what_is_left_is_the_front(designs, per_model: bool, limit: int) -> None:
    axes = Axes(
        names=("energy", "latency", "area"), models=("a", "b"), per_model=per_model,
        limits=parse_budget(f"latency<={limit} s"),
    )  # fmt: skip
    field = Field(axes, "edp")
    looks = [
        Look(number=n, area_mm2=float(area), room={"m": Widest(1.0, float(ports), 1.0, 1.0)})
        for n, (_, area, _, ports) in enumerate(designs)
    ]
    leasts = [
        [Least(float(max(0, e - de)), float(max(0, c - dc))) for (e, c), (de, dc) in zip(costs, gaps, strict=True)]
        for costs, _, gaps, _ in designs
    ]
    field.add(looks, leasts)
    field.check_limits()
    while len(rows := field.promising()):
        row = int(rows[0])
        costs = designs[row][0]
        price = Price(
            number=row, energy_pj=tuple(float(e) for e, _ in costs), cycles=tuple(float(c) for _, c in costs)
        )
        field.take([price])
    energy = np.array([[float(e) for e, _ in costs] for costs, *_ in designs])
    latency = np.array([[float(c) for _, c in costs] for costs, *_ in designs])
    area = np.array([float(a) for _, a, *_ in designs])
    within = axes.within(energy, latency, area)
    losses = axes.losses(energy, latency, area)
    order = sorted(range(len(designs)), key=lambda n: (-designs[n][3], n))
    for view in axes.views:
        values = losses[:, list(view.columns)]
        kept = [n for n in order if within[n]]
        expected: dict[tuple[float, ...], int] = {}
        if kept:
            best = non_dominated(values[kept])
            for n, is_best in zip(kept, best, strict=True):
                if is_best:
                    expected.setdefault(tuple(values[n]), n)
        assert sorted(field.front(view.columns).tolist()) == sorted(expected.values())


def two(bounds: Sequence[Least], optimize: Objective = "edp", **looks: Any) -> Field:
    """Two designs of one area, the second with the wider port; compared in energy and latency."""
    field = Field(Axes(names=("energy", "latency"), models=("a",)), optimize)
    rooms = [{"m": Widest(1.0, width, 1.0, 1.0)} for width in (1.0, 4.0)]
    field.add([Look(number=n, room=room, **looks) for n, room in enumerate(rooms)], [[least] for least in bounds])
    return field


def test_of_equals_the_one_with_the_widest_ports_stays() -> None:
    """It is not ruled out by another at its bounds, and rules out another there; both priced, it is the front."""
    first, second = (Price(number=n, energy_pj=(5.0,), cycles=(7.0,)) for n in (0, 1))
    field = two([Least(5.0, 7.0)] * 2)
    field.take([first])
    assert field.state.tolist() == [PRICED, OPEN]
    field.take([second])
    assert field.state.tolist() == [PRICED, PRICED]
    assert field.front((0, 1)).tolist() == [1]
    field = two([Least(5.0, 7.0)] * 2)
    field.take([second])
    assert field.state.tolist() == [RULED_OUT, PRICED]


def test_a_kin_with_wider_ports_rules_out_the_narrower_one() -> None:
    field = Field(Axes(names=("energy", "latency", "area"), models=("a",)), "energy")
    rooms = [{"m": Widest(1.0, width, 1.0, 1.0)} for width in (1.0, 4.0)]
    looks = [Look(number=n, area_mm2=1.0, room=room, kin="k") for n, room in enumerate(rooms)]
    field.add(looks, [[Least(1.0, 1.0)], [Least(1.0, 1.0)]])
    assert field.promising().tolist() == [1]  # the widest goes first, alone
    field.take([Price(number=1, energy_pj=(5.0,), cycles=(7.0,))])
    assert field.state.tolist() == [RULED_OUT, PRICED]
    other = Field(Axes(names=("energy", "latency", "area"), models=("a",)), "edp")  # there no such thing is known
    other.add(looks, [[Least(1.0, 1.0)], [Least(1.0, 1.0)]])
    other.take([Price(number=1, energy_pj=(5.0,), cycles=(7.0,))])
    assert other.promising().tolist() == [0]


@pytest.mark.parametrize(
    ("optimize", "bounds"), [("energy", (5.0, 7.0)), ("latency", (1.0, 7.0)), ("edp", (1.0, 1.0))]
)
def test_what_a_kin_with_wider_ports_says(optimize: Objective, bounds: tuple[float, float]) -> None:
    """Where energy is minimised as much energy and no fewer cycles, where latency is, no fewer cycles."""
    field = two([Least(1.0, 1.0)] * 2, optimize, kin="k")
    field.take([Price(number=1, energy_pj=(5.0,), cycles=(7.0,))])
    assert (field.energy[0, 0], field.cycles[0, 0]) == bounds
    field = two([Least(1.0, 1.0)] * 2, optimize, kin="k")
    field.take([Price(number=0, energy_pj=(5.0,), cycles=(7.0,))])  # narrower ports say nothing of wider ones
    assert (field.energy[1, 0], field.cycles[1, 0]) == (1.0, 1.0)
    field = two([Least(9.0, 9.0), Least(1.0, 1.0)], optimize, kin="k")
    field.take([Price(number=1, energy_pj=(5.0,), cycles=(7.0,))])  # what is known already is more
    assert (field.energy[0, 0], field.cycles[0, 0]) == (9.0, 9.0)


def test_a_price_changes_no_other_price() -> None:
    """Of kin priced together the costs of the second, though they round above, leave those of the first alone."""
    field = two([Least(1.0, 1.0)] * 2, "energy", kin="k", family="k")
    field.take([Price(number=0, energy_pj=(5.0,), cycles=(7.0,)), Price(number=1, energy_pj=(6.0,), cycles=(8.0,))])
    assert field.energy[:, 0].tolist() == [5.0, 6.0]
    assert field.cycles[:, 0].tolist() == [7.0, 8.0]


def test_bounds_that_a_price_raises_over_the_budget_end_a_design() -> None:
    field = Field(Axes(names=("energy",), models=("a",), limits=parse_budget("energy<=3 pJ")), "energy")
    rooms = [{"m": Widest(1.0, width, 1.0, 1.0)} for width in (1.0, 4.0)]
    field.add([Look(number=n, room=room, kin="k") for n, room in enumerate(rooms)], [[Least(1.0, 1.0)]] * 2)
    field.take([Price(number=1, energy_pj=(4.0,), cycles=(1.0,))])
    assert field.state.tolist() == [OUTSIDE, OUTSIDE]


def test_latency_is_cycles_by_the_clock() -> None:
    field = Field(Axes(names=("latency",), models=("a",)), "latency")
    field.add([Look(number=0, clock_hz=4.0), Look(number=1, clock_hz=2.0)], [[Least(0.0, 8.0)], [Least(0.0, 8.0)]])
    assert field.latency(np.array([0, 1])).tolist() == [[2.0], [4.0]]


def test_of_the_rows_that_are_given_alone_some_are_ruled_out() -> None:
    field = Field(Axes(names=("energy",), models=("a",)), "edp")
    field.add([Look(number=n) for n in range(2)], [[Least(5.0, 1.0)]] * 2)
    field.take([Price(number=0, energy_pj=(5.0,), cycles=(1.0,))])
    field.add([Look(number=n) for n in (2, 3)], [[Least(9.0, 1.0)]] * 2)
    field.rule_out(field.rows_on_fronts(), np.array([3]))
    assert field.state.tolist() == [PRICED, RULED_OUT, OPEN, RULED_OUT]


def test_what_is_promising_no_other_bounds_dominate() -> None:
    field = Field(Axes(names=("energy", "latency"), models=("a",)), "edp")
    bounds = [(4.0, 4.0), (1.0, 9.0), (2.0, 2.0), (5.0, 1.0)]
    field.add([Look(number=n) for n in range(4)], [[Least(*bound)] for bound in bounds])
    assert field.promising().tolist() == [2, 3, 1]  # by the product: 4, 5, 9
    field.take([Price(number=2, energy_pj=(6.0,), cycles=(6.0,))])
    assert field.num_priced == 1
    assert field.promising().tolist() == [3, 1, 0]


def test_a_design_of_use_to_one_network_is_not_ruled_out() -> None:
    field = Field(Axes(names=("energy", "latency"), models=("a", "b"), per_model=True), "edp")
    field.add([Look(number=n) for n in range(3)], [[Least(9.0, 9.0), Least(9.0, 9.0)]] * 3)
    field.energy[1], field.energy[2] = (1.0, 9.0), (9.0, 1.0)  # bounds of one network are below what is priced
    field.take([Price(number=0, energy_pj=(5.0, 5.0), cycles=(5.0, 5.0))])
    assert field.state.tolist() == [PRICED, OPEN, OPEN]


def test_an_area_that_is_bounded_must_be_known() -> None:
    field = Field(Axes(names=("energy",), models=("a",), limits=parse_budget("area<=3 mm2")), "energy")
    field.add([Look(number=0, unknown=("MACs",)), Look(number=1, area_mm2=2.0)], [()] * 2)
    assert field.state.tolist() == [NO_AREA, OPEN]
    assert field.errors == {0: "no area is stated for MACs"}
    free = Field(Axes(names=("energy",), models=("a",)), "energy")
    free.add([Look(number=0, unknown=("MACs",)), Look(number=1, error="no chip")], [()] * 2)
    assert free.state.tolist() == [OPEN, NO_CHIP]


def test_larger_memories_bound_the_energy_of_smaller_ones() -> None:
    field = Field(Axes(names=("energy", "area"), models=("a",)), "energy")
    rooms = [{"m": Widest(size, 1.0, 1.0, 1.0)} for size in (1.0, 4.0)]
    looks = [Look(number=n, area_mm2=3.0 - n, room=room, like="k", family="k") for n, room in enumerate(rooms)]
    field.add(looks, [[Least(1.0, 1.0)], [Least(1.0, 1.0)]])
    field.take([Price(number=1, energy_pj=(5.0,), cycles=(7.0,))])
    assert field.energy[0, 0] == pytest.approx(5.0) and field.energy[0, 0] < 5.0  # sums may round apart
    smaller = Field(Axes(names=("energy", "area"), models=("a",)), "energy")
    smaller.add(looks, [[Least(1.0, 1.0)], [Least(1.0, 1.0)]])
    smaller.take([Price(number=0, energy_pj=(5.0,), cycles=(7.0,))])
    assert smaller.energy[1, 0] == 1.0  # a larger one may take less
    for optimize, looked in (("latency", looks), ("energy", [replace(look, family="") for look in looks])):
        other = Field(Axes(names=("energy", "area"), models=("a",)), optimize)
        other.add(looked, [[Least(1.0, 1.0)], [Least(1.0, 1.0)]])
        other.take([Price(number=1, energy_pj=(5.0,), cycles=(7.0,))])
        assert other.energy[0, 0] == 1.0
    known = Field(Axes(names=("energy", "area"), models=("a",)), "energy")
    known.add(looks, [[Least(9.0, 1.0)], [Least(1.0, 1.0)]])
    known.take([Price(number=1, energy_pj=(5.0,), cycles=(7.0,))])
    assert known.energy[0, 0] == 9.0


def test_what_is_outside_by_its_bounds_is_not_priced() -> None:
    field = Field(Axes(names=("energy",), models=("a",), limits=parse_budget("energy<=3 pJ")), "energy")
    field.add([Look(number=0)], [[Least(4.0, 1.0)]])
    field.check_limits()
    assert field.state.tolist() == [OUTSIDE]


def test_a_mean_of_bounds_is_a_bound() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(1, 1e12, (1000, 3))
    assert (mean(values * rng.uniform(0, 1, (1000, 3))) <= mean(values)).all()
    assert mean(np.array([[3.3]])).tolist() == [3.3]


def test_a_mean_of_many_networks_stays_among_them() -> None:
    """The product of 60 energies [pJ] is no float, that of 60 latencies [s] is none either."""
    for value in (1e12, 1e-7):
        assert mean(np.full((1, 60), value)) == pytest.approx([value], rel=1e-12)
    assert mean(np.array([[1e200, 1e220, 1e240]])) == pytest.approx([1e220], rel=1e-12)


@pytest.mark.parametrize("name", AXES)
def test_every_axis_is_a_cost(name: str) -> None:
    assert (cost_of(name).name, cost_of(name).key.split("_")[0]) == (name, name)


@pytest.mark.parametrize("text", ["area", "area<=", "area>=4 mm2", "area<=4 mJ", "area<=4 mm2,area<=3 mm2", "x<=3"])
def test_a_budget_that_is_none(text: str) -> None:
    with pytest.raises(Exception, match="budget"):
        parse_budget(text)


def test_axes_by_name() -> None:
    assert parse_axes("energy, area") == ("energy", "area")
    for text in ("energy,energy", "enrgy", ""):
        with pytest.raises(Exception, match="objectives"):
            parse_axes(text)
