"""A small network made by hand, with names that break careless printing."""

from __future__ import annotations

import pytest

from hwmodel.network.graph import LayerGraph, Port, Tensor, Uncounted, VectorOp
from hwmodel.network.layer import Dims, Layer

#: Markup for rich, a tag for HTML, a formula for matplotlib, an escape sequence for the terminal.
NASTY = "blocks[/0]<script>alert(1)</script>$x^$\x1b[31m"


def make_graph(uncounted: tuple[Uncounted, ...] = ()) -> LayerGraph:
    """conv (432 weights, 110,592 MACs), the nasty conv (2,304; 589,824), linear (160; 160)."""
    layers = [
        Layer(name="conv1", module="conv1", dims=Dims(K=16, C=3, OY=16, OX=16, FY=3, FX=3)),
        Layer(name=NASTY, module=NASTY, dims=Dims(K=16, C=16, OY=16, OX=16, FY=3, FX=3)),
        Layer(name="head.fc", module="head.fc", kind="linear", dims=Dims(K=10, C=16)),
    ]
    relu = VectorOp(name="relu", kind="activation", elements_in=4096, elements_out=4096, module="relu", fused=True)
    pool = VectorOp(name="pool", kind="pool", elements_in=4096, elements_out=16, module="pool")
    ends = [Port(name="x", kind="input"), Port(name="y", kind="output")]
    nodes = [ends[0], layers[0], relu, layers[1], pool, layers[2], ends[1]]
    shapes = [(1, 3, 16, 16), (1, 16, 16, 16), (1, 16, 16, 16), (1, 16, 16, 16), (1, 16), (1, 10)]
    edges = [
        (a.name, b.name, Tensor(name=f"t{n}", shape=shape))
        for n, (a, b, shape) in enumerate(zip(nodes, nodes[1:], shapes, strict=False))
    ]
    return LayerGraph("tiny", nodes, edges, uncounted=uncounted, free_ops={"view": 2}, route="hand")


@pytest.fixture
def graph() -> LayerGraph:
    return make_graph()
