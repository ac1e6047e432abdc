"""Concatenations without a copy: an arrangement of the memory exists for those that are made in place."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import Choice, CostTable, Layer, LayerGraph, Port, Tensor, VectorOp, evaluate, load_accelerator
from hwmodel.network.layout import in_place
from tests.hwmodel.chips import without_residents

PIXELS = 36


def graph_of(sizes: dict[str, int], concats: dict[str, list[str]], *, ports: tuple[str, ...] = ()) -> LayerGraph:
    """Layers of so many channels, and concatenations of them, every one with a reader."""
    nodes, edges, channels = [Port(name="in", kind="input")], [], dict(sizes)
    image = Tensor(name="in", shape=(1, 1, PIXELS))

    def tensor(name: str) -> Tensor:
        return Tensor(name=name, shape=(1, channels[name], PIXELS))

    for name, size in sizes.items():
        if name in ports:
            nodes.append(Port(name=name, kind="input"))
        else:
            nodes.append(Layer(name=name, module=name, dims=dict(K=size, C=1, OX=PIXELS)))
            edges.append(("in", name, image))
    for name, pieces in concats.items():
        channels[name] = sum(channels[piece] for piece in pieces)
        elements = channels[name] * PIXELS
        nodes.append(
            VectorOp(name=name, kind="concat", elements_in=elements, elements_out=elements, pieces=tuple(pieces))
        )
        edges += [(piece, name, tensor(piece)) for piece in dict.fromkeys(pieces)]
        reader = Layer(name=f"read {name}", module=f"read {name}", dims=dict(K=1, C=channels[name], OX=PIXELS))
        nodes += [reader, Port(name=f"out {name}", kind="output")]
        edges += [(name, reader.name, tensor(name)),
                  (reader.name, f"out {name}", Tensor(name="o", shape=(1, 1, PIXELS)))]  # fmt: skip
    return LayerGraph("x", nodes, edges)


@st.composite
def families(draw):
    """Concatenations of layers and of earlier concatenations."""
    names = [f"l{n}" for n in range(draw(st.integers(2, 4)))]
    concats: dict[str, list[str]] = {}
    for n in range(draw(st.integers(1, 3))):
        concats[f"c{n}"] = draw(st.lists(st.sampled_from([*names, *concats]), min_size=2, max_size=4))
    return names, concats


def is_run(parts: tuple[str, ...], order: tuple[str, ...]) -> bool:
    return any(order[n : n + len(parts)] == parts for n in range(len(order)))


@settings(max_examples=300, deadline=None)
@given(families())
def test_what_is_in_place_fits_into_one_row(case):
    """Some order in memory of what layers and copies make has every concatenation in place as a run.

    The first one is a copy only where a piece stands in it twice.
    """
    names, concats = case
    found = in_place(graph_of(dict.fromkeys(names, 2), concats))
    made = sorted({part for parts in found.values() for part in parts})
    assert not set(made) & set(found)
    assert any(all(is_run(parts, order) for parts in found.values()) for order in itertools.permutations(made))
    for name, parts in found.items():
        expected = [part for piece in concats[name] for part in found.get(piece, (piece,))]
        assert list(parts) == expected
    if "c0" not in found:
        assert len(set(concats["c0"])) < len(concats["c0"])


@pytest.mark.parametrize(
    ("concats", "expected"),
    [
        ({"c": ["a", "b"]}, {"c": ("a", "b")}),
        ({"c": ["a", "b"], "d": ["a", "b", "e"]}, {"c": ("a", "b"), "d": ("a", "b", "e")}),  # DenseNet
        ({"c": ["a", "b"], "d": ["c", "e"]}, {"c": ("a", "b"), "d": ("a", "b", "e")}),
        ({"c": ["a", "b"], "d": ["b", "a"]}, {"c": ("a", "b")}),
        ({"c": ["a", "b"], "d": ["a", "e"]}, {"c": ("a", "b")}),
        ({"c": ["a", "b", "e"], "d": ["a", "e"]}, {"c": ("a", "b", "e")}),
        ({"c": ["a", "a"]}, {}),
        ({"c": ["a", "b"], "d": ["a", "c"]}, {"c": ("a", "b")}),
        ({"c": ["a", "p"]}, {}),  # an input of the network lies where it comes in
    ],
)
def test_by_hand(concats, expected):
    assert in_place(graph_of({"a": 2, "b": 1, "e": 3, "p": 1}, concats, ports=("p",))) == expected


def test_a_concatenation_in_place_costs_nothing():
    """a (4 channels) and b (2) of 36 pixels, read together: 216 B are alive and not copied; else 432 B are."""
    graph, npu = graph_of({"a": 4, "b": 2}, {"c": ["a", "b"]}), without_residents("edge_npu")
    cost, copied = evaluate(graph, npu), evaluate(graph, npu, fuse=False)
    whole = 6 * PIXELS
    assert sum(item.traffic_bits.get(("dram", "vector"), 0.0) for item in cost.layers) == 0
    assert sum(item.traffic_bits.get(("dram", "vector"), 0.0) for item in copied.layers) == 2 * whole * 8
    assert copied.activation_bits == 2 * whole * 8  # while it is copied
    assert cost.activation_bits == (whole + PIXELS) * 8  # while it is read, and the reader's output made
    assert cost.cycles < copied.cycles


def test_operations_behind_it_read_memory():
    """A norm behind the concatenation streams from nothing: it reads the whole and writes it, as a copy would."""
    graph = graph_of({"a": 4, "b": 2}, {"c": ["a", "b"]})
    whole = 6 * PIXELS
    norm = VectorOp(name="norm", kind="norm", elements_in=whole, elements_out=whole, fused=True, parameters=12)
    edges = [(u, v, data["tensor"]) for u, v, data in graph.digraph.edges(data=True) if (u, v) != ("c", "read c")]
    shape = (1, 6, PIXELS)
    edges += [(u, v, Tensor(name=u, shape=shape)) for u, v in (("c", "norm"), ("norm", "read c"))]
    graph = LayerGraph("x", [*graph.nodes, norm], edges)
    for fuse in (True, False):
        cost = evaluate(graph, without_residents("edge_npu"), fuse=fuse)
        moved = sum(item.traffic_bits.get(("dram", "vector"), 0.0) for item in cost.layers)
        assert moved == 2 * whole * 8 + 12 * 32
        assert cost.activation_bits == 2 * whole * 8


def test_a_graph_that_names_no_pieces_is_copied():
    graph = graph_of({"a": 4, "b": 2}, {"c": ["a", "b"]})
    plain = [replace(node, pieces=()) if isinstance(node, VectorOp) else node for node in graph.nodes]
    assert in_place(graph.with_nodes(plain)) == {}
    assert "pieces" not in graph.with_nodes(plain).to_json()
    assert LayerGraph.from_json(graph.to_json()).vector_ops == graph.vector_ops


@settings(max_examples=20, deadline=None)
@given(
    data=st.data(),
    name=st.sampled_from(["edge_npu", "eyeriss", "tpu_v1", "a100", "loop_nest"]),
    case=st.sampled_from([{"c": ["a", "b"], "d": ["a", "b", "e"]}, {"c": ["a", "b"], "d": ["b", "a"]}]),
    fuse=st.booleans(),
)
def test_the_table_equals_evaluate(data, name, case, fuse):
    graph, accelerator = graph_of({"a": 4, "b": 2, "e": 1}, case), load_accelerator(name)
    choices = [Choice(w_bits=w, a_bits=a) for w, a in ((2, 4), (8, 8), (8, 3))]
    table = CostTable.build(graph, accelerator, choices, fuse=fuse)
    picked = {module: data.draw(st.sampled_from(choices)) for module in table.modules}
    totals, cost = table.price(picked), evaluate(graph, accelerator, picked, fuse=fuse)
    for field in ("energy_pj", "cycles", "activation_bits"):
        assert getattr(totals, field) == getattr(cost, field), field
