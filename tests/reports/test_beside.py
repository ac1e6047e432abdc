"""`hwmodel cost` with several `--hw`, what it says of the arithmetic, and options given twice."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from hwmodel import evaluate, list_accelerators, load_accelerator
from hwmodel.network.choice import Choice
from reports.cli import app
from reports.terminal.beside import beside, beside_data, named
from workloads import load_data, load_model, trace
from workloads.data.dataset import Dataset


@pytest.fixture(scope="module")
def lenet():
    return trace(load_model("lenet5"), torch.zeros(1, 1, 32, 32))


def run(arguments, code=0):
    result = CliRunner(env={"COLUMNS": "120"}).invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result


COST = ["cost", "lenet5", "--w-bits", "8"]


def test_every_accelerator_is_priced_side_by_side() -> None:
    text = run([*COST, "--hw", "eyeriss", "--hw", "edge_npu"]).stdout
    data = json.loads(run([*COST, "--hw", "eyeriss", "--hw", "edge_npu", "--json"]).stdout)
    alone = {
        name: json.loads(run([*COST, "--hw", name, "--json"]).stdout)["total"] for name in ("eyeriss", "edge_npu")
    }
    for item in data["accelerators"]:
        assert item["total"] == alone[item["accelerator"]]
    assert [item["accelerator"] for item in data["accelerators"]] == ["eyeriss", "edge_npu"]
    ratio = alone["eyeriss"]["energy_pj"] / alone["edge_npu"]["energy_pj"]
    assert data["accelerators"][1]["ratio_to_first"]["energy_pj"] == 1 / ratio
    header, network = text.splitlines()[:2]
    assert header.split() == ["Layer", "eyeriss", "edge_npu", "best"]
    assert network.endswith(f"edge_npu {ratio:.3g}x")
    assert "W/A 8/16 bit" in text  # of Eyeriss, whose activations are native
    assert "W/A 8/8 bit" in text


def test_a_csv_names_the_accelerator_of_each_row() -> None:
    frame = pd.read_csv(io.StringIO(run([*COST, "--hw", "eyeriss", "--hw", "edge_npu", "--csv", "-"]).stdout))
    assert list(frame["accelerator"].unique()) == ["eyeriss", "edge_npu"]
    assert len(frame) == 2 * 5


@pytest.mark.parametrize(
    ("optimize", "unit"), [("energy", "energy"), ("latency", "time"), ("edp", "energy × time")]
)
def test_the_columns_show_what_is_minimised(optimize, unit, lenet) -> None:
    chips = [load_accelerator(name) for name in ("eyeriss", "eyeriss", "edge_npu")]
    costs = [evaluate(lenet, chip, optimize=optimize) for chip in chips]
    items = named(["eyeriss", "mine.yaml", "edge_npu"], chips, costs)
    text = str(beside(items, lenet, optimize, depth=1))
    assert f"{unit}" in text
    assert [item.name for item in items] == [
        "eyeriss",
        "mine.yaml",
        "edge_npu",
    ]  # the same name twice: as they were said
    assert "edge_npu" in text.splitlines()[1]
    tied = str(beside(items[:2], lenet, optimize, depth=1))
    assert tied.splitlines()[1].endswith("tie")
    assert beside_data(items[:2], lenet)["accelerators"][1]["ratio_to_first"]["latency_s"] == 1


def test_equal_accelerators_and_what_is_shown_of_one() -> None:
    assert "names 'eyeriss' twice" in run([*COST, "--hw", "eyeriss", "--hw", "eyeriss"], 2).stderr
    assert "--memory" in run([*COST, "--hw", "eyeriss", "--hw", "edge_npu", "--memory"], 2).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["cost", "lenet5", "--hw", "eyeriss", "--w-bits", "4", "--w-bits", "8"],
        ["map", "K=4", "--hw", "eyeriss", "--hw", "edge_npu"],
        ["trace", "lenet5", "--depth", "1", "--depth", "2"],
        ["trace", "lenet5", "--input", "1,1,28,28", "--input", "1,1,32,32"],
        ["hw", "calibrate", "-o", "a.yaml", "--output", "b.yaml"],
        ["export", "x", "-f", "onnx", "-f", "qonnx"],
    ],
)
def test_an_option_given_twice_is_refused(arguments) -> None:
    assert "is given 2 times, but takes one value" in run(arguments, 2).stderr


def test_repeatable_options_and_flags_may_be_repeated() -> None:
    run(["trace", "lenet5", "-o", "in_channels=1", "-o", "num_classes=7", "--json", "--json"])


@pytest.mark.parametrize("name", list_accelerators())
def test_show_states_what_a_mac_and_a_vector_operation_cost(name) -> None:
    chip = load_accelerator(name)
    assert chip.mac_source
    text = "".join(run(["hw", "show", name]).stdout.split())
    data = json.loads(run(["hw", "show", name, "--json"]).stdout)["energies"]
    assert "".join(chip.mac_source.split()) in text
    assert "".join(chip.vector_source.split()) in text
    assert data["mac_source"] == chip.mac_source
    if chip.kind == "spatial":
        assert f"{chip.precision.mac_pj:.4g}pJ" in text
        assert f"{chip.vector.pj_per_op:.4g}pJperoperation" in text
        assert data["vector_pj"] == chip.vector.pj_per_op


def test_cost_shows_utilization(lenet) -> None:
    chip = load_accelerator("edge_npu")
    cost = evaluate(lenet, chip, {layer.module: Choice(w_bits=8, a_bits=8) for layer in lenet.layers})
    lines = run([*COST, "--hw", "edge_npu"]).stdout.splitlines()
    column = lines[0].split().index("Util")
    conv1, macs_per_cycle = cost.layers[0], 8 * 16
    expected = conv1.macs / (conv1.cycles * macs_per_cycle)
    assert conv1.utilization == pytest.approx(expected)
    assert f"{100 * expected:.0f} %" in lines[2]
    assert column > 0


def test_a_data_set_is_one_line() -> None:
    data: Dataset = load_data("digits")
    assert repr(data) == f"<Dataset {data.describe()}>"
    assert repr(data.test) == "Split(x=float32(360, 1, 8, 8), y=int64(360,))"
