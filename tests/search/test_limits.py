"""Hard limits on costs, and an accuracy below which nothing is of use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hwmodel.errors import ConfigError
from hwmodel.network.choice import Choice
from search.front.limits import Limits, parse_limits
from search.observer import Observer
from search.propose import reach
from search.propose.pricing import Pricer
from search.space import Space
from search.study import Study
from tests.search.helpers import ToyScorer, ToyTable, make_graph

GRAPH = make_graph()
SPACE = Space.from_graph(GRAPH)


def bound(limits: dict[str, str | float]) -> tuple[float, bool]:
    (limit,) = parse_limits(limits).costs
    return limit.most, limit.is_strict


def test_units_are_those_of_the_tables() -> None:
    assert bound({"latency": "<= 2 ms"}) == (2e-3, False)
    assert bound({"memory": "< 64 KiB"}) == (64 * 1024 * 8, True)
    assert bound({"energy": "<=3 uJ"}) == pytest.approx((3e6, False))
    assert bound({"energy_pj": 5}) == (5.0, False)
    assert bound({"avg_w_bits": "<= 3"}) == (3.0, False)
    assert bound({"avg_w_bits": "<= 3 bit"}) == (3.0, False)


def test_accuracy_is_a_share_from_below() -> None:
    for text in (">= 0.9", ">= 90 %", 0.9, "> 90%"):
        assert parse_limits({"accuracy": text}) == Limits(floor=0.9)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"latensy": "<= 2 ms"}, "limits: objectives: must be among .* but got 'latensy'.*latency"),
        ({"latency": ">= 2 ms"}, "limits: latency is a cost: bound it from above, but got '>= 2 ms'"),
        ({"latency": "2 ms"}, "limits: latency must be bounded as in '<= VALUE', but got '2 ms'"),
        ({"latency": "<= 2 KiB"}, "limits: latency: "),
        ({"latency": "<= nan"}, "limits: latency must be finite"),
        ({"accuracy": "<= 0.9"}, "limits: accuracy must be bounded from below"),
        ({"accuracy": ">= 90"}, "limits: accuracy must be bounded from below"),
        ({"latency": True}, "limits: latency must be bounded as in"),
    ],
)
def test_what_is_no_limit_is_said(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_limits(limits)
    with pytest.raises(ConfigError, match="limits: must be bounds by name"):
        parse_limits([limits])  # type: ignore[arg-type]


def test_limits_survive_a_round_trip() -> None:
    limits = parse_limits({"latency": "<= 2 ms", "memory": "< 64 KiB", "accuracy": 0.9})
    assert parse_limits(limits.to_dict()) == limits
    assert [str(limit) for limit in limits.costs] == ["latency <= 2 ms", "memory < 65.536 kB"]
    assert str(limits) == "latency <= 2 ms, memory < 65.536 kB, accuracy >= 0.9"
    assert (str(Limits()), str(parse_limits({"energy": 4.1e6}))) == ("", "energy <= 4.1 µJ")


def open_study(folder: Path, scorer: ToyScorer, **options: Any) -> Study:
    return Study.create_or_resume(
        folder, graph=GRAPH, space=SPACE, evaluate=scorer, table=ToyTable(),
        objectives=["accuracy", "energy"], **options,
    )  # fmt: skip


@pytest.mark.parametrize("sampler", ["front", "tpe", "nsga2", "random"])
def test_no_second_is_spent_outside(tmp_path: Path, sampler: str) -> None:
    scorer = ToyScorer()
    energies = sorted(
        ToyTable().price({m: c.choice for m, c in SPACE.config(point).layers.items()}).energy_pj
        for point in SPACE.points()
    )
    most = energies[len(energies) // 3]
    study = open_study(tmp_path, scorer, sampler=sampler, limits={"energy": most})
    study.run(trials=9, qat=8)
    results = study.results()
    assert len([r for r in results if r.stage == "qat"]) == 8 == len(scorer.qat_calls)
    assert all(r.costs["energy_pj"] <= most for r in results)


def test_a_bound_cost_need_not_be_an_objective(tmp_path: Path) -> None:
    scorer = ToyScorer()
    study = open_study(tmp_path, scorer, limits={"avg_w_bits": "<= 4"})
    study.run(qat=6)
    assert all(r.costs["avg_w_bits"] <= 4 for r in study.results())


def test_too_few_within_the_limits_end_the_run_and_none_is_an_error(tmp_path: Path) -> None:
    said: list[str] = []

    class Watch(Observer):
        def message(self, text: str) -> None:
            said.append(text)

    energies = sorted(
        ToyTable().price({m: c.choice for m, c in SPACE.config(point).layers.items()}).energy_pj
        for point in SPACE.points()
    )
    study = open_study(tmp_path / "few", ToyScorer(), limits={"energy": energies[3]})
    study.run(qat=10, progress=Watch())
    within = sum(energy <= energies[3] for energy in energies)
    assert len([r for r in study.results() if r.stage == "qat"]) == within < 10
    assert f"No further candidate of the 81 within the limits was found: {within} of 10 runs." in said
    scorer, most = ToyScorer(), energies[0] / 2
    for sampler in ("front", "random"):
        with pytest.raises(ConfigError, match="must hold for some candidate") as refused:
            open_study(tmp_path / sampler, scorer, limits={"energy": most}, sampler=sampler).run(qat=2)
        assert f"energy <= {most / 1e6:g} µJ must" in str(refused.value)
        assert f"the least of 81 is {energies[0] / 1e6:g} µJ. Relax it." in str(refused.value)
    assert not scorer.ptq_calls, "it is said before a single change is measured"


class Opposite:
    """The fewer bits, the less memory and the more energy."""

    def price(self, choices: Mapping[str, Choice]) -> Any:
        totals = ToyTable().price(choices)
        return replace(totals, energy_pj=1e6 / totals.avg_w_bits)


@pytest.mark.parametrize("listed", [10**6, 10])
def test_each_limit_and_all_together_must_be_reachable(listed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "MAX_LISTED", listed)
    pricer = Pricer(GRAPH, Opposite())
    costs = [pricer.costs(SPACE.config(point)) for point in SPACE.points()]
    least = {key: min(cost[key] for cost in costs) for key in ("energy_pj", "memory_bits")}
    shown = {"energy": f"{least['energy_pj'] / 1e3:g} nJ", "memory": f"{least['memory_bits'] / 8e3:g} kB"}
    fine: dict[str, str | float] = {"energy": least["energy_pj"], "memory": least["memory_bits"]}
    for name, key in (("energy", "energy_pj"), ("memory", "memory_bits")):
        reach.check_reachable(SPACE, parse_limits({name: fine[name]}), pricer)
        with pytest.raises(
            ConfigError, match=rf"limits: {name} < .* the least of 81 is {re.escape(shown[name])}\. Relax it"
        ):
            reach.check_reachable(SPACE, parse_limits({name: f"< {least[key]!r}"}), pricer)
    if listed == 10:  # apart, both can be had: what cannot be listed is not refused for less
        reach.check_reachable(SPACE, parse_limits(fine), pricer)
    else:
        with pytest.raises(ConfigError, match=r"none of 81 candidates is within all of them\. Relax one"):
            reach.check_reachable(SPACE, parse_limits(fine), pricer)


def test_candidates_given_outside_the_limits_are_named(tmp_path: Path) -> None:
    said: list[str] = []

    class Watch(Observer):
        def message(self, text: str) -> None:
            said.append(text)

    study = open_study(tmp_path, ToyScorer(), limits={"avg_w_bits": "<= 4"})
    low = dict.fromkeys(SPACE.most_precise, 2)
    study.run(qat=3, candidates=[SPACE.most_precise, low], progress=Watch())
    assert "1 of the candidates given are outside the limits and not scored: avg_w_bits <= 4 bit." in said
    assert [r.origin for r in study.results() if r.stage == "qat"].count("user") == 1


def test_a_floor_is_refused_where_nobody_heeds_it(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="limits: accuracy needs the sampler 'front', which it steers, but got 'tpe'"
    ):
        open_study(tmp_path, ToyScorer(), limits={"accuracy": 0.9}, sampler="tpe")


def test_other_limits_are_another_study(tmp_path: Path) -> None:
    open_study(tmp_path, ToyScorer(), limits={"energy": 1e9}).run(trials=1)
    with pytest.raises(ConfigError, match=r"used limits energy <= 1 mJ, now none\. Choose a new name"):
        open_study(tmp_path, ToyScorer())
    with pytest.raises(ConfigError, match="used sampler 'front', now 'tpe'"):
        open_study(tmp_path, ToyScorer(), limits={"energy": 1e9}, sampler="tpe")
