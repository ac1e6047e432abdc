"""An accelerator written as a file is read back as it was, to the last bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import Accelerator, evaluate, list_accelerators, load_accelerator, load_designs, write_accelerator
from hwmodel.chip.writing import accelerator_yaml
from hwmodel.errors import AcceleratorError
from hwmodel.network.layer import Layer
from tests.hwmodel.chips import TINY, chip

NPU_RANGES = Path(__file__).parents[3] / "examples" / "npu_ranges.yaml"


@pytest.mark.parametrize("name", list_accelerators())
def test_every_preset_is_read_back_as_it_was(name: str, tmp_path: Path) -> None:
    chip = load_accelerator(name)
    again = load_accelerator(write_accelerator(tmp_path / "again.yaml", chip))
    assert again == chip
    assert again.fingerprint == chip.fingerprint


def test_every_design_of_a_sweep_is_read_back_as_it_was(tmp_path: Path) -> None:
    for design in load_designs(NPU_RANGES):
        path = write_accelerator(tmp_path / f"{design.number}.yaml", design.accelerator)
        assert load_accelerator(path) == design.accelerator


def test_a_changed_chip_costs_the_same_from_its_file(tmp_path: Path) -> None:
    chip = load_accelerator("edge_npu")
    slow = replace(chip, name="slow", clock_hz=chip.clock_hz / 3, vector=replace(chip.vector, lanes=7))
    layer = Layer(name="conv", dims={"K": 16, "C": 8, "OY": 12, "OX": 12, "FY": 3, "FX": 3})
    again = load_accelerator(write_accelerator(tmp_path / "slow.yaml", slow))
    assert evaluate(layer, again) == evaluate(layer, slow)


@given(
    clock=st.floats(1e6, 1e10), power=st.floats(1e-6, 10), energy=st.floats(1e-6, 1e3), size=st.integers(64, 2**40)
)
@settings(max_examples=60, deadline=None)
def test_no_bit_of_a_number_is_lost(
    clock: float, power: float, energy: float, size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("chips")
    eyeriss = load_accelerator("eyeriss")
    outer = replace(eyeriss.levels[-1].memories[0], read_pj_per_bit=energy, write_pj_per_bit=energy / 3)
    levels = (*eyeriss.levels[:-1], replace(eyeriss.levels[-1], memories=(outer,)))
    changed = replace(eyeriss, clock_hz=clock, levels=levels, array_leakage_w=power, technology_nm=float(size))
    again = load_accelerator(write_accelerator(folder / "c.yaml", changed))
    assert again.clock_pj == pytest.approx(changed.clock_pj, rel=4e-16)  # stated as a power
    assert replace(again, clock_pj=changed.clock_pj) == changed


def test_the_power_of_the_clock_is_read_back_to_the_last_bit_where_there_is_one(tmp_path: Path) -> None:
    base = replace(load_accelerator("eyeriss"), clock_hz=233e6 / 7)
    for step in range(40):
        chip: Accelerator = replace(base, clock_pj=(0.1 + 0.37 * step) * 1e12 / base.clock_hz)
        assert load_accelerator(write_accelerator(tmp_path / f"{step}.yaml", chip)).clock_pj == chip.clock_pj


def test_what_no_file_can_say_is_refused(tmp_path: Path) -> None:
    tiny = chip(tmp_path, TINY)
    with pytest.raises(AcceleratorError, match=r"accelerator tiny: a file must say all of it, but `native_bits`"):
        accelerator_yaml(replace(tiny, native_bits=replace(tiny.native_bits, w=4)))
    with pytest.raises(AcceleratorError, match=r"out\.txt: must end in \.yaml"):
        write_accelerator(tmp_path / "out.txt", tiny)
    assert not (tmp_path / "out.txt").exists()
