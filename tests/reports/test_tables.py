"""Tables: what they add up to, what they say was not counted, and names that are only names."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from hwmodel.choice import Choice
from hwmodel.cost import evaluate
from hwmodel.graph import LayerGraph, Uncounted
from hwmodel.loader import load_accelerator
from reports import units
from reports.console import make_console
from reports.tables import cost_lines, cost_table, graph_lines, graph_table, print_lines, safe_name
from tests.reports.conftest import NASTY, make_graph


def rendered(*parts: object, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, emoji=False)
    for part in parts:
        if isinstance(part, list):
            print_lines(console, part)
        else:
            console.print(part)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_graph_totals_are_exact(graph: LayerGraph) -> None:
    weights = 16 * 3 * 9 + 16 * 16 * 9 + 10 * 16
    macs = 16 * 16 * 9 * 3 * 16 + 16 * 16 * 9 * 16 * 16 + 160
    text = rendered(graph_table(graph), graph_lines(graph), width=120)
    assert f"{weights:,} weights" in text
    assert f"{macs:,} MACs" in text
    assert "✓ all MACs counted; 2 kinds of op without MACs (-v)" in text


def test_cost_table_has_every_layer_and_the_totals(graph: LayerGraph) -> None:
    chip = load_accelerator("eyeriss")
    cost = evaluate(graph, chip, {name: Choice(w_bits=4, a_bits=8) for name in graph.modules})
    text = rendered(cost_table(cost, name="tiny"), cost_lines(cost, graph, accelerator=chip), width=120)
    rows = text.splitlines()
    assert rows[1].split()[:2] == ["tiny", "4/8"]
    assert units.energy(cost.energy_pj) in rows[1]
    assert units.count(cost.macs) in rows[1]
    assert [row[:2] for row in rows[2:5]] == ["├─", "├─", "└─"]
    assert f"latency {units.seconds(cost.latency_s)} @ {units.frequency(chip.clock_hz)}" in text


def test_mixed_widths_show_their_average_by_weights(graph: LayerGraph) -> None:
    chip = load_accelerator("eyeriss")
    bits = {"conv1": 8, NASTY: 2, "head.fc": 4}
    cost = evaluate(graph, chip, {name: Choice(w_bits=b, a_bits=8) for name, b in bits.items()})
    mean = (432 * 8 + 2304 * 2 + 160 * 4) / (432 + 2304 + 160)
    text = rendered(cost_table(cost), cost_lines(cost, graph), width=120)
    assert f"average weight precision {mean:.4f} bit" in text
    assert text.splitlines()[1].split()[1] == f"{mean:.1f}/8"


def test_depth_sums_layers(graph: LayerGraph) -> None:
    layer = graph.layer("head.fc")
    nodes = [replace(layer, name=f"head.{n}", module=f"head.{n}") for n in range(3)]
    network = LayerGraph("heads", nodes, [])
    cost = evaluate(network, load_accelerator("eyeriss"))
    text = rendered(cost_table(cost, depth=1), width=120)
    assert "└─head (3 layers)" in text
    assert units.count(3 * 160) in text.splitlines()[-1]
    assert "head (3 layers)" in rendered(graph_table(network, depth=1))


def test_an_op_without_a_rule_makes_a_lower_bound() -> None:
    graph = make_graph((Uncounted(op="mylib::op", module="backbone.3", calls=12),))
    cost = evaluate(graph, load_accelerator("eyeriss"))
    text = rendered(cost_lines(cost, graph), width=200)
    assert "! mylib::op (12 calls, in backbone.3) has no rule: the total is a LOWER BOUND." in text
    assert text.count("LOWER BOUND") == 1
    assert "✓" not in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_any_name_is_printed_as_it_is(graph: LayerGraph, width: int) -> None:
    text = rendered(graph_table(graph, width=width), width=width)
    assert safe_name(NASTY) in text or width < 100  # folded where it does not fit
    assert "\x1b" not in text
    assert all(len(line) <= width for line in text.splitlines())


def test_verbose_names_the_other_ops(graph: LayerGraph) -> None:
    text = rendered(graph_lines(graph, verbose=True), width=120)
    for line in ("without MACs: activation × 1", "without MACs: pool × 1", "free (views): view × 2"):
        assert line in text
    assert "(-v)" not in text


def test_a_pipe_gets_no_escape_codes(graph: LayerGraph) -> None:
    stream = io.StringIO()
    console = make_console(stream)
    console.print(graph_table(graph, width=console.width))
    print_lines(console, [("!", "[bold]warning[/bold]")])
    assert "\x1b" not in stream.getvalue()
    assert "! [bold]warning[/bold]" in stream.getvalue()
