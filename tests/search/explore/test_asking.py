"""Spaces too large to be listed: what is proposed, that it repeats, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from hwmodel import evaluate
from hwmodel.chip.sweep.space import DesignSpace
from hwmodel.mapper.shared import forget_mappings
from search import explore_chips
from search.explore.asking import BATCH, SAMPLERS, Sampler, most_of
from search.explore.axes import Axes
from search.explore.crew import Errand
from search.explore.field import OPEN
from search.explore.ledger import PRICES, PriceLedger
from search.explore.pricing import Look, Price, room_of, widest
from search.explore.walk import Walker
from tests.search.explore.helpers import GRAPH, RANGES, chip_file, front_of, priced_one_by_one, values

#: 1e9 designs and more.
HUGE = {
    "array.X.size": "1..64+1",
    "array.Y.size": "1..64+1",
    "memories.buffer.size": "64 B..64 KiB+64 B",
    "clock": "100 MHz..1000 MHz+1 MHz",
}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sampler_prices_so_many_of_a_huge_space(tmp_path: Path, sampler: str) -> None:
    path = chip_file(tmp_path)
    space = DesignSpace(path, HUGE)
    assert space.size == 64 * 64 * 1024 * 901
    found = explore_chips(GRAPH, path, set=HUGE, trials=12, sampler=sampler, seed=1)
    assert found.counts.priced == 12
    assert found.counts.seen >= 12
    assert any(f"of {space.size:,} designs" in note for note in found.notes)
    for row in found.front():
        forget_mappings()
        cost = evaluate(GRAPH, found.design(row.number).accelerator)
        assert (row.energy_pj["toy"], row.latency_s["toy"]) == (cost.energy_pj, cost.latency_s)


def test_draws_follow_from_the_seed_and_go_on_from_a_folder(tmp_path: Path) -> None:
    path = chip_file(tmp_path)
    first, again, other = (explore_chips(GRAPH, path, set=HUGE, trials=8, seed=seed) for seed in (1, 1, 2))
    assert first.rows == again.rows != other.rows
    explore_chips(GRAPH, path, set=HUGE, trials=4, seed=1, out=tmp_path / "run")
    before = (tmp_path / "run" / PRICES).read_bytes()
    more = explore_chips(GRAPH, path, set=HUGE, trials=8, seed=1, out=tmp_path / "run")
    assert more.counts.priced == 8
    assert (tmp_path / "run" / PRICES).read_bytes().startswith(before)


def test_trials_without_end_find_the_whole_front(tmp_path: Path) -> None:
    """Of a small space every design is seen, and bounds spare some trials."""
    path = chip_file(tmp_path)
    space = DesignSpace(path, RANGES)
    alone = priced_one_by_one(space, {"toy": GRAPH})
    found = explore_chips(GRAPH, path, set=RANGES, trials=1000, objectives="energy,latency")
    assert found.counts.seen == space.size
    assert values(found, found.front(), "toy") == front_of({n: costs["toy"] for n, costs in alone.items()})


def test_the_most_of_a_space_is_that_of_all_its_designs(tmp_path: Path) -> None:
    ranges = [
        {"memories.buffer.size": ["256 B", "4 KiB"], "array.X.size": [2, 1]},
        {"memories.dram.bandwidth": ["100 MB/s", "400 MB/s"]},
        {"clock": ["100 MHz", "50 MHz", "200 MHz"]},  # fewer cycles per second are more bits per cycle
    ]
    space = DesignSpace(chip_file(tmp_path), ranges)
    rooms = [room_of(space.design(number).accelerator) for number in range(space.size)]
    assert most_of(space) == widest(rooms)
    assert widest(rooms)["dram"].read == 400e6 * 8 / 50e6


class Failing:
    """A crew for which every second design cannot run the network."""

    def __init__(self) -> None:
        self.priced: list[int] = []

    def run(self, errands: Sequence[Errand]) -> Iterator[tuple[int, object]]:
        for index, errand in enumerate(errands):
            if errand.method == "look_at":
                yield index, [Look(number=number, area_mm2=1.0) for number in errand.arguments[0]]
            else:
                (number,) = errand.arguments
                self.priced.append(number)
                costs = {"energy_pj": (1e9 / (1 + number),), "cycles": (1.0 + number,)}
                yield index, Price(number=number, error="no") if number % 2 else Price(number=number, **costs)

    def close(self) -> None:
        """Nothing is to be done."""


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_is_left_of_a_batch_comes_first_and_is_told_once_it_is_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    """Failures cost no trial, so a batch goes on in further rounds: nothing of it is passed over, or told open."""
    space = DesignSpace(chip_file(tmp_path), {"array.X.size": "1..64+1", "array.Y.size": "1..64+1"})
    axes = Axes(names=("energy", "latency"), models=("toy",))
    crew = Failing()
    walker = Walker(crew, PriceLedger(None, {}, 1), axes, "energy", space.size, lambda *_: None)
    asking = Sampler(space, walker, axes, name=sampler, seed=3, most={})
    proposed: list[int] = []
    told: list[int] = []
    propose, observe = asking._asker.propose, asking._asker.observe

    def number_of(point: Mapping[str, int]) -> int:
        return space.number(asking._ranges.indices(point))

    def counted(count: int, seen: frozenset[tuple[int, ...]]) -> list[dict[str, int]]:
        assert told == proposed  # all of the batch before, in its order
        points = propose(count, seen)
        proposed.extend(map(number_of, points))
        return points

    def heard(results: Sequence[tuple[Mapping[str, int], object]]) -> None:
        states = [walker.field.state[walker.field.row_of[number_of(point)]] for point, _ in results]
        assert OPEN not in states
        told.extend(number_of(point) for point, _ in results)
        observe(results)

    monkeypatch.setattr(asking._asker, "propose", counted)
    monkeypatch.setattr(asking._asker, "observe", heard)
    field = asking.run(BATCH + 4)
    assert field.num_priced == BATCH + 4
    assert crew.priced == [n for n in proposed if n in set(crew.priced)]  # in the order of the proposals
    assert len(crew.priced) > BATCH + 4
    left = [look.number for look in field.looks if field.state[field.row_of[look.number]] == OPEN]
    assert told == [number for number in proposed if number not in set(left)]
