"""Each stored weight once, whoever counts: graphs, costs, tables, searches, pages and models."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hwmodel import Choice, CostTable, Layer, evaluate, load_accelerator, stored_weights
from hwmodel.errors import LayerError
from hwmodel.network.graph import LayerGraph
from hwmodel.price.footprint import does_it_fit, overhead_bits, weight_memory
from hwmodel.show.outline import cost_outline, graph_outline
from reports.page.htmltables import layers_table
from reports.terminal.totals import graph_lines
from search.propose.pricing import Pricer
from workloads import trace, trace_onnx
from workloads.compress import CompressionConfig, average_precision, huffman_table
from workloads.compress.pruning import model_size
from workloads.tracing import trace_model

IN, HIDDEN, OUT, TOKENS = 8, 16, 4, 5
CHIP = load_accelerator("edge_npu")


class Recurrent(nn.Module):
    """One module with two weights, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(IN, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, OUT)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class Tied(nn.Module):
    """Two modules that share one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(IN, IN, bias=False), nn.Linear(IN, IN, bias=False)
        self.b.weight = self.a.weight
        self.head = nn.Linear(IN, OUT, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.b(self.a(x).relu()))


class Again(nn.Module):
    """One module that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.head = nn.Linear(IN, IN, bias=False), nn.Linear(IN, OUT, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.a(self.a(x).relu()))


class Gathered(nn.Module):
    """Two tables of relative positions, as SAM has: TOKENS^2 rows are gathered from the 2 TOKENS - 1 of each.

    The index of the second is a buffer that is larger than its table.
    """

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(IN, IN, bias=False)
        self.near, self.far = (nn.Parameter(torch.randn(2 * TOKENS - 1, IN)) for _ in range(2))
        self.register_buffer("index", self.distances().view(-1, 1).expand(TOKENS**2, IN).contiguous())

    @staticmethod
    def distances() -> torch.Tensor:
        return torch.arange(TOKENS)[:, None] - torch.arange(TOKENS)[None] + TOKENS - 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, near = self.proj(x), self.near[self.distances()]
        far = self.far.gather(0, self.index).view(TOKENS, TOKENS, IN)
        return torch.einsum("bnc,nmc->bnm", q, near) + torch.einsum("bnc,nmc->bnm", q, far)


class Halves(nn.Module):
    """The two halves of one parameter, copied: each is a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(2 * IN, IN))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(nn.functional.linear(x, self.w[:IN].clone()), 2 * self.w[IN:])


class Product(nn.Module):
    """A weight that is the product of two thin parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.randn(HIDDEN, 2)), nn.Parameter(torch.randn(2, IN))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.a @ self.b)


#: Network -> (model, shape of its input, weights that its parameters hold).
NETWORKS = {
    "lstm and linear": (Recurrent, (1, 3, IN), 4 * HIDDEN * IN + 4 * HIDDEN * HIDDEN + HIDDEN * OUT),
    "shared parameter": (Tied, (2, IN), IN * IN + IN * OUT),
    "called twice": (Again, (2, IN), IN * IN + IN * OUT),
    "gathered tables": (Gathered, (2, TOKENS, IN), IN * IN + 2 * (2 * TOKENS - 1) * IN),
    "copied halves": (Halves, (2, IN), 2 * IN * IN),
    "thin product": (Product, (2, IN), 2 * (HIDDEN + IN)),
}


@dataclass(frozen=True)
class Network:
    """A model, its input, its graph, and the weights that it stores."""

    model: nn.Module
    x: torch.Tensor
    graph: LayerGraph
    stored: int


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest) -> Network:
    build, shape, stored = NETWORKS[request.param]
    torch.manual_seed(0)
    model, x = build().eval(), torch.randn(shape)
    return Network(model, x, trace(model, x), stored)


def page_table(graph: LayerGraph) -> str:
    """The total of the weights below the layers of the HTML report."""
    return layers_table(graph.to_dataframe(), sum(graph.weights.values())).total[-2]


def test_an_lstm_and_a_linear_layer() -> None:
    """LSTM(8, 16) and Linear(16, 4): 512 + 1,024 + 64 weights, 51,200 bits in float."""
    graph = trace(Recurrent(), torch.zeros(1, 3, IN))
    assert sum(graph.weights.values()) == 1600
    assert Pricer(graph, None).costs(CompressionConfig({}))["weight_bits"] == 51_200
    assert page_table(graph) == "1,600"


@pytest.mark.parametrize("route", ["export", "dispatch"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_tracer_stores_what_the_parameters_hold(name: str, route: str) -> None:
    build, shape, stored = NETWORKS[name]
    graph = trace_model(build(), (torch.zeros(shape),), route=route)
    assert sum(graph.weights.values()) == stored
    assert LayerGraph.from_json(graph.to_json()).weights == graph.weights


def test_graphs(network: Network) -> None:
    graph, stored = network.graph, network.stored
    assert sum(weight.elements for weight in stored_weights(graph)) == stored
    assert sum(layer.weights for layer in graph.weight_layers) == stored
    sums = graph_outline(graph)[0].sums
    assert sums.weights == stored
    assert graph.to_dataframe()["params"].sum() == stored + sums.biases
    assert f"{stored:,} weights" in graph_lines(graph)[0][1]


@pytest.mark.parametrize("bits", [4, 8])
def test_costs(network: Network, bits: int) -> None:
    graph, stored = network.graph, network.stored
    choices = dict.fromkeys(graph.modules, Choice(w_bits=bits, a_bits=8))
    cost = evaluate(graph, CHIP, choices)
    assert cost.weight_bits == stored * bits
    assert cost_outline(cost)[0].sums.weights == stored
    table = CostTable.build(graph, CHIP, {module: [choice] for module, choice in choices.items()})
    assert table.price(choices).weight_bits == stored * bits
    (row,) = weight_memory(graph, [bits])
    assert row.values_bits == stored * bits
    assert overhead_bits(cost) == row.per_tensor_bits == len(stored_weights(graph)) * (32 + bits)


def test_what_fits(network: Network) -> None:
    """A memory of the size of every weight once, scales included, holds the network; one bit less does not."""
    cost = evaluate(network.graph, CHIP, dict.fromkeys(network.graph.modules, Choice(w_bits=8, a_bits=8)))
    need = network.stored * 8 + overhead_bits(cost)
    outer = CHIP.levels[-1]
    for size, fits in ((need, True), (need - 1, False)):
        level = replace(outer, memories=(replace(outer.memories[0], size_bits=size),))
        assert does_it_fit(cost, replace(CHIP, levels=(*CHIP.levels[:-1], level)))[-1].all_weights is fits


def test_searches(network: Network) -> None:
    """Without an accelerator: bits of the weights, and their average."""
    graph, stored = network.graph, network.stored
    pricer, first = Pricer(graph, None), graph.modules[0]
    assert pricer.costs(CompressionConfig({}))["weight_bits"] == stored * 32
    config = CompressionConfig.from_bits({first: 4})
    mixed = graph.weights[first] * 4 + (stored - graph.weights[first]) * 32
    assert pricer.costs(config)["weight_bits"] == mixed
    assert average_precision(graph, config) == pytest.approx(mixed / stored, rel=1e-12)


def test_pages(network: Network) -> None:
    """The HTML report, and what a notebook shows of the graph and of its cost."""
    assert page_table(network.graph) == f"{network.stored:,}"
    params = network.stored + graph_outline(network.graph)[0].sums.biases
    for value in (network.graph, evaluate(network.graph, CHIP)):
        page = Rows()
        page.feed(value._repr_html_())
        assert f"{params:,}" in page.rows[1]


class Rows(HTMLParser):
    """The texts of the cells of a table, row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, data: str) -> None:
        if self.rows:
            self.rows[-1].append(data)


@pytest.mark.parametrize("name", ["lstm and linear", "shared parameter", "called twice"])
def test_models(name: str) -> None:
    """Sizes of models count parameters, a shared one once."""
    build, shape, stored = NETWORKS[name]
    model = build()
    biases = sum(parameter.numel() for parameter in model.parameters() if parameter.dim() == 1)
    size = model_size(model, torch.zeros(shape))
    assert (size.parameters, size.size_bits) == (stored + biases, 32 * (stored + biases))
    recurrent = 4 * HIDDEN * (IN + HIDDEN) if name == "lstm and linear" else 0  # has no Huffman code
    assert huffman_table(model).iloc[-1]["weights"] == stored - recurrent


def test_a_table_in_an_onnx_file(tmp_path: Path) -> None:
    """x (B, C) @ table[index]^T with an index of TOKENS^2 rows: the file holds the table."""
    from onnx import TensorProto, helper, numpy_helper, save

    table = np.ones((2 * TOKENS - 1, IN), np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "index"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["weight"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "weight"], ["y"]),
    ]
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, size]) for name, size in (("x", IN), ("y", 25))
    ]
    index = Gathered.distances().reshape(-1).numpy()
    stored = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(index, "index")]
    graph = helper.make_graph(nodes, "gather", ports[:1], ports[1:], stored)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "gather.onnx")
    (layer,) = trace_onnx(tmp_path / "gather.onnx").layers
    assert (layer.macs, layer.weights) == (2 * TOKENS**2 * IN, (2 * TOKENS - 1) * IN)


def test_a_layer_stores_one_element_at_least() -> None:
    with pytest.raises(LayerError, match=r"`1 <= parameter_elements <= 2\^53` must hold, but got 0"):
        Layer(name="fc", dims={"K": 2}, parameter_elements=0)
