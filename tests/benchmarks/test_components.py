"""Published figures of parts beside our components: what the page says of them, and how the tables are made."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import fidelity
from benchmarks.fidelity import replay_file
from benchmarks.replays.components import replay
from benchmarks.replays.figures import COMMITTED, VARIABLE, figures
from benchmarks.sram_tables import DEPTHS_WORDS, DEVICES, NODES_NM, WIDTHS_BITS, by_depth, by_size, monotone
from hwmodel.chip.components.sram import TABLE

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "howto" / "components.md"
FILE = COMMITTED / "component_figures.json"


def test_the_page_prints_what_the_replay_gives() -> None:
    rows = re.findall(r"^\| (.+?) \| ([\d.e+]+) \| ([\d.e+]+) \| ([+-]\d+%) \|$", PAGE.read_text(), re.MULTILINE)
    cases = [case for case in replay_file("components", FILE) if case.name.startswith("held out: ")]
    assert rows == [
        (
            case.name.removeprefix("held out: "),
            f"{case.reference:.4g}",
            f"{case.prediction:.4g}",
            f"{case.error:+.0%}",
        )
        for case in cases
    ]


def test_what_the_page_says_in_words() -> None:
    """MACs within 23 %, arrays at 45 nm within 15 % and 39 %; small arrays in new nodes 12, 1.7, 3 and 10 times."""
    error = {case.name.removeprefix("held out: "): case.error for case in replay_file("components", FILE)}
    assert max(abs(value) for name, value in error.items() if name.startswith("PE ")) < 0.23
    assert max(abs(value) for name, value in error.items() if name.startswith("EIE")) < 0.15
    assert max(abs(value) for name, value in error.items() if name.startswith("SRAM") and "45 nm" in name) < 0.39
    times = {name: 1 / (1 + value) for name, value in error.items() if name.startswith("SRAM")}
    assert times["SRAM 8 KiB, 64 bit, 7 nm"] == pytest.approx(12, abs=0.5)
    assert times["SRAM 1024 KiB, 64 bit, 7 nm"] == pytest.approx(1.7, abs=0.05)
    assert times["SRAM 8 KiB, 64 bit, 40 nm"] == pytest.approx(3, abs=0.5)
    assert times["SRAM 8 KiB, 64 bit, 10 nm"] == pytest.approx(3, abs=0.5)
    assert times["SRAM 8 KiB, 256 bit, 28 nm"] == pytest.approx(10, abs=0.6)


def test_constants_are_what_they_were_taken_from() -> None:
    """The used rows: one constant of two figures lies between them; what is copied is equal."""
    used = {case.name: case.error for case in replay_file("components", FILE) if case.name.startswith("used: ")}
    assert len(used) == 18
    assert all(abs(value) < 0.16 for value in used.values())
    copied = [value for name, value in used.items() if "register file" in name or "wire" in name]
    assert copied == pytest.approx([0] * 4, abs=1e-9)


def test_the_file_repeats_the_tables_that_it_quotes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    rows = {row["name"]: row for row in figures("component_figures.json")}
    for pe in figures("pe_synthesis_45nm.json"):
        width = pe["max_bits"]
        if pe["min_bits"] == width:
            assert rows[f"PE {width} x {width} bit, 45 nm"]["value"] == pe["power_nw_at_500mhz"] / 5e5
            assert rows[f"PE {width} x {width} bit, 45 nm, area"]["value"] == pe["area_um2"]
    for item in figures("energy_tables.json"):
        kind, _, size = item["op"].partition("_")
        for nm, column in ((45, "pJ_45nm"), (7, "pJ_7nm")):
            name = {
                "int_mul": f"multiplication {item['bits']} bit, {nm} nm",
                "int_add": f"addition {item['bits']} bit, {nm} nm",
            }.get(item["op"])
            if kind == "sram":
                kib = {"8KB": 8, "32KB": 32, "1MB": 1024}[size.removesuffix("_64b")]
                name = f"SRAM {kib} KiB, 64 bit, {nm} nm"
            if name is not None and item[column]:
                assert rows[name]["value"] == float(item[column]), name


@pytest.mark.parametrize(
    ("component", "quantity", "said"),
    [
        (
            {"component": "sram", "size_bytes": 64, "width_bits": 64, "technology_nm": 45},
            "access_pj",
            "size >= 64 x",
        ),
        ({"component": "flash"}, "access_pj", "component 'flash' has no 'access_pj'"),
        ({"component": "dram", "kind": "hbm2"}, "mac_pj", "component 'dram' has no 'mac_pj'"),
        ({"component": "mac", "w": 8, "i": 8, "technology_nm": 45}, "mac_pj", "it lacks 'acc'"),
        ({"component": "dram", "kind": "hbm2"}, "area_um2", "both values must be finite"),
    ],
)
def test_what_breaks_a_row_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], component: dict, quantity: str, said: str
) -> None:
    row = {"name": "x", "quantity": quantity, "component": component, "value": 1, "held_out": True}
    (tmp_path / "file.json").write_text(json.dumps([row]))
    assert fidelity.main(["components", str(tmp_path / "file.json")]) == 3
    assert said in capsys.readouterr().err


def test_other_parts_and_ratios() -> None:
    """Parts that the committed file has none of, in the same format."""
    mac = {"component": "float_mac", "w": 16, "i": 16, "acc": 16, "technology_nm": 45, "registered": False}
    one = {"name": "x", "quantity": "mac_pj", "component": mac, "value": 1.5, "held_out": False}
    (case,) = replay([one])
    assert (case.name, case.prediction) == ("used: x", pytest.approx(1.1 + 0.4))
    sram = {"component": "sram", "size_bytes": 2**20, "width_bits": 64, "technology_nm": 45, "ports": 2}
    ratio = {**one, "quantity": "area_um2", "component": sram, "over": {**sram, "ports": 1}}
    assert replay([ratio])[0].prediction == pytest.approx(1.43**2)


# ---- how the tables of SRAM are made -------------------------------------------------------------

#: Of the generator that draws a table [node, width, depth].
SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(size=(2, 3, 4))


@given(SEEDS)
def test_monotone_tables_rise_and_stay_close(seed: int) -> None:
    values = drawn(seed)
    found = monotone(by_size(values), (0, 1, 2))
    for axis in range(3):
        steps = np.diff(found, axis=axis)
        assert (steps[~np.isnan(steps)] >= -1e-9).all()
    back = by_depth(found, 4)
    assert (back >= values.min() * (1 - 1e-9)).all() and (back <= values.max() * (1 + 1e-9)).all()
    again = by_depth(monotone(by_size(back), (0, 1, 2)), 4)
    assert again == pytest.approx(back)


@given(SEEDS)
def test_sizes_are_depths_times_widths(seed: int) -> None:
    values = drawn(seed)
    sizes = by_size(values)
    assert np.isnan(sizes).sum() == sizes.size - values.size
    assert (by_depth(sizes, 4) == values).all()
    assert sizes[1, 2, 3] == values[1, 2, 1]  # 4 x the width, 8 x the size: twice the depth


def test_the_table_of_the_package() -> None:
    data = json.loads(TABLE.read_text())
    assert (tuple(data["nodes_nm"]), tuple(data["widths_bits"])) == (NODES_NM, WIDTHS_BITS)
    assert tuple(data["depths_words"]) == DEPTHS_WORDS
    assert set(data["devices"]) == set(DEVICES.values())
    assert "CACTI 7.0" in data["source"] and data["versions"] and data["date"]
    for name, quantities in data["devices"].items():
        for quantity, values in quantities.items():
            array = np.array(values, dtype=float)
            assert array.shape == (len(NODES_NM), len(WIDTHS_BITS), len(DEPTHS_WORDS))
            assert np.isnan(array).sum() == len(NODES_NM)  # arrays of 32 words of 8 bit, which CACTI does not know
            assert (array[~np.isnan(array)] > 0).all()
            assert data["moved"][name][quantity] < 0.5
            assert math.isclose(data["moved"][name][f"{quantity}, median"], 0, abs_tol=0.01)
