"""Stored weights, what fits where, and the peak of the activations against a simulated run."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import Bits, Choice, Layer, LayerGraph, Port, Tensor, VectorOp, evaluate, load_accelerator
from hwmodel.errors import LayerError
from hwmodel.network.liveness import Liveness
from hwmodel.price.footprint import does_it_fit, overhead_bits, quantization_overhead_bits, weight_memory
from tests.hwmodel.chips import chip

CONV = Layer(name="conv", module="conv", dims=dict(G=2, K=3, C=4, FY=3, FX=3, OY=5))
FC = Layer(name="fc", module="fc", kind="linear", dims=dict(K=7, C=30))
SHARED = Layer(name="fc again", module="fc", kind="linear", dims=dict(K=7, C=30))
MATMUL = Layer(name="qk", module="qk", kind="matmul", dims=dict(K=7, C=30))


def test_scales_and_zero_points():
    """Per tensor one 32-bit scale and one zero point as wide as the weights; per channel one of each per filter."""
    assert quantization_overhead_bits(CONV, 4) == 32 + 4
    assert quantization_overhead_bits(CONV, 4, "channel") == 2 * 3 * (32 + 4)
    assert quantization_overhead_bits(CONV, 4, "channel", zero_points=False, scale_bits=16) == 6 * 16
    assert quantization_overhead_bits(FC, 8, "channel") == 7 * (32 + 8)
    assert quantization_overhead_bits(MATMUL, 8, "channel") == 0
    assert quantization_overhead_bits(FC, 32, "channel") == 0
    with pytest.raises(LayerError, match="granularity must be one of tensor, channel, but got 'row'"):
        quantization_overhead_bits(FC, 8, "row")


def test_weight_memory_at_each_width():
    graph = LayerGraph("x", [CONV, FC, SHARED, MATMUL], [])
    weights = 2 * 3 * 4 * 9 + 7 * 30  # the weight that is read twice is stored once
    for row in weight_memory(graph, (2, 8, 32)):
        quantized = row.bits < 32
        assert row.values_bits == weights * row.bits
        assert row.per_tensor_bits == quantized * 2 * (32 + row.bits)
        assert row.per_channel_bits == quantized * (6 + 7) * (32 + row.bits)


def test_what_fits_where(tmp_path):
    """The tiny chip: registers of 8 B in 4 PEs hold W and O, a buffer of 64 B all three."""
    accelerator = chip(tmp_path)
    small = Layer(name="small", module="small", dims=dict(K=4, C=5))
    large = Layer(name="large", module="large", dims=dict(K=6, C=8))
    edge = [("small", "large", Tensor(name="t", shape=(1, 4, 1, 1)))]
    cost = evaluate(LayerGraph("x", [small, large], edge), accelerator)
    regs, buffer, dram = does_it_fit(cost, accelerator)
    size = {layer.name: layer.weights * 8 + 32 + 8 for layer in (small, large)}
    assert size == {"small": 200, "large": 424}
    assert regs.capacity_bits == 4 * 64
    assert (regs.too_large, regs.all_weights, regs.activations) == (("large",), False, True)
    assert buffer.capacity_bits == 512
    assert (buffer.too_large, buffer.all_weights, buffer.activations) == ((), False, True)
    assert (dram.capacity_bits, dram.too_large, dram.all_weights, dram.activations) == (None, (), True, True)
    assert overhead_bits(cost) == 2 * (32 + 8)
    assert overhead_bits(cost, "channel") == (4 + 6) * (32 + 8)


def test_memories_that_hold_no_weights_say_nothing_of_them():
    accelerator = load_accelerator("eyeriss")
    fits = {fit.name: fit for fit in does_it_fit(evaluate(FC, accelerator), accelerator)}
    assert fits["glb"].too_large is None
    assert fits["glb"].all_weights is None
    assert fits["glb"].activations is True
    assert fits["filter_spad"].activations is None
    assert fits["filter_spad"].capacity_bits == 168 * 448 * 8


# ---- peak activations ----------------------------------------------------------------------------


def simulated_peak(graph: LayerGraph, bits: dict[str, int], native: int) -> int:
    """Run the graph with a heap: allocate what is stored when its stream starts, free it after its last reader.

    What flows is followed by hand: the set of tensors that pass while an operation runs. A fused operation takes
    those that its owner's stream brings; a pool takes one, which nobody else may read, and what it leaves passes at
    a pace of its own. A tensor is stored where somebody reads it who does not take it as it passes.
    """
    order = [node.name for node in graph.nodes]
    readers = {name: list(graph.digraph.successors(name)) for name in graph.digraph}
    passing: dict[str, tuple[str, str]] = {}  # node -> (start of its stream, start of its pace)
    taken: set[tuple[str, str]] = set()
    for node in graph.nodes:
        passing[node.name] = (node.name, node.name)
        if not isinstance(node, VectorOp) or not node.fused or not graph.owners[node.name]:
            continue
        owner, is_pool = graph.owners[node.name], node.kind == "pool"
        brought: dict[tuple[str, str], list[str]] = {}
        for operand in graph.digraph.predecessors(node.name):
            is_fed = operand == owner or graph.owners.get(operand) == owner
            if is_fed and not (is_pool and readers[operand] != [node.name]):
                brought.setdefault(passing[operand], []).append(operand)
        if brought:
            latest = max(brought, key=lambda flow: order.index(flow[1]))
            taken |= {(operand, node.name) for operand in brought[latest]}
            passing[node.name] = (latest[0], node.name) if is_pool else latest
    heap: dict[str, int] = {}
    unread = {name: set(found) for name, found in readers.items()}
    peak = 0
    for node in graph.nodes:
        for name in order:
            stored = any((name, reader) not in taken for reader in readers[name])
            if passing[name][0] == node.name and stored:
                elements = math.prod(graph.digraph.edges[name, readers[name][0]]["tensor"].shape)
                heap[name] = elements * width_of(graph, graph.digraph.nodes[name]["op"], bits, native)
        peak = max(peak, sum(heap.values()))
        for operand in graph.digraph.predecessors(node.name):
            unread[operand].discard(node.name)
            if not unread[operand]:
                heap.pop(operand, None)
    return peak


def width_of(graph: LayerGraph, node, bits: dict[str, int], native: int) -> int:
    """The widest that the layers behind a node compute with; its own or its owner's where there are none."""
    behind = [node.name]
    asked = []
    while behind:
        for reader in graph.digraph.successors(behind.pop()):
            if reader in bits:
                asked.append(bits[reader])
            else:
                behind.append(reader)
    name = node.name if isinstance(node, Layer) else graph.owners.get(node.name)
    return max(asked, default=bits.get(name, native))


@st.composite
def networks(draw):
    """Layers, adds of an earlier tensor (residuals), concatenations and pools, fused or not, in random order."""
    nodes = [Port(name="in", kind="input")]
    shapes = {"in": (1, draw(st.integers(1, 8)), draw(st.integers(1, 6)))}
    edges = []

    def read(target: str, source: str) -> None:
        edges.append((source, target, Tensor(name=source, shape=shapes[source])))

    last = "in"
    for n in range(draw(st.integers(2, 10))):
        kind = draw(st.sampled_from(["conv", "conv", "relu", "add", "concat", "pool"]))
        name, (_, channels, pixels) = f"{kind}{n}", shapes[last]
        alike = [other for other in shapes if shapes[other] == shapes[last] and other != last]
        if kind == "conv":
            out = draw(st.integers(1, 8))
            nodes.append(Layer(name=name, module=name, dims=dict(K=out, C=channels, OX=pixels)))
            shapes[name] = (1, out, pixels)
        elif kind == "relu" or (kind == "add" and alike):
            nodes.append(VectorOp(name=name, kind=kind, elements_in=1, elements_out=1, fused=draw(st.booleans())))
            shapes[name] = shapes[last]
            if kind == "add":
                read(name, draw(st.sampled_from(alike)))
        elif kind == "concat" and len(shapes) > 1:
            other = draw(st.sampled_from([o for o in shapes if o != last]))
            nodes.append(VectorOp(name=name, kind="concat", elements_in=1, elements_out=1))
            shapes[name] = (1, channels + shapes[other][1], pixels)
            read(name, other)
        else:
            nodes.append(VectorOp(name=name, kind="pool", elements_in=1, elements_out=1, fused=draw(st.booleans())))
            shapes[name] = (1, channels, max(1, pixels // 2))
        read(name, last)
        last = name
    nodes.append(Port(name="out", kind="output"))
    read("out", last)
    return LayerGraph("random", nodes, edges)


@settings(max_examples=300, deadline=None)
@given(graph=networks(), data=st.data())
def test_the_peak_is_that_of_a_simulated_run(graph, data):
    bits = {layer.name: data.draw(st.sampled_from([2, 4, 8, 16])) for layer in graph.layers}
    alive = Liveness.of(graph)
    widths = [tensor.bits(lambda name, _: bits[name], lambda _: None, 8) for tensor in alive.tensors]
    assert alive.peak_bits(widths) == simulated_peak(graph, bits, 8)


def test_a_concatenation_keeps_its_operands_until_it_is_made():
    """a (4 x 6) and b (2 x 6) are read by the concatenation (6 x 6): all three at once."""
    a = Layer(name="a", module="a", dims=dict(K=4, C=1, OX=6))
    b = Layer(name="b", module="b", dims=dict(K=2, C=4, OX=6))
    c = VectorOp(name="c", kind="concat", elements_in=36, elements_out=36)
    end = Layer(name="end", module="end", dims=dict(K=1, C=6, OX=6))
    shape = {"a": (1, 4, 6), "b": (1, 2, 6), "c": (1, 6, 6)}
    edges = [(u, v, Tensor(name=u, shape=shape[u])) for u, v in (("a", "b"), ("a", "c"), ("b", "c"), ("c", "end"))]
    cost = evaluate(LayerGraph("concat", [a, b, c, end], edges), load_accelerator("edge_npu"))
    assert cost.activation_bits == (24 + 12 + 36) * 8
    four = dict.fromkeys(("a", "b", "end"), Choice(w_bits=8, a_bits=4))
    narrow = evaluate(LayerGraph("concat", [a, b, c, end], edges), load_accelerator("edge_npu"), four)
    assert narrow.activation_bits == (24 + 12 + 36) * 4
    assert Bits(w=8, i=4).out == 4
