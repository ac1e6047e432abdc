"""Tensors with their live ranges, weights with their calls, and JSON that keeps everything."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import Bits, Density, Layer, LayerGraph, Port, Tensor, Uncounted, VectorOp
from hwmodel.network.blocks import repeated_blocks
from hwmodel.network.contents import LiveTensor, Weight, live_tensors, stored_weights

names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=6)
widths = st.integers(1, 32)
optional_widths = st.none() | widths
shares = st.floats(0.001, 1.0)
bits = st.none() | st.builds(Bits, w=widths, i=widths, o=optional_widths, acc=optional_widths)
densities = st.builds(
    Density, w=shares, i=shares, o=shares, pattern=st.sampled_from(["unstructured", "filter", "2:4"])
)
bounds = st.dictionaries(st.sampled_from(["B", "G", "K", "C", "OY", "OX", "FY", "FX"]), st.integers(1, 9))
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
kinds = st.sampled_from(["conv", "linear", "matmul"])
layers = st.builds(
    Layer, name=names, kind=kinds, dims=bounds, stride=pairs, dilation=pairs,
    bits=bits, density=densities, module=names, parameter=names, has_bias=st.booleans(),
)  # fmt: skip
vector_ops = st.builds(
    VectorOp, name=names, kind=names, elements_in=st.integers(0, 99), elements_out=st.integers(0, 99),
    ops_per_element=shares, module=names, fused=st.booleans(),
)  # fmt: skip
ports = st.builds(Port, name=names, kind=st.sampled_from(["input", "output"]))
nodes = st.lists(layers | vector_ops | ports, min_size=1, max_size=8, unique_by=lambda node: node.name)


@st.composite
def graphs(draw):
    """Any nodes, with edges from earlier to later ones."""
    found = draw(nodes)
    edges = [
        (a.name, b.name, Tensor(name=draw(names), shape=tuple(draw(st.lists(st.integers(1, 5), max_size=3)))))
        for i, a in enumerate(found)
        for b in found[i + 1 :]
        if draw(st.booleans())
    ]
    uncounted = [Uncounted(op=draw(names), module=draw(names), calls=2)] if draw(st.booleans()) else []
    return LayerGraph(draw(names), found, edges, uncounted=uncounted, free_ops={"aten::view": 3}, route="export")


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_json_keeps_everything(graph):
    again = LayerGraph.from_json(graph.to_json())
    assert again.to_dict() == graph.to_dict()
    assert again.nodes == graph.nodes
    assert (again.uncounted, again.free_ops, again.route) == (graph.uncounted, graph.free_ops, graph.route)
    assert (again.fingerprint, again.weights, again.owners) == (graph.fingerprint, graph.weights, graph.owners)
    assert live_tensors(again) == live_tensors(graph)
    assert stored_weights(again) == stored_weights(graph)
    assert repeated_blocks(again) == repeated_blocks(graph)


@settings(max_examples=30, deadline=None)
@given(graphs())
def test_a_tensor_lives_from_its_writer_to_its_last_reader(graph):
    order = [node.name for node in graph.nodes]
    edges = {(u, v, data["tensor"].name) for u, v, data in graph.digraph.edges(data=True)}
    found = live_tensors(graph)
    assert {(t.source, reader, t.name) for t in found for reader in t.readers} == edges
    for tensor in found:
        assert order[tensor.first] == tensor.source
        assert order[tensor.last] == tensor.readers[-1]
        assert tensor.first < tensor.last == max(order.index(reader) for reader in tensor.readers)


def test_a_residual_input_lives_until_the_add():
    fc = Layer(name="fc", kind="linear", dims={"K": 4, "C": 4}, module="fc", parameter="weight")
    again = replace(fc, name="fc#2")
    add = VectorOp(name="add", kind="add", elements_in=8, elements_out=4)
    x, y, z = (Tensor(name=name, shape=(1, 4)) for name in ("x", "fc", "fc#2"))
    graph = LayerGraph(
        "residual",
        [Port(name="x", kind="input"), fc, again, add],
        [("x", "fc", x), ("fc", "fc#2", y), ("fc#2", "add", z), ("x", "add", x)],
    )
    assert live_tensors(graph)[0] == LiveTensor(
        name="x", shape=(1, 4), source="x", readers=("fc", "add"), first=0, last=3
    )
    assert stored_weights(graph) == (
        Weight(module="fc", parameter="weight", shape=(1, 4, 4, 1, 1), calls=("fc", "fc#2")),
    )
