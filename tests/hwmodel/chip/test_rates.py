"""`precision: table`: MACs per cycle by widths, as of processors with SIMD kernels."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwmodel import Bits, Layer, evaluate, load_accelerator, write_accelerator
from hwmodel.chip.accelerator import Accelerator
from hwmodel.errors import AcceleratorError, PrecisionError
from tests.hwmodel.chips import TINY, chip

#: MPIC: (activations, weights) -> MACs per cycle (Ottavi et al., ISVLSI 2020, as quoted in PLiNIO, mpic_latency).
MPIC = {
    (2, 2): 6.5, (2, 4): 4.0, (2, 8): 2.2,
    (4, 2): 3.9, (4, 4): 3.5, (4, 8): 2.1,
    (8, 2): 2.5, (8, 4): 2.3, (8, 8): 2.1,
}  # fmt: skip
TABLE = "precision: table, rates: [{w: 8 bit, i: 8 bit, rate: 2}, {w: 4 bit, i: 8 bit, rate: 3.2}]"
CONVOLUTION = Layer(name="c", dims={"K": 32, "C": 32, "OY": 16, "OX": 16, "FY": 3, "FX": 3})


def with_table(folder: Path, table: str = TABLE) -> Accelerator:
    return chip(folder, TINY.replace("accumulator: 16 bit", f"accumulator: 32 bit, {table}"))


@pytest.mark.parametrize(("widths", "rate"), MPIC.items())
def test_mpic_runs_at_its_published_rates(widths: tuple[int, int], rate: float) -> None:
    """Cycles = MACs / rate, and the weights of the first tile from flash at 32 bit a cycle: under 2 %."""
    i, w = widths
    cost = evaluate(CONVOLUTION.with_bits(Bits(w=w, i=i)), load_accelerator("mpic"), optimize="latency")
    assert CONVOLUTION.macs / rate <= cost.cycles <= 1.02 * CONVOLUTION.macs / rate


def test_energy_goes_as_the_cycles() -> None:
    """5.38 mW at 250 MHz are 21.5 pJ a cycle, whatever the widths."""
    precision = load_accelerator("mpic").precision
    for (i, w), rate in MPIC.items():
        assert precision.energy_pj(w, i) * rate == pytest.approx(5.38e-3 / 250e6 * 1e12, rel=1e-3)


def test_the_rate_of_cortex_m7_is_that_of_the_measured_network() -> None:
    """5x5 convolutions of 3, 32, 32 channels into 32, 32, 64 at 32x32, 16x16, 8x8: 96.4 ms (Lai et al., 2018)."""
    macs = 25 * (3 * 32 * 32**2 + 32 * 32 * 16**2 + 32 * 64 * 8**2)
    m7 = load_accelerator("cortex_m7")
    assert macs / (96.4e-3 * m7.clock_hz) == pytest.approx(m7.precision.macs_per_cycle(8, 8), rel=1e-3)
    convolutions = [
        Layer(name="c", dims={"K": k, "C": c, "OY": side, "OX": side, "FY": 5, "FX": 5}, padding=((2, 2), (2, 2)))
        for k, c, side in ((32, 3, 32), (32, 32, 16), (64, 32, 8))
    ]
    cycles = sum(evaluate(layer, m7, optimize="latency").cycles for layer in convolutions)
    assert cycles / m7.clock_hz == pytest.approx(96.4e-3, rel=0.01)


@pytest.mark.parametrize(
    ("w", "i", "rate", "runs_as"),
    [
        (8, 8, 2, (8, 8)), (4, 8, 3.2, (4, 8)), (3, 8, 3.2, (4, 8)), (5, 8, 2, (8, 8)), (4, 2, 3.2, (4, 8)),
        (9, 8, 1, (8, 8)), (16, 16, 0.5, (8, 8)), (4, 16, 1.6, (4, 8)),
    ],
)  # fmt: skip
def test_pairs_that_the_table_lacks(w: int, i: int, rate: float, runs_as: tuple[int, int], tmp_path: Path) -> None:
    """As the fastest pair that is wide enough; wider ones take ceil(w / 8) ceil(i / 8) passes."""
    precision = with_table(tmp_path).precision
    assert precision.macs_per_cycle(w, i) == pytest.approx(rate)
    assert precision.priced_bits(w, i) == runs_as
    assert precision.energy_pj(w, i) == pytest.approx(0.5 * 2 / rate)


def test_the_fastest_is_taken_even_if_it_is_wider(tmp_path: Path) -> None:
    """Unpacking 2-bit weights may cost more than it saves: they are stored narrow and run as 8 bit."""
    slow = TABLE.replace("w: 4 bit, i: 8 bit, rate: 3.2", "w: 2 bit, i: 8 bit, rate: 1.5")
    precision = with_table(tmp_path, slow).precision
    assert precision.priced_bits(2, 8) == (8, 8)
    assert precision.macs_per_cycle(2, 8) == 2
    assert precision.widths("W") == (2, 8)
    assert precision.widths("I") == (8,)
    assert str(precision.note(2, 8)) == "no 2-bit multiplier: priced as 8"


def test_stated_energies_win(tmp_path: Path) -> None:
    stated = TABLE + ", energies: [{w: 4 bit, i: 8 bit, energy: 0.45 pJ}]"
    precision = with_table(tmp_path, stated).precision
    assert precision.energy_pj(4, 8) == precision.energy_pj(3, 5) == 0.45
    assert precision.energy_pj(8, 8) == 0.5


def test_a_layer_takes_its_rate_and_can_be_refused(tmp_path: Path) -> None:
    made = with_table(tmp_path)
    narrow, wide = (evaluate(CONVOLUTION.with_bits(Bits(w=w, i=8)), made).layers[0].compute_cycles for w in (4, 8))
    assert wide / narrow == pytest.approx(3.2 / 2, rel=1e-3)
    with pytest.raises(PrecisionError, match="no 3-bit multiplier"):
        evaluate(CONVOLUTION.with_bits(Bits(w=3, i=8)), made, strict_bits=True)


def test_files_are_written_and_read_back(tmp_path: Path) -> None:
    for made in (with_table(tmp_path), load_accelerator("mpic")):
        again = load_accelerator(write_accelerator(tmp_path / "again.yaml", made))
        assert again.precision == made.precision
        assert again.fingerprint == made.fingerprint


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("precision: table", "table needs `rates`, one of them at the native 8 x 8 bit"),
        ("precision: table, rates: [{w: 4 bit, i: 4 bit, rate: 2}]", "one of them at the native 8 x 8 bit"),
        ("rates: [{w: 8 bit, i: 8 bit, rate: 2}]", "`rates` needs `precision: table`, but got fixed"),
        (TABLE.replace("rate: 2}", "rate: 0}"), "greater than 0"),
        (TABLE.replace("4 bit, i: 8 bit", "16 bit, i: 8 bit"), "rates: no product is wider than 8 x 8 bit"),
        (TABLE.replace("4 bit, i: 8 bit", "8 bit, i: 8 bit"), "rates: 8 x 8 bit is described twice"),
    ],
)
def test_tables_that_are_none(table: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(AcceleratorError, match=message):
        with_table(tmp_path, table)
