"""Compute in memory with analog sums: cells, steps and converters, counted by hand, found by the mapper."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodel import Accelerator, Bits, Layer, evaluate, load_accelerator, write_accelerator
from hwmodel.chip.arithmetic.analog import Analog
from hwmodel.errors import AcceleratorError
from hwmodel.nest.task import Stay, Task
from hwmodel.nest.view import array_view
from hwmodel.show.lints import chip_lints
from tests.hwmodel.chips import TINY, chip
from tests.hwmodel.mapper.deep.test_deep import LAYERS as DEEP_LAYERS
from tests.hwmodel.mapper.deep.test_deep import check as check_deep
from tests.hwmodel.mapper.test_mapper import SMALL, check_counted, compare_with_brute_force

SECTION = (
    "precision: analog, analog: {cell: 2 bit, dac: {bits: 2 bit, energy: 0.3 pJ}, "
    "adc: {bits: 6 bit, energy: 2 pJ}, cycles: 3}"
)
#: 2 rows and 8 columns of 2-bit cells; a step of 2 bits of all rows takes 3 cycles.
ANALOG = (
    TINY.replace("accumulator: 16 bit", f"accumulator: 16 bit, {SECTION}")
    .replace("{axis: X, size: 2, dims: [K, OX]}", "{axis: X, size: 8, dims: [K], weight_cells: 0}")
    .replace("dims: [C, FY, OY]", "dims: [C, FY, FX]")
    .replace("holds: [W, O]", "holds: [W]")
)
LINEAR = Layer(name="mm", kind="linear", dims={"B": 3, "K": 2, "C": 4})


@pytest.mark.parametrize(("w", "i", "cells", "steps"), [(8, 8, 4, 4), (4, 8, 2, 4), (3, 5, 2, 3), (1, 2, 1, 1)])
def test_a_layer_by_hand(w: int, i: int, cells: int, steps: int, tmp_path: Path) -> None:
    """3 images of 4 channels on 2 rows: 6 evaluations of 2 words of I and 2 filters, each in steps of 3 cycles."""
    made = chip(tmp_path, ANALOG)
    cost = evaluate(LINEAR.with_bits(Bits(w=w, i=i)), made, optimize="latency").layers[0]
    assert cost.compute_cycles == 6 * steps * 3
    energy = cost.energy_breakdown
    assert energy["mac", ""] == pytest.approx(24 * 0.5 * cells * steps / 16)  # 0.5 pJ in 4 x 4 at 8 x 8 bit
    assert energy["dac", "I"] == pytest.approx(6 * 2 * steps * 0.3)
    assert energy["adc", "O"] == pytest.approx(6 * 2 * cells * steps * 2)
    assert cost.mac_energy_pj == pytest.approx(energy["mac", ""] + energy["dac", "I"] + energy["adc", "O"])


def test_narrow_weights_make_room_for_more_filters(tmp_path: Path) -> None:
    """8 columns: 2 filters of 8 bit, 4 of 4 bit, 8 of 2 bit side by side; a word of I serves all of them."""
    layer = Layer(name="mm", kind="linear", dims={"B": 4, "K": 8, "C": 2})
    made = chip(tmp_path, ANALOG)
    for w, side_by_side in ((8, 2), (4, 4), (2, 8)):
        cost = evaluate(layer.with_bits(Bits(w=w, i=8)), made).layers[0]
        assert cost.compute_cycles == 4 * 8 // side_by_side * 4 * 3
        assert cost.energy_breakdown["dac", "I"] == pytest.approx(4 * 2 * 8 / side_by_side * 4 * 0.3)


def test_a_short_sum_costs_a_whole_reading(tmp_path: Path) -> None:
    """One of 2 rows in use: as many readings for half the MACs."""
    made = chip(tmp_path, ANALOG)
    one, two = (
        evaluate(Layer(name="mm", kind="linear", dims={"B": 4, "K": 2, "C": c}), made).layers[0] for c in (1, 2)
    )
    assert one.energy_breakdown["adc", "O"] == two.energy_breakdown["adc", "O"]
    assert 2 * one.energy_breakdown["mac", ""] == pytest.approx(two.energy_breakdown["mac", ""])


def test_wider_weights_take_passes(tmp_path: Path) -> None:
    made = chip(tmp_path, ANALOG)
    wide, native = (evaluate(LINEAR.with_bits(Bits(w=w, i=8)), made).layers[0] for w in (16, 8))
    for key in (("mac", ""), ("dac", "I"), ("adc", "O")):
        assert wide.energy_breakdown[key] == pytest.approx(2 * native.energy_breakdown[key])
    assert wide.compute_cycles == 2 * native.compute_cycles


@pytest.mark.parametrize("layer", SMALL, ids=lambda layer: layer.name)
def test_no_mapping_is_better(layer: Layer, tmp_path: Path) -> None:
    made = chip(tmp_path, ANALOG)
    fitted = array_view(Task.of(layer, made)).accelerator
    compare_with_brute_force(layer, fitted)
    check_counted(Task.of(layer, fitted))


@pytest.mark.parametrize("name", ["conv", "linear", "narrow", "padded"])
def test_no_mapping_of_a_deeper_macro_is_better(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a second shared buffer; unrollings, tiles, orders and converters by brute force."""
    outer = "  - {name: l2, holds: [W, I, O], size: 128 B, read_energy: 0.4 pJ/bit, source: test}\n  - name: dram"
    made = chip(tmp_path, ANALOG.replace("  - name: dram", outer).replace("size: 8 B", "size: 2 B"))
    check_deep(array_view(Task.of(DEEP_LAYERS[name], made)), monkeypatch)


@pytest.mark.parametrize("residents", [("I",), ("O",), ("I", "O")])
def test_residents_go_through_the_converters_too(residents: tuple[str, ...], tmp_path: Path) -> None:
    made = chip(tmp_path, ANALOG.replace("size: 64 B", "size: 96 B\n    resident: [I, O]"))
    fitted = array_view(Task.of(SMALL[0], made)).accelerator
    stay = Stay(residents, None, 16)  # type: ignore[arg-type]
    compare_with_brute_force(SMALL[0], fitted, stay)
    check_counted(Task.of(SMALL[0], fitted, stay))


def test_the_macro_of_jia_and_others() -> None:
    """2.185 TOPS and 192 TOPS/W of 1 x 1 bit at 1.2 V (JSSC 2020, table II, as quoted in CiMLoop); macro alone."""
    macro = load_accelerator("jia_cim")
    layer = Layer(name="mm", kind="linear", dims={"B": 64, "K": 256, "C": 2304}, bits=Bits(w=1, i=1))
    cost = evaluate(layer, macro).layers[0]
    operations = 2 * layer.macs
    assert operations / (cost.compute_cycles / macro.clock_hz) / 1e12 == pytest.approx(2.185, rel=1e-3)
    assert operations / cost.mac_energy_pj == pytest.approx(192, rel=5e-3)
    readings = 64 * 256
    assert cost.energy_breakdown["adc", "O"] == pytest.approx(readings * 3.56)
    assert cost.energy_breakdown["mac", ""] == pytest.approx(readings * 20.4, rel=1e-3)


@given(rows=st.integers(1, 5000), cell=st.integers(1, 4), dac=st.integers(1, 4))
def test_lossless_bits_hold_the_largest_sum_and_no_fewer_do(rows: int, cell: int, dac: int) -> None:
    slices = Analog(cell_bits=cell, dac_bits=dac, adc_bits=1, dac_pj=0, adc_pj=0)
    largest = rows * (2**dac - 1) * (2**cell - 1)
    bits = slices.lossless_bits(rows)
    assert 2 ** (bits - 1) <= largest < 2**bits


def test_adcs_that_lose_something(tmp_path: Path) -> None:
    """2 rows of 2 x 2 bit sum to 18: 5 bit."""
    assert not [text for text in chip_lints(chip(tmp_path, ANALOG)) if "ADCs" in text]
    narrow = ANALOG.replace("bits: 6 bit", "bits: 4 bit")
    (text,) = [text for text in chip_lints(chip(tmp_path, narrow)) if "ADCs" in text]
    assert text.startswith("sums of 2 products of 2 x 2 bit take 5 bit, and the ADCs have 4")


def test_inputs_may_lie_beside_the_rows(tmp_path: Path) -> None:
    """A latch for each row keeps its word of I for all columns: it is converted as often as it is read there."""
    latch = "  - {name: latch, per: Y, holds: [I], size: 8 B, read_energy: 0.02 pJ/bit, source: test}\n"
    made = chip(tmp_path, ANALOG.replace("  - name: buffer", latch + "  - name: buffer"))
    cost = evaluate(LINEAR.with_bits(Bits(w=8, i=8)), made, optimize="latency").layers[0]
    assert cost.energy_breakdown["dac", "I"] == pytest.approx(6 * 2 * 4 * 0.3)
    assert cost.energy_breakdown["latch", "I"] > 0
    sums = latch.replace("latch, per: Y, holds: [I]", "sums, per: [X, Y], holds: [O]")
    with pytest.raises(AcceleratorError, match="analog: the PEs are cells and hold W alone, but got"):
        chip(tmp_path, ANALOG.replace("  - name: buffer", sums + "  - name: buffer"))


def test_cells_are_counted_as_places() -> None:
    """2304 x 256 bits are 72 KiB, below the 128 of the buffer; 8-bit weights leave 32 filters, 170 MACs a cycle."""
    lints = chip_lints(load_accelerator("jia_cim"))
    assert not [text for text in lints if "never full" in text or "the array waits" in text]


def test_files_are_written_and_read_back(tmp_path: Path) -> None:
    made: Accelerator
    for made in (chip(tmp_path, ANALOG), load_accelerator("jia_cim")):
        again = load_accelerator(write_accelerator(tmp_path / "again.yaml", made))
        assert again.fingerprint == made.fingerprint


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (", weight_cells: 0", "", "analog needs one axis with `weight_cells`, that of the columns"),
        ("holds: [W]", "holds: [W, O]", "analog: the PEs are cells and hold W alone, but got"),
        ("vector:", "gating: [I]\nvector:", "analog knows no `timing`, `gating`"),
        ("precision: analog, ", "", "precision analog has a section `analog`, the others none, but got fixed"),
        ("size: 8, dims: [K]", "size: 3, dims: [K]", "`size >= 4` must hold"),
        ("cell: 2 bit", "cell: 0 bit", r"mac\.analog\.cell: must be a whole number of bits >= 1, but got 0 bit"),
    ],
)
def test_macros_that_cannot_be(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in ANALOG
    with pytest.raises(AcceleratorError, match=message):
        chip(tmp_path, ANALOG.replace(old, new))
