"""Components: what rises with what, what their sources say, and what is outside of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodel.chip.components.arithmetic import Arithmetic, mac_figures, operation_pj, register_pj_per_bit
from hwmodel.chip.components.dram import DramKind, dram
from hwmodel.chip.components.figures import Figures
from hwmodel.chip.components.nodes import supply_v, transition, wire_pj_per_bit_mm
from hwmodel.chip.components.parts import Part
from hwmodel.chip.components.registers import register_file
from hwmodel.chip.components.sram import Devices, sram

KIB = 8192
DEVICES = st.sampled_from(["low_standby", "low_operating", "high_performance"])
NODES = st.floats(7, 180)
#: A ratio of two close sizes, and of two far ones.
GROWTH = st.floats(1.0001, 30)


@st.composite
def arrays(draw: st.DrawFn) -> tuple[float, int, int, int]:
    """Capacity, width [bit], banks and ports of an SRAM inside the tables, with room for 30 times the size."""
    width = draw(st.integers(8, 1024))
    banks = draw(st.sampled_from([1, 2, 3, 8]))
    words = draw(st.floats(64 * banks, 2**19 / 30.1))
    return words * width, width, banks, draw(st.integers(1, 4))


def energies(found: Figures) -> tuple[float, float]:
    return found.read_pj_per_bit, found.write_pj_per_bit


# ---- SRAM ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kib", "width", "nm", "read_pj", "write_pj", "um2", "uw"),
    [  # printed by CACTI 7.0 in these settings
        (8, 64, 45, 6.13702, 7.87807, 26267.3, 0.256785),
        (32, 64, 45, 17.0418, 15.3975, 94859.7, 0.923907),
        (1024, 64, 45, 93.5192, 76.1829, 3262830, 24.9626),
        (32, 128, 22, 5.24193, 5.60428, 30317.1, 5.55667),
    ],
)
def test_the_tables_are_cactis(
    kib: int, width: int, nm: float, read_pj: float, write_pj: float, um2: float, uw: float
) -> None:
    found = sram(kib * KIB, width_bits=width, nm=nm)
    assert [x * width for x in energies(found)] == pytest.approx([read_pj, write_pj], rel=1e-3)
    assert found.area_mm2 == pytest.approx(um2 / 1e6, rel=1e-3)
    assert found.leakage_w == pytest.approx(uw / 1e6, rel=1e-3)


@given(arrays(), GROWTH, NODES, DEVICES)
def test_a_larger_array_is_dearer_larger_and_leaks_more(
    array: tuple[float, int, int, int], growth: float, nm: float, devices: Devices
) -> None:
    size, width, banks, ports = array
    small, large = (
        sram(bits, width_bits=width, nm=nm, banks=banks, ports=ports, devices=devices)
        for bits in (size, size * growth)
    )
    assert all(a <= b * (1 + 1e-9) for a, b in zip(energies(small), energies(large), strict=True))
    assert small.area_mm2 is not None and large.area_mm2 is not None
    assert small.area_mm2 < large.area_mm2
    assert small.leakage_w < large.leakage_w


@given(arrays(), st.integers(1, 1016), NODES, DEVICES)
def test_a_wider_access_is_dearer(
    array: tuple[float, int, int, int], more: int, nm: float, devices: Devices
) -> None:
    size, width, banks, ports = array
    wide = min(width + more, 1024)
    if size / wide / banks < 64:
        return
    one, two = (
        sram(size, width_bits=bits, nm=nm, banks=banks, ports=ports, devices=devices) for bits in (width, wide)
    )
    for a, b in zip(energies(one), energies(two), strict=True):
        assert a * width <= b * wide * (1 + 1e-9)


@given(arrays(), NODES, NODES, DEVICES)
def test_a_newer_node_is_not_dearer_and_not_larger(
    array: tuple[float, int, int, int], one: float, two: float, devices: Devices
) -> None:
    size, width, banks, ports = array
    new, old = (
        sram(size, width_bits=width, nm=nm, banks=banks, ports=ports, devices=devices) for nm in sorted((one, two))
    )
    assert all(a <= b * (1 + 1e-9) for a, b in zip(energies(new), energies(old), strict=True))
    assert new.area_mm2 is not None and old.area_mm2 is not None
    assert new.area_mm2 <= old.area_mm2 * (1 + 1e-9)


@given(arrays(), NODES, DEVICES)
def test_ports_and_banks_cost(array: tuple[float, int, int, int], nm: float, devices: Devices) -> None:
    size, width, banks, _ = array
    plain = sram(size, width_bits=width, nm=nm, banks=banks, devices=devices)
    ported = sram(size, width_bits=width, nm=nm, banks=banks, ports=2, devices=devices)
    assert ported.read_pj_per_bit == pytest.approx(1.43 * plain.read_pj_per_bit)
    assert ported.area_mm2 == pytest.approx(1.43**2 * (plain.area_mm2 or math.nan))
    whole = sram(size, width_bits=width, nm=nm, devices=devices)
    assert energies(plain) == energies(whole)
    assert (plain.area_mm2 or 0) >= (whole.area_mm2 or 0)
    assert plain.leakage_w >= whole.leakage_w


def test_below_22_nm_the_cell_and_the_supply_count() -> None:
    """At 7 nm: cells of 0.027 against 0.092 um^2; 0.70 V against what is between 0.85 V (20 nm) and 0.90 (28)."""
    supply = 0.85 * (0.9 / 0.85) ** (math.log(22 / 20) / math.log(28 / 20))
    at22, at7 = (sram(32 * KIB, width_bits=64, nm=nm) for nm in (22, 7))
    side = math.sqrt(0.027 / 0.092)
    assert at7.read_pj_per_bit / at22.read_pj_per_bit == pytest.approx(side * (0.7 / supply) ** 2)
    assert at7.area_mm2 == pytest.approx((at22.area_mm2 or math.nan) * 0.027 / 0.092)
    assert at7.leakage_w / at22.leakage_w == pytest.approx(side * 0.7 / supply)
    assert at7.said.endswith("7 nm scaled from CACTI 7 at 22 nm by bit cell and supply")


@pytest.mark.parametrize(
    ("size", "given_", "said"),
    [
        (32 * KIB, {"nm": 5}, "`7 nm <= technology <= 180 nm` must hold .* but got 5 nm"),
        (32 * KIB, {"nm": 250}, "but got 250 nm"),
        (32 * KIB, {"width_bits": 4}, "`8 bit <= width <= 1024 bit` must hold .* but got 4 bit"),
        (32 * KIB, {"width_bits": 2048}, "but got 2048 bit"),
        (32 * KIB, {"ports": 5}, "`1 <= ports <= 4` must hold, but got 5"),
        (24 * 64, {}, "`size >= 64 x width` must hold for every bank .* but got 24 words of 64 bit"),
        (32 * KIB, {"banks": 128}, "but got 32 words of 64 bit"),
        (16 * 2**20 * 8, {}, "`size <= 524,288 x width` must hold"),
    ],
)
def test_outside_of_the_tables(size: float, given_: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sram(size, **{"width_bits": 64, "nm": 28, **given_})  # type: ignore[arg-type]


# ---- registers -----------------------------------------------------------------------------------


def test_a_register_file_is_interstellars() -> None:
    """ASPLOS 2020, table 3: 0.03 to 0.96 pJ per 16 bit, from 16 to 512 B, at 28 nm."""
    for size, picojoules in ((16, 0.03), (32, 0.06), (64, 0.12), (128, 0.24), (256, 0.48), (512, 0.96)):
        found = register_file(size * 8, width_bits=16, nm=28)
        assert found.read_pj_per_bit * 16 == pytest.approx(picojoules)
        assert found.write_pj_per_bit - found.read_pj_per_bit == pytest.approx(register_pj_per_bit(28))


def test_a_register_is_aladdins() -> None:
    """5.98 um^2 and 74 nW a bit at 40 nm, 0.009 pJ a clocked bit."""
    found = register_file(32, width_bits=32, nm=40)
    assert found.area_mm2 == pytest.approx(32 * 5.98e-6)
    assert found.leakage_w == pytest.approx(32 * 7.395e-8)
    assert register_pj_per_bit(40) == pytest.approx(0.009)


@given(st.floats(1, 500), st.floats(1, 500), st.integers(1, 256), NODES, NODES)
def test_registers_rise(one: float, two: float, width: int, new: float, old: float) -> None:
    small, large = (register_file(entries * width, width_bits=width, nm=new) for entries in sorted((one, two)))
    assert all(a <= b for a, b in zip(energies(small), energies(large), strict=True))
    assert (small.area_mm2 or 0) <= (large.area_mm2 or 0)
    assert small.leakage_w <= large.leakage_w
    cheap, dear = (register_file(one * width, width_bits=width, nm=nm) for nm in sorted((new, old)))
    assert all(a <= b * (1 + 1e-9) for a, b in zip(energies(cheap), energies(dear), strict=True))


@pytest.mark.parametrize("entries", [0.5, 513])
def test_a_register_file_has_1_to_512_entries(entries: float) -> None:
    with pytest.raises(ValueError, match=rf"but got {entries:g} entries of 16 bit"):
        register_file(entries * 16, width_bits=16, nm=28)


# ---- arithmetic ----------------------------------------------------------------------------------


def test_a_mac_is_a_multiplier_an_adder_and_registers() -> None:
    """Geometric means of Horowitz's 8 and 32 bit at 45 nm, Aladdin's register; areas of Aladdin's at 40 nm."""
    multiply, add = math.sqrt(0.2 / 64 * 3.1 / 1024), math.sqrt(0.03 / 8 * 0.1 / 32)
    bare = mac_figures(Arithmetic(kind="mac", nm=45, registered=False), w=8, i=4, acc=24)
    assert bare.energy_pj == pytest.approx(8 * 4 * multiply + 24 * add)
    found = mac_figures(Arithmetic(kind="mac", nm=40), w=8, i=4, acc=24)
    assert found.area_mm2 == pytest.approx((32 * 6350 / 1024 + 24 * 278 / 32 + 12 * 5.98) * 1e-6)
    assert found.leakage_w == pytest.approx(32 * 8e-5 / 1024 + 24 * 2.4e-6 / 32 + 12 * 7.395e-8)
    without = mac_figures(Arithmetic(kind="mac", nm=40, registered=False), w=8, i=4, acc=24)
    assert found.energy_pj - without.energy_pj == pytest.approx(12 * 0.009)


def test_fusion_costs_what_it_cost_in_bit_fusion() -> None:
    """Of 8 x 8 bit with bricks of 2: 344.3 uW against 171.8, 1733.1 um^2 against 687.6; lines to 0.1 and 1.5 %."""
    plain, fused = (mac_figures(Arithmetic(kind="mac", nm=45), w=8, i=8, acc=16, halvings=n) for n in (0, 2))
    assert fused.energy_pj / plain.energy_pj == pytest.approx(344.3 / 171.8, rel=1e-3)
    assert fused.area_mm2 / plain.area_mm2 == pytest.approx(1733.13 / 687.607, rel=0.015)
    assert fused.leakage_w / plain.leakage_w == pytest.approx(fused.area_mm2 / plain.area_mm2)


def test_leakage_of_logic_goes_with_width_and_supply() -> None:
    old, new = (mac_figures(Arithmetic(kind="mac", nm=nm), w=8, i=8, acc=16) for nm in (45, 20))
    assert new.area_mm2 / old.area_mm2 == pytest.approx(0.21)  # Stillmaker and Baas
    assert new.leakage_w / old.leakage_w == pytest.approx(math.sqrt(0.21) * 0.85 / 0.9)


@pytest.mark.parametrize(("nm", "column"), [(45, 0), (7, 1)])
def test_floating_point_is_what_is_published(nm: float, column: int) -> None:
    for width, multiply, add in ((16, (1.1, 0.34), (0.4, 0.16)), (32, (3.7, 1.31), (0.9, 0.38))):
        bare = Arithmetic(kind="float_mac", nm=nm, registered=False)
        assert mac_figures(bare, w=width, i=width, acc=width).energy_pj == pytest.approx(
            multiply[column] + add[column]
        )
    mixed = mac_figures(Arithmetic(kind="float_mac", nm=nm, registered=False), w=16, i=16, acc=32)
    assert mixed.energy_pj == pytest.approx((1.1, 0.34)[column] + (0.9, 0.38)[column])


WIDTHS = st.integers(1, 32)


@given(WIDTHS, WIDTHS, st.integers(8, 64), NODES, NODES, st.floats(0, 3))
def test_a_wider_mac_is_dearer_and_a_newer_one_is_not(
    w: int, i: int, acc: int, one: float, two: float, halvings: float
) -> None:
    new, old = (Arithmetic(kind="mac", nm=nm) for nm in sorted((one, two)))
    plain = mac_figures(new, w=w, i=i, acc=acc, halvings=halvings)
    for wider in ((w + 1, i, acc), (w, i + 1, acc), (w, i, acc + 1)):
        more = mac_figures(new, w=wider[0], i=wider[1], acc=wider[2], halvings=halvings)
        assert plain.energy_pj < more.energy_pj and plain.area_mm2 < more.area_mm2
        assert plain.leakage_w < more.leakage_w
    before = mac_figures(old, w=w, i=i, acc=acc, halvings=halvings)
    assert plain.energy_pj <= before.energy_pj * (1 + 1e-9)
    assert plain.area_mm2 <= before.area_mm2 * (1 + 1e-9)
    assert plain.energy_pj >= mac_figures(new, w=w, i=i, acc=acc).energy_pj


@pytest.mark.parametrize(
    ("kind", "widths", "halvings", "said"),
    [
        ("mac", (16, 16), 4, "`brick >= widest width / 8` must hold .* but got 1/16"),
        ("float_mac", (8, 8), 0, "`w = i` of 16 or 32 bit must hold .* but got 8 x 8 bit"),
        ("float_mac", (16, 32), 0, "but got 16 x 32 bit"),
    ],
)
def test_arithmetic_that_nobody_published(kind: str, widths: tuple[int, int], halvings: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        mac_figures(
            Arithmetic(kind=kind, nm=28),
            w=widths[0],
            i=widths[1],
            acc=32,
            halvings=halvings,  # type: ignore[arg-type]
        )


# ---- nodes, wires, DRAM --------------------------------------------------------------------------


def test_stillmaker_and_baas() -> None:
    """Their polynomial at the supplies of the table: 45 nm at 0.9 V, 7 nm at 0.7 V."""
    assert transition(45) == pytest.approx(1.018 * 0.81 - 0.3107 * 0.9 + 0.1539)
    assert transition(7) == pytest.approx(0.1776 * 0.49 - 0.09097 * 0.7 + 0.02447)
    assert operation_pj((2.0, 1.0), 90) == pytest.approx(2 * transition(90) / transition(45))
    middle = operation_pj((2.0, 1.0), 20)
    share = math.log(transition(45) / transition(20)) / math.log(transition(45) / transition(7))
    assert middle == pytest.approx(2 ** (1 - share))


@given(NODES, NODES)
def test_supplies_and_transitions_fall(one: float, two: float) -> None:
    new, old = sorted((one, two))
    assert supply_v(new) <= supply_v(old) * (1 + 1e-12)
    assert transition(new) <= transition(old) * (1 + 1e-12)


def test_a_wire_is_kecklers() -> None:
    """310 pJ for 256 bits over 10 mm at 40 nm and 0.9 V; as V^2 at 28 nm (0.9 V) and 7 nm (0.7 V)."""
    assert wire_pj_per_bit_mm(40) == pytest.approx(310 / 2560)
    assert wire_pj_per_bit_mm(28) == pytest.approx(310 / 2560)
    assert wire_pj_per_bit_mm(7) == pytest.approx(310 / 2560 * (0.7 / 0.9) ** 2)


@pytest.mark.parametrize(
    ("kind", "pj_per_bit"), [("ddr3", 20.3125), ("lpddr4", 8), ("gddr5", 14), ("gddr6", 6.484375), ("hbm2", 3.92)]
)
def test_dram(kind: DramKind, pj_per_bit: float) -> None:
    found = dram(kind)
    assert energies(found) == (pj_per_bit, pj_per_bit)
    assert found.area_mm2 is None and found.leakage_w == 0
    assert found.said.startswith(f"{kind}: ")


@pytest.mark.parametrize(
    ("part", "size", "said"),
    [
        (Part(kind="dram"), None, "component dram needs its `kind`"),
        (Part(kind="sram", nm=28.0, width_bits=64), None, "component sram needs a `size`, but it is unbounded"),
        (Part(kind="regfile", width_bits=64), 640, "component regfile needs a `technology`"),
        (Part(kind="sram", nm=28.0), 640, "component sram needs the `width` of an access"),
    ],
)
def test_a_part_that_lacks_something(part: Part, size: float | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        part.figures(size)
