"""Bounds of chips of many levels, in any sizes; and what the ports of such a chip decide."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from hwmodel.errors import MappingError
from hwmodel.mapper.deep import branch
from hwmodel.mapper.deep.find import deep_mapping
from hwmodel.mapper.deep.floors import DeepFloors
from hwmodel.mapper.kin.chips import as_mapped
from hwmodel.nest.task import Stay, Task
from hwmodel.price.spatial import price
from tests.hwmodel.chips import chip
from tests.hwmodel.mapper.deep.brute import CHIPS
from tests.hwmodel.mapper.test_floors import sized
from tests.hwmodel.mapper.test_monotone import random_layer


def cost(task: Task, metric: str) -> float:
    """Of the best mapping; infinite where nothing fits."""
    try:
        priced = price(task, deep_mapping(task, metric))  # type: ignore[arg-type]
    except MappingError:
        return math.inf
    return sum(priced.energy_pj.values()) if metric == "energy" else float(priced.cycles)


@pytest.mark.parametrize("name", CHIPS)
def test_floors_are_below_the_best_of_every_size_and_near_it(tmp_path, name: str) -> None:
    base = chip(tmp_path, CHIPS[name])
    for seed in range(3):
        rng = random.Random(seed)
        layer, keeper = random_layer(rng), base.keeper
        stay = Stay() if keeper is None else Stay(resident=rng.choice([(), ("I",), ("O",)]))
        tasks = [Task.of(layer, sized(base, factor), stay) for factor in (1, 0.25, 0.5, 3, 1e6)]
        for metric in ("energy", "latency"):
            floors = DeepFloors(tasks[0], metric)  # type: ignore[arg-type]
            for task in tasks:
                found, best = floors.bound(task), cost(task, metric)
                assert found <= best * (1 + 1e-12)
                assert math.isfinite(found) or math.isinf(best)
                assert floors.bound(task) == DeepFloors(task, metric).bound(task)  # type: ignore[arg-type]
            assert found > (0.5 if metric == "energy" else 0.02) * best  # all fits: little is in between


@pytest.mark.parametrize("name", CHIPS)
def test_ports_decide_about_no_energy(tmp_path, name: str) -> None:
    """Nor do clocks and areas: the mapping is that of the chip as the mapper sees it."""
    base, rng = chip(tmp_path, CHIPS[name]), random.Random(name)
    layer = random_layer(rng)
    narrow = replace(
        base,
        levels=tuple(
            replace(
                level,
                memories=tuple(
                    replace(m, read_bits_per_cycle=rng.choice([1, 8, None]), write_bits_per_cycle=3)
                    for m in level.memories
                ),
            )
            for level in base.levels
        ),
    )
    plain = as_mapped(narrow, "energy")
    assert plain == as_mapped(base, "energy")
    found = [deep_mapping(Task.of(layer, one)) for one in (base, narrow, plain)]
    assert found[0] == found[1] == found[2]
    assert as_mapped(narrow, "edp") != as_mapped(base, "edp")


@pytest.mark.parametrize("name", CHIPS)
def test_what_is_known_changes_no_mapping(tmp_path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An energy that some mapping takes, budgets, and how many labels go on in the first walk: only the time."""
    task = Task.of(random_layer(random.Random(name)), chip(tmp_path, CHIPS[name]))
    found = {metric: deep_mapping(task, metric) for metric in ("energy", "edp")}  # type: ignore[arg-type]
    best = cost(task, "energy")
    for share in (0.5, 1.0, 1.1, 2.0):  # nothing takes half as much: it is searched for without
        assert deep_mapping(task, reached=share * best) == found["energy"]
    for budgets, width in (((), 1), ((), 8), ((1.5,), 1)):
        monkeypatch.setattr(branch, "BUDGETS", budgets)
        monkeypatch.setattr(branch, "NARROW", width)
        assert {metric: deep_mapping(task, metric) for metric in found} == found  # type: ignore[arg-type]
