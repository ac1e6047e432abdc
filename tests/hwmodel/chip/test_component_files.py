"""Components in a chip file: which numbers they give, at every size of a sweep, and what is refused where."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from hwmodel import chip_differences, load_accelerator, load_designs, write_accelerator
from hwmodel.chip.area import chip_area
from hwmodel.chip.components.arithmetic import Arithmetic, mac_figures
from hwmodel.chip.components.dram import dram
from hwmodel.chip.components.nodes import wire_pj_per_bit_mm
from hwmodel.chip.components.registers import register_file
from hwmodel.chip.components.sram import sram
from hwmodel.chip.writing import accelerator_yaml
from hwmodel.errors import AcceleratorError
from hwmodel.show.lints import chip_lints
from hwmodel.show.origins import origins
from reports.cli import app
from tests.hwmodel.chips import TINY, chip

EXAMPLE = Path(__file__).parents[3] / "examples" / "npu_components.yaml"
PARTS = """\
name: parts
description: two by four PEs from components
source: made up for tests
clock: 100 MHz
technology: 28 nm
mac: {component: mac, w: 8 bit, i: 4 bit, accumulator: 24 bit, source: test}
array:
  - {axis: X, size: 2, dims: [K, OX]}
  - {axis: Y, size: 4, dims: [C, FY, OY]}
memories:
  - {name: regs, component: regfile, width: 16 bit, per: pe, holds: [W, O], size: 8 B, source: test}
  - {name: buffer, component: sram, width: 64 bit, banks: 2, ports: 2, devices: high_performance, technology: 45 nm,
     holds: [W, I, O], size: 32 KiB, source: test}
  - {name: dram, component: dram, kind: hbm2, holds: [W, I, O], size: unbounded, source: test}
vector: {lanes: 2, energy: 0.1 pJ, source: test}
"""


def test_every_number_follows_from_the_components(tmp_path: Path) -> None:
    found = chip(tmp_path, PARTS)
    mac = mac_figures(Arithmetic(kind="mac", nm=28), w=8, i=4, acc=24)
    assert found.precision.mac_pj == mac.energy_pj
    assert found.mac_area_mm2 == mac.area_mm2
    assert found.leakage_w["array"] == pytest.approx(8 * mac.leakage_w)
    memories = found.memories()
    expected = {
        "regs": (register_file(64, width_bits=16, nm=28), 64, 8),
        "buffer": (
            sram(32 * 8192, width_bits=64, nm=45, banks=2, ports=2, devices="high_performance"), 32 * 8192, 1,
        ),
    }  # fmt: skip
    for name, (figures, bits, copies) in expected.items():
        memory = memories[name]
        assert (memory.read_pj_per_bit, memory.write_pj_per_bit) == (
            figures.read_pj_per_bit, figures.write_pj_per_bit,
        )  # fmt: skip
        assert memory.area_mm2_per_bit == pytest.approx((figures.area_mm2 or 0) / bits)
        assert found.leakage_w[name] == pytest.approx(copies * figures.leakage_w)
    assert memories["dram"].read_pj_per_bit == dram("hbm2").read_pj_per_bit == 3.92
    areas = {part.name: part.mm2 for part in chip_area(found).components}
    assert areas == {
        "MACs": pytest.approx(8 * mac.area_mm2),
        "regs": pytest.approx(8 * (expected["regs"][0].area_mm2 or 0)),
        "buffer": pytest.approx(expected["buffer"][0].area_mm2),
    }


#: Key of the buffer -> (as stated, the field that it sets, its value there).
STATED = {
    "read_energy": ("0.25 pJ/bit", "read_pj_per_bit", 0.25),
    "write_energy": ("0.5 pJ/bit", "write_pj_per_bit", 0.5),
    "area": ("2 um^2/bit", "area_mm2_per_bit", 2e-6),
    "leakage": ("0 W", "leakage_w", 0.0),
}


@pytest.mark.parametrize("key", STATED)
def test_a_stated_number_wins_alone(tmp_path: Path, key: str) -> None:
    text, field, value = STATED[key]
    derived = chip(tmp_path, PARTS).memories()["buffer"]
    stated = chip(tmp_path, PARTS.replace("banks: 2,", f"banks: 2, {key}: {text},")).memories()["buffer"]
    assert getattr(stated, field) == pytest.approx(value)
    assert getattr(stated, field) != getattr(derived, field)
    assert replace(stated, **{field: getattr(derived, field)}) == derived


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("energy", "1 pJ", (1.0, None, None)),
        ("area", "1 mm^2", (None, 1.0, None)),
        ("leakage", "1 W", (None, None, 1)),
    ],
)
def test_a_stated_number_of_the_mac_wins_alone(
    tmp_path: Path, key: str, value: str, expected: tuple[float | None, ...]
) -> None:
    derived, stated = (
        chip(tmp_path, PARTS.replace("component: mac,", f"component: mac, {said}"))
        for said in ("", f"{key}: {value},")
    )
    numbers = [(c.precision.mac_pj, c.mac_area_mm2, c.array_leakage_w) for c in (derived, stated)]
    wanted = tuple(mine if mine is not None else own for mine, own in zip(expected, numbers[0], strict=True))
    assert numbers[1] == wanted


def test_fusion_pays_for_its_bricks(tmp_path: Path) -> None:
    """8 x 8 bit of 2-bit bricks: two halvings; narrower pairs share what the unit takes."""
    text = PARTS.replace("i: 4 bit,", "i: 8 bit, precision: fusion,")
    found = chip(tmp_path, text).precision
    whole = mac_figures(Arithmetic(kind="mac", nm=28), w=8, i=8, acc=24, halvings=2).energy_pj
    assert found.energy_pj(8, 8) == whole
    assert found.energy_pj(4, 8) == pytest.approx(whole / 2)
    assert found.energy_pj(2, 2) == pytest.approx(whole / 16)


def test_registers_of_the_operands_can_be_left_out(tmp_path: Path) -> None:
    found = chip(
        tmp_path, PARTS.replace("component: mac,", "component: mac, registered: false, technology: 45 nm,")
    )
    bare = Arithmetic(kind="mac", nm=45, registered=False)
    assert found.precision.mac_pj == mac_figures(bare, w=8, i=4, acc=24).energy_pj


def test_a_network_of_some_length(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "hwmodel" / "accelerators" / "eyeriss.yaml").read_text()
    text = text.replace("network_energy: 0.2419 pJ/bit", "network_length: 500 um", 1)
    memories = chip(tmp_path, text).memories()
    assert memories["filter_spad"].network_pj_per_bit == pytest.approx(0.5 * wire_pj_per_bit_mm(65))
    assert memories["ifmap_spad"].network_pj_per_bit == 0.2419
    both = text.replace("network_length: 500 um", "network_length: 500 um\n    network_energy: 1 pJ/bit")
    assert chip(tmp_path, both).memories()["filter_spad"].network_pj_per_bit == 1


# ---- sweeps and files ----------------------------------------------------------------------------


def test_energies_follow_the_sizes_of_a_sweep() -> None:
    """Every design of the example is what its own file says, and a larger buffer costs more per bit."""
    designs = load_designs(EXAMPLE)
    assert len(designs) == 12 and designs.has_area and designs.notes == ()
    for design in designs:
        buffer = design.accelerator.memories()["sram"]
        kib = int(str(design.values["memories.sram.size"]).split()[0])
        found = sram(kib * 8192, width_bits=128, nm=28, banks=4)
        assert (buffer.read_pj_per_bit, buffer.leakage_w) == (found.read_pj_per_bit, found.leakage_w)
        assert design.accelerator.leakage_w["array"] / design.accelerator.num_pes == pytest.approx(
            mac_figures(Arithmetic(kind="mac", nm=28), w=8, i=8, acc=32).leakage_w
        )
    reads = [design.accelerator.memories()["sram"].read_pj_per_bit for design in designs[:4]]
    assert reads == sorted(set(reads))
    areas = [design.area_mm2 or 0 for design in designs[:4]]
    assert areas == sorted(set(areas))


def test_each_design_is_the_chip_of_its_own_file(tmp_path: Path) -> None:
    for design in load_designs(EXAMPLE):
        (tmp_path / "own.yaml").write_text(design.to_yaml())
        assert load_accelerator(tmp_path / "own.yaml").fingerprint == design.accelerator.fingerprint
        (tmp_path / "own.yaml").unlink()


def test_what_stays_as_stated_is_said(tmp_path: Path) -> None:
    path = tmp_path / "chip.yaml"
    path.write_text(
        PARTS.replace("banks: 2,", "read_energy: 1 pJ/bit,") + "sweep: {memories.buffer.width: [32 bit, 64 bit]}\n"
    )
    (note,) = load_designs(path).notes
    assert note.startswith("memories.buffer.width is swept, but memories.buffer.read_energy stay as typed in")


def test_technology_may_be_swept(tmp_path: Path) -> None:
    path = tmp_path / "chip.yaml"
    path.write_text(
        PARTS.replace("technology: 45 nm,\n", "") + "sweep: {technology: [7 nm, 16 nm, 28 nm, 65 nm]}\n"
    )
    designs = load_designs(path)
    macs = [design.accelerator.precision.mac_pj for design in designs]
    assert macs == sorted(set(macs))
    assert [design.area_mm2 for design in designs] == sorted(design.area_mm2 or 0 for design in designs)


def test_components_are_read_back_as_they_were(tmp_path: Path) -> None:
    found = chip(tmp_path, PARTS)
    text = accelerator_yaml(found)
    assert not re.search(r"energy: .* pJ/bit|area|leakage|energy: .* pJ$", text.partition("vector")[0])
    assert load_accelerator(write_accelerator(tmp_path / "again.yaml", found)) == found


@settings(max_examples=20, deadline=None)
@given(
    kib=st.floats(8, 500),
    width=st.integers(8, 128),
    nm=st.floats(7, 180),
    read=st.floats(1e-6, 9),
    watts=st.floats(1e-9, 1),
)
def test_a_changed_chip_is_read_back_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, kib: float, width: int, nm: float, read: float, watts: float
) -> None:
    """Numbers that do not follow from the component any more are written out (none below what a file can say)."""
    folder = tmp_path_factory.mktemp("chip")
    text = PARTS.replace("32 KiB", f"{kib!r} KiB").replace("64 bit", f"{width} bit").replace("28 nm", f"{nm!r} nm")
    found = chip(folder, text)
    assert load_accelerator(write_accelerator(folder / "again.yaml", found)) == found
    changed = replace(
        found,
        array_leakage_w=watts,
        levels=tuple(
            replace(level, memories=tuple(replace(memory, read_pj_per_bit=read) for memory in level.memories))
            for level in found.levels
        ),
    )
    assert load_accelerator(write_accelerator(folder / "changed.yaml", changed)) == changed


def test_components_enter_no_cost(tmp_path: Path) -> None:
    """The same numbers, stated, are the same chip; what differs between two chips is numbers."""
    found = chip(tmp_path, PARTS)
    plain = replace(
        found,
        mac_component=None,
        levels=tuple(
            replace(level, memories=tuple(replace(memory, component=None) for memory in level.memories))
            for level in found.levels
        ),
    )
    assert plain.fingerprint == found.fingerprint
    assert chip_differences(plain, found) == ()
    larger = chip(tmp_path, PARTS.replace("32 KiB", "64 KiB"))
    assert {item.path for item in chip_differences(found, larger)} == {
        f"memories.buffer.{key}" for key in ("size", "read_energy", "write_energy", "area", "leakage")
    }


# ---- what is said --------------------------------------------------------------------------------


def test_show_tells_where_a_number_comes_from(tmp_path: Path) -> None:
    chip(tmp_path, PARTS.replace("banks: 2,", "read_energy: 1 pJ/bit,"))
    shown = CliRunner().invoke(app, ["hw", "show", str(tmp_path / "chip.yaml")])
    assert shown.exit_code == 0
    text = " ".join(shown.stdout.split())
    assert (
        "from its component: SRAM, 4096 words of 64 bit, 2 ports, high_performance transistors, CACTI 7 at 45 nm"
        in text
    )
    assert "; stated: read_energy" in text
    assert "mac: energy" in text and "from its component: 8 x 4 bit multiplier and 24-bit adder" in text
    assert "dram: read energy 3.92 pJ/bit, write energy 3.92 pJ/bit from its component: hbm2: 3.92 pJ/bit" in text
    data = json.loads(CliRunner().invoke(app, ["hw", "show", str(tmp_path / "chip.yaml"), "--json"]).stdout)
    assert [part["place"] for part in data["components"]] == ["mac", "regs", "buffer", "dram"]
    assert data["components"][2]["stated"] == ["read_energy"]
    assert set(data["components"][0]["derived"]) == {"energy", "area", "leakage"}
    assert set(data["components"][2]["derived"]) == {"write_energy", "area", "leakage"}


def test_a_bandwidth_beyond_the_arrays_is_said(tmp_path: Path) -> None:
    """64 bit x 2 banks x 2 ports are 256 bit a cycle: enough for one port of 256, not for two."""
    shared = PARTS.replace("banks: 2,", "banks: 2, bandwidth: 256 bit/cycle,")
    assert [text for text in chip_lints(chip(tmp_path, shared)) if text.startswith("buffer")] == []
    apart = PARTS.replace("banks: 2,", "banks: 2, read_bandwidth: 256 bit/cycle, write_bandwidth: 8 bit/cycle,")
    (text,) = [text for text in chip_lints(chip(tmp_path, apart)) if text.startswith("buffer")]
    assert text == (
        "buffer: its arrays move 256 bit a cycle (width 64 bit x 2 banks x 2 ports), and its bandwidths are 264 "
        "bit a cycle: more banks, or less bandwidth."
    )
    for design in load_designs(EXAMPLE):
        assert not [text for text in chip_lints(design.accelerator) if text.startswith("sram")]


def test_a_chip_without_components_has_no_origins() -> None:
    assert origins(load_accelerator("eyeriss")) == ()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("component: regfile, width: 16 bit, ", "", "memories[0]: 'read_energy' is missing: state it, or what"),
        ("component: mac, ", "", "mac: 'energy' is missing: state it, or what the arithmetic is"),
        ("width: 64 bit, ", "", "component sram needs the `width` of an access"),
        ("kind: hbm2, ", "", "component dram needs its `kind`, such as `kind: lpddr4`"),
        ("kind: hbm2, ", "kind: hbm9, ", "memories[2].kind: Input should be 'ddr3'"),
        ("component: dram, ", "read_energy: 1 pJ/bit, ", "`kind` says more of a `component`: write"),
        ("kind: hbm2, ", "kind: hbm2, banks: 2, ", "`banks` is no key of `component: dram`: it has kind"),
        ("width: 16 bit, ", "width: 16 bit, ports: 2, ", "`ports` is no key of `component: regfile`"),
        ("accumulator: 24 bit, ", "", "component mac needs the width of its adder, such as `accumulator: 32 bit`"),
        ("i: 4 bit,", "i: 4 bit, precision: bit_serial, serial: [W],", "component mac knows no serial unit"),
        ("component: mac, ", "energy: 1 pJ, registered: false, ", "say more of a `component`: write"),
        ("size: 32 KiB", "size: unbounded", "memory 'buffer': component sram needs a `size`, but it is unbounded"),
        ("size: 32 KiB", "size: 512 B", "memory 'buffer': component sram: `size >= 64 x width` must hold"),
        ("technology: 28 nm\n", "", "mac: component mac needs a `technology`, its own or that of the chip"),
        ("technology: 28 nm\n", "technology: 5 nm\n", "mac: technology: `7 nm <= technology <= 180 nm` must hold"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in PARTS
    with pytest.raises(AcceleratorError) as refused:
        chip(tmp_path, PARTS.replace(old, new, 1))
    assert said in str(refused.value)
    line = next(n for n, text in enumerate(PARTS.splitlines(), 1) if old.strip() in text)
    (place,) = re.findall(r"chip\.yaml:(\d+)", str(refused.value))[:1]
    assert abs(int(place) - line) <= 2 or "technology" in old


def test_a_chip_that_states_its_numbers_needs_no_component(tmp_path: Path) -> None:
    found = chip(tmp_path, TINY)
    assert found.mac_component is None
    assert all(memory.component is None for memory in found.memories().values())


def test_a_gpu_may_say_which_dram_it_has(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "hwmodel" / "accelerators" / "a100.yaml").read_text()
    (stated,) = re.findall(r"^    read_energy: .*$", text, re.MULTILINE)
    hbm = chip(tmp_path, text.replace(stated, "    component: dram\n    kind: hbm2"))
    assert [memory.read_pj_per_bit for memory in hbm.memories().values()] == [3.92]
    (tmp_path / "sram.yaml").write_text(text.replace(stated, "    component: sram\n    width: 64 bit"))
    with pytest.raises(AcceleratorError, match="kind gpu has no `leakage`"):
        load_accelerator(tmp_path / "sram.yaml")
