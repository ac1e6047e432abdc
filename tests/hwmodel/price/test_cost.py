"""Costs derived by hand, and the properties that every cost obeys."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel import (
    Bits,
    Choice,
    CostTable,
    Density,
    Layer,
    LayerGraph,
    Tensor,
    VectorOp,
    evaluate,
    find_mapping,
    list_accelerators,
    load_accelerator,
)
from hwmodel.errors import ConfigError, GraphError, MappingError
from tests.hwmodel.chips import without_residents


def lenet5(batch: int) -> LayerGraph:
    layers = [
        Layer(name="conv1", module="conv1", has_bias=True, dims=dict(B=batch, K=6, C=1, OY=28, OX=28, FY=5, FX=5)),
        Layer(name="conv2", module="conv2", has_bias=True, dims=dict(B=batch, K=16, C=6, OY=10, OX=10, FY=5, FX=5)),
        Layer(name="conv3", module="conv3", has_bias=True, dims=dict(B=batch, K=120, C=16, FY=5, FX=5)),
        Layer(name="fc1", module="fc1", kind="linear", has_bias=True, dims=dict(B=batch, K=84, C=120)),
        Layer(name="fc2", module="fc2", kind="linear", has_bias=True, dims=dict(B=batch, K=10, C=84)),
    ]
    edges = [(a.name, b.name, Tensor(name=a.name, shape=a.o_shape)) for a, b in itertools.pairwise(layers)]
    return LayerGraph("lenet5", layers, edges)


def test_lenet5_counts():
    graph = lenet5(1)
    assert graph.macs == 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 120 * 400 + 84 * 120 + 10 * 84 == 416_520
    assert sum(graph.weights.values()) == 150 + 2_400 + 48_000 + 10_080 + 840 == 61_470


@pytest.mark.parametrize("sums", [(18, 18, 18, 18, 18), (18, 16, 16, 18, 16)])
def test_loop_nest_energy_of_lenet5(sums):
    """N_mul * b_mul^2 + N_add * b_add, three and three per MAC in a convolution, and the last 10 biases."""
    batch, bits = 4, 8
    graph = lenet5(batch)
    macs = [batch * layer.macs for layer in lenet5(1).layers]
    assert macs == [layer.macs for layer in graph.layers]
    per_mac = [3, 3, 3, 1, 1]
    expected = [n * k * (bits**2 + b) for n, k, b in zip(macs, per_mac, sums, strict=True)]
    expected[-1] += 10 * batch * sums[-1]
    graph = graph.with_layers(
        {
            layer.name: layer.with_bits(Bits(w=bits, i=bits, acc=acc))
            for layer, acc in zip(graph.layers, sums, strict=True)
        }
    )
    cost = evaluate(graph, load_accelerator("loop_nest"))
    assert [layer.energy_pj for layer in cost.layers] == expected
    assert cost.energy_pj == sum(expected) == (402_692_880 if set(sums) == {18} else 395_774_080)


def test_loop_nest_defaults_are_8_bit_products_and_18_bit_sums():
    assert evaluate(lenet5(4), load_accelerator("loop_nest")).energy_pj == 402_692_880


LAYER = st.builds(
    lambda k, c, o, f, stride: Layer(
        name="x", module="x", dims=dict(K=k, C=c, OY=o, OX=o, FY=f, FX=f), stride=stride
    ),
    st.integers(1, 24),
    st.integers(1, 24),
    st.integers(1, 14),
    st.sampled_from([1, 3, 5]),
    st.integers(1, 2),
)
SPATIAL = [name for name in list_accelerators() if load_accelerator(name).kind == "spatial"]
WITH_MEMORY = [name for name in list_accelerators() if name != "loop_nest"]


@settings(max_examples=25, deadline=None)
@given(layer=LAYER, name=st.sampled_from(SPATIAL), bits=st.tuples(st.integers(1, 16), st.integers(1, 16)))
def test_costs_are_finite_and_never_below_the_compulsory(layer, name, bits):
    accelerator = load_accelerator(name)
    widths = Bits(w=bits[0], i=bits[1])
    cost = evaluate(layer.with_bits(widths), accelerator).layers[0]
    assert math.isfinite(cost.energy_pj) and cost.energy_pj > 0
    assert 0 < cost.utilization <= 1
    rate = accelerator.precision.macs_per_cycle(*bits)
    assert cost.cycles >= layer.macs / (accelerator.num_pes * rate)
    outer = {operand: accelerator.levels[-1].memory(operand).name for operand in ("W", "O")}
    assert cost.traffic_bits[outer["W"], "W"] >= layer.elements("W") * bits[0]
    assert cost.traffic_bits[outer["O"], "O"] >= layer.elements("O") * bits[1]


@settings(max_examples=20, deadline=None)
@given(layer=LAYER, name=st.sampled_from(WITH_MEMORY), bits=st.integers(1, 8))
def test_one_more_bit_never_costs_less(layer, name, bits):
    accelerator = load_accelerator(name)
    narrow = evaluate(layer.with_bits(Bits(w=bits, i=bits)), accelerator)
    for wider in (Bits(w=bits + 1, i=bits), Bits(w=bits, i=bits + 1)):
        cost = evaluate(layer.with_bits(wider), accelerator)
        assert cost.energy_pj >= narrow.energy_pj * (1 - 1e-9)
        assert cost.weight_bits >= narrow.weight_bits


@settings(max_examples=20, deadline=None)
@given(
    layer=LAYER,
    name=st.sampled_from(list_accelerators()),
    densities=st.tuples(st.floats(0.02, 1.0), st.floats(0.02, 1.0)),
    pattern=st.sampled_from(["unstructured", "filter"]),
)
def test_zeros_never_cost_more(layer, name, densities, pattern):
    accelerator = load_accelerator(name)
    sparse, dense = sorted(densities)

    def cost(density):
        choice = Choice(w_bits=8, a_bits=8, density=density, pattern=pattern)
        return evaluate(choice.annotate(layer), accelerator)

    less, more, full = cost(sparse), cost(dense), cost(1.0)
    assert less.energy_pj <= more.energy_pj * (1 + 1e-9) <= full.energy_pj * (1 + 1e-8)
    assert less.effectual_macs <= more.effectual_macs
    assert full.energy_pj == evaluate(Choice(w_bits=8, a_bits=8).annotate(layer), accelerator).energy_pj


def test_removing_half_of_the_filters_halves_the_macs():
    layer = Layer(name="x", module="x", dims=dict(K=16, C=4, OY=8, OX=8))
    choice = Choice(w_bits=8, a_bits=8, density=0.5, pattern="filter")
    cost = evaluate(choice.annotate(layer), load_accelerator("edge_npu"))
    assert cost.macs == layer.macs
    assert cost.effectual_macs == layer.macs / 2
    assert cost.bops == layer.macs // 2 * 64
    assert cost.weight_bits == layer.weights / 2 * 8


def test_useless_zeros_and_native_multipliers_are_said():
    layer = Layer(name="x", module="x", dims=dict(K=16, C=4, OY=8, OX=8))
    notes = evaluate(Choice(w_bits=4, a_bits=8, density=0.5).annotate(layer), load_accelerator("tpu_like")).notes
    assert any("8x8 bit: fewer bits save traffic only" in note for note in notes)
    assert any("zeros among the weights save nothing" in note for note in notes)


def test_find_mapping_returns_the_mapping_of_its_cost():
    layer = Layer(name="x", dims=dict(K=16, C=4, OY=8, OX=8))
    mapping, cost = find_mapping(layer, load_accelerator("edge_npu"), optimize="edp")
    assert cost.mapping == mapping
    with pytest.raises(MappingError, match="loop_nest"):
        find_mapping(layer, load_accelerator("loop_nest"))


def residual_graph() -> LayerGraph:
    """conv1 -> conv2 -> add (with conv1) -> softmax; the add is fused, the softmax is not."""
    a = Layer(name="a", module="a", dims=dict(K=4, C=2, OX=8))
    b = Layer(name="b", module="b", dims=dict(K=4, C=4, OX=8))
    n = 4 * 8
    add = VectorOp(name="add", kind="add", elements_in=2 * n, elements_out=n, fused=True)
    softmax = VectorOp(name="softmax", kind="softmax", elements_in=n, elements_out=n, ops_per_element=4)
    end = Layer(name="end", module="end", kind="linear", dims=dict(K=2, C=n))
    shape = (1, 4, 8)
    return LayerGraph(
        "residual",
        [a, b, add, softmax, end],
        [
            ("a", "b", Tensor(name="a", shape=shape)),
            ("a", "add", Tensor(name="a", shape=shape)),
            ("b", "add", Tensor(name="b", shape=shape)),
            ("add", "softmax", Tensor(name="add", shape=shape)),
            ("softmax", "end", Tensor(name="softmax", shape=shape)),
        ],
    )


def test_vector_operations_cost_their_traffic():
    graph, accelerator = residual_graph(), without_residents("edge_npu")
    n, bits = 32, 8
    cost = {item.name: item for item in evaluate(graph, accelerator).layers}
    alone = {layer.name: evaluate(layer, accelerator).layers[0] for layer in graph.layers}
    # The add streams from b and reads a; the softmax reads and writes. Both belong to b.
    assert cost["b"].traffic_bits["dram", "vector"] == (n + 2 * n) * bits
    assert cost["b"].energy_pj == pytest.approx(
        alone["b"].energy_pj + (n + 2 * n) * bits * 20.3 + (n * 1 + n * 4) * 0.03
    )
    assert cost["a"].energy_pj == alone["a"].energy_pj


def test_peak_activations_keep_the_residual_alive():
    # While b runs: a's output (kept for the add) and b's own, which the add then overwrites.
    # While softmax runs: its input and its output. Both are 2 * 32 elements.
    cost = evaluate(residual_graph(), load_accelerator("edge_npu"))
    assert cost.activation_bits == 2 * 32 * 8
    assert cost.memory_bits == cost.weight_bits + cost.activation_bits


@settings(max_examples=15, deadline=None)
@given(data=st.data(), name=st.sampled_from(list_accelerators()))
def test_the_table_equals_evaluate_to_the_last_bit(data, name):
    graph, accelerator = residual_graph(), load_accelerator(name)
    choices = [
        Choice(w_bits=w, a_bits=a, density=d, pattern=p)
        for w, a in ((2, 4), (3, 8), (8, 8), (32, 32))
        for d, p in ((1.0, "unstructured"), (0.3, "unstructured"), (0.5, "filter"))
    ]
    table = CostTable.build(graph, accelerator, choices)
    picked = {module: data.draw(st.sampled_from(table.choices[module])) for module in table.modules}
    totals, cost = table.price(picked), evaluate(graph, accelerator, picked)
    for field in (
        "energy_pj",
        "cycles",
        "latency_s",
        "weight_bits",
        "activation_bits",
        "memory_bits",
        "bops",
        "macs",
    ):
        assert getattr(totals, field) == getattr(cost, field), field
    weights = graph.weights
    average = sum(weights[m] * c.w_bits for m, c in picked.items()) / sum(weights.values())
    assert totals.avg_w_bits == pytest.approx(average, rel=1e-12)


def test_table_totals_of_many_candidates():
    graph = lenet5(1)
    table = CostTable.build(graph, load_accelerator("loop_nest"), [Choice(w_bits=b, a_bits=8) for b in (2, 4, 8)])
    indices = np.array([[0] * 5, [2] * 5, [0, 1, 2, 1, 0]])
    totals = table.totals(indices)
    assert totals["avg_w_bits"].tolist()[:2] == [2.0, 8.0]
    assert totals["weight_bits"].tolist()[:2] == [2.0 * 61_470, 8.0 * 61_470]
    for row, energy in zip(indices, totals["energy_pj"], strict=True):
        picked = {m: table.choices[m][i] for m, i in zip(table.modules, row, strict=True)}
        assert evaluate(graph, load_accelerator("loop_nest"), picked).energy_pj == energy


def test_bad_names_are_refused_with_the_nearest():
    graph, accelerator = lenet5(1), load_accelerator("loop_nest")
    with pytest.raises(GraphError, match=r"'conv_1' matched 0 of 5 layers. Did you mean 'conv1'\?"):
        evaluate(graph, accelerator, {"conv_1": Choice(w_bits=4, a_bits=4)})
    with pytest.raises(ConfigError, match=r"'conv_1' matched 0 of 5 layers. Did you mean 'conv1'\?"):
        CostTable.build(graph, accelerator, {"conv_1": [Choice()]})
    table = CostTable.build(graph, accelerator, [Choice(w_bits=4, a_bits=4)])
    with pytest.raises(ConfigError, match="'conv2' has no choice"):
        table.price({"conv1": Choice(w_bits=4, a_bits=4)})
    with pytest.raises(ConfigError, match="not in the table"):
        table.price(dict.fromkeys(graph.modules, Choice(w_bits=5, a_bits=4)))


def test_uncounted_ops_make_the_total_a_lower_bound():
    from hwmodel import Uncounted

    graph = LayerGraph("x", lenet5(1).layers, [], uncounted=[Uncounted(op="mylib::op", module="top", calls=2)])
    notes = evaluate(graph, load_accelerator("loop_nest")).notes
    assert any("mylib::op (2 calls, in top) has no rule: the total is a LOWER BOUND" in note for note in notes)


def test_density_outside_its_range_is_refused():
    for value in (0.0, -0.5, 1.5, math.nan):
        with pytest.raises(ValueError, match="0 < w <= 1"):
            Density(w=value)


def test_traffic_frame_adds_up_and_reads_every_weight_at_least_once():
    cost = evaluate(lenet5(1), load_accelerator("tpu_like"))
    frame = cost.traffic_frame()
    assert frame["energy_pj"].sum() == pytest.approx(cost.energy_pj)
    outer = load_accelerator("tpu_like").levels[-1].name
    read = frame[(frame["memory"] == outer) & (frame["operand"] == "W")].set_index("layer")["traffic_bits"]
    for item in cost.layers:
        assert read[item.name] >= item.layer.weights * 8  # native width of tpu_like
        assert read[item.name] == item.traffic_bits[outer, "W"]
