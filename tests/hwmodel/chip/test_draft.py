"""`hwmodel hw new`: a first chip file from a few answers."""

from __future__ import annotations

import itertools
import json
import os
import pty
import re
import sys
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from typer.testing import CliRunner

from hwmodel import Accelerator, Layer, evaluate, load_accelerator
from hwmodel.chip.components.arithmetic import Arithmetic, mac_figures
from hwmodel.chip.components.parts import Part
from hwmodel.chip.components.sram import sram
from hwmodel.chip.draft.answers import QUESTIONS, Narrow, Stationary, chip_answers
from hwmodel.chip.draft.text import chip_text
from hwmodel.chip.precision import Mode
from hwmodel.errors import AcceleratorError
from hwmodel.show.lints import chip_lints
from reports.cli import app
from tests.hwmodel.chips import chip

RUNNER = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})


def drafted(folder: Path, **answers: str) -> Accelerator:
    return chip(folder, chip_text(chip_answers("drafted", **answers)))


def test_parts_are_components_and_their_numbers_follow(tmp_path: Path) -> None:
    """16x16 MACs of 8x8 bit: rows and columns take 16 * 8 + 16 * 8 = 256 bit a cycle, and bring as many."""
    made = drafted(tmp_path, node="45 nm")
    memories = made.memories()
    assert memories["sums"].component == Part(kind="regfile", nm=45, width_bits=32)
    assert memories["buffer"].component == Part(kind="sram", nm=45, width_bits=256, banks=2)
    assert memories["dram"].component == Part(kind="dram", dram="ddr4")
    array = sram(256 * 8192, width_bits=256, nm=45, banks=2)
    buffer = memories["buffer"]
    assert (buffer.read_pj_per_bit, buffer.write_pj_per_bit) == (array.read_pj_per_bit, array.write_pj_per_bit)
    assert buffer.leakage_w == array.leakage_w
    assert memories["dram"].read_pj_per_bit == 1300 / 64
    figures = mac_figures(Arithmetic(kind="mac", nm=45), w=8, i=8, acc=32)
    assert (made.precision.mac_pj, made.mac_area_mm2) == (figures.energy_pj, figures.area_mm2)
    assert made.vector.pj_per_op == pytest.approx(8 * (0.03 / 8 * 0.1 / 32) ** 0.5, rel=0.005)  # as written


@pytest.mark.parametrize("dataflow", ["ws", "free"])
def test_operands_that_lie_in_the_memory_of_a_pe_have_no_other_registers(dataflow: str, tmp_path: Path) -> None:
    bare = Arithmetic(kind="mac", nm=28, registered=False)
    assert drafted(tmp_path, dataflow=dataflow).mac_component == bare


@pytest.mark.parametrize(
    ("size", "macs", "part"),
    [
        # 1x1 MACs of 8x8 bit move a word of 16 bit each way: 2 banks of 64 words are 2048 bit
        ("255 B", "1x1", Part(kind="regfile", nm=28, width_bits=16)),
        ("256 B", "1x1", Part(kind="sram", nm=28, width_bits=16, banks=2)),
        # 1 MiB are 2^19 words of 16 bit, the most of a table; 4 MiB those of 64 bit
        ("1 MiB", "1x1", Part(kind="sram", nm=28, width_bits=16, banks=2)),
        ("4 MiB", "1x1", Part(kind="sram", nm=28, width_bits=64, banks=1)),
        # 100 rows and 100 columns of 8 bit: 1600 bit, 2048 as a power of two, twice in banks of 1024
        ("1 MiB", "100x100", Part(kind="sram", nm=28, width_bits=1024, banks=4)),
    ],
)
def test_a_buffer_is_an_array_of_the_tables_or_registers(size: str, macs: str, part: Part, tmp_path: Path) -> None:
    text = chip_text(chip_answers("n", buffer=size, macs=macs))
    document = YAML(typ="safe", pure=True).load(text)
    said = document["memories"][1]
    assert (said["component"], said["width"]) == (part.kind, f"{part.width_bits} bit")
    assert said.get("banks", 1) == part.banks


def test_a_buffer_beyond_the_tables_has_the_energies_of_their_largest(tmp_path: Path) -> None:
    """1024 bit x 2^19 words = 64 MiB."""
    buffer = drafted(tmp_path, buffer="128 MiB").memories()["buffer"]
    largest = sram(64 * 2**23, width_bits=1024, nm=28)
    assert buffer.component is None
    assert buffer.read_pj_per_bit == pytest.approx(largest.read_pj_per_bit, rel=0.005)  # as written
    assert buffer.write_pj_per_bit == pytest.approx(largest.write_pj_per_bit, rel=0.005)
    assert drafted(tmp_path, buffer="64 MiB").memories()["buffer"].component is not None


@pytest.mark.parametrize(
    ("bits", "precision", "brick", "is_component"),
    [
        ("8x8", "fusion", 2, True),
        ("32x8", "fusion", 4, True),  # three halvings: 32 / 2^3
        ("20x8", "fusion", 4, True),
        ("1x16", "fusion", 1, False),  # four halvings
        ("1x8", "fusion", 1, True),
        ("8x8", "bit_serial", None, False),
    ],
)
def test_arithmetic_without_a_component_states_its_energy(
    bits: str, precision: str, brick: int | None, is_component: bool, tmp_path: Path
) -> None:
    answers = chip_answers("n", bits=bits, precision=precision)
    mac = YAML(typ="safe", pure=True).load(chip_text(answers))["mac"]
    assert mac.get("brick") == (None if brick is None else f"{brick} bit")
    assert ("component" in mac, "energy" in mac) == (is_component, not is_component)
    if not is_component:
        plain = mac_figures(Arithmetic(kind="mac", nm=28), w=answers.w_bits, i=answers.i_bits, acc=answers.sum_bits)
        made = drafted(tmp_path, bits=bits, precision=precision)
        assert made.precision.mac_pj == pytest.approx(plain.energy_pj, rel=0.005)  # as written


@pytest.mark.parametrize(
    ("dataflow", "macs", "bits", "precision"),
    [
        *itertools.product(("ws", "os", "free"), ("16x16", "1x64"), ("8x8", "1x16"), ("fixed", "fusion")),
        ("os", "8x4", "16x4", "bit_serial"),
    ],
)
def test_files_load_without_lints_and_with_sources(
    dataflow: str, macs: str, bits: str, precision: str, tmp_path: Path
) -> None:
    answers = chip_answers("drafted", dataflow=dataflow, macs=macs, bits=bits, precision=precision)
    text = chip_text(answers)
    made = chip(tmp_path, text)
    assert chip_lints(made) == ()
    assert (made.num_pes, made.native_bits.w, made.native_bits.i) == (
        answers.rows * answers.columns, answers.w_bits, answers.i_bits,
    )  # fmt: skip
    assert max(map(len, text.splitlines())) <= 120
    data = YAML(typ="safe", pure=True).load(text)
    for block in (data["mac"], data["vector"], *data["memories"]):
        assert "estimate" in block["source"]


@pytest.mark.parametrize("dataflow", ["ws", "os", "free"])
def test_a_drafted_chip_prices_layers(dataflow: str, tmp_path: Path) -> None:
    made = chip(tmp_path, chip_text(chip_answers("drafted", dataflow=dataflow, macs="4x8")))
    convolution = Layer(name="c", dims={"K": 16, "C": 8, "OY": 8, "OX": 8, "FY": 3, "FX": 3})
    cost = evaluate(convolution, made, optimize="latency")
    assert 16 * 8 * 64 * 9 / 32 <= cost.cycles <= 2 * 16 * 8 * 64 * 9 / 32


@settings(max_examples=60, deadline=None)
@given(
    answers=st.fixed_dictionaries(
        {
            "precision": st.sampled_from([*get_args(Mode), "half"]),
            "dataflow": st.sampled_from(get_args(Stationary)),
            "macs": st.sampled_from(["1x1", "3x5", "1x64"]),
            "bits": st.sampled_from(["1x1", "8x8", "3x16", "16x2", "32x32"]),
            "registers": st.sampled_from(["auto", "8 B", "1 bit", "1 MiB"]),
            "buffer": st.sampled_from(["64 B", "1 bit", "256 KiB", "1 GiB"]),
            "node": st.sampled_from(["28 nm", "7 nm", "180 nm"]),
            "clock": st.sampled_from(["500 MHz", "1 Hz"]),
            "dram": st.sampled_from(["3.2 GB/s", "1 bit/cycle"]),
        }
    )
)
def test_all_answers_make_a_chip_that_prices_layers_or_are_refused(
    answers: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A sentence names the option or the memory; what is not refused is a file that loads and prices a layer."""
    try:
        text = chip_text(chip_answers("drafted", **answers))
    except AcceleratorError as error:
        narrow = answers["precision"] in get_args(Narrow)
        expected = (
            r"drafted\.yaml:\d+ (buffer '\w+' .* cannot hold .*\. Write `size: \d+ B` or more\.|memory .*entries)"
        )
        if not narrow:
            expected = f"--precision: must be one of fixed, fusion, bit_serial, but got '{answers['precision']}'"
        assert re.match(expected, str(error))
        return
    made = chip(tmp_path_factory.mktemp("drafted"), text)
    cost = evaluate(Layer(name="c", dims={"K": 4, "C": 3, "OX": 2}), made)
    assert cost.cycles >= 24 / made.num_pes
    assert cost.energy_pj > 0


@given(
    clock=st.integers(1, 10**7).map(lambda n: f"{n} kHz"), buffer=st.integers(100, 2**20).map(lambda n: f"{n} B"),
    dram=st.integers(1, 10**6).map(lambda n: f"{n} bit/cycle"), nm=st.integers(7, 180),
)  # fmt: skip
def test_numbers_are_read_back_as_answered(clock: str, buffer: str, dram: str, nm: int) -> None:
    answers = chip_answers("n", clock=clock, buffer=buffer, dram=dram, node=f"{nm} nm", macs="1x1")
    data = YAML(typ="safe", pure=True).load(chip_text(answers))
    again = chip_answers(
        "n", clock=data["clock"], buffer=data["memories"][1]["size"], dram=data["memories"][2]["bandwidth"],
        node=data["technology"], macs="1x1",
    )  # fmt: skip
    assert again.clock_hz == pytest.approx(answers.clock_hz, rel=1e-14)
    assert (again.buffer_bits, again.node_nm) == (int(buffer[:-2]) * 8, nm)
    cycle_s = 1e-3 / int(clock.removesuffix(" kHz"))
    assert again.dram_bits_per_s * cycle_s == pytest.approx(int(dram.removesuffix(" bit/cycle")), rel=1e-12)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"macs": "16"}, "--macs: must be two numbers from 1 to 65,536, but got '16'. Write for example 16x16."),
        ({"bits": "8x64"}, "--bits: must be two numbers from 1 to 32, but got '8x64'. Write for example 8x8."),
        ({"dataflow": "oss"}, "--dataflow: must be one of ws, os, free, but got 'oss'. Did you mean os?"),
        ({"buffer": "64"}, "--buffer: 64 has no unit. Write 64 KiB."),
        ({"buffer": "0 KiB"}, "--buffer: must be above 0, but got 0 KiB. Write for example 256 KiB."),
        ({"node": "1 nm"}, "--node: components are known from 7 to 180 nm"),
        ({"dram": "5 W"}, "--dram: '5 W' is not a bandwidth"),
        ({"registers": "1 bit"}, "buffer 'sums' (0.125 B) cannot hold one 32-bit partial sum"),
    ],
)
def test_answers_that_are_none(answer: dict[str, str], message: str) -> None:
    with pytest.raises(AcceleratorError, match=re.escape(message)):
        chip_text(chip_answers("n", **answer))


def test_the_command_writes_and_does_not_overwrite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = RUNNER.invoke(app, ["hw", "new", "mine", "--macs", "8x4", "--buffer", "64KiB"])
    assert shown.exit_code == 0
    assert "✓ mine.yaml is written" in shown.stdout
    assert "taken: --bits '8x8' --precision 'fixed' --dataflow 'os'" in shown.stdout
    assert "--macs" not in next(line for line in shown.stdout.splitlines() if "taken:" in line)
    assert load_accelerator("mine.yaml").memories()["buffer"].size_bits == 64 * 8192
    before = Path("mine.yaml").read_bytes()
    again = RUNNER.invoke(app, ["hw", "new", "mine"])
    assert (again.exit_code, Path("mine.yaml").read_bytes()) == (3, before)
    assert "mine.yaml is there already. --force overwrites it" in again.stderr
    forced = json.loads(RUNNER.invoke(app, ["hw", "new", "mine", "--force", "--json", "--node", "45nm"]).stdout)
    assert forced["answers"]["node"] == "45nm"
    assert set(forced["defaults"]) == set(QUESTIONS) - {"node"}
    assert Path("mine.yaml").read_bytes() != before
    assert RUNNER.invoke(app, ["hw", "new", "edge_npu"]).exit_code == 3
    assert RUNNER.invoke(app, ["hw", "new", "x", "-o", "x.txt"]).exit_code == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.yaml"]


def test_a_terminal_is_asked_until_it_answers(tmp_path: Path) -> None:
    """All questions but that of --macs; a wrong answer is asked for again."""
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover
        os.chdir(tmp_path)
        os.execv(sys.executable, [sys.executable, "-m", "reports.cli", "hw", "new", "asked", "--macs", "4x4"])
    said = b""
    answers = [b"8", b"4x6", *[b""] * (len(QUESTIONS) - 2)]
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        said += part
        if answers and said.rstrip(b" ").endswith(b"]:"):
            said += b"\n"
            os.write(terminal, answers.pop(0) + b"\r")
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, said.decode()
    assert b"--bits: must be two numbers" in said
    assert b"not asked" not in said
    made = load_accelerator(tmp_path / "asked.yaml")
    assert (made.num_pes, made.native_bits.w, made.native_bits.i) == (16, 4, 6)
