"""Attention as one kernel: traffic Q, K, V and O, one launch; by hand, and against the three kernels apart."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import Bits, Choice, CostTable, Layer, LayerGraph, Port, VectorOp, evaluate, load_accelerator
from hwmodel.chip.roofline import MatrixProducts, run_kernel
from hwmodel.network.attention import fused_attentions
from hwmodel.network.graph import Tensor
from tests.hwmodel.chips import chip
from tests.hwmodel.price.test_gpu import FMT, IDEAL, SMALL_GPU, product

H, T, S, D = 4, 96, 160, 32  # heads, queries, keys, width of a head
WORD = 16
Q, KEYS, SCORES = H * T * D, H * S * D, H * T * S
HALF = Bits(w=WORD, i=WORD, o=WORD)


def attention(
    heads: int = H, queries: int = T, keys: int = S, width: int = D, *, mask: int = 0, reads: tuple[str, ...] = ()
) -> LayerGraph:
    """Scale, mask and softmax between two products of activations; `reads`: nodes whose output leaves too."""
    q, k, p = heads * queries * width, heads * keys * width, heads * queries * keys
    scores = Layer(name="scores", kind="matmul", dims=dict(G=heads, K=keys, C=width, OX=queries), bits=HALF)
    mix = Layer(name="mix", kind="matmul", dims=dict(G=heads, K=width, C=keys, OX=queries), bits=HALF)
    ops = [
        VectorOp(name="scale", kind="mul", elements_in=p, elements_out=p, fused=True),
        VectorOp(name="mask", kind="elementwise", elements_in=p + mask, elements_out=p, fused=True),
        VectorOp(name="softmax", kind="softmax", elements_in=p, elements_out=p, ops_per_element=5.0),
    ]
    ports = [Port(name=name, kind="input") for name in ("q", "k", "v")]
    outs = [Port(name=f"out{n}", kind="output") for n in range(1 + len(reads))]
    sizes = {"q": q, "k": k, "v": k, "mix": q}
    pairs = [("q", "scores"), ("k", "scores"), ("scores", "scale"), ("scale", "mask"), ("mask", "softmax"),
             ("softmax", "mix"), ("v", "mix"), ("mix", "out0")]  # fmt: skip
    pairs += [(name, f"out{n + 1}") for n, name in enumerate(reads)]
    edges = [(a, b, Tensor(name=a, shape=(sizes.get(a, p),))) for a, b in pairs]
    return LayerGraph("attention", [*ports, scores, *ops, mix, *outs], edges)


@pytest.fixture
def small(tmp_path):
    return chip(tmp_path, SMALL_GPU)


def hbm(cost) -> dict[str, float]:
    """Traffic of the whole network to memory, by operand [bit]."""
    total: dict[str, float] = {}
    for layer in cost.layers:
        for (_, operand), bits in layer.traffic_bits.items():
            total[operand] = total.get(operand, 0.0) + bits
    return total


@pytest.mark.parametrize("mask", [0, T * S])
def test_only_queries_keys_values_outputs_and_the_mask_touch_memory(small, mask):
    fused = hbm(evaluate(attention(mask=mask), small))
    assert fused == {"I": WORD * Q, "W": WORD * 2 * KEYS, "O": WORD * Q, "vector": WORD * mask}
    apart = hbm(evaluate(attention(mask=mask), small, fuse=False))
    # scores written, read and written by the softmax, read by the mix; scale and mask work on them as they leave
    assert apart == {
        "I": WORD * (Q + SCORES), "W": WORD * 2 * KEYS, "O": WORD * (SCORES + Q),
        "vector": WORD * (2 * SCORES + mask),
    }  # fmt: skip


def test_the_time_is_that_of_two_products_and_one_launch(small):
    machine = small.roofline
    first = MatrixProducts(m=T, n=S, k=D, batch=H, w=KEYS, i=Q, o=SCORES, w_bits=WORD, i_bits=WORD, o_bits=0)
    second = MatrixProducts(
        m=T, n=D, k=S, batch=H, w=KEYS, i=SCORES, o=Q, w_bits=WORD, i_bits=0, o_bits=WORD, joined=True
    )
    fmt = machine.format_for(WORD)
    scores, mix = (run_kernel(products, machine, fmt).seconds for products in (first, second))
    found = evaluate(attention(), small)
    assert [layer.cycles for layer in found.layers] == [
        math.ceil((scores + machine.launch_s) * small.clock_hz),
        math.ceil((mix + machine.wait_s) * small.clock_hz),
    ]
    # the softmax computes as much, on the chip
    apart = evaluate(attention(), small, fuse=False)
    computed = [cost.layers[0].energy_breakdown["vector", ""] for cost in (found, apart)]
    assert computed[0] == computed[1]
    assert apart.cycles > found.cycles + 2 * machine.launch_s * small.clock_hz


def test_a_kernel_without_overhead_of_its_own_is_faster_by_it():
    fmt = replace(FMT, overhead_s=3e-6)
    seconds = [run_kernel(replace(product(T, S, D, H), joined=flag), IDEAL, fmt).seconds for flag in (False, True)]
    assert seconds[0] - seconds[1] == pytest.approx(3e-6)


def test_no_memory_holds_the_scores(small):
    """All four live to the end of the one kernel; apart, scores and softmax are there with the values."""
    assert evaluate(attention(), small).activation_bits == WORD * (2 * Q + 2 * KEYS)
    apart = evaluate(attention(), small, fuse=False).activation_bits
    assert apart == WORD * max(Q + 2 * KEYS + SCORES, KEYS + 2 * SCORES, KEYS + SCORES + Q)
    names = [tensor.name for tensor in evaluate(attention(), small).tensors]
    assert names == ["q", "k", "v", "mix"]


@pytest.mark.parametrize("read", ["scores", "scale", "mask", "softmax"])
def test_what_somebody_else_reads_is_written(small, read):
    """The weights of the attention as an output of the network: no fused kernel gives them."""
    graph = attention(reads=(read,))
    assert fused_attentions(graph) == ()
    fused, apart = evaluate(graph, small), evaluate(graph, small, fuse=False)
    assert fused == apart


@pytest.mark.parametrize("kind", ["concat", "softmax"])
def test_what_stands_between_must_be_one_softmax_and_elementwise(small, kind):
    graph = attention()
    op = graph.digraph.nodes["scale"]["op"]
    changed = VectorOp(name="scale", kind=kind, elements_in=op.elements_in, elements_out=op.elements_out)
    nodes = [changed if node.name == "scale" else node for node in graph.nodes]
    edges = [(a, b, data["tensor"]) for a, b, data in graph.digraph.edges(data=True)]
    assert fused_attentions(LayerGraph("other", nodes, edges)) == ()


@pytest.mark.parametrize("name", ["tpu_like", "eyeriss", "loop_nest"])
def test_other_chips_have_no_such_kernel(name):
    accelerator = load_accelerator(name)
    graph = attention(2, 8, 8, 8)
    assert evaluate(graph, accelerator) == evaluate(graph, accelerator, fuse=False)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 16), st.integers(1, 2048), st.integers(1, 2048), st.sampled_from([16, 64, 128])),
    name=st.sampled_from(["a100", "h100", "cpu_avx512"]),
)
def test_one_kernel_never_costs_more(shape, name):
    graph, accelerator = attention(*shape), load_accelerator(name)
    fused, apart = evaluate(graph, accelerator), evaluate(graph, accelerator, fuse=False)
    assert fused.cycles < apart.cycles
    assert fused.energy_pj < apart.energy_pj
    heads, queries, keys, width = shape
    least = 16 * 2 * heads * (queries + keys) * width
    assert least <= sum(hbm(fused).values()) < sum(hbm(apart).values())


def block() -> LayerGraph:
    """Projections around an attention, every one with choices."""
    inner = attention()
    nodes = {node.name: node for node in inner.nodes}
    linear = {
        name: Layer(name=name, kind="linear", dims=dict(K=H * D, C=64, OX=length), module=name)
        for name, length in (("q", T), ("k", S), ("v", S))
    }
    out = Layer(name="out", kind="linear", dims=dict(K=64, C=H * D, OX=T), module="out")
    x, y = Port(name="x", kind="input"), Port(name="y", kind="output")
    edges = [(a, b if b != "out0" else "out", data["tensor"]) for a, b, data in inner.digraph.edges(data=True)]
    edges += [("x", name, Tensor(name="x", shape=(S * 64,))) for name in linear]
    edges += [("out", "y", Tensor(name="out", shape=(T * 64,)))]
    between = [nodes[name] for name in ("scores", "scale", "mask", "softmax", "mix")]
    plain = [Layer(**{**vars(n), "bits": None}) if isinstance(n, Layer) else n for n in between]
    return LayerGraph("block", [x, *linear.values(), *plain, out, y], edges)


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("name", ["a100", "cpu_avx512", "tpu_like"])
def test_a_table_equals_the_evaluation(name, fuse):
    graph, accelerator = block(), load_accelerator(name)
    options = [Choice(w_bits=8, a_bits=8), Choice(w_bits=16, a_bits=16)]
    table = CostTable.build(graph, accelerator, options, fuse=fuse)
    for picks in itertools.product(options, repeat=len(table.modules)):
        assignment = dict(zip(table.modules, picks, strict=True))
        whole, found = evaluate(graph, accelerator, assignment, fuse=fuse), table.price(assignment)
        assert (found.energy_pj, found.cycles) == (whole.energy_pj, whole.cycles)
        assert found.activation_bits == whole.activation_bits
