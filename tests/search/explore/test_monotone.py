"""Over a sweep: more of a chip at the same energy per bit never costs more of what mappings minimise."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwmodel.chip.sweep.space import DesignSpace
from search.explore.pricing import Pricer
from tests.search.codesign.helpers import CHIP
from tests.search.explore.helpers import GRAPH, RESIDENT, chip_file, priced_one_by_one

SIZES = {"memories.buffer.size": ["256 B", "300 B", "512 B", "1 KiB", "1500 B", "2 KiB", "64 KiB"]}
DOUBLED = {"memories.buffer.size": "256 B..64 KiB*2"}
PORTS = {"memories.dram.bandwidth": ["2 bit/cycle", "3 bit/cycle", "16 bit/cycle", "64 bit/cycle"]}


def priced(folder: Path, text: str, ranges: dict[str, object], optimize: str) -> list[tuple[float, float]]:
    """Energy and cycles along a range, by one pricer and by `evaluate` alone: the same to the last bit."""
    space = DesignSpace(chip_file(folder, text), ranges)
    alone = priced_one_by_one(space, {"toy": GRAPH}, optimize)
    pricer = Pricer(space, [GRAPH], optimize=optimize)  # type: ignore[arg-type]
    together = [pricer.price(number) for number in reversed(range(space.size))][::-1]
    for price in together:
        latency = price.cycles[0] / space.design(price.number).accelerator.clock_hz
        assert (price.energy_pj[0], latency) == alone[price.number]["toy"]
    return [(price.energy_pj[0], price.cycles[0]) for price in together]


@pytest.mark.parametrize(("text", "ranges"), [(CHIP, SIZES), (RESIDENT, DOUBLED)], ids=["plain", "resident"])
def test_more_memory_takes_no_more_energy(tmp_path: Path, text: str, ranges: dict[str, object]) -> None:
    energies = [energy for energy, _ in priced(tmp_path, text, ranges, "energy")]
    assert energies == sorted(energies, reverse=True)
    assert energies[0] > energies[-1]


@pytest.mark.parametrize("text", [CHIP, RESIDENT], ids=["plain", "resident"])
def test_more_memory_takes_no_more_cycles(tmp_path: Path, text: str) -> None:
    cycles = [count for _, count in priced(tmp_path, text, DOUBLED, "latency")]
    assert cycles == sorted(cycles, reverse=True)


@pytest.mark.parametrize("text", [CHIP, RESIDENT], ids=["plain", "resident"])
def test_wider_ports_take_the_same_energy_and_no_more_cycles(tmp_path: Path, text: str) -> None:
    costs = priced(tmp_path, text, PORTS, "energy")
    assert len({energy for energy, _ in costs}) == 1
    cycles = [count for _, count in costs]
    assert cycles == sorted(cycles, reverse=True)
    assert cycles[0] > cycles[-1]
    fastest = [count for _, count in priced(tmp_path, text, PORTS, "latency")]
    assert fastest == sorted(fastest, reverse=True)
    assert all(fast <= count for fast, count in zip(fastest, cycles, strict=True))


def test_area_grows_with_what_there_is_more_of(tmp_path: Path) -> None:
    for ranges in (SIZES, {"array.X.size": "1..8+1"}):
        space = DesignSpace(chip_file(tmp_path), ranges)
        areas = [space.design(number).area_mm2 for number in range(space.size)]
        assert areas == sorted(areas, key=lambda area: area or 0.0)
        assert len(set(areas)) == len(areas)
