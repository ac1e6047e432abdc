"""Work on constants alone is folded, by one rule: the data depend on no input. The graph says what was folded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.nn import functional

from hwmodel.network.graph import LayerGraph
from hwmodel.show.coverage import coverage_lines
from workloads.compress import CompressionConfig, apply, calibrate
from workloads.tracing import trace_model

ROUTES = ["export", "dispatch", "hooks"]
TOKENS, WIDTH, FEATURES = 6, 8, 3
#: A linear layer on the tokens, and the projection of their positions.
MACS, FOLDED = TOKENS * WIDTH * WIDTH, TOKENS * FEATURES * WIDTH


class Positions(nn.Module):
    """x + a projection of positions, which come from where `source` says."""

    def __init__(self, source):
        super().__init__()
        self.source = source
        self.fc = nn.Linear(WIDTH, WIDTH)
        self.project = nn.Linear(FEATURES, WIDTH)
        self.kept = None
        if source == "buffer":
            self.register_buffer("position", self.positions())
        elif source == "parameter":
            self.position = nn.Parameter(self.positions())
        elif source == "attribute":
            self.position = self.positions()

    def positions(self):
        return torch.arange(TOKENS * FEATURES, dtype=torch.float32).reshape(TOKENS, FEATURES).sin()

    def forward(self, x):
        if self.source == "made":
            position = self.positions()
        elif self.source == "of a shape":
            position = torch.zeros_like(x[0, :, :FEATURES]) + 1
        elif self.source == "cached":
            self.kept = self.positions() if self.kept is None else self.kept
            position = self.kept
        else:
            position = self.position
        return self.fc(x) + self.project(position)


SOURCES = ["made", "of a shape", "cached", "buffer", "parameter", "attribute"]


@pytest.mark.parametrize("source", SOURCES)
def test_one_rule_wherever_a_constant_comes_from(source):
    """On every route, before a forward and after it, with quantizers and without: the same layers."""
    x = torch.rand(1, TOKENS, WIDTH)
    model = Positions(source).eval()
    graphs = [trace_model(model, (x,), route=route) for route in ("export", "dispatch")]
    model(x)
    graphs += [trace_model(model, (x,), route=route) for route in ("export", "dispatch")]
    config = CompressionConfig.from_bits({"fc": 4, "project": 4}, a_bits=4)
    quantized = apply(model, config)
    calibrate(quantized, x)
    graphs += [trace_model(quantized, (x,), route=route) for route in ("export", "dispatch")]
    for graph in graphs:
        assert [layer.name for layer in graph.layers] == ["fc"]
        assert (graph.macs, graph.folded_macs) == (MACS, FOLDED)
        assert [item.module for item in graph.folded if item.macs] == ["project"]


@pytest.mark.parametrize("source", [name for name in SOURCES if name != "attribute"])
def test_the_hooks_follow_constants_too(source):
    """What torch functions make of constants; an attribute that was made before the call is not known as one."""
    graph = trace_model(Positions(source).eval(), (torch.rand(1, TOKENS, WIDTH),), route="hooks")
    assert (graph.macs, graph.folded_macs) == (MACS, FOLDED)


def test_the_hooks_follow_constants_through_modules_in_another_thread():
    """A projection of a projection of a buffer."""

    class Deep(Positions):
        def __init__(self):
            super().__init__("buffer")
            self.project = nn.Sequential(nn.Linear(FEATURES, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))

        def forward(self, x):
            with ThreadPoolExecutor(1) as pool:
                return self.fc(x) + pool.submit(self.project, self.position).result()

    graph = trace_model(Deep().eval(), (torch.rand(1, TOKENS, WIDTH),), route="hooks")
    assert (graph.macs, graph.folded_macs) == (MACS, FOLDED + TOKENS * WIDTH * WIDTH)


class Outside(Positions):
    """The positions depend on the data, by ways that hooks see only in part."""

    def forward(self, x):
        if self.source == "numpy":
            position = torch.from_numpy(x[0, :, :FEATURES].numpy())
        elif self.source == "list":
            position = torch.tensor(x[0, :, :FEATURES].tolist())
        elif self.source == "written":
            position = torch.zeros(TOKENS, FEATURES)
            rows = position[:2]
            rows.copy_(x[0, :2, :FEATURES])
        elif self.source == "item":
            position = torch.full((TOKENS, FEATURES), x.sum().item())
        else:
            position = torch.rand(TOKENS, FEATURES)  # another in every run
        return self.fc(x) + self.project(position)


@pytest.mark.parametrize("source", ["numpy", "list", "written", "item", "drawn"])
@pytest.mark.parametrize("route", ["dispatch", "hooks"])
def test_what_depends_on_the_data_or_on_chance_is_counted(source, route):
    graph = trace_model(Outside(source).eval(), (torch.rand(1, TOKENS, WIDTH),), route=route)
    assert (graph.macs, graph.folded_macs) == (MACS + FOLDED, 0)


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("route", ROUTES)
def test_the_state_of_a_recurrent_layer_is_an_input(route, learned):
    """Left out or learned, the first step multiplies by it: gates x hidden x (inputs + hidden) for every token."""

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.cell = nn.LSTM(WIDTH, WIDTH), nn.GRUCell(WIDTH, WIDTH)
            self.state = nn.Parameter(torch.zeros(1, 1, WIDTH))

        def forward(self, x):
            y, _ = self.lstm(x, (self.state, self.state)) if learned else self.lstm(x)
            return self.cell(y[-1], self.state[0] if learned else None)

    graph = trace_model(Recurrent().eval(), (torch.rand(TOKENS, 1, WIDTH),), route=route)
    assert graph.macs == TOKENS * 4 * WIDTH * 2 * WIDTH + 3 * WIDTH * 2 * WIDTH
    assert graph.folded_macs == 0


@pytest.mark.parametrize("route", ["export", "dispatch"])
def test_products_of_composite_ops_on_weights_are_folded(route):
    """Attention among learned queries: two products of (T, D) with (D, T) and (T, T) with (T, D)."""

    class Queries(nn.Module):
        def __init__(self):
            super().__init__()
            self.queries = nn.Parameter(torch.rand(1, 1, TOKENS, WIDTH))

        def forward(self, x):
            return x + functional.scaled_dot_product_attention(self.queries, self.queries, self.queries)

    graph = trace_model(Queries().eval(), (torch.rand(1, 1, TOKENS, WIDTH),), route=route)
    assert (graph.macs, graph.folded_macs) == (0, 2 * TOKENS * TOKENS * WIDTH)


def test_what_was_folded_is_said_and_kept():
    graph = trace_model(Positions("made").eval(), (torch.rand(1, TOKENS, WIDTH),))
    assert LayerGraph.from_json(graph.to_json()).folded == graph.folded
    assert graph.annotate({}).folded == graph.folded
    text = "\n".join(line for _, line in coverage_lines(graph, verbose=True))
    assert f"{FOLDED} MACs on constants alone are folded, in project" in text
    assert "folded (constants alone): aten::linear × 1" in text
    assert "aten::linear" not in graph.free_ops


def test_a_branch_on_data_is_no_free_view():
    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(WIDTH, WIDTH)

        def forward(self, x):
            return self.fc(x).flatten() if x.sum() > 0 else x.flatten()

    graph = trace_model(Branch().eval(), (torch.rand(1, WIDTH),))
    assert sum(graph.data_reads.values()) == 1
    assert graph.free_ops == {"aten::flatten": 1}
    lines = [line for _, line in coverage_lines(graph)]
    assert any(
        "Python read 1 value of the data" in line and "another input may run other ops" in line for line in lines
    )
    assert any("1 view free" in line for line in lines)
    assert LayerGraph.from_json(graph.to_json()).data_reads == graph.data_reads
