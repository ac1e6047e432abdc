"""Rates and energies by width: formulas, published tables, and the properties that every mode obeys."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.replays.bitfusion import unlimited
from benchmarks.replays.figures import figures
from benchmarks.replays.haq import ENGINE
from hwmodel import Bits, Layer, evaluate, list_accelerators, load_accelerator
from hwmodel.chip.arithmetic.analog import Analog
from hwmodel.chip.precision import Precision

WIDTH = st.integers(1, 32)


def widths_of(native: int) -> st.SearchStrategy[int]:
    return st.integers(1, native)


@st.composite
def precisions(draw) -> Precision:
    native = draw(st.sampled_from([4, 8, 16]))
    mode = draw(st.sampled_from(["fixed", "fusion", "bit_serial", "table", "analog"]))
    slices = Analog(
        cell_bits=draw(widths_of(native)), dac_bits=draw(widths_of(native)), adc_bits=8, dac_pj=1, adc_pj=1
    )
    pairs = st.tuples(widths_of(native), widths_of(native))
    rows = draw(st.dictionaries(pairs, st.integers(1, 99), max_size=5)) | {(native, native): 7}
    return Precision(
        mode=mode,
        w_bits=native,
        i_bits=native,
        acc_bits=None,
        mac_pj=1.0,
        brick_bits=draw(st.sampled_from([1, 2])),
        serial=draw(st.sampled_from([("W",), ("I",), ("W", "I")])),
        table_rates=tuple((w, i, rate) for (w, i), rate in rows.items()) if mode == "table" else (),
        analog=slices if mode == "analog" else None,
    )


@given(precision=precisions(), w=st.integers(1, 31), i=st.integers(1, 31))
def test_one_more_bit_never_runs_faster_or_costs_less(precision, w, i):
    for wider in ((w + 1, i), (w, i + 1)):
        assert precision.macs_per_cycle(*wider) <= precision.macs_per_cycle(w, i)
        assert precision.energy_pj(*wider) >= precision.energy_pj(w, i)
        assert all(
            x >= y for x, y in zip(precision.converter_pj(*wider), precision.converter_pj(w, i), strict=True)
        )


@settings(deadline=None)
@given(
    name=st.sampled_from([n for n in list_accelerators() if load_accelerator(n).kind == "spatial"]),
    w=WIDTH,
    i=WIDTH,
)
def test_presets_obey_it_too(name, w, i):
    precision = load_accelerator(name).precision
    assert precision.macs_per_cycle(w + 1, i) <= precision.macs_per_cycle(w, i)
    assert precision.macs_per_cycle(w, i + 1) <= precision.macs_per_cycle(w, i)
    assert precision.energy_pj(w, i + 1) >= precision.energy_pj(w, i) > 0


@pytest.mark.parametrize("w", range(1, 9))
@pytest.mark.parametrize("i", range(1, 9))
def test_rate_of_a_fusion_unit(w, i):
    """(8 / ^w)(8 / ^i), ^b rounded up to 2, 4 or 8 (Bit Fusion, section III)."""
    up = {1: 2, 2: 2, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 8: 8}
    rate = (8 // up[w]) * (8 // up[i])
    precision = load_accelerator("bitfusion").precision
    assert precision.fusion_rate(w, i) == precision.macs_per_cycle(w, i) == rate
    # The unit draws 344.3 uW at 500 MHz whatever it multiplies (45 nm synthesis).
    assert precision.energy_pj(w, i) == pytest.approx(344.3e-6 / 500e6 * 1e12 / rate, rel=1e-12)


@given(w=WIDTH, i=WIDTH)
def test_wider_operands_take_passes(w, i):
    precision = load_accelerator("bitfusion").precision
    passes = math.ceil(w / 8) * math.ceil(i / 8)
    assert precision.passes(w, i) == passes
    if w > 8 and i > 8:
        assert precision.macs_per_cycle(w, i) == 1 / passes


@given(w=st.integers(1, 16), i=st.integers(1, 16))
def test_stripes_streams_activations_only(w, i):
    precision = load_accelerator("stripes").precision
    assert precision.macs_per_cycle(w, i) == 1 / i
    assert precision.energy_pj(w, i) == pytest.approx(542.7e-6 / 500e6 * 1e12 * i / 16)


@settings(deadline=None)
@given(i=st.integers(1, 16))
def test_stripes_speeds_up_by_16_over_p(i):
    """4096 units x 16 lanes x 1/p: 4096 MACs per cycle at 16 bits (Stripes, section III)."""
    layer = Layer(name="x", dims=dict(K=256, C=64, OY=8, OX=16), bits=Bits(w=16, i=i))
    assert evaluate(layer, load_accelerator("stripes")).layers[0].compute_cycles == layer.macs / 4096 * i / 16


@given(w=st.integers(1, 8), i=st.integers(1, 8))
def test_both_operands_serial(w, i):
    assert load_accelerator(ENGINE).precision.macs_per_cycle(w, i) == 1 / (w * i)


@pytest.mark.parametrize(("w", "neurons"), [(1, 16), (2, 14), (4, 11), (8, 8), (16, 5)])
def test_neurons_of_colonnade(w, neurons):
    """A column MAC takes w + log2(128) rows: floor(128 / (w + 7)) neurons of 128 columns work at once."""
    layer = Layer(name="x", dims=dict(K=neurons, C=128, OX=10), bits=Bits(w=w, i=3))
    assert neurons == 128 // (w + 7)
    macro = unlimited(load_accelerator("colonnade"))
    assert evaluate(layer, macro, optimize="latency").layers[0].compute_cycles == 10 * 3
    more = Layer(name="y", dims=dict(K=neurons + 1, C=128, OX=10), bits=Bits(w=w, i=3))
    assert evaluate(more, macro, optimize="latency").layers[0].compute_cycles == 2 * 10 * 3


def test_pairs_between_the_measured_ones_stream_their_bits():
    """Colonnade, 0.8 V: 144.35 fJ per 8-bit weight and input bit; 105.27 fJ at 4 bits."""
    precision = load_accelerator("colonnade").precision
    assert precision.energy_pj(8, 4) == pytest.approx(4 * 144.3500315e-3)
    assert precision.energy_pj(4, 8) == pytest.approx(8 / 4 * 423.4320763e-3)


def test_colonnade_equals_its_table():
    table = figures("bit_serial_energy_colonnade.json")
    precision = load_accelerator("colonnade").precision
    for width, by_voltage in table["expected_fj_per_mac_iw"].items():
        assert precision.energy_pj(int(width), int(width)) == pytest.approx(by_voltage[2] * 1e-3, rel=1e-12)
    for width, by_voltage in table["expected_fj_per_mac_w"].items():
        close = 1e-12 if width != "1" else 0.005  # 1x1 is measured twice, 68.10 and 68.32 fJ
        assert precision.energy_pj(int(width), 1) == pytest.approx(by_voltage[2] * 1e-3, rel=close)


def test_rows_of_colonnade_explain_its_energies():
    """One array power shared by floor(128 / (b + 7)) neurons: why 7-bit weights cost less than 6-bit ones."""
    table = figures("bit_serial_energy_colonnade.json")["expected_fj_per_mac_w"]
    power = [row[2] * (128 // (int(width) + 7)) for width, row in table.items()]
    assert max(power) <= 1.2 * min(power)


def test_synthesis_equals_its_table():
    rows = figures("pe_synthesis_45nm.json")
    pj = {(row["max_bits"], row["min_bits"]): row["power_nw_at_500mhz"] * 1e-9 / 500e6 * 1e12 for row in rows}
    fusion = load_accelerator("bitfusion").precision
    assert fusion.mac_pj == pytest.approx(pj[8, 2], rel=1e-12)
    for w, i, energy in fusion.table_pj:
        assert energy == pytest.approx(pj[8, 2] / ((8 // w) * (8 // i)), rel=1e-12)
    assert load_accelerator("stripes").precision.mac_pj == pytest.approx(pj[16, 16], rel=1e-12)


def test_horowitz_equals_its_table():
    rows = {(row["op"], row["bits"]): row["pJ_45nm"] for row in figures("energy_tables.json")}
    expected = float(rows["int_mul", "8"]) + float(rows["int_add", "32"])
    for name in ("edge_npu", ENGINE):
        assert load_accelerator(name).precision.mac_pj == pytest.approx(expected)
    dram = float(rows["ddr3_4_64b", "64"]) / 64
    for name in ("bitfusion", "edge_npu", "stripes", "colonnade", ENGINE):
        outer = load_accelerator(name).levels[-1].memories[0]
        assert outer.read_pj_per_bit == pytest.approx(dram, rel=0.01)
    buffer = load_accelerator("bitfusion").memories()
    assert buffer["ibuf"].read_pj_per_bit == float(rows["sram_32KB_64b", "64"]) / 64


def test_energies_between_two_nodes():
    """nvdla_large, 16 nm: on the power law through the 45 and 7 nm columns of the table."""
    rows = {(row["op"], row["bits"]): row for row in figures("energy_tables.json")}

    def at_16_nm(op: str, bits: str) -> float:
        wide, narrow = float(rows[op, bits]["pJ_45nm"]), float(rows[op, bits]["pJ_7nm"])
        return wide * (16 / 45) ** (math.log(wide / narrow) / math.log(45 / 7))

    chip = load_accelerator("nvdla_large")
    memories = chip.memories()
    mac = {op: float(rows[op]["pJ_45nm"]) for op in (("int_mul", "8"), ("int_add", "32"))}
    seven = sum(float(rows[op]["pJ_7nm"]) for op in mac)
    whole = sum(mac.values()) * (16 / 45) ** (math.log(sum(mac.values()) / seven) / math.log(45 / 7))
    assert chip.precision.mac_pj == pytest.approx(whole, rel=0.01)
    assert memories["cbuf"].read_pj_per_bit == pytest.approx(at_16_nm("sram_32KB_64b", "64") / 64, rel=0.01)
    assert memories["cacc"].read_pj_per_bit == pytest.approx(at_16_nm("sram_8KB_64b", "64") / 64, rel=0.01)
    assert memories["mac_cell"].read_pj_per_bit == pytest.approx(at_16_nm("int_add", "32") / 32, rel=0.01)
    assert chip.vector.pj_per_op == pytest.approx(at_16_nm("int_add", "8"), rel=0.01)


def test_energies_by_capacity():
    """Between 32 KiB and 1 MiB of the table, and beyond, as capacity^log32(5)."""
    rows = {row["op"]: float(row["pJ_45nm"]) for row in figures("energy_tables.json") if row["pJ_45nm"]}
    power = math.log(rows["sram_1MB_64b"] / rows["sram_32KB_64b"]) / math.log(32)
    for name, memory, kib in (
        ("bitfusion", "wbuf", 64),
        ("edge_npu", "sram", 128),
        ("colonnade", "sram", 128),
        ("stripes", "synapse_buffer", 2048),
        ("stripes", "neuron_memory", 4096),
    ):
        expected = rows["sram_32KB_64b"] * (kib / 32) ** power / 64
        assert load_accelerator(name).memories()[memory].read_pj_per_bit == pytest.approx(expected, rel=0.01)
    for memory in ("accumulators", "unified_buffer"):
        assert load_accelerator("tpu_v1").memories()[memory].read_pj_per_bit == rows["sram_1MB_64b"] / 64


def test_energies_of_65_nm():
    """Eyeriss and Eyeriss v2: synthesis at 45 nm, times (65 / 45) * (1.0 V / 0.9 V)^2."""
    pj = {row["max_bits"]: row["power_nw_at_500mhz"] * 1e-6 / 0.5 for row in figures("pe_synthesis_45nm.json")
          if row["max_bits"] == row["min_bits"]}  # fmt: skip
    scale = 65 / 45 / 0.9**2
    assert load_accelerator("eyeriss").precision.mac_pj == pytest.approx(pj[16] * scale, rel=0.001)
    assert load_accelerator("eyeriss_v2").precision.mac_pj == pytest.approx(pj[8] * scale, rel=0.001)
    for name in ("eyeriss", "eyeriss_v2"):  # RF 1, buffer 6, DRAM 200 MACs of 16 bit (ISCA 2016, table IV)
        levels = load_accelerator(name).levels
        for level, ratio in zip(levels, (1, 6, 200), strict=True):
            assert level.memories[0].read_pj_per_bit == pytest.approx(ratio * pj[16] * scale / 16, rel=0.001)


def test_the_two_sources_of_a_narrow_multiplier_disagree_by_known_factors():
    """Bit Fusion's fusible unit at 8 bits, its fixed unit, and Horowitz's 8-bit product with a 32-bit sum.

    The bricks of a fusible unit cost twice a fixed multiplier; that is the price of its flexibility, not an error.
    """
    pj = {(row["max_bits"], row["min_bits"]): row["power_nw_at_500mhz"] * 1e-6 / 0.5
          for row in figures("pe_synthesis_45nm.json")}  # fmt: skip
    assert pj[8, 2] / pj[8, 8] == pytest.approx(2.0, rel=0.01)
    assert pj[8, 8] == pytest.approx(load_accelerator("edge_npu").precision.mac_pj, rel=0.15)
    fusible, fixed = load_accelerator("bitfusion").precision, pj[2, 2]
    assert fusible.energy_pj(2, 2) < fixed  # sixteen 2-bit products share the adder tree of one unit


@given(w=st.integers(1, 16), i=st.integers(1, 16), reduction=st.integers(1, 5000))
def test_accumulator_derived_or_fixed(w, i, reduction):
    derived, fixed = load_accelerator("colonnade"), load_accelerator("stripes")
    assert derived.resolve_bits(Bits(w=w, i=i), reduction).acc == w + i + math.ceil(math.log2(reduction))
    assert fixed.resolve_bits(Bits(w=w, i=i), reduction).acc == 32
    assert fixed.resolve_bits(Bits(w=w, i=i, acc=20), reduction).acc == 20
