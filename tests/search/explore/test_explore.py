"""The front of an exploration is that of evaluating every design by itself, however it comes about."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest

from hwmodel.chip.sweep.designs import MAX_DESIGNS
from hwmodel.chip.sweep.space import DesignSpace
from hwmodel.errors import AcceleratorError, ConfigError
from hwmodel.network.graph import LayerGraph
from search import explore_chips
from search.explore import walk
from search.explore.explore import FIRST, _tried
from search.explore.ledger import MANIFEST, PRICES
from tests.search.codesign.helpers import CHIP
from tests.search.explore.helpers import (
    DEEP,
    DEEP_RESIDENT,
    GRAPH,
    RANGES,
    RESIDENT,
    UNEVEN,
    UNEVEN_RESIDENT,
    area_of,
    chip_file,
    front_of,
    priced_one_by_one,
    values,
)


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds are compared after a few prices, as they are in a space of many designs."""
    monkeypatch.setattr(walk, "ROUND", 4)


TEXTS = {
    "plain": CHIP, "resident": RESIDENT, "deep": DEEP, "deep and resident": DEEP_RESIDENT, "uneven": UNEVEN,
    "uneven and resident": UNEVEN_RESIDENT,
}  # fmt: skip
EACH = [(name, optimize) for name in ("plain", "resident") for optimize in ("energy", "latency", "edp")]
EACH += [("deep", "energy"), ("deep", "latency"), ("deep and resident", "energy"), ("deep and resident", "edp")]
EACH += [("uneven", "energy"), ("uneven and resident", "energy")]
#: Presets of other kinds, and what differs: their bounds are those of one pass of the operands, or of energy alone.
PRESETS = {
    "ethos_u55_32": {
        "memories.shram.size": ["8 KiB", "16 KiB"], "memories.flash.bandwidth": ["1 bit/cycle", "8 bit/cycle"],
        "memories.sram.read_energy": ["1 pJ/bit", "2 pJ/bit"],
    },
    "eyeriss": {
        "memories.glb.size": ["20 KiB", "100 KiB"], "memories.dram.bandwidth": ["2 bit/cycle", "64 bit/cycle"],
        "array.X.size": [7, 14],
    },
    "gemmini": {
        "memories.scratchpad.size": ["1 KiB", "256 KiB"],
        "memories.dram.bandwidth": ["8 bit/cycle", "99 bit/cycle"],
        "memories.dram.read_energy": ["10 pJ/bit", "20 pJ/bit"],
    },
    "simba": {
        "memories.weight buffer.size": ["128 B", "32 KiB"],
        "memories.dram.bandwidth": ["2 bit/cycle", "100 bit/cycle"],
        "array.PE.size": [2, 16],
    },
}  # fmt: skip


def wide(graph: LayerGraph, name: str) -> LayerGraph:
    """Another network: the first layers of a graph alone."""
    return LayerGraph(name, list(graph.layers[:3]), [edge for edge in _edges(graph) if edge[1] in _names(graph)])


def _edges(graph: LayerGraph) -> list[tuple[str, str, object]]:
    return [(a, b, data["tensor"]) for a, b, data in graph.digraph.edges(data=True)]


def _names(graph: LayerGraph) -> set[str]:
    return {layer.name for layer in graph.layers[:3]}


@pytest.mark.parametrize(("name", "optimize"), EACH)
def test_the_front_is_that_of_every_design_by_itself(tmp_path: Path, name: str, optimize: str) -> None:
    path = chip_file(tmp_path, TEXTS[name])
    space = DesignSpace(path, RANGES)
    alone = priced_one_by_one(space, {"toy": GRAPH}, optimize)
    found = explore_chips(GRAPH, path, set=RANGES, optimize=optimize)  # type: ignore[arg-type]
    points = {number: (*costs["toy"], area_of(space, number)) for number, costs in alone.items()}
    assert values(found, found.front(), "toy") == front_of(points)
    for row in found.rows:  # every priced design, not the front alone
        assert (row.energy_pj["toy"], row.latency_s["toy"]) == alone[row.number]["toy"]
        assert row.area_mm2 == area_of(space, row.number)
    counts = found.counts
    assert counts.space == counts.seen == 36
    assert counts.priced + counts.ruled_out == 36
    assert counts.ruled_out > 0 or optimize != "energy"


def test_tiles_of_both_kinds_in_one_sweep(tmp_path: Path) -> None:
    ranges = {**RANGES, "tiles": ["even", "uneven"]}
    space = DesignSpace(chip_file(tmp_path, DEEP), ranges)
    alone = priced_one_by_one(space, {"toy": GRAPH})
    found = explore_chips(GRAPH, space, objectives=["energy", "latency"])
    assert values(found, found.front(), "toy") == front_of({n: costs["toy"] for n, costs in alone.items()})
    both = [space.design(number).values["tiles"] for number in alone]
    assert both.count("even") == both.count("uneven") == 36


@pytest.mark.parametrize("name", PRESETS)
def test_the_front_of_other_kinds_of_chips(name: str) -> None:
    space = DesignSpace(name, PRESETS[name])
    alone = priced_one_by_one(space, {"toy": GRAPH})
    found = explore_chips(GRAPH, space, objectives=["energy", "latency"])
    points = {number: costs["toy"] for number, costs in alone.items()}
    assert values(found, found.front(), "toy") == front_of(points)
    for row in found.rows:
        assert (row.energy_pj["toy"], row.latency_s["toy"]) == alone[row.number]["toy"]
    assert found.counts.priced + found.counts.ruled_out == space.size
    assert found.counts.ruled_out > 0 or name != "simba"  # elsewhere bounds of cycles are low


def test_of_equal_designs_the_widest_ports_stay(tmp_path: Path) -> None:
    """The last bandwidth limits nothing: where an earlier one does not either, the widest is named."""
    path = chip_file(tmp_path)
    ranges = {"memories.dram.bandwidth": ["1000 bit/cycle", "4000 bit/cycle", "2000 bit/cycle"]}
    (row,) = explore_chips(GRAPH, path, set=ranges).front()
    assert row.values == {"memories.dram.bandwidth": "4000 bit/cycle"}


@pytest.mark.parametrize("per_model", [False, True])
def test_several_networks(tmp_path: Path, per_model: bool) -> None:
    path, graphs = chip_file(tmp_path), {"toy": GRAPH, "head": wide(GRAPH, "head")}
    space = DesignSpace(path, RANGES)
    alone = priced_one_by_one(space, graphs)
    found = explore_chips(graphs, path, set=RANGES, per_model=per_model)
    if per_model:
        for name in graphs:
            points = {number: (*costs[name], area_of(space, number)) for number, costs in alone.items()}
            assert values(found, found.front(name), name) == front_of(points)
        return
    means = {
        number: (
            math.sqrt(costs["toy"][0] * costs["head"][0]), math.sqrt(costs["toy"][1] * costs["head"][1]),
            area_of(space, number),
        )
        for number, costs in alone.items()
    }  # fmt: skip
    assert sorted(values(found, found.front())) == [pytest.approx(row) for row in sorted(front_of(means))]
    frame = found.to_dataframe()
    assert {"energy_pj", "energy_pj:toy", "latency_s:head", "cycles:toy"} <= set(frame.columns)


def test_a_budget_leaves_what_is_within_it(tmp_path: Path) -> None:
    path = chip_file(tmp_path)
    space = DesignSpace(path, RANGES)
    alone = priced_one_by_one(space, {"toy": GRAPH})
    points = {number: (*costs["toy"], area_of(space, number)) for number, costs in alone.items()}
    area, latency = sorted(p[2] for p in points.values())[20], sorted(p[1] for p in points.values())[18]
    kept = {n: p for n, p in points.items() if p[2] <= area and p[1] <= latency}
    assert kept
    found = explore_chips(GRAPH, path, set=RANGES, budget=f"area<={area!r} mm2, latency<={latency!r} s")
    assert values(found, found.front(), "toy") == front_of(kept)
    assert found.counts.outside > 0
    with pytest.raises(ConfigError, match="budget: must bound one of energy, latency, area, but got 'aera'"):
        explore_chips(GRAPH, path, budget="aera<=4 mm2")


def test_two_processes_find_the_same(tmp_path: Path) -> None:
    path = chip_file(tmp_path, RESIDENT)
    first, second = (explore_chips(GRAPH, path, set=RANGES, jobs=jobs) for jobs in (1, 2))
    assert first.rows == second.rows
    assert first.counts == second.counts


class StopError(Exception):
    """The run is ended."""


def test_an_ended_run_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    path = chip_file(tmp_path)
    whole = explore_chips(GRAPH, path, set=RANGES, out=tmp_path / "whole")
    said: list[int] = []

    def stop(what: str, done: int, total: int, front: int) -> None:
        said.append(done)
        if what == "designs" and len(said) > 14:
            raise StopError

    with pytest.raises(StopError):
        explore_chips(GRAPH, path, set=RANGES, out=tmp_path / "ended", progress=stop)
    prices = tmp_path / "ended" / PRICES
    before = prices.read_bytes()
    assert 0 < before.count(b"\n") < whole.counts.priced
    with prices.open("ab") as file:  # a line that was being written
        file.write(b'{"design": 3, "ener')
    again = explore_chips(GRAPH, path, set=RANGES, out=tmp_path / "ended")
    assert (again.rows, again.counts) == (whole.rows, whole.counts)
    assert prices.read_bytes().startswith(before)
    last = prices.read_bytes()
    explore_chips(GRAPH, path, set=RANGES, out=tmp_path / "ended", budget="area<=1 m^2")  # asks for nothing new
    assert prices.read_bytes() == last


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    path, folder = chip_file(tmp_path), tmp_path / "run"
    explore_chips(GRAPH, path, set={"array.X.size": [1, 2]}, out=folder)
    with pytest.raises(ConfigError, match="was made with another ranges"):
        explore_chips(GRAPH, path, set={"array.X.size": [1, 2, 4]}, out=folder)
    with pytest.raises(ConfigError, match="was made with another optimize"):
        explore_chips(GRAPH, path, set={"array.X.size": [1, 2]}, optimize="edp", out=folder)
    pair = {"toy": GRAPH, "head": wide(GRAPH, "head")}
    explore_chips(pair, path, set={"array.X.size": [1]}, out=tmp_path / "pair")
    with pytest.raises(ConfigError, match="was made with another models"):
        explore_chips(dict(reversed(pair.items())), path, set={"array.X.size": [1]}, out=tmp_path / "pair")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / MANIFEST).unlink()
    with pytest.raises(ConfigError, match=r"holds prices.jsonl, but no explore.json"):
        explore_chips(GRAPH, path, set={"array.X.size": [1, 2]}, out=copy)
    text = (folder / PRICES).read_text()
    (folder / PRICES).write_text(text.replace('"cycles": [', '"cycles": [1'))
    with pytest.raises(ConfigError, match="was changed"):
        explore_chips(GRAPH, path, set={"array.X.size": [1, 2]}, out=folder)


def test_what_can_be_no_chip_is_counted_with_the_first_reason(tmp_path: Path) -> None:
    path = chip_file(tmp_path)
    found = explore_chips(GRAPH, path, set={"memories.buffer.size": ["1 B", "64 B", "1 KiB"]})
    assert found.counts.no_chip == 1
    assert any("1 of 3 designs can be no chip" in note and "1 B" in note for note in found.notes)
    with pytest.raises(AcceleratorError, match=r"design memories\.buffer\.size=1 B"):
        explore_chips(GRAPH, path, set={"memories.buffer.size": ["1 B", "2 B"]})


def test_an_area_that_is_not_stated_is_said_and_not_nothing(tmp_path: Path) -> None:
    path = chip_file(tmp_path, CHIP.replace("    area: 0.5 um^2/bit\n", ""))
    found = explore_chips(GRAPH, path, set={"array.X.size": [1, 2]})
    assert found.axes.names == ("energy", "latency")
    assert all(row.area_mm2 is None for row in found.rows)
    assert any("buffer state none" in note for note in found.notes)
    for asked in ({"objectives": "energy,area"}, {"budget": "area<=4 mm2"}):
        with pytest.raises(ConfigError, match="there is none of buffer"):
            explore_chips(GRAPH, path, set={"array.X.size": [1, 2]}, **asked)  # type: ignore[arg-type]


def test_a_design_without_an_area_is_chip_enough_to_be_told_apart(tmp_path: Path) -> None:
    found = explore_chips(GRAPH, chip_file(tmp_path), set={"memories.buffer.area": ["0.5 um^2/bit", None]})
    assert (found.counts.no_area, found.counts.no_chip, found.counts.priced) == (1, 0, 1)
    assert found.notes == (
        "1 of 2 designs have no known area and are left out; the first: no area is stated for buffer",
    )


def test_the_first_chip_is_found_where_few_are_chips() -> None:
    """All of a small space; of a large one the first ones, and others in no step that the last ranges share."""
    assert list(_tried(7)) == list(range(7))
    assert list(_tried(FIRST)) == list(range(FIRST))
    numbers = list(_tried(100 * FIRST))
    assert numbers[:FIRST] == list(range(FIRST)) and numbers == list(_tried(100 * FIRST))
    assert {number % 100 for number in numbers[FIRST:]} == set(range(100))
    assert min(numbers[FIRST:]) >= FIRST and max(numbers[FIRST:]) < 100 * FIRST
    assert max(_tried(10**30)) > 10**29


def test_sizes_with_typed_in_energies_are_said(tmp_path: Path) -> None:
    found = explore_chips(GRAPH, chip_file(tmp_path), set={"memories.buffer.size": ["512 B", "1 KiB"]})
    assert any("memories.buffer.size is swept, but memories.buffer.read_energy" in note for note in found.notes)


def test_more_designs_than_can_be_listed_need_a_number_of_trials(tmp_path: Path) -> None:
    path = chip_file(tmp_path)
    ranges = {"array.X.size": "1..400+1", "memories.buffer.size": "1 KiB..300 KiB+1 KiB"}
    assert DesignSpace(path, ranges).size > MAX_DESIGNS
    with pytest.raises(ConfigError, match="but there are 120,000"):
        explore_chips(GRAPH, path, set=ranges)
    for asked, text in (({"jobs": 0}, "jobs"), ({"trials": 0}, "trials"), ({"sampler": "front"}, "sampler")):
        with pytest.raises(ConfigError, match=text):
            explore_chips(GRAPH, path, set={"array.X.size": [1, 2]}, **asked)  # type: ignore[arg-type]
