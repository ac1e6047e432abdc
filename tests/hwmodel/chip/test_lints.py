"""What `hw check` says of a chip that is valid, and seldom meant."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hwmodel import Accelerator, Layer, evaluate, list_accelerators, load_accelerator
from hwmodel.show.lints import chip_lints
from reports.cli import app
from tests.hwmodel.chips import TINY, chip


def of(lints: tuple[str, ...], word: str) -> list[str]:
    return [text for text in lints if word in text]


def test_an_axis_that_a_kind_of_layer_leaves_idle() -> None:
    (text,) = of(chip_lints(load_accelerator("tpu_like")), "depthwise")
    assert text == (
        "depthwise convolutions use 1 of 1,024 PEs at most: axis X unrolls K only and axis Y unrolls C only, where "
        "they have no loop."
    )
    depthwise = Layer(name="dw", dims={"G": 64, "OY": 16, "OX": 16, "FY": 3, "FX": 3})
    cost = evaluate(depthwise, load_accelerator("tpu_like"))
    assert cost.cycles >= depthwise.macs  # one PE, as the lint says
    assert not of(chip_lints(load_accelerator("edge_npu")), "depthwise")


@pytest.mark.parametrize(("bits", "fits"), [(16, 1), (20, 31), (25, 1023), (26, 2047)])
def test_sums_that_overflow(bits: int, fits: int, tmp_path: Path) -> None:
    """127 of 8 x 8 bit products of 2^14 each are below 2^21; `fits` of them are the most below 2^(bits - 1)."""
    tiny = chip(tmp_path, TINY.replace("accumulator: 16 bit", f"accumulator: {bits} bit"))
    assert fits * 2**14 <= 2 ** (bits - 1) - 1 < (fits + 1) * 2**14
    found = of(chip_lints(tiny), "accumulator")
    assert len(found) == (fits < 576)
    assert not found or f"holds {fits:,} products of 8 x 8 bit" in found[0]


def wide(tiny: Accelerator, bits_per_cycle: float) -> Accelerator:
    dram = replace(
        tiny.levels[-1].memories[0], read_bits_per_cycle=bits_per_cycle, write_bits_per_cycle=bits_per_cycle
    )
    return replace(tiny, levels=(*tiny.levels[:-1], replace(tiny.levels[-1], memories=(dram,))))


def test_a_port_that_cannot_feed_the_array(tmp_path: Path) -> None:
    """4 MACs a cycle with 4 x 8 + 64 = 96 words on chip need 2 x 4 x 8 / sqrt(96) = 6.53 bit a cycle."""
    tiny = chip(tmp_path)
    assert not of(chip_lints(wide(tiny, 6.6)), "the array waits")
    (text,) = of(chip_lints(wide(tiny, 6.5)), "the array waits")
    assert text.startswith("dram gives 6.5 bit a cycle, and 4 MACs a cycle of matrix products need 6.532 at least")
    product = Layer(name="mm", kind="linear", dims={"B": 64, "K": 64, "C": 64})
    for rate in (6.5, 3.0):
        cost = evaluate(product, wide(tiny, rate))
        assert cost.cycles > product.macs / 4  # it waits, whatever the best mapping


def test_a_memory_that_cannot_fill_what_lies_below(tmp_path: Path) -> None:
    small = TINY.replace("size: 64 B", "size: 16 B")
    (text,) = of(chip_lints(chip(tmp_path, small)), "never full")
    assert text.startswith("buffer holds 0.0156 KiB, and what lies below it 0.0312 KiB of the same operands")
    assert not of(chip_lints(chip(tmp_path)), "never full")


@pytest.mark.parametrize("name", list_accelerators())
def test_presets_have_whole_sentences_or_none(name: str) -> None:
    lints = chip_lints(load_accelerator(name))
    assert all(text.endswith(".") and "nan" not in text for text in lints)
    assert lints == () or load_accelerator(name).kind == "spatial"


def test_check_shows_them(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(TINY)
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})
    shown = runner.invoke(app, ["hw", "check", str(tmp_path / "c.yaml")])
    data = json.loads(runner.invoke(app, ["hw", "check", str(tmp_path / "c.yaml"), "--json"]).stdout)
    assert shown.exit_code == 0
    assert len(data["lints"]) == 1
    assert f"! {data['lints'][0]}" in shown.stdout


@pytest.mark.parametrize("rate", [12, 15, 16])
def test_a_port_that_cannot_give_what_no_pe_keeps(rate: int, tmp_path: Path) -> None:
    """I lies in no PE of 2 x 2: with K on one axis and C or pixels on the other a cycle takes 2 words."""
    chip_of = chip(tmp_path, TINY.replace("read_bandwidth: 32 bit/cycle", f"read_bandwidth: {rate} bit/cycle"))
    found = of(chip_lints(chip_of), "which no PE keeps")
    assert len(found) == (rate < 16)
    assert not found or found[0].startswith(
        f"buffer gives {rate} bit a cycle, and 4 busy PEs ask 16 at least (2 words of I)"
    )
    cost = evaluate(Layer(name="mm", kind="linear", dims={"B": 32, "K": 32, "C": 32}), wide(chip_of, 1e6))
    assert (cost.cycles > 1.05 * 32**3 / 4) or rate == 16  # it waits, however mapped


def test_places_that_are_served_alone_ask_for_a_word_each(tmp_path: Path) -> None:
    """I lies in no PE of 2 x 2: two words along Y, and each place along X has them read for itself."""
    alone = TINY.replace("dims: [K, OX]", "dims: [K, OX], multicast: false")
    (text,) = of(chip_lints(chip(tmp_path, alone.replace("read_bandwidth: 32", "read_bandwidth: 31"))), "gives")
    assert text.startswith("buffer gives 31 bit a cycle, and 4 busy PEs ask 32 at least (4 words of I)")
    assert not of(chip_lints(chip(tmp_path, alone)), "gives")


def test_sums_that_leave_the_array_in_every_cycle(tmp_path: Path) -> None:
    """W alone stays: 2 x 2 PEs read 2 words of I at least, and read and write 2 sums of 16 bit."""
    weights = TINY.replace("holds: [W, O]", "holds: [W]")
    (text,) = of(chip_lints(chip(tmp_path, weights.replace("read_bandwidth: 32", "read_bandwidth: 47"))), "gives")
    assert text.startswith("buffer gives 47 bit a cycle, and 4 busy PEs ask 48 at least (2 words of I and 2 words")
    (text,) = of(chip_lints(chip(tmp_path, weights.replace("write_bandwidth: 16", "write_bandwidth: 31"))), "takes")
    assert text.startswith("buffer takes 31 bit a cycle, and 4 busy PEs send 32 at least (2 words of O)")
    fed = weights.replace("read_bandwidth: 32", "read_bandwidth: 48").replace(
        "write_bandwidth: 16", "write_bandwidth: 32"
    )
    assert not of(chip_lints(chip(tmp_path, fed)), "which no PE keeps")


def test_registers_in_which_no_loop_runs(tmp_path: Path) -> None:
    """64 bit for a word of W and one of O, 32 bit each at most; the next bit is one too many."""
    none = TINY + "temporal: {regs: []}\n"
    assert not of(chip_lints(chip(tmp_path, none)), "one word of each")
    assert not of(chip_lints(chip(tmp_path, TINY.replace("size: 8 B", "size: 9 B"))), "one word of each")
    (text,) = of(chip_lints(chip(tmp_path, none.replace("size: 8 B", "size: 9 B"))), "one word of each")
    assert text.startswith("regs holds 72 bit in every PE, and `temporal` lets no loop of W, O run there")


def test_a_memory_that_gives_nothing(tmp_path: Path) -> None:
    """The buffer at the energy and the bandwidth of DRAM; either one alone would be a reason to have it."""
    dear = TINY.replace("read_energy: 0.1 pJ/bit", "read_energy: 2 pJ/bit")
    assert not of(chip_lints(chip(tmp_path, dear)), "nothing is gained")  # 32 bit a cycle against 16
    slow = dear.replace("read_bandwidth: 32", "read_bandwidth: 16")
    (text,) = of(chip_lints(chip(tmp_path, slow)), "nothing is gained")
    assert text.startswith("buffer gives a bit for 2 pJ, and dram outside of it for no more")
    assert not of(chip_lints(chip(tmp_path, slow.replace("energy: 2 pJ/bit", "energy: 1.9 pJ/bit", 1))), "nothing")
