"""Where tensors lie, as people see it: totals, columns, JSON, the command line, the page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hwmodel import Choice, evaluate, load_accelerator
from hwmodel.price.results import FusedGroup
from reports import write_report
from reports.cli import app
from reports.figures.files import figure_bytes
from reports.figures.occupancy import plot_memory, shown_steps
from reports.page.htmltables import layers_table
from reports.terminal.placement import group_lines, placement_lines, resident_line
from reports.terminal.totals import cost_data
from reports.terminal.trees import summary
from search.spec import parse_spec
from tests.hwmodel.place.test_placement import POINTS, without_residents
from tests.reports.conftest import NASTY, make_graph
from tests.reports.runs import SPEC, write_run

NPU = load_accelerator("edge_npu")


def test_totals_say_how_many_tensors_stay_and_which_do_not():
    """1,024 B each: c0 and c1 stay, so that 2,048 B lie there while c1 runs; in and c2 are the ends."""
    cost = evaluate(POINTS, NPU)
    expected = "activations: 2 of 4 tensors stay in sram (peak 2.05 kB of 131 kB); outside: in, c2"
    assert placement_lines(cost, NPU) == [("", expected)]
    eyeriss = load_accelerator("eyeriss")
    assert placement_lines(evaluate(POINTS, eyeriss), eyeriss) == []
    a100 = load_accelerator("a100")
    assert placement_lines(evaluate(POINTS, a100), a100) == []


def test_names_are_only_names():
    cost = evaluate(make_graph(), NPU)
    named = replace(cost, tensors=tuple(replace(t, name=NASTY, memory="dram") for t in cost.tensors))
    assert "\x1b" not in placement_lines(named, NPU)[0][1]


def test_of_many_groups_the_longest_are_named():
    groups = [
        FusedGroup(
            layers=tuple(f"g{n}.{k}" for k in range(n)), tensors=(), stripes=4, rows=(2,) * n,
            line_bits=(800,), weights_on_chip=n > 3,
        )
        for n in (2, 3, 4, 5, 2)
    ]  # fmt: skip
    lines = group_lines(replace(evaluate(POINTS, NPU), fused=tuple(groups)))
    assert [line.split()[2] for line in lines[:3]] == ["g3.0", "g4.0", "g5.0"]
    assert lines[3] == "depth first: 4 layers in 2 other groups"
    assert len(lines) == 4


def test_where_the_operands_of_a_layer_lie():
    first, middle, last = evaluate(POINTS, NPU).layers
    assert resident_line(first, NPU) == "outputs in sram, weights and inputs in dram"
    assert resident_line(middle, NPU) == "inputs and outputs in sram, weights in dram"
    assert resident_line(last, NPU) == "inputs in sram, weights and outputs in dram"


def test_the_tree_has_a_column_where_something_stays():
    """`(I)` stands where the inputs of some layers below do."""
    text = summary(evaluate(POINTS, NPU)).tree(120)
    assert text[0].split()[-1] == "Stays"
    assert [row.rstrip().split("  ")[-1].strip() for row in text[1:]] == ["(I) (O)", "O", "I O", "I"]
    assert "Stays" not in summary(evaluate(POINTS, without_residents(NPU))).tree(120)[0]


def test_json_has_tensors_groups_and_operands():
    data = json.loads(json.dumps(cost_data(evaluate(POINTS, NPU), POINTS)))
    assert data["tensors"][1] == {
        "name": "c0", "bits": 8192, "width": 8, "memory": "sram", "birth": 1, "death": 2
    }  # fmt: skip
    assert data["fused"] == []
    assert [row["resident"] for row in data["layers"]] == ["O", "I O", "I"]


def test_tables_say_at_which_width_an_output_is_written():
    """c1 asks for 4 bits of what c0 makes; nobody asks for c2's output: its own 8."""
    choices = {name: Choice(w_bits=8, a_bits=a) for name, a in (("c0", 8), ("c1", 4), ("c2", 8))}
    frame = evaluate(POINTS, NPU, choices).to_dataframe()
    assert frame["o_bits"].tolist() == [4, 8, 8]
    table = layers_table(frame, 3 * 256)
    headers = [column.header for column in table.columns]
    assert headers[-1] == "Stays"
    assert [row.cells[headers.index("Out bits")] for row in table.rows] == ["4", "8", "8"]
    assert all(len(row.cells) == len(headers) for row in (*table.rows,)) and len(table.total) == len(headers)


def test_the_figure_has_a_bar_per_layer_and_the_size_as_a_line():
    cost = evaluate(POINTS, NPU)
    assert [step.node for step in shown_steps(cost, NPU)] == ["c0", "c1", "c2"]
    ax = plot_memory(cost, NPU)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["c0", "c1", "c2"]
    line = next(line for line in ax.lines if line.get_label() == "size of sram")
    assert line.get_xdata()[0] == pytest.approx(131.072)  # kB
    assert figure_bytes(ax) == figure_bytes(plot_memory(cost, NPU))


# ---- the command line -----------------------------------------------------------------------------


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "120", "HWMODEL_CACHE": "off"})
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_chip_says_which_memory_keeps_tensors():
    assert "sram keeps tensors between layers where they fit" in run("hw", "show", "edge_npu")
    assert "keeps tensors" not in run("hw", "show", "eyeriss")


def test_cost_without_fusion():
    fused = json.loads(run("cost", "lenet5", "--hw", "edge_npu", "--json"))
    apart = json.loads(run("cost", "lenet5", "--hw", "edge_npu", "--no-fuse", "--json"))
    assert apart["total"]["energy_pj"] > fused["total"]["energy_pj"]
    assert len(apart["tensors"]) > len(fused["tensors"])  # what feeds a pool is stored


# ---- the page -------------------------------------------------------------------------------------


def test_the_page_shows_memory_over_time(tmp_path: Path):
    folder = write_run(tmp_path / "run")
    spec = parse_spec(SPEC.replace("eyeriss", "edge_npu"), name="tiny")
    (folder / "config.yaml").write_text(spec.to_yaml())
    page = write_report(folder).read_text()
    assert "Memory over time" in page
    assert "tensors stay in sram" in page
    assert (folder / "figures" / "memory.png").exists()


@pytest.mark.usefixtures("plain_figures")
def test_a_run_without_fusion_is_shown_without(tmp_path: Path):
    folder = write_run(tmp_path / "run")
    spec = parse_spec(SPEC.replace("eyeriss", "edge_npu") + "fuse: false\n", name="tiny")
    (folder / "config.yaml").write_text(spec.to_yaml())
    assert "priced apart" in write_report(folder).read_text()
