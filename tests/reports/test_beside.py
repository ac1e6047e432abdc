"""`hwmodel cost` with several `--hw`, what it says of the arithmetic, and options given twice."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pandas as pd
import pytest
import torch
from rich.cells import cell_len
from typer.testing import CliRunner

from hwmodel import compare_costs, evaluate, list_accelerators, load_accelerator
from hwmodel.errors import ConfigError
from hwmodel.network.choice import Choice
from hwmodel.network.graph import LayerGraph, Uncounted
from reports.cli import app
from reports.terminal.beside import AT_LEAST, NOTED, Priced, beside, beside_data, named
from tests.reports.conftest import make_graph
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
    assert header.split() == ["Layer", "eyeriss", "edge_npu", "ratio", "best"]
    assert network.endswith(f"{1 / ratio:.3g}x  edge_npu {ratio:.3g}x")
    assert "W/A 8/16 bit" in text  # of Eyeriss, whose activations are native
    assert "W/A 8/8 bit" in text


def test_a_csv_names_the_accelerator_of_each_row() -> None:
    frame = pd.read_csv(io.StringIO(run([*COST, "--hw", "eyeriss", "--hw", "edge_npu", "--csv", "-"]).stdout))
    assert list(frame["accelerator"].unique()) == ["eyeriss", "edge_npu"]
    assert len(frame) == 2 * 5
    first, second = (rows.reset_index(drop=True) for _, rows in frame.groupby("accelerator", sort=False))
    assert (first["ratio_to_first"] == 1).all()
    assert list(second["ratio_to_first"]) == pytest.approx(list(second["energy_pj"] / first["energy_pj"]))
    assert (second["is_best"] == (second["energy_pj"] < first["energy_pj"])).all()


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
    assert beside_data(items[:2], lenet, optimize)["accelerators"][1]["ratio_to_first"]["latency_s"] == 1


def test_the_frame_compares_by_what_is_asked(lenet) -> None:
    costs = {name: evaluate(lenet, load_accelerator(name)) for name in ("eyeriss", "edge_npu")}
    frame = compare_costs(costs, by="edp")
    rows = {name: part.set_index("layer") for name, part in frame.groupby("accelerator", sort=False)}
    for item, other in zip(costs["eyeriss"].layers, costs["edge_npu"].layers, strict=True):
        edps = [c.energy_pj * c.cycles / costs[n].clock_hz for n, c in (("eyeriss", item), ("edge_npu", other))]
        assert rows["edge_npu"].loc[item.name, "ratio_to_first"] == pytest.approx(edps[1] / edps[0])
        assert rows["edge_npu"].loc[item.name, "is_best"] == (edps[1] < edps[0])
    with pytest.raises(ConfigError, match="by must be one of energy, latency, edp"):
        compare_costs(costs, by="power")
    smaller = replace(costs["edge_npu"], layers=costs["edge_npu"].layers[1:])
    with pytest.raises(ConfigError, match="'small' are of other layers than those of 'eyeriss'"):
        compare_costs({"eyeriss": costs["eyeriss"], "small": smaller})


def test_a_width_that_is_rounded_is_marked_where_it_is() -> None:
    graph = make_graph()
    choices = {layer.module: Choice(w_bits=8, a_bits=8) for layer in graph.layers}
    choices["conv1"] = Choice(w_bits=3, a_bits=8)
    chips = [load_accelerator(name) for name in ("edge_npu", "bitfusion")]
    items = named(["a", "b"], chips, [evaluate(graph, chip, choices) for chip in chips])
    rows = {row.split()[0].lstrip("├─└"): row for row in beside(items, graph, "energy").tree(140)}
    notes = {
        layer.name: [bool(item.cost.layers[n].notes) for item in items] for n, layer in enumerate(graph.layers)
    }
    assert notes["conv1"][1]
    for name, row in (("conv1", rows["conv1"]), ("head.fc", rows["head.fc"])):
        assert [f"{NOTED} " in part for part in (row.split("J")[1], row.split("J")[2])] == notes[name]


@pytest.mark.parametrize("width", [30, 40, 60, 120])
def test_every_accelerator_has_its_columns_on_a_narrow_screen(graph: LayerGraph, width: int) -> None:
    chip = load_accelerator("edge_npu")
    cost = evaluate(graph, chip)
    names = ["a" * 200, "[/red]<b>\x1b[31m", *(f"chip{n}" for n in range(6))]
    items = [Priced(name=name, accelerator=replace(chip, name=name), cost=cost) for name in names]
    rows = beside(items, graph, "energy").tree(width)
    assert all(cell_len(row) <= width for row in rows)
    text = "\n".join(rows)
    assert "\x1b" not in text
    assert all(item.shown in text for item in items)
    assert text.count("ratio") == len(items) - 1
    assert "best" in text


def test_operations_that_one_chip_does_not_price_are_said(graph: LayerGraph) -> None:
    chips = [load_accelerator(name) for name in ("edge_npu", "loop_nest")]
    assert not chips[1].levels
    items = named(["a", "b"], chips, [evaluate(graph, chip) for chip in chips])
    assert "loop_nest: prices no ops without MACs" in str(beside(items, graph, "energy"))


def test_an_op_without_a_rule_makes_the_totals_lower_bounds() -> None:
    graph = make_graph((Uncounted(op="lib::op", module="mid", calls=1),))
    chips = [load_accelerator(name) for name in ("eyeriss", "edge_npu")]
    items = named(["a", "b"], chips, [evaluate(graph, chip) for chip in chips])
    network = beside(items, graph, "energy").tree(120)[1]
    assert network.count(AT_LEAST) == 2


def test_by_chooses_the_column_and_needs_two_accelerators() -> None:
    two = [*COST, "--hw", "eyeriss", "--hw", "edge_npu", "--by", "latency"]
    data = json.loads(run([*two, "--json"]).stdout)
    first, second = data["accelerators"]
    assert data["by"] == "latency"
    assert data["layers"][5]["ratio_to_first"] == pytest.approx(
        second["layers"][0]["latency_s"] / first["layers"][0]["latency_s"]
    )
    assert "time per layer" in run(two).stdout
    assert "give a second --hw" in run([*COST, "--hw", "eyeriss", "--by", "edp"], 2).stderr
    assert "must be among energy, latency, edp" in run([*two[:-1], "power"], 2).stderr


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
