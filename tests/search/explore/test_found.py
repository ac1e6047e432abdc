"""What is said of an exploration: every design is counted once, and every front has a knee of its own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from rich.table import Table

from hwmodel.chip.sweep.space import DesignSpace
from hwmodel.errors import ConfigError
from hwmodel.place.lower import Least
from reports.explore.chips import chips_lines, chips_sheet, chips_table, told
from search.explore.axes import Axes, parse_budget
from search.explore.field import Field
from search.explore.found import ChipExploration, found_of
from search.explore.pricing import Look, Price
from tests.search.codesign.helpers import CHIP
from tests.search.explore.helpers import chip_file

RANGES = {"array.X.size": "1..7+1"}


def marks(table: Table) -> list[str]:
    """The last column of a table."""
    return [str(cell) for cell in table.columns[-1].cells]


def space_in(folder: Path) -> DesignSpace:
    return DesignSpace(chip_file(folder, CHIP), RANGES)


def of_every_kind(folder: Path) -> ChipExploration:
    """Seven designs, each with an end of its own."""
    axes = Axes(names=("energy", "area"), models=("a",), limits=parse_budget("energy<=100 pJ"))
    field = Field(axes, "edp")
    looks = [
        Look(number=0, area_mm2=1.0),
        Look(number=1, area_mm2=2.0),  # bounded above the first one's price
        Look(number=2, area_mm2=0.5),  # priced, and over the budget
        Look(number=3, error="no chip"),
        Look(number=4, unknown=("MACs",)),
        Look(number=5, area_mm2=0.5),  # cannot run the network
        Look(number=6, area_mm2=0.5),  # nobody asks
    ]
    field.add(looks, [(), [Least(9.0, 1.0)], (), (), (), (), ()])
    field.take(
        [
            Price(number=0, energy_pj=(5.0,), cycles=(1.0,)),
            Price(number=2, energy_pj=(200.0,), cycles=(1.0,)),
            Price(number=5, error="too small"),
        ]
    )
    return found_of(space_in(folder), field, ())


def test_every_design_is_counted_once(tmp_path: Path) -> None:
    found = of_every_kind(tmp_path)
    counts = asdict(found.counts)
    assert counts.pop("space") == counts.pop("seen") == 7
    assert counts == dict.fromkeys(counts, 1)
    assert len(found.rows) == found.counts.priced
    assert told(found).startswith(
        "7 designs: 1 priced, 1 ruled out by lower bounds, 1 outside of the budget, 1 no chip, 1 of unknown area, "
        "1 that cannot run a network, 1 not decided; front 1 in energy, area"
    )


def test_a_front_is_that_of_all_where_all_are_decided(tmp_path: Path) -> None:
    tick = "the front is that of evaluating every design by itself"
    found = of_every_kind(tmp_path)
    assert not found.counts.is_whole
    assert tick not in dict(chips_lines(found)).values()
    field = Field(Axes(names=("energy",), models=("a",)), "edp")
    field.add([Look(number=n) for n in range(7)], [[Least(1.0 + n, 1.0)] for n in range(7)])
    field.take([Price(number=n, energy_pj=(1.0 + n,), cycles=(1.0,)) for n in range(2)])
    assert found_of(space_in(tmp_path), field, ()).counts.is_whole  # bounds rule out the others
    assert tick in dict(chips_lines(found_of(space_in(tmp_path), field, ()))).values()
    part = Field(Axes(names=("energy",), models=("a",)), "edp")
    part.add([Look(number=0)], [()])
    part.take([Price(number=0, energy_pj=(1.0,), cycles=(1.0,))])
    assert not found_of(space_in(tmp_path), part, ()).counts.is_whole


def two_fronts(folder: Path) -> ChipExploration:
    """All seven are on both fronts; that of `a` bends at the second design, that of `b` at the sixth."""
    field = Field(Axes(names=("energy", "latency"), models=("a", "b"), per_model=True), "edp")
    bend = [(0.0, 60.0), (1.0, 1.0), (2.0, 0.9), (3.0, 0.8), (4.0, 0.7), (5.0, 0.6), (6.0, 0.5)]
    pairs = list(zip(bend, [(latency, energy) for energy, latency in bend[::-1]], strict=True))
    field.add([Look(number=n, area_mm2=1.0) for n in range(7)], [() for _ in range(7)])
    field.take(
        [
            Price(number=n, energy_pj=(1 + a[0], 1 + b[0]), cycles=(1 + a[1], 1 + b[1]))
            for n, (a, b) in enumerate(pairs)
        ]
    )
    return found_of(space_in(folder), field, ())


def test_every_front_has_its_knee(tmp_path: Path) -> None:
    found = two_fronts(tmp_path)
    assert [(row.number, row.knees) for row in found.rows if row.knees] == [(1, ("a",)), (5, ("b",))]
    for model, number in (("a", 1), ("b", 5)):
        for frame in (found.to_dataframe(model=model), found.to_dataframe(model=model, every=True)):
            assert frame["front"].all()
            assert frame.loc[frame["knee"], "design"].tolist() == [number]
        assert [at for at, cell in enumerate(marks(chips_table(found, model))) if cell == "knee"] == [
            at for at, row in enumerate(found.front(model)) if row.number == number
        ]
    assert found.to_dataframe()["knee"].sum() == 2
    with pytest.raises(ConfigError, match="front: must be of one of a, b"):
        found.to_dataframe(model="c", every=True)


def test_the_page_has_a_chip_file_for_every_knee(tmp_path: Path) -> None:
    found = two_fronts(tmp_path)
    knees = {section.id: section for section in chips_sheet(found).sections if section.id.startswith("knee")}
    assert list(knees) == ["knee-a", "knee-b"]
    for name, number in (("knee-a", 1), ("knee-b", 5)):
        assert knees[name].block == found.design(number).to_yaml()


def test_all_priced_designs_as_a_table(tmp_path: Path) -> None:
    field = Field(Axes(names=("energy", "latency"), models=("a",)), "edp")
    field.add([Look(number=n, area_mm2=1.0) for n in range(7)], [() for _ in range(7)])
    costs = [(1.0, 9.0), (9.0, 9.0), (2.0, 2.0), (9.0, 1.0)]
    field.take([Price(number=n, energy_pj=(energy,), cycles=(time,)) for n, (energy, time) in enumerate(costs)])
    found = found_of(space_in(tmp_path), field, ())
    assert marks(chips_table(found, "a", every=True)) == ["front", "", "knee", "front"]
    assert marks(chips_table(found, "a")) == ["", "knee", ""]


def test_a_caption_names_a_ring_where_there_is_one(tmp_path: Path) -> None:
    """Of a front of one design there is no knee."""
    field = Field(Axes(names=("energy", "latency"), models=("a",)), "edp")
    field.add([Look(number=n, area_mm2=1.0) for n in range(2)], [() for _ in range(2)])
    field.take([Price(number=n, energy_pj=(n + 1.0,), cycles=(n + 1.0,)) for n in range(2)])
    for found, is_ringed in ((found_of(space_in(tmp_path), field, ()), False), (two_fronts(tmp_path), True)):
        captions = [picture.caption for section in chips_sheet(found).sections for picture in section.pictures]
        assert captions and all(("ringed" in caption) == is_ringed for caption in captions)


def test_the_page_says_the_ranges_as_they_are_written(tmp_path: Path) -> None:
    groups = space_in(tmp_path).groups
    sections = {section.id: section for section in chips_sheet(two_fronts(tmp_path)).sections}
    wanted = [
        "; ".join(path + ": " + ", ".join(str(value) for value in own) for path, own in group.items())
        for group in groups
    ]
    assert list(sections["ranges"].text) == wanted
    assert not any(mark in line for line in sections["ranges"].text for mark in "[]'")
