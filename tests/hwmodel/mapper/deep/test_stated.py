"""What our mapper knows more than the search of the reference: never worse, and better where places may share."""

from __future__ import annotations

import pytest

from benchmarks.replays.deep import chip_of, layer_of
from benchmarks.replays.figures import figures
from hwmodel.mapper.deep.find import deep_mapping
from hwmodel.nest.task import Task
from hwmodel.price.spatial import price

DATA = figures("deep_hierarchies.json")


@pytest.mark.parametrize("row", [row for row in DATA["rows"] if row["arch"] == "gemmini" or "attn" in row["layer"]],
                         ids=lambda row: row["layer"])  # fmt: skip
def test_nothing_costs_more_than_the_optimum_with_fewer_ways(row):
    chip = chip_of(row["arch"], DATA["architectures"][row["arch"]]["outer_to_inner"])
    task = Task.of(layer_of(row), chip)
    energy = sum(price(task, deep_mapping(task)).energy_pj.values())
    assert energy <= row["even_without_drain_reads"]["pj"] * (1 + 1e-9)
    if "attn" in row["layer"]:  # 197 queries in 8 lanes: padded to 200, they fill them
        assert energy < 0.85 * row["even_without_drain_reads"]["pj"]
