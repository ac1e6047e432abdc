"""Presets against the publications that they quote."""

from __future__ import annotations

import pytest

from benchmarks.replays.figures import figures
from hwmodel import load_accelerator
from hwmodel.network.layer import Bits

#: ZigZag's names of the operands.
OPERANDS = {"I1": "I", "I2": "W", "O": "O"}


def test_tpu_like_is_zigzags():
    """Sizes, energies per access of the port's width, ports, and which operands pass through which memory."""
    theirs = figures("zigzag_tpu_like.json")["architecture"]
    ours = load_accelerator("tpu_like")
    assert [(axis.size, axis.dims) for axis in ours.axes] == [
        (size, (dim,)) for size, dim in zip(theirs["mac"]["array"], "KC", strict=True)
    ]
    assert ours.precision.mac_pj == theirs["mac"]["energy_pj"]
    assert ours.resolve_bits(Bits(w=8, i=8), 4608).acc == 16  # the file's note: 8-bit operands, 16-bit partial sums
    assert (ours.native_bits.w, ours.native_bits.i) == (8, 8)
    assert list(ours.memories()) == list(theirs["memories_inner_to_outer"])
    for memory, item in zip(ours.memories().values(), theirs["memories_inner_to_outer"].values(), strict=True):
        assert set(memory.holds) == {OPERANDS[name] for name in item["operands"]}, memory.name
        width = item["ports"][0][1]
        assert memory.read_pj_per_bit * width == pytest.approx(item["read_pj"]), memory.name
        assert memory.write_pj_per_bit * width == pytest.approx(item["write_pj"]), memory.name
        if memory.name == "dram":  # ours has no end
            assert memory.size_bits is None
            assert (memory.shared_port, memory.read_bits_per_cycle) == (True, width)
        else:
            assert memory.size_bits == item["size_bits"], memory.name
        if memory.name == "sram_2MB":
            assert (memory.read_bits_per_cycle, memory.write_bits_per_cycle) == (width, width)


def test_the_clock_of_colonnade_is_that_of_its_fastest_width():
    """2 operations in each of 128 columns x floor(128 / (b + 7)) neurons, b cycles each: 563.5 Gop/s at 1 bit.

    Wider weights take longer carries than one clock says: the note has the two shares of the measured throughput.
    """
    colonnade = load_accelerator("colonnade")
    measured = {int(b): row[-1] * 1e9 for b, row in
                figures("bit_serial_energy_colonnade.json")["expected_throughput"].items()}  # fmt: skip
    share = {b: found / (2 * 128 * (128 // (b + 7)) * colonnade.clock_hz / b) for b, found in measured.items()}
    assert share[1] == pytest.approx(1, rel=0.001)
    assert all(share[b + 1] < share[b] for b in range(1, 16))
    said = f"at 8 bit the macro does {share[8]:.0%} of the throughput priced here, at 16 bit {share[16]:.0%}"
    assert any(said.replace("%", " %") in note for note in colonnade.notes)
