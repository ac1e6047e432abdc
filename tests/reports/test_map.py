"""`hwmodel map`: why a layer costs what it costs, two accelerators, and the file for Timeloop."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from benchmarks.replays.timeloop import case_of
from hwmodel import Layer, count_accesses, evaluate, find_mapping, load_accelerator
from hwmodel.explain import explain_mapping
from reports.cli import app
from reports.figures.bars import breakdown_frame
from reports.terminal.chips import chip_data, energy_lines
from tests.hwmodel.chips import TINY, chip

DIMS = "K=16,C=8,OY=14,OX=14,FY=3,FX=3"
LAYER = Layer(name=DIMS, dims=dict(K=16, C=8, OY=14, OX=14, FY=3, FX=3))


def run(*args: str) -> Result:
    return CliRunner().invoke(app, list(args))


def run_json(*args: str) -> Any:
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def row(text: str, start: str) -> list[str]:
    """Words of the first line that starts so."""
    return next(line for line in text.splitlines() if line.startswith(start)).split()


def test_the_explanation_is_printed() -> None:
    accelerator = load_accelerator("edge_npu")
    mapping, cost = find_mapping(LAYER, accelerator)
    told = explain_mapping(LAYER, accelerator, mapping)
    result = run("map", DIMS, "--hw", "edge_npu")
    assert result.exit_code == 0, result.output
    sram = told.memories[1]
    assert row(result.stdout.split("Fill")[1], "sram ")[-2:] == [f"{sram.fill * 100:.1f}", "%"]
    assert row(result.stdout.split("Fill")[1], "dram ")[-2] == "unbounded"
    assert f"bound by {cost.bound}" in result.stdout
    assert f"of {cost.cycles:,} cycles" in result.stdout
    for axis in told.axes:
        assert f"{axis.name} {axis.used}/{axis.size}" in result.stdout
    for name in ("array", "sram port", "dram port", "waiting", "first fill", "last drain"):
        assert row(result.stdout, name)


def test_the_explanation_as_json() -> None:
    accelerator = load_accelerator("edge_npu")
    mapping, cost = find_mapping(LAYER, accelerator)
    told = explain_mapping(LAYER, accelerator, mapping)
    data = run_json("map", DIMS, "--hw", "edge_npu")["explanation"]
    assert (data["cycles"], data["bound"]) == (cost.cycles, cost.bound)
    assert [m["used_bits"] for m in data["memories"]] == [m.used_bits for m in told.memories]
    assert [m["fill"] for m in data["memories"]] == [m.fill for m in told.memories]
    assert [p["cycles"] for p in data["ports"]] == [p.cycles for p in told.ports]
    assert [a["utilization"] for a in data["axes"]] == [a.utilization for a in told.axes]


@pytest.mark.parametrize("layer", [DIMS, "lenet5:conv2"])
def test_two_accelerators_side_by_side(layer: str) -> None:
    one, two = (run_json("map", layer, "--hw", name) for name in ("eyeriss", "edge_npu"))
    both = run_json("map", layer, "--hw", "eyeriss", "--compare", "edge_npu")
    other = both.pop("compare")
    assert both == one
    assert other == two
    text = run("map", layer, "--hw", "eyeriss", "--compare", "edge_npu").stdout
    ratio = two["cost"]["energy_pj"] / one["cost"]["energy_pj"]
    assert row(text, "energy ")[-1] == f"{ratio:.3g}"
    assert row(text, "bound ")[1:] == [one["cost"]["bound"], two["cost"]["bound"]]
    assert text.count("bound by ") == 2


def test_a_layer_of_a_model_is_mapped_as_it_runs_there() -> None:
    """On a chip that keeps tensors: conv2 of LeNet-5 reads what conv1 left, and leaves what its pool makes."""
    inside = run_json("map", "lenet5:conv2", "--hw", "edge_npu")
    network = run_json("cost", "lenet5", "--hw", "edge_npu")
    priced = next(row for row in network["layers"] if row["layer"] == "conv2")
    assert inside["cost"]["energy_pj"] == priced["energy_pj"]
    assert inside["resident"] == priced["resident"].split() == ["I", "O"]
    sram = next(m for m in inside["explanation"]["memories"] if m["memory"] == "sram")
    assert sram["resident"] == ["I", "O"]
    assert sram["room_bits"] < sram["size_bits"] == 128 * 1024 * 8
    assert set(sram["tile_words"]) == {"W"}
    text = run("map", "lenet5:conv2", "--hw", "edge_npu").stdout
    assert "in its network: inputs and outputs in sram, weights in dram" in text
    assert row(text.split("Fill")[1], "sram ").count("stays") == 2


def test_a_layer_alone_has_its_operands_outside() -> None:
    alone = run_json("map", "lenet5:conv2", "--hw", "edge_npu", "--alone")
    _, cost = find_mapping(Layer.from_dict(alone["layer"]), load_accelerator("edge_npu"))
    assert alone["cost"]["energy_pj"] == cost.energy_pj
    assert alone["resident"] == []
    assert "in its network" not in run("map", "lenet5:conv2", "--hw", "edge_npu", "--alone").stdout
    assert "in its network" not in run("map", "lenet5:conv2", "--hw", "eyeriss").stdout


def test_a_chip_that_fetches_weights_ahead_maps_a_layer_behind_the_one_before():
    text = run("map", "lenet5:conv2", "--hw", "ethos_u55_128").stdout
    assert re.search(r"in its network: [\d,]+ cycles go before it, in which its weights may come", text)
    assert "in its network" not in run("map", "lenet5:conv2", "--hw", "ethos_u55_128", "--alone").stdout


def test_the_mapping_of_a_layer_in_stripes_is_of_one(tmp_path: Path) -> None:
    """DS-CNN in 20 KiB: groups of layers run in stripes of their 25 rows."""
    text = (
        (files("hwmodel") / "accelerators" / "edge_npu.yaml").read_text().replace("size: 128 KiB", "size: 20 KiB")
    )
    small = tmp_path / "small.yaml"
    small.write_text(text)
    network = run_json("cost", "dscnn", "--hw", str(small), "--optimize", "latency")
    group = network["fused"][0]
    name = group["layers"][0]
    result = run("map", f"dscnn:{name}", "--hw", str(small), "--optimize", "latency")
    assert result.exit_code == 0, result.output
    assert f"in stripes of {group['rows'][0]} of 25 rows" in result.stdout
    mapped = run_json("map", f"dscnn:{name}", "--hw", str(small), "--optimize", "latency")
    assert mapped["stripe_rows"] == group["rows"][0]
    assert mapped["cost"]["cycles"] >= group["stripes"] * 0.5 * mapped["explanation"]["cycles"]


@pytest.mark.parametrize("layer", [DIMS, "lenet5:conv2"])
def test_the_export_is_read_back(layer: str, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.yaml"
    data = run_json("map", layer, "--hw", "edge_npu", "--export", str(path))
    file = YAML(typ="safe").load(path.read_text())
    case = {"arch_spec": file["arch"], "problem": file["problem"], "mapping": {"mapping": file["mapping"]}}
    read, chip, mapping = case_of(case)
    assert read.macs == data["cost"]["macs"]
    counts = count_accesses(read, chip, mapping)
    for item in data["cost"]["traffic"]:
        if (item["level"], item["operand"]) == ("dram", "I"):
            assert counts["dram", "I"].reads * 8 == item["bits"]


def test_the_export_must_be_yaml(tmp_path: Path) -> None:
    result = run("map", DIMS, "--hw", "edge_npu", "--export", str(tmp_path / "x.json"))
    assert result.exit_code == 2
    assert "must end in .yaml" in " ".join(result.stderr.replace("│", " ").split())
    assert run("map", DIMS, "--hw", "edge_npu", "--compare", "eyeris").exit_code == 3


# ---- memory and area -----------------------------------------------------------------------------


def test_cost_shows_the_memory() -> None:
    data = run_json("cost", "lenet5", "--hw", "edge_npu", "--w-bits", "4", "--a-bits", "8", "--memory")
    weights = 150 + 2_400 + 48_000 + 10_080 + 840
    channels = 6 + 16 + 120 + 84 + 10
    assert data["memory"]["overhead_bits"] == {"tensor": 5 * (32 + 4), "channel": channels * (32 + 4)}
    four = next(row for row in data["memory"]["widths"] if row["bits"] == 4)
    assert four == {
        "bits": 4,
        "values_bits": weights * 4,
        "per_tensor_bits": 5 * 36,
        "per_channel_bits": channels * 36,
    }
    sram = next(fit for fit in data["memory"]["fits"] if fit["name"] == "sram")
    assert (sram["capacity_bits"], sram["all_weights"], sram["activations"]) == (128 * 1024 * 8, True, True)
    assert "memory" not in run_json("cost", "lenet5", "--hw", "edge_npu")
    text = run("cost", "lenet5", "--hw", "edge_npu", "--memory").stdout
    assert "✓ sram (131 kB): any layer's weights fit · all weights fit · peak activations fit" in text
    wide = run("cost", "lenet5", "--hw", "edge_npu", "--w-bits", "32", "--memory").stdout
    assert "sram (131 kB): too small for the weights of conv3 · all weights do not fit" in wide


def test_hw_show_says_what_is_unknown_of_the_area() -> None:
    text = run("hw", "show", "edge_npu").stdout
    macs, sram = 128 * 687.6072e-6, 128 * 1024 * 8 * 0.346e-6
    assert f"area: at least {macs + sram:.3g} mm² · MACs {macs:.3g} mm² · sram {sram:.3g} mm²" in text
    assert "unknown: accumulators" in text
    data = run_json("hw", "show", "edge_npu")["area"]
    assert data["total_mm2"] is None
    assert data["known_mm2"] == pytest.approx(macs + sram)
    assert "area: unknown, its description states none" in run("hw", "show", "tpu_like").stdout


def test_widths_without_a_multiplier_are_said_or_refused() -> None:
    said = "'bitfusion' has no 3-bit multiplier: priced as 4. --strict-bits to refuse."
    arguments = ("map", DIMS, "--hw", "bitfusion", "--w-bits", "3")
    assert said in " ".join(run(*arguments).stdout.split())
    assert run_json(*arguments)["notes"] == [said]
    for command in (arguments, ("cost", "lenet5", "--hw", "bitfusion", "--w-bits", "3")):
        refused = run(*command, "--strict-bits")
        assert refused.exit_code == 3
        assert "no 3-bit multiplier: priced as 4. Strict bits refuse that" in " ".join(refused.stderr.split())
    assert run("map", DIMS, "--hw", "bitfusion", "--w-bits", "4", "--strict-bits").exit_code == 0


def test_leakage_is_told_apart(tmp_path: Path) -> None:
    """The breakdown has its own row for it, and `hw show` says what the file states."""
    text = TINY.replace("energy: 0.5 pJ, source: test}", "energy: 0.5 pJ, leakage: 3 mW, source: test}")
    leaky = chip(tmp_path, text)
    assert chip_data(leaky)["leakage_w"] == {"array": 3e-3}
    assert ("", "leakage array 3 mW") in energy_lines(leaky)
    cost = evaluate(Layer(name="x", dims={"K": 4, "C": 4}), leaky)
    frame = breakdown_frame(cost).set_index("level")["energy_pj"]
    assert frame["leakage"] == pytest.approx(3e-3 * cost.latency_s * 1e12)
    assert frame.sum() == pytest.approx(cost.energy_pj)


def test_tiles_of_their_own_are_drawn_where_they_lie_and_are_in_the_json(tmp_path: Path) -> None:
    text = (files("hwmodel") / "accelerators" / "simba.yaml").read_text() + "tiles: uneven\n"
    (tmp_path / "uneven.yaml").write_text(text)
    layer, hw = "K=64,C=64,OY=56,OX=56,FY=3,FX=3", str(tmp_path / "uneven.yaml")
    drawn, data = run("map", layer, "--hw", hw).stdout, run_json("map", layer, "--hw", hw)
    moved = {level["level"]: level["inward"] for level in data["mapping"] if "inward" in level}
    assert {"I", "O"} <= set(moved["global buffer"])
    assert re.search(r"^\|  +global buffer \[ O \]$", drawn, re.MULTILINE)
    assert data["cost"]["energy_pj"] < run_json("map", layer, "--hw", "simba")["cost"]["energy_pj"]
    assert "· a tile per operand and memory" in run("hw", "show", hw).stdout.replace("\n", " ")
    assert run_json("hw", "show", hw)["tiles"] == "uneven"
    refused = run("map", layer, "--hw", hw, "--optimize", "edp")
    assert refused.exit_code == 3
    assert "is searched for the least energy only, but got edp" in refused.output
