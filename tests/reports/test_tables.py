"""The lines under a tree: what they add up to, what they say was not counted, and names that are only names."""

from __future__ import annotations

import io
import json
from dataclasses import replace

from hwmodel.chip.loader import load_accelerator
from hwmodel.cost import evaluate
from hwmodel.network.choice import Choice
from hwmodel.network.graph import LayerGraph, Uncounted
from hwmodel.network.layer import Layer
from reports import summary
from reports.terminal.console import make_console
from reports.terminal.tables import print_lines
from reports.terminal.totals import cost_data, cost_lines, graph_lines
from tests.reports.conftest import NASTY, make_graph


def texts(lines: list[tuple[str, str]]) -> str:
    return "\n".join(f"{mark} {text}" for mark, text in lines)


def test_graph_totals_are_exact(graph: LayerGraph) -> None:
    weights = 16 * 3 * 9 + 16 * 16 * 9 + 10 * 16
    macs = 16 * 16 * 9 * 3 * 16 + 16 * 16 * 9 * 16 * 16 + 160
    text = texts(graph_lines(graph))
    assert f"{weights:,} weights" in text
    assert f"{macs:,} MACs" in text
    assert "✓ all MACs counted; 2 kinds of op without MACs, 2 views free (-v)" in text


def test_mixed_widths_show_their_average_by_weights(graph: LayerGraph) -> None:
    bits = {"conv1": 8, NASTY: 2, "head.fc": 4}
    chip = load_accelerator("eyeriss")
    cost = evaluate(graph, chip, {name: Choice(w_bits=b, a_bits=8) for name, b in bits.items()})
    mean = (432 * 8 + 2304 * 2 + 160 * 4) / (432 + 2304 + 160)
    assert f"average weight precision {mean:.4f} bit" in texts(cost_lines(cost, graph))


def test_weights_that_stay_are_said_with_their_load(graph: LayerGraph) -> None:
    npu = load_accelerator("edge_npu")
    keeping = [
        replace(level, memories=tuple(replace(m, resident=("W",) if m.resident else ()) for m in level.memories))
        for level in npu.levels
    ]
    cost = evaluate(graph, replace(npu, levels=tuple(keeping)))
    assert cost.load is not None
    text = texts(cost_lines(cost, graph))
    assert f"weights of 3 of 3 layers stay in sram ({432 + 2304 + 160:,} B): loaded once for " in text
    assert f"in {cost.load.cycles:,} cycles" in text and "stay in sram" in cost._repr_html_()
    assert json.loads(json.dumps(cost_data(cost, graph)))["load"]["bits"] == (432 + 2304 + 160) * 8
    assert "stay in" not in texts(cost_lines(evaluate(graph, npu), graph))
    assert cost_data(evaluate(graph, npu), graph)["load"] is None


def test_an_op_without_a_rule_makes_a_lower_bound() -> None:
    graph = make_graph((Uncounted(op="mylib::op", module="backbone.3", calls=12),))
    text = texts(cost_lines(evaluate(graph, load_accelerator("eyeriss")), graph))
    assert (
        "! mylib::op (12 calls, in backbone.3) has no rule: the total is a LOWER BOUND. Register one, or --strict."
        in text
    )
    assert text.count("LOWER BOUND") == 1
    assert "2 kinds of op without MACs" in text
    assert "✓" not in text


def test_a_bound_is_told_by_the_cost_not_by_words(graph: LayerGraph) -> None:
    """A note of a chip may speak of bounds; the network is counted all the same."""
    cost = evaluate(graph, load_accelerator("eyeriss"))
    noted = replace(cost, price_notes=("its energy is a LOWER BOUND",))
    assert "all MACs counted" in texts(cost_lines(noted)) and "all MACs counted" in noted._repr_html_()
    assert "! its energy is a LOWER BOUND" in texts(cost_lines(noted, graph))
    missing = replace(cost, uncounted=(Uncounted(op="mylib::op", module="", calls=1),))
    assert missing.is_lower_bound and (cost + missing).is_lower_bound
    assert "all MACs counted" not in texts(cost_lines(missing)) + missing._repr_html_()


def test_verbose_names_the_other_ops(graph: LayerGraph) -> None:
    text = texts(graph_lines(graph, verbose=True))
    for line in ("without MACs: activation × 1", "without MACs: pool × 1", "free (views): view × 2"):
        assert line in text
    assert "(-v)" not in text


def test_a_pipe_gets_no_escape_codes(graph: LayerGraph) -> None:
    stream = io.StringIO()
    console = make_console(stream)
    summary(graph).print(console)
    print_lines(console, [("!", "[bold]warning[/bold]")])
    assert "\x1b" not in stream.getvalue()
    assert "! [bold]warning[/bold]" in stream.getvalue()


def test_activations_are_compared_with_a_memory_of_activations():
    """Bit Fusion's largest buffer holds weights only; its 32 KiB of inputs are what the peak must fit in."""
    accelerator = load_accelerator("bitfusion")
    buffers = {name: memory.size_bits for name, memory in accelerator.memories().items() if memory.size_bits}
    assert max(buffers, key=lambda name: buffers[name]) == "wbuf"
    cost = evaluate(Layer(name="fc", kind="linear", dims={"K": 10, "C": 10}), accelerator)
    assert "(fits ibuf" in texts(cost_lines(cost, accelerator=accelerator))
