"""Repeated blocks: which sibling modules are one block and a count."""

from dataclasses import replace

from hwmodel import Layer, LayerGraph, Port, Tensor, VectorOp
from hwmodel.network.blocks import Block, repeated_blocks
from hwmodel.network.layer import Bits


def chain(*modules, width=8):
    """A linear layer and an activation per module name, one after the other; `name:16` is 16 wide."""
    nodes, edges, before = [Port(name="x", kind="input")], [], "x"
    for text in modules:
        module, _, own = text.partition(":")
        k = int(own or width)
        shape = (1, k)
        layer = Layer(name=f"{module}.fc", kind="linear", dims={"K": k, "C": k}, module=f"{module}.fc")
        act = VectorOp(name=f"{module}.act", kind="activation", elements_in=k, elements_out=k, module=module)
        nodes += [layer, act]
        edges.append((before, layer.name, Tensor(name=before, shape=(1, width))))
        edges.append((layer.name, act.name, Tensor(name=layer.name, shape=shape)))
        before = act.name
    return LayerGraph("chain", nodes, edges)


def names(graph, **options):
    return [block.names for block in repeated_blocks(graph, **options)]


def test_siblings_of_the_same_structure_are_a_run():
    (block,) = repeated_blocks(chain("net.layers.0", "net.layers.1", "net.layers.2"))
    assert block == Block(names=("net.layers.0", "net.layers.1", "net.layers.2"))
    assert (block.parent, block.count) == ("net.layers", 3)
    assert "net.layers.1" in block.members


def test_another_shape_ends_a_run():
    assert names(chain("a.0", "a.1", "a.2:16", "a.3:16", "a.4", "a.5")) == [
        ("a.0", "a.1"),
        ("a.2", "a.3"),
        ("a.4", "a.5"),
    ]


def test_names_differ_in_their_last_number_alone():
    assert names(chain("query", "key", "value")) == []
    assert names(chain("stage1", "stage2", "other3")) == [("stage1", "stage2")]
    assert names(chain("a.0", "b.0")) == []


def test_runs_follow_execution_not_the_alphabet():
    assert names(chain("a.9", "a.10", "a.11")) == [("a.9", "a.10", "a.11")]


def test_inner_runs_come_after_outer_ones():
    graph = chain(*(f"layers.{i}.experts.{e}" for i in range(2) for e in range(3)))
    inner = [tuple(f"layers.{i}.experts.{e}" for e in range(3)) for i in range(2)]
    assert names(graph) == [("layers.0", "layers.1"), *inner]


def test_bits_count_only_where_annotations_do():
    graph = chain("a.0", "a.1")
    narrow = replace(graph.layer("a.1.fc"), bits=Bits(w=4, i=8))
    graph = graph.with_layers({"a.1.fc": narrow})
    assert names(graph) == []
    assert names(graph, annotated=False) == [("a.0", "a.1")]


def test_another_wiring_is_another_block():
    """The same nodes, but the second activation reads what came before its module."""
    graph = chain("a.0", "a.1")
    edges = [(u, v, data["tensor"]) for u, v, data in graph.digraph.edges(data=True)]
    edges.append(("a.0.act", "a.1.act", Tensor(name="a.0.act", shape=(1, 8))))
    rewired = LayerGraph("chain", graph.nodes, edges)
    assert names(rewired) == []
