"""The words of a depthwise layer by hand, and what the stored run beside ZigZag says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.provenance import RESULTS
from benchmarks.replays.zigzag_layers import CHIP, LAYERS, beside, kinds, mean, rounded_up, whole_accesses
from hwmodel import find_mapping, load_accelerator

PAGE = Path(__file__).parents[2] / "docs" / "explain" / "fidelity.md"
(LAYER,) = (layer for layer in LAYERS if layer.name == "MobileNetV2 depthwise 96x3x3 56x56/2")
#: What ZigZag 3.9.1 found for it, lpf_limit 6: energy and its parts [pJ].
THEIRS = 177_202_256.544


def test_our_words_by_hand() -> None:
    """Energies per access of a port's width are those of `tests/reference/zigzag_tpu_like.json`."""
    _, cost = find_mapping(LAYER, load_accelerator(CHIP))
    inputs, outputs, weights, macs = 96 * 113 * 113, 96 * 56 * 56, 96 * 9, 96 * 56 * 56 * 9
    energy = cost.energy_breakdown
    assert energy["dram", "I"] == pytest.approx(inputs * 8 * 700 / 64)
    assert energy["dram", "O"] == pytest.approx(outputs * 8 * 750 / 64)
    assert energy["dram", "W"] == pytest.approx(weights * 8 * 700 / 64)
    assert energy["sram_2MB", "I"] == pytest.approx(macs * 8 * 416.16 / 2048 + inputs * 8 * 378.4 / 2048)
    assert energy["sram_2MB", "O"] == pytest.approx(outputs * 8 * 378.4 / 2048)
    assert energy["mac", ""] == pytest.approx(macs * 0.04)


def test_whole_accesses_explain_the_difference() -> None:
    """64 bits for each word of 8 that the array takes or gives, 128 for the 72 of a filter."""
    mapping, cost = find_mapping(LAYER, load_accelerator(CHIP))
    inputs, outputs, filters = 96 * 56 * 56 * 9, 96 * 56 * 56, 96
    more = (64 - 8) * (inputs * 416.16 / 2048 + outputs * 378.4 / 2048) + (128 - 72) * filters * 700 / 64
    assert whole_accesses(LAYER, mapping, cost) == pytest.approx(cost.energy_pj + more)
    assert THEIRS / cost.energy_pj == pytest.approx(1.242, abs=1e-3)
    assert THEIRS / (cost.energy_pj + more) == pytest.approx(1, abs=0.004)  # sums read on their way out, 0.3 %


def test_the_page_has_these_numbers() -> None:
    """The columns of the page add up, and the second one is the sum of ours."""
    section = PAGE.read_text().partition("| what moves")[2].partition("\n\n")[0]
    _, _, *lines = (line for line in section.splitlines() if "|" in line)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    numbers = [[int(re.match(r"[\d,]*", cell)[0].replace(",", "")) for cell in row[2:4]] for row in rows]  # type: ignore[index]
    *parts, total = numbers
    for column in (0, 1):
        assert sum(row[column] for row in parts) == pytest.approx(total[column], abs=2)
    _, cost = find_mapping(LAYER, load_accelerator(CHIP))
    assert total == [pytest.approx(cost.energy_pj, abs=1), pytest.approx(THEIRS, abs=1)]


def test_rounding_up_to_whole_accesses() -> None:
    assert [rounded_up(bits) for bits in (8, 64, 72, 256)] == [8, 1, 128 / 72, 1]


def test_a_row_beside_zigzag() -> None:
    theirs = {"energy_pj": THEIRS, "cycles": 2_862_734.0, "seconds": 10.0, "energy_by_level": {}}
    row = beside(LAYER, theirs)
    assert row["energy_ratio"] * row["energy_pj"] == pytest.approx(THEIRS)
    assert row["times_faster"] * row["seconds"] == pytest.approx(10.0)


def said(rows: list[dict[str, float]], key: str, shown: str) -> str:
    """Geometric mean, least and most, as the page has them."""
    values = [row[key] for row in rows]
    middle, least, most = (shown.format(value) for value in (mean(values), min(values), max(values)))
    return f"{middle} ({least} to {most})"


def test_the_stored_run() -> None:
    """Every layer is there, the rule explains all depthwise ones, and the page says what came out."""
    data = json.loads((RESULTS / "zigzag.json").read_text())
    assert [item["name"] for item in data["layers"]] == [layer.name for layer in LAYERS]
    depthwise, others = kinds(data["layers"]).values()
    assert len(depthwise) == 10
    assert all(abs(item["whole_accesses_ratio"] - 1) < 0.0055 for item in depthwise)
    page = PAGE.read_text()
    for rows, start in ((depthwise, "| 10 depthwise"), (others, "| 19 others")):
        (line,) = (line for line in page.splitlines() if line.startswith(start))
        assert said(rows, "energy_ratio", "{:.2f}") in line
        assert said(rows, "times_faster", "{:,.0f}") in line
    (line,) = (line for line in page.splitlines() if line.startswith("| 10 depthwise"))
    assert said(depthwise, "whole_accesses_ratio", "{:.3f}") in line
    assert set(data["not_run"]) == {"accelforge 1.0.467", "timeloop"}
    for item in data["layers"]:
        assert item["times_faster"] == pytest.approx(item["zigzag_seconds"] / item["seconds"])
