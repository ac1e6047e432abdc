"""The picture of a network: everything that counts is in it, and nothing lies on top of something else."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest

from hwmodel.network.graph import LayerGraph, Port, Tensor, Uncounted, VectorOp
from hwmodel.network.layer import Dims, Layer
from reports import plot_graph
from reports.figures.cells import Spot
from reports.figures.diagram import MAX_NODES, Diagram, diagram
from reports.figures.files import figure_bytes
from reports.figures.placement import place
from reports.figures.theme import new_axes
from tests.reports.conftest import make_graph
from workloads import load_model_with_input, trace


def drawn(name: str) -> tuple[LayerGraph, Diagram]:
    model, args = load_model_with_input(name)
    graph = trace(model, *args)
    return graph, diagram(graph)


def chain(num: int, name: str = "layer{}", same: bool = False) -> LayerGraph:
    names = [name.format(n) for n in range(num)]
    layers = [Layer(name=n, module=n, dims=Dims(K=8, C=1 if same else 1 + i)) for i, n in enumerate(names)]
    edges = [(a, b, Tensor(name=a, shape=(1, 8))) for a, b in pairwise(names)]
    return LayerGraph("chain", layers, edges)


def test_equal_blocks_are_drawn_once_with_the_share_of_all() -> None:
    graph, picture = drawn("resnet20")
    titles = [cell.title for cell in picture.cells if cell.title]
    assert titles == ["layer1.0–2  ×3", "layer2.0", "layer2.1–2  ×2", "layer3.0", "layer3.1–2  ×2"]
    shares = [item.share for cell in picture.cells for item in cell.items]
    assert sum(shares) == pytest.approx(1)
    first = next(cell for cell in picture.cells if cell.title.startswith("layer1"))
    assert [item.label for item in first.items] == ["conv1", "conv2", "+"]
    assert first.items[0].share == pytest.approx(3 * graph.layer("layer1.0.conv1").macs / graph.macs)


def test_residual_edges_are_there() -> None:
    _, picture = drawn("resnet20")
    assert ("conv1", "layer1.0.add") in picture.edges
    assert ("layer2.0.shortcut.0", "layer2.0.add") in picture.edges
    _, transformer = drawn("transformer")
    into = [a for a, b in transformer.edges if b == "blocks.0.attention.matmul"]
    assert sorted(into) == ["blocks.0.attention.key", "blocks.0.attention.query"]
    assert ("blocks.0.add", "blocks.0.add_1") in transformer.edges


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "resnet50", "mobilenetv2", "transformer"])
def test_nothing_overlaps_and_all_is_on_the_page(name: str) -> None:
    _, picture = drawn(name)
    placed = place(picture)
    spots = [spot for _, spot in placed.nodes]
    assert len(spots) == sum(len(cell.items) for cell in picture.cells)
    for a, b in combinations(spots, 2):
        assert abs(a.x - b.x) >= (a.width + b.width) / 2 or abs(a.y - b.y) >= (a.height + b.height) / 2
    for a, b in combinations(placed.frames, 2):
        assert a.right <= b.left or b.right <= a.left or a.bottom <= b.top or b.bottom <= a.top
    for spot in spots:
        assert spot.x - spot.width / 2 >= -1e-9
        assert spot.right <= placed.width + 1e-9
        assert spot.bottom <= placed.height + 1e-9
    for path in [*placed.paths, *placed.ways_out]:
        assert not any(_crosses(p, q, spot) for p, q in pairwise(path) for spot in spots)
    assert placed.width <= 7.3


def _crosses(p: tuple[float, float], q: tuple[float, float], spot: Spot, inset: float = 0.02) -> bool:
    """A horizontal or vertical line runs through the inside of a node."""
    left, right = sorted((p[0], q[0]))
    top, bottom = sorted((p[1], q[1]))
    half = spot.width / 2 - inset
    return (
        left < spot.x + half and right > spot.x - half and top < spot.bottom - inset and bottom > spot.top + inset
    )


def test_a_deep_network_stays_a_picture() -> None:
    equal = diagram(chain(1_000, "blocks.{}", same=True))
    labels = [item.label for cell in equal.cells for item in cell.items]
    assert labels == ["blocks.0", "blocks.1 ×999"]  # the first reads no tensor, so it is not like the others
    many = diagram(chain(MAX_NODES * 3 + 1))
    items = [item for cell in many.cells for item in cell.items]
    assert len(items) <= MAX_NODES
    assert items[0].detail == "and 3 after it"
    assert sum(item.share for item in items) == pytest.approx(1)


def test_a_sum_around_each_of_several_blocks_is_drawn_once() -> None:
    nodes: list[Layer | VectorOp | Port] = [Port(name="x", kind="input")]
    edges = []
    last = "x"
    for n in range(5):
        nodes.append(Layer(name=f"blocks.{n}", module=f"blocks.{n}", dims=Dims(K=8, C=8)))
        nodes.append(VectorOp(name=f"add_{n}", kind="add", elements_in=16, elements_out=8))
        edges += [(last, f"blocks.{n}"), (last, f"add_{n}"), (f"blocks.{n}", f"add_{n}")]
        last = f"add_{n}"
    tensors = [(a, b, Tensor(name=a, shape=(1, 8))) for a, b in edges]
    picture = diagram(LayerGraph("outer", nodes, tensors))
    assert [item.name for cell in picture.cells for item in cell.items] == ["x", "blocks.0", "add_0"]
    assert set(picture.edges) == {("x", "blocks.0"), ("x", "add_0"), ("blocks.0", "add_0")}


def test_any_name_and_an_op_without_a_rule_are_drawn() -> None:
    graph = make_graph((Uncounted(op="my::op", module="m", calls=1),))
    ax = plot_graph(graph)
    texts = [text.get_text() for text in ax.texts]
    assert any("LOWER BOUND" in text for text in texts)
    assert r"blocks[/0]…$\x1b[31m" in texts  # 20 characters: its middle is left out, its escape is text
    assert figure_bytes(ax, "svg") == figure_bytes(plot_graph(graph), "svg")


def test_it_draws_where_it_is_told() -> None:
    ax = new_axes(3, 3)
    assert plot_graph(make_graph(), ax) is ax
    assert max(text.get_fontsize() for text in ax.texts) < 9


def test_a_graph_without_nodes() -> None:
    assert figure_bytes(plot_graph(LayerGraph("empty", [], [])))
