"""What tells two accelerators apart: every number that enters a cost, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from typer.testing import CliRunner

from hwmodel import ChipDifference, chip_differences, load_accelerator
from reports.cli import app
from tests.hwmodel.chips import TINY, chip


def test_each_number_with_its_ratio(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    text = TINY.replace("clock: 100 MHz", "clock: 250 MHz").replace("size: 64 B", "size: 16 KiB")
    text = text.replace("axis: X, size: 2, dims: [K, OX]", "axis: X, size: 2, dims: [K]")
    text = text.replace("    double_buffered: true\n", "")
    found = chip_differences(chip(tmp_path), chip(tmp_path / "other", text))
    assert found == (
        ChipDifference(path="clock", first="100 MHz", second="250 MHz", ratio=2.5),
        ChipDifference(path="array.X.dims", first="K, OX", second="K", ratio=None),
        ChipDifference(path="memories.buffer.size", first="64 B", second="16 KiB", ratio=256.0),
        ChipDifference(path="memories.buffer.double_buffered", first="True", second=None, ratio=None),
    )


def test_what_costs_the_same_does_not_differ() -> None:
    tpu = load_accelerator("tpu_like")
    renamed = replace(tpu, name="mine", description="other words", source="elsewhere", notes=("one more",))
    assert chip_differences(tpu, renamed) == ()
    assert tpu.fingerprint == replace(renamed, name=tpu.name).fingerprint


def test_a_memory_of_one_chip_alone(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    without = TINY[: TINY.index("  - name: regs")] + TINY[TINY.index("  - name: buffer") :]
    found = {item.path: item for item in chip_differences(chip(tmp_path), chip(tmp_path / "other", without))}
    assert found["memories.regs"].first == "there"
    assert {item.second for item in found.values()} == {None}
    assert {path.partition(".regs")[0] for path in found} == {"memories"}


def test_the_command(tmp_path: Path) -> None:
    runner = CliRunner(env={"COLUMNS": "110", "NO_COLOR": "1"})
    shown = runner.invoke(app, ["hw", "diff", "a100", "h100"])
    assert shown.exit_code == 0
    (clock,) = [line.split() for line in shown.stdout.splitlines() if line.startswith("clock")]
    assert clock == ["clock", "1.41", "GHz", "1.83", "GHz", "1.3x"]
    data = json.loads(runner.invoke(app, ["hw", "diff", "a100", "h100", "--json"]).stdout)
    assert {"path": "vector.lanes", "first": "6912", "second": "16896", "ratio": 16896 / 6912} in data[
        "differences"
    ]
    assert "cost the same" in runner.invoke(app, ["hw", "diff", "a100", "a100"]).stdout
    refused = runner.invoke(app, ["hw", "diff", "a100", "h10"])
    assert (refused.exit_code, "Did you mean h100?" in refused.output) == (3, True)
