"""Closed forms of systolic arrays against loops that walk the folds, and SCALE-Sim's own figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.replays import scalesim
from benchmarks.replays.figures import figures
from hwmodel import Layer, evaluate, load_accelerator
from hwmodel.chip.timing.systolic import Systolic, compute_cycles
from hwmodel.errors import AcceleratorError, LayerError
from tests.hwmodel.chips import TINY, chip

SIZE = st.integers(1, 40)


@given(m=SIZE, n=SIZE, k=SIZE, groups=st.integers(1, 3), rows=st.integers(1, 9), columns=st.integers(1, 9))
def test_folds_are_what_covers_the_two_held_dims(m, n, k, groups, rows, columns):
    """Every fold holds up to rows x columns of two dims and streams the third past them."""
    layer = Layer(name="l", dims={"G": groups, "OX": m, "K": n, "C": k})
    held = {"ws": (k, n, m), "is": (k, m, n), "os": (m, n, k)}
    for dataflow, (down, across, streamed) in held.items():
        load = 0 if dataflow == "os" else rows  # the held operand enters row by row
        cycles = 0
        for _ in range(groups):
            for _row in range(0, down, rows):
                for _column in range(0, across, columns):
                    cycles += load + streamed + (rows - 1) + (columns - 1)
        assert compute_cycles(layer, rows, columns, dataflow) == cycles - 1


def test_bad_arrays_are_refused():
    layer = Layer(name="l", dims={"K": 4})
    with pytest.raises(LayerError, match="rows, columns >= 1"):
        compute_cycles(layer, 0, 4, "ws")
    with pytest.raises(LayerError, match="one of ws, os, is"):
        compute_cycles(layer, 4, 4, "rs")


def test_scalesim_rows_are_exact():
    cases = scalesim.replay(figures("scalesim_cycles.json"))
    assert len(cases) == 144
    assert [case.name for case in cases if case.prediction != case.reference] == []


@pytest.mark.parametrize(
    ("dataflow", "rows", "columns", "cycles"),
    [
        ("ws", 4, 8, (449, 1055, 91)),
        ("ws", 16, 4, (419, 575, 85)),
        ("os", 4, 8, (413, 879, 77)),
        ("os", 16, 4, (323, 377, 67)),
        ("is", 4, 8, (899, 1103, 151)),
        ("is", 16, 4, (1079, 1031, 116)),
    ],
)
def test_a_stride_that_does_not_divide_adds_a_window(dataflow, rows, columns, cycles):
    """SCALE-Sim 3.0.0 was run for this test; its outputs are ceil((image - filter + stride) / stride) wide."""
    keys = ("ifmap_h", "ifmap_w", "filter_h", "filter_w", "channels", "filters", "stride")
    shapes = {"half": (12, 13, 3, 3, 4, 6, 2), "third": (16, 17, 5, 3, 3, 9, 3), "vector": (9, 9, 4, 2, 2, 5, 4)}
    table = {
        "layers": {name: dict(zip(keys, shape, strict=True)) for name, shape in shapes.items()},
        "rows": [
            {"dataflow": dataflow, "rows": rows, "cols": columns, "layer": name, "cycles": count}
            for name, count in zip(shapes, cycles, strict=True)
        ],
    }
    assert [(case.name, case.prediction) for case in scalesim.replay(table) if case.error] == []


@pytest.mark.parametrize("dataflow", ["ws", "os", "is"])
def test_a_chip_with_systolic_timing_computes_in_closed_form(tmp_path, dataflow):
    plain = chip(tmp_path)
    (tmp_path / "s").mkdir()
    timed = chip(tmp_path / "s", TINY + f"timing: {{kind: systolic, dataflow: {dataflow}}}\n")
    assert timed.timing == Systolic(rows=2, columns=2, dataflow=dataflow)
    layer = Layer(name="l", dims={"K": 4, "C": 4, "OY": 6, "OX": 6})
    with_timing, without = evaluate(layer, timed), evaluate(layer, plain)
    assert with_timing.cycles >= compute_cycles(layer, 2, 2, dataflow)
    assert with_timing.energy_pj == without.energy_pj  # traffic and energy come from the mapping


def test_timing_needs_rows_and_columns(tmp_path):
    text = TINY.replace("  - {axis: Y, size: 2, dims: [C, FY, OY]}\n", "") + (
        "timing: {kind: systolic, dataflow: ws}\n"
    )
    with pytest.raises(AcceleratorError, match=r"axes X \(columns\) and Y \(rows\)"):
        chip(tmp_path, text)


def test_tpu_v1_has_its_92_tops():
    """Jouppi et al., ISCA 2017, section 2: 65,536 MACs at 700 MHz, 92 TOPS, 28 MiB on chip."""
    tpu = load_accelerator("tpu_v1")
    assert tpu.num_pes == 65536
    assert 2 * tpu.num_pes * tpu.clock_hz == pytest.approx(92e12, rel=0.005)
    on_chip = [m.size_bits for m in tpu.levels[1].memories]
    assert sum(on_chip) == 28 * 2**20 * 8
    big = Layer(name="l", kind="linear", dims={"B": 20000, "K": 256, "C": 256})
    cost = evaluate(big, tpu)
    assert cost.layers[0].cycles >= compute_cycles(big, 256, 256, "ws")


def test_a_chip_without_timing_is_known_to_runs_of_earlier_releases(tmp_path):
    """Its fingerprint keys their caches and ledgers."""
    assert chip(tmp_path, TINY).fingerprint == "1e4972881814aaf7"
